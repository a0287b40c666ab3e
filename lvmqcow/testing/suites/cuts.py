"""Cuts on simulated volume groups: every operation of the table, and its recovery, is stopped at every place."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Final

from lvmqcow.checks.structure import Severity
from lvmqcow.core.names import VolumeName
from lvmqcow.operations import Convert, Plan, Request
from lvmqcow.testing.cases.expected import Contents, called, changed, expected, lv_names, named, wipes
from lvmqcow.testing.cases.operation_table import OPERATIONS
from lvmqcow.testing.cases.scenarios import (
    active,
    contents,
    intents,
    others,
    parents,
    rebooted,
    run,
    sizes_and_tags,
    storage,
)
from lvmqcow.testing.conformance.implementation import OURS, Implementation
from lvmqcow.testing.conformance.suite import Came, Place, Suite, Surroundings, Trial
from lvmqcow.testing.conformance.violation import Violation, require
from lvmqcow.testing.crash.simulated_cuts import cuts
from lvmqcow.testing.simulated.host import SimHost

__all__ = ["CUTS", "FLAWS", "cut_everywhere", "kind_name", "operation_of", "require_whole", "severities"]

FLAWS: Final = {Severity.WARNING, Severity.UNCHECKED}
"""Findings that a healthy volume may have: its LV is tight, or it is inactive."""


def cut_everywhere(operation: str, implementation: Implementation = OURS) -> Came:
    """Cut one operation of the table, and every recovery from that, at every place; judge what recovery makes of it.

    Raises:
        Violation: something is lost, left over or unfinished.
        LvmqcowError: recovery itself fails.
    """
    start, request = OPERATIONS[operation]
    host = start()
    trial = _Trial(implementation, host, request)
    for cut in cuts(host, trial.plan):
        for left in (cut.host, rebooted(cut.host)):  # the process died, or the machine died
            for again in cuts(left, implementation.storage(left).plan_recovery(trial.name.text)):
                trial.judge(again.host, cut.done < trial.plan.commit_point, f"{cut}; {again}")
    came = Came()
    came.counts.update({"cuts": trial.places, "states recovered": len(trial.met), "outcomes judged": len(trial.judged)})
    came.add(operation_of(operation), CUTS.disturbance, count=trial.places)
    return came


def severities(host: SimHost) -> set[Severity]:
    """Return the severities of all findings of `check`."""
    return {finding.severity for finding in storage(host).check()}


def require_whole(
    host: SimHost, name: VolumeName, wanted: Contents, where: str, flaws: Collection[Severity] = ()
) -> None:
    """Require that the content is as wanted, nothing is unfinished or left over, and check finds only ``flaws``."""
    _require_contents(contents(host, name), wanted, f"{where}: {name}")
    picture = host.observe()
    there = {name: wanted, **others(host, name)}
    lvs = {lv for each, holds in there.items() for lv in lv_names(each, holds, picture.layout)}
    require(picture.lv_names == lvs, f"{where}: there are other LVs", sorted(lvs), sorted(picture.lv_names))
    require(intents(host) == [], f"{where}: an intent is left", "none", intents(host))
    wrong = [name for name, lv in host.state.lvs.items() if lv.active and lv.device_bytes != lv.size_bytes]
    wrong += [lv.name for lv in picture.logical_volumes if lv.devices_to_restore]
    require(wrong == [], f"{where}: devices are not what LVM says", "none", wrong)
    require(picture.strays == (), f"{where}: names are left in /dev", "none", picture.strays)
    for lv in picture.logical_volumes:
        indexed = [tag.partition("=")[0] for tag in lv.index_tags]
        require(len(indexed) == len(set(indexed)), f"{where}: {lv.name} has a tag twice", "once", lv.index_tags)
    rest = storage(host).plan_recovery(name.text)
    require(rest.steps == (), f"{where}: recovery is not finished", "no steps", rest.steps)
    worse = severities(active(host)) - set(flaws)
    require(worse == set(), f"{where}: check finds something wrong", "nothing", sorted(worse))


def _require_contents(found: Contents, wanted: Contents, where: str) -> None:
    """Require that a volume has these snapshots, and that each layer holds what it should."""
    require(
        found.keys() == wanted.keys(), f"{where} has other layers", sorted(map(str, wanted)), sorted(map(str, found))
    )
    for snapshot, content in wanted.items():
        difference = content.difference(found[snapshot])
        layer = snapshot or "the current layer"
        require(difference is None, f"{where}: {layer} holds something else", "what was written", difference)


def operation_of(row: str) -> str:
    """Return the operation that a row of the table tries."""
    return kind_name(OPERATIONS[row][1])


def kind_name(request: Request) -> str:
    """Return the name of an operation in a matrix: ``delete_snapshot``."""
    name = type(request).__name__
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("_")


class _Trial:
    """One operation on one start, and what must come of each cut of it."""

    def __init__(self, implementation: Implementation, host: SimHost, request: Request) -> None:
        self._implementation = implementation
        self._host = host
        self._request = request
        self.name = changed(request)
        self.plan: Plan = implementation.storage(host.copy()).plan(request)
        self._before = contents(host, self.name)
        self._after = expected(request, contents(host, request.volume))
        self._beside = others(host, self.name)
        self._read_through = parents(storage(active(host)).picture())
        right = storage(host.copy()).plan(request)
        self._undone = sizes_and_tags(host.observe(), index=False)
        self._finished = sizes_and_tags(run(host, *right.steps).observe(), index=True)
        self.places = 0
        self.met = set[Hashable]()
        self.judged = set[Hashable]()

    def judge(self, host: SimHost, undone: bool, where: str) -> None:
        """Recover this state, and judge what comes of it. A state that was met before is judged once."""
        self.places += 1
        if (host.key, undone) in self.met:
            return
        self.met.add((host.key, undone))
        first = called(self._request) if len(self.met) % 2 else self.name  # recovery works by either name
        whole = self._recovered(host, first, *(named(self._request) - {first}))
        if (whole.key, undone) in self.judged:
            return
        self.judged.add((whole.key, undone))
        if self._implementation.is_ours:
            self._require(whole, undone, where)
        else:
            self._require_either(whole, where)

    def _recovered(self, host: SimHost, name: VolumeName, *more: VolumeName) -> SimHost:
        """Recover by one name. Recovery by the other names of the request then restores devices at most."""
        twin = host.copy()
        ours = self._implementation.storage(twin)
        ours.recover(name.text)
        left = [plan.operation for other in more for plan in ours.recover(other.text)]
        require(set(left) <= {"restore devices"}, "recovery by another name changes more", "devices at most", left)
        return twin

    def _require(self, whole: SimHost, undone: bool, where: str) -> None:
        name, wanted = (self.name, self._before) if undone else (called(self._request), self._after)
        require_whole(whole, name, wanted, where, FLAWS if undone else ())
        beside = others(whole, name)
        require(beside.keys() == self._beside.keys(), f"{where}: volumes beside", list(self._beside), list(beside))
        for other, holds in self._beside.items():
            _require_contents(beside[other], holds, f"{where}: {other}")
        if not (undone and isinstance(self._request, Convert)):  # undo does not wipe a half-made copy
            unwiped = wipes(self._request) and whole.freed_unwiped
            require(not unwiped, f"{where}: an LV was not wiped", "none", whole.freed_unwiped)
        index = not undone
        found, must = sizes_and_tags(whole.observe(), index=index), self._undone if undone else self._finished
        require(found == must, f"{where}: sizes or tags are wrong", must, found)
        if undone:
            read = parents(storage(active(whole)).picture())
            require(read == self._read_through, f"{where}: layers read through others", self._read_through, read)

    def _require_either(self, whole: SimHost, where: str) -> None:
        """Require the state before or the state after. The plan of a specimen may name a wrong commit point."""
        try:
            self._require(whole, True, where)
        except Violation:
            self._require(whole, False, where)


def _trials(random: Random) -> Sequence[str]:
    rows = list(OPERATIONS)
    random.shuffle(rows)
    return rows


@contextmanager
def _opened(surroundings: Surroundings) -> Iterator[Trial]:
    yield lambda operation: cut_everywhere(operation, surroundings.implementation)


CUTS: Final = Suite(
    "cuts",
    "every operation, and its recovery, is stopped at every place, on volume groups in memory",
    Place.SIMULATED,
    "cut at a step",
    lambda: None,
    _trials,
    _opened,
    operation_of,
)
