"""The classes of errors: their tree, their exit statuses and their messages."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from lvmqcow import errors
from lvmqcow.errors import (
    AlreadyExists,
    CommandFailed,
    Corrupt,
    FormatMismatch,
    Interrupted,
    InUse,
    InvalidName,
    InvalidSize,
    Locked,
    LvmqcowError,
    NewerSnapshots,
    NoSpace,
    NothingChanged,
    NotPossible,
    OperationCut,
    RecoveryNeeded,
    SnapshotHasChildren,
    SnapshotNotFound,
    SourceMismatch,
    SourceNotFound,
    Unchangeable,
    UnfitMachine,
    VolumeGroupNotFound,
    VolumeNotFound,
)

FAILED = CommandFailed(("lvremove", "vg/a b"), 5, "  Failed to find\n")
EXAMPLES: list[tuple[LvmqcowError, list[str]]] = [
    (FAILED, ["`lvremove 'vg/a b'`", "status 5", "Failed to find"]),
    (CommandFailed(("x",), 1, ""), ["no reason"]),
    (
        OperationCut("snapshot", "vg/v", 2, 4, FAILED, "undoes"),
        ["snapshot of vg/v", "2 of 4", "Failed to find", "lvmqcow recover vg/v", "undoes"],
    ),
    (
        NothingChanged("create", "vg/v", 3, FAILED),
        ["create of vg/v", "Failed to find", "Nothing was changed", "try again"],
    ),
    (InvalidName("snapshot", "a/b", "no slashes"), ["snapshot", "'a/b'", "no slashes"]),
    (InvalidSize("-1", "too small"), ["'-1'", "too small"]),
    (FormatMismatch("x.qcow2", "qcow2", "raw"), ["'x.qcow2'", "qcow2", "raw"]),
    (VolumeGroupNotFound("vg"), ["'vg'"]),
    (VolumeGroupNotFound("vg", "Cannot access clustered VG vg."), ["'vg'", "LVM says: Cannot access clustered VG vg."]),
    (VolumeNotFound("vg", "v"), ["vg/v", "lvmqcow list vg"]),
    (SnapshotNotFound("vg/v", "s3", ["s1", "s2"]), ["vg/v", "'s3'", "s1, s2"]),
    (SnapshotNotFound("vg/v", "s3", []), ["it has none"]),
    (
        SourceMismatch("x.vdi", "a VHD (vpc)", "its name ends in .vdi", "say so"),
        ["x.vdi is a VHD (vpc), and its", ".vdi: say so"],
    ),
    (SourceNotFound("/srv/x", "No such file"), ["/srv/x", "No such file"]),
    (Locked("vg/v", "process 7", 1.5), ["vg/v", "process 7", "1.5 s"]),
    (NoSpace("vg", 100, 50), ["vg", "100", "50", "vgextend vg"]),
    (NoSpace("vg", 100, 50, "contiguous"), ["vg", "100", "50", "policy, contiguous", "vgchange --alloc"]),
    (NotPossible("vg/v", "it is raw", "convert it"), ["vg/v", "it is raw", "convert it"]),
    (InUse("vg/v", ["a by process 7 (cat)", "b by process 8 (dd)"]), ["vg/v", "a by process 7 (cat), b by", "stop"]),
    (NewerSnapshots("vg/v", "s1", ["s2", "s3"]), ["vg/v", "'s1'", "s2, s3", "--discard-newer", "--keep-newer"]),
    (SnapshotHasChildren("vg/v", "s1", ["a", "b"]), ["vg/v", "'s1'", "a, b", "all but one"]),
    (RecoveryNeeded("vg/v", "undo snapshot"), ["vg/v", "undo snapshot", "lvmqcow recover vg/v"]),
    (
        Unchangeable("vg", {"exported": "it is exported", "missing": "one is missing"}, "vgimport vg"),
        ["vg", "it is exported [exported]", "one is missing [missing]", "vgimport vg"],
    ),
    (Corrupt("vg/v", ["one", "two"]), ["vg/v", "one; two", "lvmqcow check vg/v"]),
    (AlreadyExists("volume", "v"), ["volume", "'v'"]),
    (UnfitMachine("qemu-img is missing", "install it"), ["qemu-img is missing", "install it"]),
    (Interrupted("qemu-img"), ["qemu-img"]),
]
ERRORS = pytest.mark.parametrize(
    ("error", "facts"), EXAMPLES, ids=lambda value: type(value).__name__ if isinstance(value, Exception) else ""
)


def classes() -> set[type[LvmqcowError]]:
    return {value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, LvmqcowError)}


def drawn() -> dict[str, tuple[str | None, str]]:
    """The tree in the docstring of the module: each class with its parent and its exit status."""
    tree: dict[str, tuple[str | None, str]] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.fullmatch(r"    ([ │├└─]*)([A-Z]\w+)(?: +(\d+|\*))?(?:  .*)?", line)
        if match:
            depth, name = len(match[1]), match[2]
            above = [(other, parent) for other, parent in above if other < depth]
            tree[name] = (above[-1][1] if above else None, match[3] or "")
            above.append((depth, name))
    return tree


def test_docstring_tree_lists_exactly_the_error_classes() -> None:
    assert set(drawn()) == {error.__name__ for error in classes()} == set(errors.__all__)


@pytest.mark.parametrize("name", errors.__all__)
def test_docstring_tree_agrees_with_the_class_hierarchy(name: str) -> None:
    error: type[LvmqcowError] = getattr(errors, name)
    parent, status = drawn()[name]
    if parent is None:
        assert error is LvmqcowError
    else:
        assert error.__base__ is getattr(errors, parent)
    if status.isdecimal():
        assert error.exit_status == int(status)
    elif status == "":
        assert "exit_status" not in vars(error), f"the tree says that {name} exits as {parent}"


def test_each_exit_status_belongs_to_one_error_class() -> None:
    owners = [error for error in classes() if "exit_status" in vars(error)]
    assert len({error.exit_status for error in owners}) == len(owners)


def test_examples_cover_every_error_class() -> None:
    abstract = {errors.LvmqcowError, errors.InvalidRequest, errors.NotFound}
    assert {type(error) for error, _ in EXAMPLES} == classes() - abstract


@ERRORS
def test_error_message_has_its_facts_and_advice(error: LvmqcowError, facts: list[str]) -> None:
    for fact in facts:
        assert fact in str(error)


@ERRORS
def test_error_survives_copying_and_pickling(error: LvmqcowError, facts: list[str]) -> None:
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert {name: str(value) for name, value in vars(twin).items()} == {
            name: str(value) for name, value in vars(error).items()
        }
