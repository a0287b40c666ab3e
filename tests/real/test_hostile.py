"""Hostile bytes on real logical volumes, and imports of hostile files. Files that they name are never opened."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lvmqcow.checks.structure import Severity
from lvmqcow.core.intents import Intent
from lvmqcow.core.names import Format, Layout, device_path, parse_volume_name, snapshot_lv_name
from lvmqcow.engine.locks import NoLocks
from lvmqcow.errors import Corrupt, LvmqcowError, NotPossible, OperationCut
from lvmqcow.formats import SourceFormat
from lvmqcow.lvm.commands import LvmShell
from lvmqcow.operations import Merge
from lvmqcow.operations.delete import Pulling, Pushing
from lvmqcow.operations.rename import Renaming
from lvmqcow.operations.resize import Resizing
from lvmqcow.qemu.img import QemuImg
from lvmqcow.real_host import RealHost
from lvmqcow.steps import LvActivate, LvDeactivate, LvTag, QcowRebase
from lvmqcow.steps.limits import READING, Limits
from lvmqcow.storage import Storage
from lvmqcow.testing.canary import Canary, canary
from lvmqcow.testing.content import Content, Write
from lvmqcow.testing.hostile.images import specimens
from lvmqcow.testing.hostile.specimen import DATA, Image, Notice, Specimen
from lvmqcow.testing.worlds import RealWorld
from lvmqcow.volume import Volume

pytestmark = pytest.mark.lvmqcow_real

MIB = 1024**2
DISK, RAW = parse_volume_name("vm-100-disk-0.qcow2"), parse_volume_name("vm-7-disk-0")
S1, S2 = (snapshot_lv_name(DISK, name, Layout.RFC) for name in ("s1", "s2"))
LAYERS = (DISK.text, S2, S1)


@dataclass
class Place:
    """An empty volume group, a record of the qemu-img commands, and a canary outside."""

    world: RealWorld
    storage: Storage
    bird: Canary
    directory: Path
    qemu: list[Sequence[str]] = field(default_factory=list)

    @property
    def vg(self) -> str:
        return self.storage.vg

    def specimens(self) -> dict[str, Specimen]:
        return {specimen.name: specimen for specimen in specimens(self.bird.path)}

    def device(self, lv: str) -> Path:
        return Path(device_path(self.vg, lv))

    def put(self, lv: str, image: Image) -> None:
        """Write an image over the start of an LV, like the restore of a backup."""
        with self.device(lv).open("r+b", buffering=0) as device:
            for offset, data in image.parts.items():
                device.seek(offset)
                device.write(data)

    def require_untouched(self, where: str) -> None:
        touches = self.bird.touches()
        assert touches == (), f"{where}: the canary was {', '.join(touches)}"


@pytest.fixture
def place(lvmqcow_world: Callable[[], RealWorld], tmp_path: Path) -> Iterator[Place]:
    world = lvmqcow_world()
    commands: list[Sequence[str]] = []
    host = RealHost(
        world.host.vg, LvmShell(), QemuImg(commands.append, reading=Limits(READING.memory_bytes, cpu_seconds=2))
    )
    with canary(tmp_path / "canary.txt") as bird:
        yield Place(world, Storage(host, NoLocks()), bird, tmp_path, commands)
    host.close()
    world.close()


@pytest.fixture
def volume(place: Place) -> Volume:
    """A volume with two snapshots, as large as the specimens, and a raw volume that looks like a qcow2 image."""
    place.storage.create(RAW.text, 4 * MIB)
    place.put(RAW.text, place.specimens()["guest-qcow2.raw"].image)
    made = place.storage.create(DISK.text, MIB)
    for byte, snapshot in enumerate(("s1", "s2"), start=1):
        place.world.write(DISK.text, Format.QCOW2, [Write(byte, 1, byte)])
        made.snapshot(snapshot)
    place.qemu.clear()
    return made


CONTENT = Content(MIB, {1: 1, 2: 2})
GUESTS = [specimen.name for specimen in specimens(Path("/")) if specimen.declared is SourceFormat.RAW]
LEADING_OUT = [
    specimen.name
    for specimen in specimens(Path("/"))
    if specimen.leads_out and "cycle" not in specimen.name  # there is a separate test for circles of layers
]
EXCUSED = ("dirty.qcow2", "cut-in-header.qcow2", "cut-before-l1.qcow2", "refcounts-outside.qcow2", "l1-outside.qcow2")
"""A running guest may set the dirty bit of a layer. A device cannot be truncated."""
NOT_TO_BE_OPENED = [
    specimen.name
    for specimen in specimens(Path("/"))
    if specimen.refusal is Corrupt
    and specimen.notice is Notice.HEADER
    and specimen.declared is SourceFormat.QCOW2
    and not specimen.leads_out
    and specimen.name not in EXCUSED
]


@pytest.mark.parametrize("name", GUESTS)
def test_raw_volume_stays_raw_whatever_its_guest_writes(place: Place, name: str) -> None:
    volume, guest = place.storage.create(RAW.text, 4 * MIB), place.specimens()[name]
    place.put(RAW.text, guest.image)
    image = guest.image.write(place.directory / "guest.raw").read_bytes()
    place.qemu.clear()
    assert place.storage.check() == ()
    assert [info.virtual_size_bytes for info in place.storage.volumes()] == [4 * MIB]
    assert [layer.allocated_bytes for layer in volume.layers()] == [None]
    for refused in (volume.snapshot, volume.rollback, volume.delete_snapshot):
        with pytest.raises(NotPossible):
            refused("s1")
    assert volume.recover() == ()
    volume.resize(8 * MIB)
    volume.deactivate()
    moved = volume.rename("vm-8-disk-0")
    moved.activate()
    assert place.device(moved.name).read_bytes()[:MIB] == image
    assert moved.check() == ()
    moved.remove()
    assert {argv[0] for argv in place.qemu} == {"blkdiscard"}


def verbs(volume: Volume) -> dict[str, Callable[[], object]]:
    """Every verb that opens an image, or might open one."""
    return {
        "snapshot": lambda: volume.snapshot("s3"),
        "rollback": lambda: volume.rollback("s2"),
        "delete by pull": lambda: volume.delete_snapshot("s2", Merge.PULL),
        "delete by push": lambda: volume.delete_snapshot("s1", Merge.PUSH),
        "delete by either": lambda: volume.delete_snapshot("s1", Merge.AUTO),
        "resize": lambda: volume.resize(8 * MIB),
        "rename": lambda: volume.rename("vm-200-disk-0.qcow2"),
        "layers": volume.layers,
    }


OPENING = ("delete by pull", "delete by push", "delete by either", "resize", "rename")


def require_all_refuse(
    place: Place,
    volume: Volume,
    names: Sequence[str],
    where: str,
    refusals: tuple[type[LvmqcowError], ...] = (Corrupt,),
) -> None:
    before = place.world.host.observe()
    for verb, run in verbs(volume).items():
        if verb in names:
            with pytest.raises(LvmqcowError) as refused:
                run()
            assert isinstance(refused.value, refusals), f"{where}, {verb}: {refused.value}"
            place.require_untouched(f"{where}, {verb}")
            assert place.world.host.observe() == before, f"{where}, {verb}"


def require_named(place: Place, volume: Volume, lv: str, where: str) -> None:
    """`check` names this LV, and opens no image."""
    place.qemu.clear()
    found = volume.check()
    assert any(
        (finding.lv, finding.severity) == (lv, Severity.DAMAGED) and "must not be opened" in finding.text
        for finding in found
    ), f"{where}: {found}"
    followed = [
        finding.advice for finding in found if "--backing-chain" in finding.advice or " check " in finding.advice
    ]
    assert followed == [] or where.startswith("corrupt."), f"{where}: {followed}"
    assert place.qemu == [], where
    place.require_untouched(f"{where}, check")


@pytest.fixture
def on_layers(place: Place, volume: Volume) -> Callable[[Sequence[str]], Iterator[tuple[str, str]]]:
    """Put each specimen on each layer in turn, and restore the layer afterwards."""
    good = {lv: place.device(lv).read_bytes() for lv in LAYERS}

    def each(names: Sequence[str]) -> Iterator[tuple[str, str]]:
        corpus = place.specimens()
        for name in names:
            for lv in (LAYERS[0], LAYERS[-1]):
                place.put(lv, corpus[name].image)
                yield lv, f"{name} on {lv}"
                place.put(lv, Image({0: good[lv]}, len(good[lv])))

    return each


OnLayers = Callable[[Sequence[str]], Iterator[tuple[str, str]]]


def test_layer_that_names_an_outside_file_is_refused_by_every_verb(
    place: Place, volume: Volume, on_layers: OnLayers
) -> None:
    for lv, where in on_layers(LEADING_OUT):
        require_named(place, volume, lv, where)
        require_all_refuse(place, volume, list(verbs(volume)), where)
    assert volume.check() == ()
    assert place.world.difference(DISK.text, Format.QCOW2, CONTENT) is None


def test_layer_that_is_no_valid_image_is_named_and_refused(place: Place, volume: Volume, on_layers: OnLayers) -> None:
    for lv, where in on_layers(NOT_TO_BE_OPENED):
        require_named(place, volume, lv, where)
        require_all_refuse(place, volume, ["delete by either", "layers"], where)
    assert volume.check() == ()


def test_inactive_layer_that_names_an_outside_file_is_refused(
    place: Place, volume: Volume, on_layers: OnLayers
) -> None:
    """Its tags look healthy. Only the header shows the problem, and the LV is not active."""
    for _, where in on_layers(["out-backing-file.qcow2", "out-data-file-unsaid.qcow2", "out-backing-far.qcow2"]):
        place.world.host.run(LvDeactivate(LAYERS))
        require_all_refuse(place, volume, OPENING, where)
        place.world.host.run(LvActivate(LAYERS))


def forget_tags(place: Place) -> None:
    for lv in place.world.host.observe().logical_volumes:
        if lv.index_tags:
            place.world.host.run(LvTag((lv.name,), drop=lv.index_tags))


def test_untagged_layer_that_names_an_outside_file_is_refused(
    place: Place, volume: Volume, on_layers: OnLayers
) -> None:
    """Without our tags, only the header names the backing image."""
    forget_tags(place)
    for lv, where in on_layers([name for name in LEADING_OUT if "backing" in name]):
        require_named(place, volume, lv, where)
        require_all_refuse(place, volume, OPENING, where, (Corrupt, NotPossible))


CUT: dict[str, tuple[str, Intent]] = {
    "pull": (S2, Pulling(DISK.text)),
    "push": (S1, Pushing(S1, S2)),
    "resize": (DISK.text, Resizing(MIB, 2 * MIB)),
}


@pytest.mark.parametrize("active", [True, False], ids=["active", "inactive"])
@pytest.mark.parametrize("cut", CUT)
def test_recovery_refuses_a_layer_that_names_an_outside_file(
    place: Place, volume: Volume, on_layers: OnLayers, cut: str, active: bool
) -> None:
    lv, intent = CUT[cut]
    place.world.host.run(LvTag((lv,), add=(intent.tag,)))
    opened = {"pull": LAYERS[0], "push": LAYERS[-1], "resize": LAYERS[0]}[cut]
    for bad, where in on_layers(["out-backing-file.qcow2", "out-data-file.qcow2", "out-both.qcow2"]):
        if bad != opened:
            continue
        if not active:
            place.world.host.run(LvDeactivate(LAYERS))
        with pytest.raises(OperationCut) as refused:
            volume.recover()
        assert isinstance(refused.value.cause, Corrupt), f"{where}: {refused.value}"
        assert "must not be opened" in str(refused.value)
        place.require_untouched(where)
        idle = tuple(lv.name for lv in place.world.host.observe().logical_volumes if not lv.active)
        if idle:
            place.world.host.run(LvActivate(idle))
    assert volume.recover() != ()
    assert volume.check() == ()
    assert (
        place.world.difference(DISK.text, Format.QCOW2, Content(volume.info().virtual_size_bytes or 0, CONTENT.blocks))
        is None
    )


def test_recovery_of_a_rename_refuses_an_outside_file(place: Place, volume: Volume) -> None:
    tag = Renaming(DISK.text, "vm-200-disk-0.qcow2").tag
    place.world.host.run(LvTag(LAYERS, add=(tag,)))
    place.put(DISK.text, place.specimens()["out-data-file.qcow2"].image)
    with pytest.raises(OperationCut, match="must not be opened"):
        volume.recover()


def test_rebase_refuses_a_new_backing_that_names_an_outside_file(place: Place, volume: Volume) -> None:
    other = place.storage.create("vm-100-disk-1.qcow2", MIB)
    place.put(other.name, place.specimens()["out-backing-file.qcow2"].image)
    with pytest.raises(Corrupt, match=f"{other.name} must not be opened"):
        place.world.host.run(QcowRebase(DISK.text, other.name, DISK.text))
    place.require_untouched("a rebase")
    assert place.world.difference(DISK.text, Format.QCOW2, CONTENT) is None


def relinked(place: Place, lv: str, backing: str) -> None:
    argv = ("qemu-img", "rebase", "-u", "-f", "qcow2", "-b", backing, "-F", "qcow2", str(place.device(lv)))
    subprocess.run(argv, check=True, capture_output=True)


@pytest.mark.parametrize("tagged", [True, False], ids=["with our tags", "without"])
def test_circle_of_layers_is_named_and_refused(place: Place, volume: Volume, tagged: bool) -> None:
    relinked(place, S1, DISK.text)
    if not tagged:
        forget_tags(place)
    place.qemu.clear()
    assert {finding.severity for finding in volume.check()} == {Severity.DAMAGED}
    require_all_refuse(place, volume, [verb for verb in verbs(volume) if tagged or verb != "layers"], "a circle")
    assert place.qemu == []


def test_layer_backed_by_a_raw_volume_of_a_guest_is_refused(place: Place, volume: Volume) -> None:
    """The guest wrote a qcow2 header there, and it names the canary."""
    relinked(place, S1, RAW.text)
    require_named(place, volume, S1, "a raw LV below")
    require_all_refuse(place, volume, list(verbs(volume)), "a raw LV below")


def test_volume_that_names_an_outside_file_can_be_removed(place: Place, volume: Volume) -> None:
    place.put(DISK.text, place.specimens()["out-both.qcow2"].image)
    volume.remove()
    assert [lv.name for lv in place.world.host.observe().logical_volumes] == [RAW.text]
    assert place.qemu == []


def test_hostile_layers_trigger_the_canary_without_our_checks(place: Place, volume: Volume) -> None:
    """This proves that the canary works in this kernel, for these layers."""
    for name in ("out-backing-file.qcow2", "out-backing-far.qcow2", "out-data-file.qcow2"):
        place.put(DISK.text, place.specimens()[name].image)
        argv = ("qemu-img", "check", "-f", "qcow2", str(place.device(DISK.text)))
        subprocess.run(argv, check=False, capture_output=True)
        assert "opened" in place.bird.touches(), name


@pytest.mark.parametrize("name", [s.name for s in specimens(Path("/")) if s.refusal is not None])
def test_hostile_file_is_refused_and_no_volume_is_made(place: Place, name: str) -> None:
    specimen = place.specimens()[name]
    path = specimen.image.write(place.directory / name)
    before = place.world.host.observe()
    with pytest.raises(LvmqcowError) as refused:
        place.storage.import_file(path, DISK.text, specimen.declared)
    assert type(refused.value) is specimen.refusal
    assert specimen.says in str(refused.value)
    assert place.world.host.observe() == before
    assert [argv for argv in place.qemu if argv[0] != "prlimit" and "measure" not in argv] == []
    if specimen.notice is Notice.HEADER:
        assert place.qemu == []


@pytest.mark.parametrize("name", [s.name for s in specimens(Path("/")) if s.notice is Notice.NEVER])
@pytest.mark.parametrize("target", [DISK, RAW], ids=["qcow2", "raw"])
def test_harmless_file_is_imported_byte_for_byte(place: Place, name: str, target: object) -> None:
    specimen = place.specimens()[name]
    path = specimen.image.write(place.directory / name)
    size_bytes = MIB if target is DISK else 4 * MIB
    made = place.storage.import_file(path, str(target), specimen.declared)
    raw = path.read_bytes() if specimen.declared is SourceFormat.RAW else (bytes([DATA]) * 4096).ljust(MIB, b"\0")
    golden = place.directory / "golden"
    golden.write_bytes(raw.ljust(size_bytes, b"\0"))
    image_format = "qcow2" if target is DISK else "raw"
    argv = ("qemu-img", "compare", "-f", "raw", "-F", image_format, str(golden), str(place.device(made.name)))
    subprocess.run(argv, check=True, capture_output=True)
    assert made.check() == ()
