"""The steps of LVM: one command each.

Source: lvm(8), and the manual of each verb.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar

from lvmqcow.steps.base import NOTHING, Argv, Tool, some_of

__all__ = [
    "LvActivate",
    "LvAutoactivation",
    "LvCreate",
    "LvDeactivate",
    "LvExtend",
    "LvPermission",
    "LvRefresh",
    "LvRemove",
    "LvRename",
    "LvTag",
    "LvmStep",
    "Permission",
]


class Permission(StrEnum):
    """Whether the device of an LV is read-only or writable."""

    READ = "r"
    WRITE = "rw"


@dataclass(frozen=True)
class LvCreate:
    """Create an active LV that no host activates at boot. Old signatures on it are wiped."""

    lv: str
    size_bytes: int
    tags: tuple[str, ...]

    tool: ClassVar = Tool.LVM
    opens_alone: ClassVar = NOTHING
    opens: ClassVar = NOTHING
    disturbs: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        tags = [word for tag in self.tags for word in ("--addtag", tag)]
        return (
            *("lvcreate", "--yes", "--wipesignatures", "y", "--zero", "y", "--setautoactivation", "n"),
            *(*tags, "--size", f"{self.size_bytes}b", "--name", self.lv, vg),
        )


@dataclass(frozen=True)
class LvRename:
    """Rename an LV in one metadata commit: a cut leaves either the old name or the new one."""

    lv: str
    to: str

    tool: ClassVar = Tool.LVM
    opens_alone: ClassVar = NOTHING
    opens: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return ("lvrename", vg, self.lv, self.to)

    @property
    def disturbs(self) -> tuple[str, ...]:
        return (self.lv,)


@dataclass(frozen=True)
class LvRemove:
    """Remove logical volumes with one command."""

    lvs: tuple[str, ...]

    tool: ClassVar = Tool.LVM
    opens_alone: ClassVar = NOTHING
    opens: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return ("lvremove", "--yes", *(f"{vg}/{lv}" for lv in self.lvs))

    @property
    def disturbs(self) -> tuple[str, ...]:
        return self.lvs

    @property
    def parts(self) -> tuple[LvRemove, ...]:
        return tuple(replace(self, lvs=lvs) for lvs in some_of(self.lvs))


@dataclass(frozen=True)
class LvExtend:
    """Grow an LV to ``size_bytes``. Plans use it only on a smaller LV: lvextend to the same size is an error."""

    lv: str
    size_bytes: int

    tool: ClassVar = Tool.LVM
    opens_alone: ClassVar = NOTHING
    opens: ClassVar = NOTHING
    disturbs: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return ("lvextend", "--size", f"{self.size_bytes}b", f"{vg}/{self.lv}")


@dataclass(frozen=True)
class LvTag:
    """Add and drop tags with one command. Each LV gets one metadata commit, in LVM's own order."""

    lvs: tuple[str, ...]
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    tool: ClassVar = Tool.LVM
    opens_alone: ClassVar = NOTHING
    opens: ClassVar = NOTHING
    disturbs: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        changes = [word for tag in self.drop for word in ("--deltag", tag)]
        changes += [word for tag in self.add for word in ("--addtag", tag)]
        return ("lvchange", *changes, *(f"{vg}/{lv}" for lv in self.lvs))

    @property
    def parts(self) -> tuple[LvTag, ...]:
        return tuple(replace(self, lvs=lvs) for lvs in some_of(self.lvs))


@dataclass(frozen=True)
class LvPermission:
    """Make an LV read-only or writable. Plans use it only for a change: LVM fails if the permission is the same."""

    lv: str
    permission: Permission

    tool: ClassVar = Tool.LVM
    opens_alone: ClassVar = NOTHING
    opens: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return ("lvchange", "--permission", self.permission.value, f"{vg}/{self.lv}")

    @property
    def disturbs(self) -> tuple[str, ...]:
        return () if self.permission is Permission.WRITE else (self.lv,)


@dataclass(frozen=True)
class LvActivate:
    """Activate LVs exclusively on this host."""

    lvs: tuple[str, ...]

    tool: ClassVar = Tool.LVM
    opens_alone: ClassVar = NOTHING
    opens: ClassVar = NOTHING
    disturbs: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return ("lvchange", "--activate", "ey", *(f"{vg}/{lv}" for lv in self.lvs))

    @property
    def parts(self) -> tuple[LvActivate, ...]:
        return tuple(replace(self, lvs=lvs) for lvs in some_of(self.lvs))


@dataclass(frozen=True)
class LvDeactivate:
    """Deactivate LVs on this host."""

    lvs: tuple[str, ...]

    tool: ClassVar = Tool.LVM
    opens_alone: ClassVar = NOTHING
    opens: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return ("lvchange", "--activate", "n", *(f"{vg}/{lv}" for lv in self.lvs))

    @property
    def disturbs(self) -> tuple[str, ...]:
        return self.lvs

    @property
    def parts(self) -> tuple[LvDeactivate, ...]:
        return tuple(replace(self, lvs=lvs) for lvs in some_of(self.lvs))


@dataclass(frozen=True)
class LvRefresh:
    """Reload active LVs from the metadata. An LV that another host extended keeps its old size until then."""

    lvs: tuple[str, ...]

    tool: ClassVar = Tool.LVM
    opens_alone: ClassVar = NOTHING
    opens: ClassVar = NOTHING
    disturbs: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return ("lvchange", "--refresh", *(f"{vg}/{lv}" for lv in self.lvs))

    @property
    def parts(self) -> tuple[LvRefresh, ...]:
        return tuple(replace(self, lvs=lvs) for lvs in some_of(self.lvs))


@dataclass(frozen=True)
class LvAutoactivation:
    """Set whether hosts activate the LVs at boot. Active LVs stay active."""

    lvs: tuple[str, ...]
    at_boot: bool

    tool: ClassVar = Tool.LVM
    opens_alone: ClassVar = NOTHING
    opens: ClassVar = NOTHING
    disturbs: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return ("lvchange", "--setautoactivation", "y" if self.at_boot else "n", *(f"{vg}/{lv}" for lv in self.lvs))

    @property
    def parts(self) -> tuple[LvAutoactivation, ...]:
        return tuple(replace(self, lvs=lvs) for lvs in some_of(self.lvs))


LvmStep = (
    LvCreate
    | LvRename
    | LvRemove
    | LvExtend
    | LvTag
    | LvPermission
    | LvActivate
    | LvDeactivate
    | LvRefresh
    | LvAutoactivation
)
