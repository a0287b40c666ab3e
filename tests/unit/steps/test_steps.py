"""Every step is one external command with explicit image formats."""

from __future__ import annotations

import shlex
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvmqcow.core.names import Format
from lvmqcow.formats import SourceFormat
from lvmqcow.steps import (
    DeviceClear,
    DeviceRemove,
    ImageCopy,
    ImageExport,
    ImageReceive,
    ImageSend,
    ImageWrite,
    LinkRemove,
    LvActivate,
    LvAutoactivation,
    LvCreate,
    LvDeactivate,
    LvDiscardRange,
    LvExtend,
    LvPermission,
    LvRefresh,
    LvRemove,
    LvRename,
    LvTag,
    LvZero,
    LvZeroRange,
    NodeRemove,
    Permission,
    QcowCommit,
    QcowCreate,
    QcowRebase,
    QcowRelink,
    QcowRepairLeaks,
    QcowResize,
    Step,
)

STEPS: list[tuple[Step, str]] = [
    (
        LvCreate("vm-1-a", 8388608, ("pve-vm-1", "lvmqcow.intent=create")),
        "lvcreate --yes --wipesignatures y --zero y --setautoactivation n --addtag pve-vm-1 "
        "--addtag lvmqcow.intent=create --size 8388608b --name vm-1-a vg",
    ),
    (LvRename("vm-1-a", "snap-s-vm-1-a"), "lvrename vg vm-1-a snap-s-vm-1-a"),
    (LvRemove(("a", "b")), "lvremove --yes vg/a vg/b"),
    (LvExtend("a", 8388608), "lvextend --size 8388608b vg/a"),
    (LvTag(("a", "b"), add=("x",), drop=("y", "z")), "lvchange --deltag y --deltag z --addtag x vg/a vg/b"),
    (LvPermission("a", Permission.READ), "lvchange --permission r vg/a"),
    (LvPermission("a", Permission.WRITE), "lvchange --permission rw vg/a"),
    (LvActivate(("a", "b")), "lvchange --activate ey vg/a vg/b"),
    (LvDeactivate(("a", "b")), "lvchange --activate n vg/a vg/b"),
    (LvRefresh(("a", "b")), "lvchange --refresh vg/a vg/b"),
    (LvAutoactivation(("a", "b"), False), "lvchange --setautoactivation n vg/a vg/b"),
    (DeviceClear("a", "x1-Y2", "z3-W4"), "dmsetup clear --uuid LVM-x1Y2z3W4"),
    (DeviceRemove("del-vm-1-a"), "dmsetup remove vg-del--vm--1--a"),
    (NodeRemove(("a", "b-c")), "dmsetup mknodes vg-a vg-b--c"),
    (LinkRemove(("a", "b-c")), "rm --force /dev/vg/a /dev/vg/b-c"),
    (LvZero("a"), "blkdiscard --zeroout --step 33554432 /dev/vg/a"),
    (
        LvZeroRange("a", 4194304, 8388608),
        "blkdiscard --zeroout --step 33554432 --offset 4194304 --length 8388608 /dev/vg/a",
    ),
    (
        LvDiscardRange("a", 4194304, 8388608),
        "blkdiscard --step 33554432 --offset 4194304 --length 8388608 /dev/vg/a",
    ),
    (
        QcowCreate("a", 1048576),
        "qemu-img create -q -f qcow2 -o cluster_size=128k,extended_l2=on /dev/vg/a 1048576",
    ),
    (
        QcowCreate("a", 1048576, "b"),
        "qemu-img create -q -f qcow2 -o cluster_size=128k,extended_l2=on -u -b b -F qcow2 /dev/vg/a 1048576",
    ),
    (QcowCommit("a", "b"), "qemu-img commit -p -d -f qcow2 /dev/vg/a"),
    (QcowRebase("a", "b", "c"), "qemu-img rebase -p -t directsync -f qcow2 -b b -F qcow2 /dev/vg/a"),
    (QcowRebase("a", None, "c"), "qemu-img rebase -p -t directsync -f qcow2 -b '' /dev/vg/a"),
    (QcowRelink("a", "b"), "qemu-img rebase -u -t directsync -f qcow2 -b b -F qcow2 /dev/vg/a"),
    (QcowRepairLeaks("a"), "qemu-img check -q -f qcow2 -r leaks /dev/vg/a"),
    (QcowResize("a", 1048576), "qemu-img resize -q -f qcow2 /dev/vg/a 1048576"),
    (
        ImageWrite("/srv/x.raw", SourceFormat.RAW, "a", Format.QCOW2),
        "qemu-img convert -p -n --target-is-zero -f raw -O qcow2 /srv/x.raw /dev/vg/a",
    ),
    (
        ImageCopy("b", Format.QCOW2, "a", Format.RAW),
        "qemu-img convert -p -n --target-is-zero -f qcow2 -O raw /dev/vg/b /dev/vg/a",
    ),
    (
        ImageExport("a", Format.QCOW2, "/srv/x", Format.RAW),
        "qemu-img convert -p -f qcow2 -O raw /dev/vg/a /srv/x",
    ),
    (ImageReceive(7, 512, "a", Format.RAW), "qemu-nbd --format raw /dev/vg/a"),
    (ImageSend("a", Format.QCOW2, 7, b"", 512), "qemu-nbd --read-only --format qcow2 /dev/vg/a"),
]
QEMU_NBD = [argv for step, _ in STEPS if (argv := step.argv("vg"))[0] == "qemu-nbd"]
QEMU_IMG = [argv for step, _ in STEPS if (argv := step.argv("vg"))[0] == "qemu-img"]


@pytest.mark.parametrize(
    ("step", "command"), STEPS, ids=lambda value: "" if isinstance(value, str) else type(value).__name__
)
def test_step_is_one_external_command(step: Step, command: str) -> None:
    assert shlex.join(step.argv("vg")) == command


def test_table_covers_every_step_class() -> None:
    assert {type(step) for step, _ in STEPS} == set(get_args(Step))


OPENED: dict[type[Step], set[tuple[str, ...]]] = {
    QcowCommit: {("a",)},
    QcowRebase: {("a", "b"), ("a",)},
    QcowRepairLeaks: {("a",)},
    QcowResize: {("a",)},
    ImageCopy: {("b",)},
    ImageExport: {("a",)},
    ImageSend: {("a",)},
}


@pytest.mark.parametrize("kind", get_args(Step), ids=lambda kind: str(kind.__name__))
def test_step_names_every_image_it_opens(kind: type[Step]) -> None:
    assert {step.opens for step, _ in STEPS if type(step) is kind} == OPENED.get(kind, {()})


def test_only_a_relink_opens_an_image_without_its_backing_images() -> None:
    alone = {type(step): step.opens_alone for step, _ in STEPS if step.opens_alone}
    assert alone == {QcowRelink: ("a",)}


@pytest.mark.parametrize("argv", QEMU_IMG, ids=" ".join)
def test_qemu_img_never_probes_a_format(argv: tuple[str, ...]) -> None:
    """The command names the format of the image and of its backing image."""
    assert "-f" in argv
    if "-b" in argv and argv[argv.index("-b") + 1]:
        assert argv[argv.index("-F") + 1] == "qcow2"
    if "convert" in argv:
        assert "-O" in argv


@pytest.mark.parametrize("argv", QEMU_NBD, ids=" ".join)
def test_qemu_nbd_never_probes_a_format(argv: tuple[str, ...]) -> None:
    assert argv[argv.index("--format") + 1] in {"raw", "qcow2"}


@pytest.mark.parametrize("argv", [argv for argv in QEMU_IMG if "rebase" in argv], ids=" ".join)
def test_rebase_writes_through_to_the_disk(argv: tuple[str, ...]) -> None:
    assert argv[argv.index("-t") + 1] == "directsync"


def test_commit_keeps_the_data_in_the_overlay() -> None:
    assert "-d" in QcowCommit("a", "b").argv("vg")


@given(lvs=st.lists(st.text("abc-", min_size=1), min_size=1, max_size=4).map(tuple), tag=st.text("x=/", min_size=1))
def test_step_names_every_lv_with_its_vg(lvs: tuple[str, ...], tag: str) -> None:
    names = [f"vg/{lv}" for lv in lvs]
    steps = (LvRemove, LvActivate, LvDeactivate, LvRefresh)
    for step in (*(kind(lvs) for kind in steps), LvAutoactivation(lvs, False), LvTag(lvs, add=(tag,))):
        assert list(step.argv("vg")[-len(lvs) :]) == names
