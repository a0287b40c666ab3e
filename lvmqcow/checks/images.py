"""The check of volumes: by the picture, by the recovery planner, and by ``qemu-img check``.

A check changes nothing and activates nothing. It never reads the bytes of a raw volume, because a guest wrote them.
"""

from __future__ import annotations

from collections.abc import Iterable

from lvmqcow.checks.structure import Finding, Severity, structure, unchecked
from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.names import Format, VolumeName, device_path
from lvmqcow.core.qcow2 import Header
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.engine.host import Host
from lvmqcow.errors import CommandFailed, Corrupt, LvmqcowError
from lvmqcow.operations.recovery import plan_recovery

__all__ = ["examine"]


def examine(host: Host, names: Iterable[VolumeName]) -> tuple[Finding, ...]:
    """Return all findings about these volumes as they are now. A volume that no longer exists has no findings."""
    picture, wanted = host.observe(), set(names)
    volumes = [volume for volume in picture.volumes if volume.name in wanted]
    headers: dict[str, Header] = {}
    unreadable: list[Finding] = []
    for lv_name in (layer.lv.name for volume in volumes for layer in _images(volume)):
        try:
            headers |= host.headers([lv_name])
        except CommandFailed as failed:
            unreadable.append(_unreadable(host.vg, lv_name, failed))
    picture = picture.with_headers(headers)
    volumes = [volume for volume in picture.volumes if volume.name in wanted]
    return tuple(finding for volume in volumes for finding in _examine(host, picture, volume, unreadable))


def _examine(host: Host, picture: VolumeGroup, volume: Volume, unreadable: list[Finding]) -> list[Finding]:
    found = [finding for finding in unreadable if volume.layer(finding.lv)]
    if not found:
        found += structure(picture, volume, host.measure)
        if any(finding.severity is Severity.UNFINISHED for finding in found):
            found += _why_recover_fails(host, picture, volume)
    wrong = {Severity.DAMAGED, Severity.UNFINISHED} & {finding.severity for finding in found}
    if not wrong:  # qemu-img must not follow a damaged chain
        for layer in _images(volume):
            if all(read.lv.readable for read in volume.reads(layer)):
                found += _image(host, layer)
    return [*found, *unchecked(volume)]


def _images(volume: Volume) -> list[Layer]:
    """Return the layers whose bytes may be read."""
    return [layer for layer in volume.layers if layer.lv.readable and volume.name.format is Format.QCOW2]


def _why_recover_fails(host: Host, picture: VolumeGroup, volume: Volume) -> list[Finding]:
    """Report why ``recover``, the advice for an unfinished operation, would fail."""
    try:
        plan_recovery(picture, volume.name, host.measure)
    except Corrupt as corrupt:
        advice = "change nothing and do not run recover; keep a copy of every LV of the volume, then compare them"
        return [Finding(volume.name.text, Severity.DAMAGED, text, advice) for text in corrupt.findings]
    except LvmqcowError as error:
        text = f"the volume cannot be recovered yet: {error}"
        return [Finding(volume.name.text, Severity.UNFINISHED, text, "solve that first, then run recover")]
    return []


def _image(host: Host, layer: Layer) -> list[Finding]:
    name, path = layer.lv.name, device_path(host.vg, layer.lv.name)
    try:
        result = host.check(name)
    except CommandFailed as failed:
        return [_unreadable(host.vg, name, failed)]
    if not result.sound:
        text, advice = f"qemu-img check finds {result.corruptions} corruptions", f"qemu-img check -f qcow2 {path}"
        needed = host.measure(layer.virtual_size_bytes or 0, layer.options)
        if layer.lv.size_bytes < needed:  # clusters beyond the end count as corruptions
            text += ", and the LV may be too small for its image"
            metadata = f"`vgcfgrestore --list {host.vg}` lists earlier metadata, in which the LV may be larger"
            advice = f"do not repair the image yet; {metadata}"
        return [Finding(name, Severity.DAMAGED, text, advice)]
    if result.leaked_clusters:
        text = f"{result.leaked_clusters} clusters are leaked"
        return [Finding(name, Severity.LEAKED, text, f"qemu-img check -f qcow2 -r leaks {path}")]
    return []


def _unreadable(vg: str, lv_name: str, failed: CommandFailed) -> Finding:
    advice = f"keep a copy before anything else: dd if={device_path(vg, lv_name)} of=FILE bs=1M conv=noerror,sync"
    return Finding(lv_name, Severity.DAMAGED, f"this logical volume cannot be read: {failed}", advice)
