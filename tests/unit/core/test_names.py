"""Names of volumes, snapshots and their LVs."""

from __future__ import annotations

import contextlib
import string
from collections.abc import Callable, Iterator

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from lvmqcow.core.names import (
    Format,
    Layout,
    VolumeName,
    check_fits,
    check_snapshot_fits,
    check_snapshot_name,
    check_vg_name,
    device_path,
    dm_name,
    layout_of,
    lv_of_dm_name,
    new_lv_name,
    owner_of_part,
    parse_volume_name,
    pending_removal_name,
    pending_removal_origin,
    renamed_lv_name,
    snapshot_lv_name,
    snapshot_of,
)
from lvmqcow.errors import FormatMismatch, InvalidName

LVM_CHARACTERS = set(string.ascii_letters + string.digits + "+_.-")
# The table of lvm2 2.03.16 (lib/misc/lvm-string.c). The list in lvm(8), VALID NAMES, is incomplete.
RESERVED = [
    *("_cdata", "_cmeta", "_corig", "_cpool", "_cvol", "_wcorig", "_mimage", "_mlog", "_rimage", "_rmeta", "_tdata"),
    *("_tmeta", "_vdata", "_imeta", "_iorig", "_pmspare", "_vorigin"),
]
PIECES = [
    *("vm-", "vm", "-", "100", "1", "x", "s", "snap-", "new-", "del-", "disk-0", ".qcow2", ".", "_", "_x", "+"),
    *("current", "٣", " ", "/", "\n", "", "_tdata"),
]

anything = st.text() | st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


def accepted(check: Callable[[str], object], text: str) -> bool:
    try:
        check(text)
    except InvalidName:
        return False
    return True


volume_names = (
    st.builds("vm-{}-{}".format, st.integers(0, 10**9), st.lists(st.sampled_from(PIECES), min_size=1).map("".join))
    .filter(lambda text: accepted(parse_volume_name, text))
    .map(parse_volume_name)
)
snapshot_names = (
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=6)
    .map("".join)
    .filter(lambda text: accepted(check_snapshot_name, text))
)
qcow2_names = (
    volume_names.map(lambda volume: f"{volume.text.removesuffix('.qcow2')}.qcow2")
    .filter(lambda text: accepted(parse_volume_name, text))
    .map(parse_volume_name)
)
layouts = st.sampled_from(Layout)


def readings(lv_name: str) -> Iterator[tuple[str, str]]:
    """Every pair of snapshot and volume name that gives this LV name."""
    rest = lv_name.removeprefix("snap-")
    for at, character in enumerate(rest):
        snapshot, volume = rest[:at], rest[at + 1 :]
        if character == "-" and accepted(check_snapshot_name, snapshot) and accepted(parse_volume_name, volume):
            yield snapshot, volume


def lvm_accepts(lv_name: str) -> bool:
    return (
        set(lv_name) <= LVM_CHARACTERS
        and not lv_name.startswith(("-", "snapshot", "pvmove"))
        and lv_name not in {"", ".", ".."}
        and not any(word in lv_name for word in RESERVED)
    )


@given(text=anything)
@example("vm-100-disk-0.qcow2")
@example("vm-٣-disk-0")
@example("vm-" + "1" * 5000 + "-disk-0")
@example("vm-100-disk-0\n")
@example("vm-100-x_cpool")
@example("vm-100-a b")
@example("vm-100-$(reboot)")
@example("vm-100-a/../b")
@example("vm-100-a@tag")
def test_accepted_volume_name_is_valid_in_lvm(text: str) -> None:
    if accepted(parse_volume_name, text):
        assert lvm_accepts(text)
        assert str(parse_volume_name(text)) == text


@given(volume=volume_names, snapshot=snapshot_names, layout=layouts)
@example(VolumeName("vm-100-disk-0.qcow2", 100), "shot", Layout.RFC)
@example(VolumeName("vm-100-disk-0.qcow2", 100), "tmeta", Layout.PVE9)
def test_every_derived_lv_name_is_valid_in_lvm(volume: VolumeName, snapshot: str, layout: Layout) -> None:
    assume(accepted(lambda text: check_snapshot_fits("vg", volume, text, layout), snapshot))
    layers = (volume.text, new_lv_name(volume), snapshot_lv_name(volume, snapshot, layout))
    for name in (*layers, *(pending_removal_name(layer, ()) for layer in layers)):
        assert lvm_accepts(name), name


@given(volume=volume_names, snapshot=snapshot_names)
def test_lv_name_of_a_snapshot_has_one_reading(volume: VolumeName, snapshot: str) -> None:
    assert list(readings(snapshot_lv_name(volume, snapshot, Layout.RFC))) == [(snapshot, volume.text)]


@given(volume=qcow2_names, snapshot=snapshot_names, layout=layouts)
@example(VolumeName("vm-100-a_b.qcow2", 100), "c_d", Layout.PVE9)
def test_snapshot_name_round_trips_in_each_layout(volume: VolumeName, snapshot: str, layout: Layout) -> None:
    lv_name = snapshot_lv_name(volume, snapshot, layout)
    assert snapshot_of(lv_name, volume) == snapshot
    assert layout_of(lv_name, volume) is layout


@given(old=qcow2_names, new=qcow2_names, snapshot=snapshot_names, layout=layouts)
def test_renamed_snapshot_keeps_its_layout(old: VolumeName, new: VolumeName, snapshot: str, layout: Layout) -> None:
    renamed = renamed_lv_name(snapshot_lv_name(old, snapshot, layout), old, new)
    assert renamed == snapshot_lv_name(new, snapshot, layout)


@given(text=anything, volume=qcow2_names)
@example("snap_vm-100-disk-0_.qcow2", VolumeName("vm-100-disk-0.qcow2", 100))
@example("snap_vm-100-disk-0.qcow2", VolumeName("vm-100-disk-0.qcow2", 100))
@example("snap--vm-100-disk-0.qcow2", VolumeName("vm-100-disk-0.qcow2", 100))
@example("snap-vm-100-disk-0.qcow2", VolumeName("vm-100-disk-0.qcow2", 100))
def test_lv_name_is_a_snapshot_only_if_a_layout_produces_it(text: str, volume: VolumeName) -> None:
    snapshot, layout = snapshot_of(text, volume), layout_of(text, volume)
    assert (snapshot is None) == (layout is None)
    if snapshot and layout:
        assert snapshot_lv_name(volume, snapshot, layout) == text
    assert snapshot != ""


def test_pve_layout_drops_the_suffix_of_the_volume_name() -> None:
    volume = parse_volume_name("vm-100-disk-0.qcow2")
    assert snapshot_lv_name(volume, "s1", Layout.PVE9) == "snap_vm-100-disk-0_s1.qcow2"
    assert snapshot_of("snap_vm-100-disk-0_before_upgrade.qcow2", volume) == "before_upgrade"


@given(pieces=st.lists(st.sampled_from(["vm", "100", "1", "x", "s", "x.qcow2", "-vm"]), min_size=3, max_size=9))
@example(["s", "vm", "100", "vm", "100", "x.qcow2"])
@example(["vm", "1", "vm", "1", "vm", "1", "x"])
def test_two_snapshots_never_have_the_same_lv_name(pieces: list[str]) -> None:
    found = list(readings("snap-" + "-".join(pieces)))
    assert len(found) <= 1, found


@given(volume=qcow2_names, other=qcow2_names, snapshot=snapshot_names)
@example(VolumeName("vm-100-a.qcow2", 100), VolumeName("vm-100-b.qcow2", 100), "s1")
def test_snapshot_belongs_to_one_volume_only(volume: VolumeName, other: VolumeName, snapshot: str) -> None:
    found = snapshot_of(snapshot_lv_name(volume, snapshot, Layout.RFC), other)
    assert (found == snapshot) == (volume == other)


@pytest.mark.parametrize("name", ["s-vm-100", "vm-100", "vm-100-x", "a-vm-1-b", "s-vm-7"])
def test_ambiguous_snapshot_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidName, match="ambiguous"):
        check_snapshot_name(name)


@pytest.mark.parametrize("name", ["vm-100-vm-100-x.qcow2", "vm-1-a-vm-2-b", "vm-1-vm-2"])
def test_ambiguous_volume_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidName, match="ambiguous"):
        parse_volume_name(name)


@pytest.mark.parametrize("name", ["vm-snap", "s-vm-", "myvm-100", "vm-x-100", "0", "a.b", "before-upgrade", "vm"])
def test_snapshot_name_similar_to_a_guest_name_is_accepted(name: str) -> None:
    check_snapshot_name(name)


@pytest.mark.parametrize("word", RESERVED)
@pytest.mark.parametrize("text", ["{}", "{}x", "x{}", "x{}y.qcow2"])
def test_word_reserved_by_lvm_is_refused_anywhere_in_a_name(word: str, text: str) -> None:
    with pytest.raises(InvalidName, match=f"LVM reserves '{word}'"):
        check_snapshot_name("s" + text.format(word))
    with pytest.raises(InvalidName, match=f"LVM reserves '{word}'"):
        parse_volume_name("vm-100-" + text.format(word))


@pytest.mark.parametrize(
    "name", ["", "current", "-x", ".", "..", ".x", "_x", "+x", "a/b", "a b", "a:b", "a,b", "ä", "a\n"]
)
def test_invalid_snapshot_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        check_snapshot_name(name)


@pytest.mark.parametrize("name", ["current2", "CURRENT", "my-current"])
def test_only_the_exact_word_current_is_reserved(name: str) -> None:
    check_snapshot_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "vm-100",
            "vm-100-",
            "vm--x",
            "vm-x-y",
            "disk-0",
            "snap-s1-vm-100-disk-0.qcow2",
            "new-vm-100-disk-0.qcow2",
        ),
        *("del-vm-100-disk-0.qcow2", "vm-100-a/b", "vm-100-a b", "vm-100-.qcow2", "../vm-100-x", "vm-100-x\n"),
    ],
)
def test_invalid_volume_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        parse_volume_name(name)


@pytest.mark.parametrize(
    ("name", "vmid", "image_format", "tags"),
    [
        ("vm-100-disk-0.qcow2", 100, Format.QCOW2, ("pve-vm-100", "pve-vm-100-disk-0.qcow2")),
        ("vm-100-disk-0", 100, Format.RAW, ("pve-vm-100",)),
        ("vm-7-a.qcow2.raw", 7, Format.RAW, ("pve-vm-7",)),
    ],
)
def test_volume_name_gives_guest_format_and_tags(
    name: str, vmid: int, image_format: Format, tags: tuple[str, ...]
) -> None:
    volume = parse_volume_name(name, image_format)
    assert (volume.vmid, volume.format, volume.tags) == (vmid, image_format, tags)


@pytest.mark.parametrize(("name", "requested"), [("vm-100-x.qcow2", Format.RAW), ("vm-100-x", Format.QCOW2)])
def test_suffix_that_contradicts_the_format_is_refused(name: str, requested: Format) -> None:
    with pytest.raises(FormatMismatch):
        parse_volume_name(name, requested)


def dm_name_length(vg: str, lv_name: str) -> int:
    return len(f"{vg.replace('-', '--')}-{lv_name.replace('-', '--')}")


@given(
    vg=st.text("vg-+_.0", min_size=1, max_size=60).filter(lambda text: accepted(check_vg_name, text)),
    volume=volume_names,
    snapshot=st.none() | st.text("s-x1", min_size=1, max_size=60).filter(lambda t: accepted(check_snapshot_name, t)),
    layout=layouts,
    number=st.integers(2, 99),
)
def test_accepted_name_stays_within_both_limits_when_doomed(
    vg: str, volume: VolumeName, snapshot: str | None, layout: Layout, number: int
) -> None:
    lv_name = snapshot_lv_name(volume, snapshot, layout) if snapshot else volume.text
    longest = f"del-{number}-{lv_name}"
    try:
        if snapshot:
            check_snapshot_fits(vg, volume, snapshot, layout)
        else:
            check_fits(vg, volume)
    except InvalidName:
        assert dm_name_length(vg, f"del-99-{lv_name}") > 127
    else:
        assert dm_name_length(vg, longest) <= 127
        assert len(vg) + len(longest) <= 124  # the rule of lvm2, measured


@pytest.mark.parametrize(
    ("vg", "volume", "snapshot", "layout", "over"),
    [
        # "vg0" and the hyphen: 4; "del--99--vm--100--": 18; so 105 are left for the disk
        ("vg0", "vm-100-" + "d" * 105, "", None, 0),
        ("vg0", "vm-100-" + "d" * 106, "", None, 1),
        # every hyphen counts twice
        ("vg0", "vm-100-" + "d" * 103 + "-", "", None, 0),
        ("vg0", "vm-100-" + "d" * 104 + "-", "", None, 1),
        ("v-0", "vm-100-" + "d" * 105, "", None, 1),
        # "del--99--snap--S--vm--100--disk--0.qcow2": 39 without S
        ("vg0", "vm-100-disk-0.qcow2", "s" * 84, Layout.RFC, 0),
        ("vg0", "vm-100-disk-0.qcow2", "s" * 88, Layout.RFC, 4),
        ("vg0", "vm-100-disk-0.qcow2", "s" * 83 + "-", Layout.RFC, 1),
        # "del--99--snap_vm--100--disk--0_S.qcow2": 37 without S
        ("vg0", "vm-100-disk-0.qcow2", "s" * 86, Layout.PVE9, 0),
        ("vg0", "vm-100-disk-0.qcow2", "s" * 87, Layout.PVE9, 1),
    ],
)
def test_name_length_limit_is_that_of_device_mapper(
    vg: str, volume: str, snapshot: str, layout: Layout | None, over: int
) -> None:
    name = parse_volume_name(volume)
    refusal = pytest.raises(InvalidName, match=f"{over} characters too long") if over else contextlib.nullcontext()
    with refusal:
        if layout:
            check_snapshot_fits(vg, name, snapshot, layout)
        else:
            check_fits(vg, name)


@pytest.mark.parametrize("vg", ["", "-vg", ".", "..", "a/b", "a b", "vg\n", "@tag", "vg:0", "ä"])
def test_invalid_vg_name_is_refused(vg: str) -> None:
    with pytest.raises(InvalidName):
        check_vg_name(vg)


@given(vg=st.text(string.ascii_letters + string.digits + "+_.-", min_size=1, max_size=20))
def test_valid_vg_name_is_accepted(vg: str) -> None:
    if not vg.startswith("-") and vg not in {".", ".."}:
        check_vg_name(vg)


@given(volume=volume_names, snapshot=snapshot_names, count=st.integers(1, 5))
def test_doomed_names_are_numbered_and_give_the_original_name(volume: VolumeName, snapshot: str, count: int) -> None:
    snapshots = (snapshot_lv_name(volume, snapshot, layout) for layout in Layout)
    for lv_name in (volume.text, *snapshots, new_lv_name(volume)):
        taken: list[str] = []
        for _ in range(count):
            taken.append(pending_removal_name(lv_name, taken))
        assert taken == [f"del-{lv_name}", *(f"del-{number}-{lv_name}" for number in range(2, count + 1))]
        assert {pending_removal_origin(name) for name in taken} == {lv_name}
        assert pending_removal_origin(lv_name) is None


def test_device_path_lets_relative_backing_names_resolve() -> None:
    assert device_path("vg0", "vm-100-disk-0.qcow2") == "/dev/vg0/vm-100-disk-0.qcow2"


@given(
    vg=st.text("vg-+_.0", min_size=1, max_size=20).filter(lambda text: accepted(check_vg_name, text)),
    volume=volume_names,
    snapshot=snapshot_names,
    layout=layouts,
)
def test_device_mapper_name_round_trips_to_its_lv(vg: str, volume: VolumeName, snapshot: str, layout: Layout) -> None:
    names = [volume.text, new_lv_name(volume), pending_removal_name(volume.text, ())]
    if volume.format is Format.QCOW2:
        names.append(snapshot_lv_name(volume, snapshot, layout))
    for name in names:
        if any(word in name for word in RESERVED):
            continue  # such a volume is refused
        assert lv_of_dm_name(vg, dm_name(vg, name)) == name
        assert lv_of_dm_name(f"{vg}-x", dm_name(vg, name)) is None
        assert lv_of_dm_name(vg, f"{dm_name(vg, name)}-real") is None


@pytest.mark.parametrize(
    "name", ["vg-pool_tmeta", "vg-lvol0_pmspare", "vg-pvmove0", "vg-a-cow", "other-a", "vg", "vg-"]
)
def test_internal_device_of_lvm_is_not_one_of_our_lvs(name: str) -> None:
    assert lv_of_dm_name("vg", name) is None


@given(volume=qcow2_names, snapshot=snapshot_names)
def test_owner_of_an_lv_is_found_by_its_name(volume: VolumeName, snapshot: str) -> None:
    assert owner_of_part(volume.text) == volume
    assert owner_of_part(new_lv_name(volume)) == volume
    assert owner_of_part(snapshot_lv_name(volume, snapshot, Layout.RFC)) == volume


@pytest.mark.parametrize(
    ("lv_name", "owner"),
    [
        ("snap_vm-100-disk-0_s1.qcow2", "vm-100-disk-0.qcow2"),
        ("snap_vm-100-disk-0_a_b.qcow2", "vm-100-disk-0.qcow2"),
        ("backup", None),
        ("snap-s1-backup", None),
        ("snap_backup_s1.qcow2", None),
    ],
)
def test_owner_of_an_lv_is_one_volume_or_none(lv_name: str, owner: str | None) -> None:
    found = owner_of_part(lv_name)
    assert (found.text if found else None) == owner
