"""The verdict on an operation that was cut, on a real volume group."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace

from lvmqcow.checks.structure import Severity, structure
from lvmqcow.core.volume import Volume
from lvmqcow.errors import LvmqcowError
from lvmqcow.operations import Request
from lvmqcow.testing.cases.expected import Contents, called, changed, expected
from lvmqcow.testing.cases.scenarios import active, contents, others, parents, planned, run, sizes_and_tags, storage
from lvmqcow.testing.cases.starts import Starts
from lvmqcow.testing.conformance.violation import require
from lvmqcow.testing.crash.crash_points import CrashPoint
from lvmqcow.testing.simulated.host import SimHost

__all__ = ["Judge"]


class Judge:
    """The verdict on one operation: what recovery must make of a cut of it, by what the plan says of its outcome."""

    def __init__(self, real: Starts, start: SimHost, request: Request) -> None:
        self._real = real
        self._request = request
        plan = planned(start, request)
        self._commit_point = plan.commit_point
        self._steps = len(plan.steps)
        self._before = contents(start, changed(request))
        self._after = expected(request, contents(start, request.volume))
        self._beside = others(start, changed(request))
        self._read_through = parents(storage(active(start)).picture())
        self._undone = sizes_and_tags(start.observe(), index=False)
        self._finished = sizes_and_tags(run(start, *plan.steps).observe(), index=True)
        self._compared: set[Hashable] = set()

    def either(self, place: CrashPoint, digests: Mapping[str, bytes]) -> None:
        """Require the state before or the state after. A wrong plan may name a wrong commit point."""
        try:
            self(replace(place, done=0), digests)
        except (AssertionError, LvmqcowError):
            self(replace(place, done=self._steps), digests)

    def __call__(self, place: CrashPoint, digests: Mapping[str, bytes]) -> None:
        world, where = self._real.world, place.path
        undone = place.done < self._commit_point
        name, wanted = (changed(self._request), self._before) if undone else (called(self._request), self._after)
        with world.readable():
            picture = world.storage.picture()
            if undone:
                seen = sizes_and_tags(picture, index=False)
                require(seen == self._undone, f"{where}: sizes or tags are wrong", self._undone, seen)
                read = parents(picture)
                require(read == self._read_through, f"{where}: layers read through others", self._read_through, read)
            else:
                seen = sizes_and_tags(picture, index=True)
                require(seen == self._finished, f"{where}: sizes or tags are wrong", self._finished, seen)
            found = {
                finding.severity
                for volume in picture.volumes
                for finding in structure(picture, volume, world.host.measure)
            }
            allowed = {Severity.WARNING} if undone else set()
            require(found <= allowed, f"{where}: check finds something wrong", sorted(allowed), sorted(found))
            for volume, holds in {name: wanted, **self._beside}.items():
                if holds:
                    self._require(picture.volume(volume), holds, digests, where)
        rest = world.storage.plan_recovery(name.text).steps
        require(rest == (), f"{where}: recovery is not finished", "no steps", rest)
        left = world.leftovers()
        require(left == (), f"{where}: something is left over", "nothing", left)

    def _require(self, volume: Volume, wanted: Contents, digests: Mapping[str, bytes], where: str) -> None:
        """It holds what it should. The same bytes in the same chain are looked at once."""
        there = {layer.snapshot for layer in volume.layers}
        require(there == set(wanted), f"{where}: {volume.name} has other layers", set(wanted), there)
        seen = {layer: tuple(digests[below.lv.name] for below in volume.below(layer)) for layer in volume.layers}
        new = [layer for layer, chain in seen.items() if (wanted[layer.snapshot], chain) not in self._compared]
        for layer in new:
            difference = self._real.world.difference(layer.lv.name, volume.name.format, wanted[layer.snapshot])
            require(difference is None, f"{where}: {layer.lv.name} holds something else", "the content", difference)
        if new:
            found = self._real.world.storage.check(volume.name.text)
            worse = [finding for finding in found if finding.severity is not Severity.WARNING]
            require(worse == [], f"{where}: check finds something wrong", "nothing", worse)
        self._compared |= {(wanted[layer.snapshot], seen[layer]) for layer in new}
