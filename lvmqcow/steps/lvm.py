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
    """What may be done with the device of an LV."""

    READ = "r"
    WRITE = "rw"


@dataclass(frozen=True)
class LvCreate:
    """A new, active logical volume that no boot activates by itself; old signatures on it are wiped."""

    lv: str
    size_bytes: int
    tags: tuple[str, ...]

    tool: ClassVar = Tool.LVM
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
    """One LVM metadata commit: the LV has the old name or the new one, never both or none."""

    lv: str
    to: str

    tool: ClassVar = Tool.LVM
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
    """Remove logical volumes, in this order."""

    lvs: tuple[str, ...]

    tool: ClassVar = Tool.LVM
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
    """Grow to ``size_bytes``. Planned only where the LV is smaller: lvextend to the same size is an error."""

    lv: str
    size_bytes: int

    tool: ClassVar = Tool.LVM
    opens: ClassVar = NOTHING
    disturbs: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return ("lvextend", "--size", f"{self.size_bytes}b", f"{vg}/{self.lv}")


@dataclass(frozen=True)
class LvTag:
    """Change tags: one command, and for each LV one metadata commit."""

    lvs: tuple[str, ...]
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    tool: ClassVar = Tool.LVM
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
    """Whether the LV can be written to. Planned only where it changes: to the same is an error."""

    lv: str
    permission: Permission

    tool: ClassVar = Tool.LVM
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
    """Activate on this host alone."""

    lvs: tuple[str, ...]

    tool: ClassVar = Tool.LVM
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
    """Deactivate on this host."""

    lvs: tuple[str, ...]

    tool: ClassVar = Tool.LVM
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
    """Load what the metadata says into active LVs: one that another host extended keeps its old size until then."""

    lvs: tuple[str, ...]

    tool: ClassVar = Tool.LVM
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
    """Whether a boot activates them by itself, on whatever host. What is active stays so."""

    lvs: tuple[str, ...]
    at_boot: bool

    tool: ClassVar = Tool.LVM
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
