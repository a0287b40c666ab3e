"""A check of one volume, or of a whole volume group: what to look at, and under which locks.

A plain check activates nothing and takes no lock. `check_activating` activates what is not active, one volume after the
other, each under its lock and only for as long as the look takes.
"""

from __future__ import annotations

from lvmqcow.checks.images import examine
from lvmqcow.checks.structure import Finding, Severity, group_findings
from lvmqcow.core.fitness import activatable
from lvmqcow.core.names import Format, VolumeName, parse_volume_name
from lvmqcow.engine.executor import Executor
from lvmqcow.errors import CommandFailed, Locked, VolumeNotFound

__all__ = ["check", "check_activating"]


def check(executor: Executor, name: str | None) -> tuple[Finding, ...]:
    """All findings on one volume, or on the volume group and all of its volumes.

    Raises:
        VolumeNotFound.
    """
    around, wanted = _wanted(executor, name)
    return (*around, *examine(executor.host, wanted))


def check_activating(executor: Executor, name: str | None) -> tuple[Finding, ...]:
    """As `check`, with every volume active while it is looked at.

    Raises:
        VolumeNotFound.
    """
    around, wanted = _wanted(executor, name)
    return (*around, *(finding for each in wanted for finding in _check_active(executor, each)))


def _wanted(executor: Executor, name: str | None) -> tuple[tuple[Finding, ...], tuple[VolumeName, ...]]:
    """The findings on the volume group itself, and the volumes to look at."""
    picture = executor.observe()
    if name is None:
        return group_findings(picture), tuple(volume.name for volume in picture.volumes)
    wanted = parse_volume_name(name)
    one = picture.find(wanted)
    if one is None and not picture.strays_of(wanted):
        raise VolumeNotFound(picture.name, name)
    found = one.name if one else wanted
    return group_findings(picture, found), (found,)


def _check_active(executor: Executor, name: VolumeName) -> tuple[Finding, ...]:
    inactive: tuple[str, ...] = ()
    try:
        with executor.locked([name]):
            picture = executor.observe()
            volume = picture.find(name)
            if volume and volume.name.format is Format.QCOW2 and activatable(picture):
                inactive = tuple(layer.lv.name for layer in volume.layers if not layer.lv.active)
            with executor.activated(inactive):
                return examine(executor.host, [name])
    except (Locked, CommandFailed) as error:
        advice = f"solve that, then run: lvmqcow check --activate {executor.host.vg}/{name}"
        return (Finding(name.text, Severity.UNCHECKED, f"the volume could not be checked: {error}", advice),)
