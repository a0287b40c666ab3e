"""One sequence: actions are carried out on a subject, the model follows, and after each action everything is verified.

A `Subject` is what is judged. `Ours` is lvmqcow's library in a world, real or simulated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lvmqcow.core.names import Format
from lvmqcow.errors import LvmqcowError, NewerSnapshots
from lvmqcow.operations import Plan
from lvmqcow.testing.conformance.actions import KINDS, RULES, Action, Chooser, Rule
from lvmqcow.testing.conformance.actions.base import LARGE_BYTES
from lvmqcow.testing.conformance.actions.interrupted import Interrupted
from lvmqcow.testing.conformance.actions.snapshots import Rollback
from lvmqcow.testing.conformance.violation import Violation, require
from lvmqcow.testing.crash.mortal_host import Died, MortalHost
from lvmqcow.testing.model import Model, clones, contents_of, source_of
from lvmqcow.testing.worlds import World

__all__ = ["Ours", "Session", "Subject"]


class Subject(Protocol):
    """An implementation that is judged."""

    @property
    def offers(self) -> frozenset[str]:
        """The kinds of action that it can carry out."""

    def new_model(self) -> Model:
        """Return the model of what it holds at the start: nothing."""

    def carry_out(self, action: Action) -> Plan | None:
        """Carry out an action; returns the plan that ran, if it shows one. Raises its refusal."""

    def interrupt(self, cut: Interrupted) -> bool:
        """Carry out an action, cut it, recover, and activate every volume; returns whether it ended before the cut."""

    def is_refusal(self, error: Exception, wanted: type[LvmqcowError]) -> bool:
        """Return whether an error is the refusal that the model wants."""

    def verify(self, model: Model) -> None:
        """Require that everything is as the model says. Raises Violation."""

    def close(self) -> None:
        """Remove everything that it made."""


class Session:
    """A subject and its model."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.model = subject.new_model()
        self._rules = tuple(rule for rule in RULES if rule.kinds <= subject.offers)
        self.done: list[Action] = []
        self.deepest = 0

    def possible(self) -> list[Rule]:
        """Return the rules that the subject offers all actions of, and that make sense now."""
        return [rule for rule in self._rules if rule.possible(self.model.disks)]

    def follow(self, rule: Rule, chooser: Chooser) -> int:
        """Draw the actions of a rule, and apply each before the next one is drawn; returns how many there were."""
        before = len(self.done)
        for action in rule.draw(self.model.disks, chooser):
            self.apply(action)
        return len(self.done) - before

    def apply(self, action: Action) -> None:
        """Carry out an action, let the model follow, and verify everything.

        Raises:
            Violation: something is not as the model says.
            LvmqcowError: the subject fails where it must not.
        """
        self.done.append(action)
        wanted = action.refusal(self.model)
        if wanted is not None:
            self._require_refusal(action, wanted)
            self.subject.verify(self.model)
        elif isinstance(action, Interrupted):
            self._interrupt(action)
        else:
            action.change(self.model, self.subject.carry_out(action))
            self.subject.verify(self.model)
        self.deepest = max([self.deepest, *(len(disk.snapshots) for disk in self.model.disks.values())])

    def _interrupt(self, cut: Interrupted) -> None:
        """Require that the volumes are as before the action, or as after it."""
        before, after = self.model.copy(), self.model
        cut.change(after, None)
        ended = self.subject.interrupt(cut)
        for model in (before, after):
            for disk in model.disks.values():
                disk.active, disk.loose = True, False
        try:
            self.subject.verify(after)
        except Violation:
            if ended:
                raise
            self.subject.verify(before)
            self.model = before

    def _require_refusal(self, action: Action, wanted: type[LvmqcowError]) -> None:
        try:
            self.subject.carry_out(action)
        except Exception as error:
            if not self.subject.is_refusal(error, wanted):
                raise
            if isinstance(error, NewerSnapshots) and isinstance(action, Rollback):
                newer = self.model.disks[action.volume].newer(action.snapshot)
                require(list(error.blockers) == newer, "the refusal names other snapshots", newer, error.blockers)
            return
        raise Violation(f"{action.kind} succeeded where it must be refused", wanted.__name__, "success")


@dataclass(frozen=True)
class Ours:
    """lvmqcow's own library, in a world."""

    world: World

    @property
    def offers(self) -> frozenset[str]:
        picture = self.world.host.observe()
        free_bytes = picture.free_extents * picture.extent_size_bytes
        return frozenset({*KINDS, "branch", *(("large",) if free_bytes >= 4 * LARGE_BYTES else ())})

    def new_model(self) -> Model:
        return Model(self.world.host.observe().extent_size_bytes, self.world.layout)

    def carry_out(self, action: Action) -> Plan | None:
        return action.on(self.world)

    def interrupt(self, cut: Interrupted) -> bool:
        ended = True
        try:
            cut.on(self.world.through(lambda host: MortalHost(host, cut.after, cut.inside)))
        except Died:
            ended = False
        if cut.machine and not ended:
            self.world.reboot()
        self.world.storage.recover()
        for volume in self.world.storage.volumes():
            self.world.storage.volume(volume.name).activate()
        return ended

    def is_refusal(self, error: Exception, wanted: type[LvmqcowError]) -> bool:
        return isinstance(error, wanted)

    def verify(self, model: Model) -> None:
        self._verify_listing(model)  # first: what is not there cannot be read
        self._verify_group(model)
        self._verify_contents(model)

    def close(self) -> None:
        self.world.close()

    def _verify_contents(self, model: Model) -> None:
        """Every volume and snapshot holds its content, and `check` finds nothing."""
        with self.world.readable():
            for name, disk in model.disks.items():
                for lv, content in contents_of(name, disk, self.world.layout).items():
                    difference = self.world.difference(lv, disk.image_format, content)
                    require(difference is None, f"{lv} holds something else", "what was written", difference)
            findings = self.world.storage.check()
            require(findings == (), "check finds something wrong", "nothing", findings)

    def _verify_listing(self, model: Model) -> None:
        """The listing says what is there."""
        listed = {
            info.name: (info.format, info.virtual_size_bytes, info.snapshots, info.template, info.base)
            for info in self.world.storage.volumes()
        }
        expected = {
            name: (disk.image_format, disk.current.size_bytes, disk.listed(), disk.template, source_of(disk))
            for name, disk in model.disks.items()
        }
        require(listed == expected, "the listing is wrong", expected, listed)

    def _verify_group(self, model: Model) -> None:
        """Nothing is left over, every LV is active or not as it should be, and has room for all of its disk."""
        left = self.world.leftovers()
        require(left == (), "something is left over", "nothing", left)
        picture = self.world.host.observe()
        model.active_lvs = frozenset(lv.name for lv in picture.logical_volumes if lv.active)
        known = {lv: (name, disk) for name, disk in model.disks.items() for lv in contents_of(name, disk, model.layout)}
        require(picture.lv_names == known.keys(), "there are other LVs", sorted(known), sorted(picture.lv_names))
        for lv in picture.logical_volumes:
            name, disk = known[lv.name]
            writable = not disk.template or lv.name != name
            require(lv.writable == writable, f"the permission of {lv.name}", writable, lv.writable)
            # an operation on a clone leaves what it reads through active
            right = lv.active == disk.active or (lv.active and (disk.loose or clones(model.disks, name)))
            require(bool(right), f"the activation of {lv.name}", disk.active, lv.active)
            require(not (lv.intent_tags or lv.wiping), f"{lv.name} is unfinished", "no intent", lv.tags)
            if lv.name == name:
                size_bytes, is_image = disk.current.size_bytes, disk.image_format is Format.QCOW2
                needed_bytes = self.world.host.measure(size_bytes) if is_image else size_bytes
                room = lv.size_bytes >= needed_bytes
                require(room, f"{name} has no room for a full disk", needed_bytes, lv.size_bytes)
