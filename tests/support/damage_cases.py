"""Every kind of damage that ``check`` must name, planted on a chain of two snapshots: as steps, or in the host.

What is made of steps can be planted on a real volume group as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lvmqcow.checks.structure import Severity
from lvmqcow.core.intents import INTENT_PREFIX
from lvmqcow.core.lv import index_tags
from lvmqcow.core.names import Layout, VolumeName, snapshot_lv_name
from lvmqcow.operations.delete import Pulling, Pushing
from lvmqcow.operations.rename import Renaming
from lvmqcow.operations.rollback import RollingBack
from lvmqcow.operations.shared.new_volume import Creating
from lvmqcow.steps import LvCreate, LvRemove, LvRename, LvTag, LvZero, QcowCreate, QcowRelink, Step
from lvmqcow.testing.cases.scenarios import DISK, MIB, NEIGHBOUR
from lvmqcow.testing.content import Write
from lvmqcow.testing.simulated.host import SimHost

S1, S2 = (snapshot_lv_name(DISK, name, Layout.RFC) for name in ("s1", "s2"))
PVE9_S1 = snapshot_lv_name(DISK, "s1", Layout.PVE9)
SIZE = f"lvmqcow.size={4 * MIB}"
NEW = f"new-{DISK}"


@dataclass(frozen=True)
class Damage:
    """What ``check`` must say of it: on which LV, how bad, and with which words in text and advice.

    ``volume`` is the one that it is about; ``in_image``: only opening the image shows it, which no planner does.
    """

    plant: Callable[[SimHost], None] | Sequence[Step]
    lv: str
    severity: Severity
    text: str
    advice: str
    volume: VolumeName = DISK
    in_image: bool = False

    def on(self, host: SimHost) -> SimHost:
        """A copy of the host with the damage."""
        damaged = host.copy()
        if callable(self.plant):
            self.plant(damaged)
        else:
            for step in self.plant:
                damaged.run(step)
        return damaged


def a_lost_disk(host: SimHost) -> None:
    host.lose_physical_volume(S1)


def an_lv_cut_short(host: SimHost) -> None:
    host.guest_write(DISK.text, [Write(0, 1024, 7)])
    host.state.lvs[DISK.text] = replace(host.state.lvs[DISK.text], size_bytes=4 * MIB, device_bytes=4 * MIB)


def an_lv_of_the_disks_own_size(host: SimHost) -> None:
    host.state.lvs[DISK.text] = replace(host.state.lvs[DISK.text], size_bytes=4 * MIB, device_bytes=4 * MIB)


def leaked_clusters(host: SimHost) -> None:
    host.state.put(S2, replace(host.state.qcow(S2, ()), leaked_clusters=3))


def an_overlay_smaller_than_its_backing(host: SimHost) -> None:
    host.state.put(DISK.text, replace(host.state.qcow(DISK.text, ()), virtual_size_bytes=MIB))
    host.run(LvTag((DISK.text,), add=(f"lvmqcow.size={MIB}",), drop=(SIZE,)))


def _made(name: str, *tags: str) -> LvCreate:
    return LvCreate(name, 4 * MIB, tags)


def _parent(name: str) -> str:
    return f"lvmqcow.parent={name}"


D, U, F, L = Severity.DAMAGED, Severity.UNFINISHED, Severity.WARNING, Severity.LEAKED
COPY = "keep a copy"

DAMAGES: dict[str, Damage] = {
    # what is not there
    "no current LV": Damage([LvRemove((DISK.text,))], DISK.text, D, "no current", "qemu-img convert"),
    "the current LV is called otherwise": Damage([LvRename(DISK.text, "x")], "x", L, "not named like", "lvrename"),
    "a missing layer": Damage([LvRemove((S1,))], S1, D, "not there", "vgcfgrestore --list sim"),
    "a missing layer in the middle": Damage([LvRemove((S2,))], S2, D, "not there", "vgcfgrestore"),
    "a layer without its tags": Damage(
        [LvTag((S1,), drop=(*DISK.tags, SIZE))], S1, D, "not there", f"lvchange --addtag pve-vm-100 --addtag pve-{DISK}"
    ),
    "a layer that waits for removal": Damage(
        [LvRename(S1, f"del-{S1}")], DISK.text, D, "nothing took its place", "do not run recover"
    ),
    "a layer that another tool is about to remove": Damage(
        [LvTag((S1,), drop=(SIZE,)), LvRename(S1, f"del-{S1}")], S1, D, "not there", f"lvrename sim del-{S1} {S1}"
    ),
    "a layer tagged as another volume's": Damage(
        [LvTag((S1,), add=(NEIGHBOUR.volume_tag,), drop=(DISK.volume_tag,))], S1, D, "not there", "lvchange --deltag"
    ),
    "a lost disk": Damage(a_lost_disk, S1, D, "physical volume that is missing", "vgextend --restoremissing"),
    "a lost disk, the group": Damage(a_lost_disk, "", D, "nothing can be changed", "pvs"),
    # what contradicts itself
    "a circle": Damage([LvTag((S1,), add=(_parent(S2),))], S2, D, "through itself", "qemu-img info"),
    "tags end the chain early": Damage(
        [LvTag((S2,), drop=(_parent(S1),))], S2, D, "its tags name no parent", "lvchange --addtag"
    ),
    "the header names another": Damage(
        [QcowRelink(DISK.text, S1)], DISK.text, D, f"names {S1}", f"--deltag {_parent(S2)} --addtag {_parent(S1)}"
    ),
    "the header names a file": Damage(
        [QcowRelink(DISK.text, "/etc/shadow")], DISK.text, D, "/etc/shadow", "do not open the image"
    ),
    "the tags have another size": Damage(
        [LvTag((DISK.text,), add=("lvmqcow.size=9",), drop=(SIZE,))],
        DISK.text,
        D,
        "its tags give 9",
        f"--addtag {SIZE}",
    ),
    "two sizes": Damage([LvTag((S2,), add=("lvmqcow.size=9",))], S2, D, "of one image", "--deltag lvmqcow.size=9"),
    "two parents": Damage([LvTag((S2,), add=(_parent(DISK.text),))], S2, D, "of one image", "--deltag lvmqcow.parent"),
    "a size that is no number": Damage(
        [LvTag((S2,), add=("lvmqcow.size=4G",), drop=(SIZE,))], S2, D, "of one image", f"--addtag {SIZE}"
    ),
    "a parent and no size": Damage([LvTag((S2,), drop=(SIZE,))], S2, D, "of one image", f"--addtag {SIZE}"),
    "the tags of two volumes": Damage(
        [LvTag((S2,), add=("pve-vm-300-x.qcow2",))], S2, D, "the tags of", "--deltag pve-vm-300-x.qcow2"
    ),
    "smaller than what is below": Damage(an_overlay_smaller_than_its_backing, DISK.text, D, "less than", "qemu-img"),
    "no header": Damage([LvZero(DISK.text)], DISK.text, D, "no readable qcow2 header", COPY),
    "no header, of a snapshot": Damage([LvZero(S1)], S1, D, "no readable qcow2 header", COPY),
    "half formatted, without an intent": Damage(
        [QcowCreate(DISK.text, 0)], DISK.text, D, "names no backing file", "lvchange"
    ),
    "an LV cut short": Damage(an_lv_cut_short, DISK.text, D, "too small for it", "vgcfgrestore", in_image=True),
    # what no cut leaves
    "an intent of another version": Damage(
        [LvTag((S1,), add=(f"{INTENT_PREFIX}copy",))], S1, D, "another version", "that"
    ),
    "two intents on one LV": Damage(
        [LvTag((S2,), add=(Pulling(DISK.text).tag, Pushing(S2, DISK.text).tag))], DISK.text, D, "more than one", COPY
    ),
    "two operations": Damage(
        [LvTag((S2,), add=(Pulling(DISK.text).tag,)), LvTag((DISK.text,), add=(RollingBack(S2).tag,))],
        *(DISK.text, D, "more than one", COPY),
    ),
    "new, with snapshots": Damage([LvTag((DISK.text,), add=(Creating().tag,))], DISK.text, D, "part of a chain", COPY),
    "a new LV that is not ours": Damage([_made(NEW, *DISK.tags)], DISK.text, D, "not what a cut snapshot", COPY),
    "a new LV beside its parent": Damage(
        [_made(NEW, *DISK.tags, *index_tags(4 * MIB, S2))], DISK.text, D, "not what a cut snapshot", COPY
    ),
    "a pull that the header denies": Damage(
        [LvTag((S2,), add=(Pulling(DISK.text).tag,)), LvTag((DISK.text,), add=(_parent(S1),), drop=(_parent(S2),))],
        *(DISK.text, D, "may not be removed yet", COPY),
    ),
    "a push into no parent": Damage(
        [LvTag((S1,), add=(Pushing(S1, DISK.text).tag,))], DISK.text, D, "not its parent", COPY
    ),
    "a rename of another volume": Damage(
        [LvTag((DISK.text,), add=(Renaming(NEIGHBOUR.text, "vm-7-x.qcow2").tag,))],
        DISK.text,
        D,
        "does not write on it",
        COPY,
    ),
    # what a cut leaves
    "a rollback was cut": Damage([LvTag((DISK.text,), add=(RollingBack(S2).tag,))], DISK.text, U, "cut", "recover"),
    "a delete was cut": Damage([LvTag((S2,), add=(Pulling(DISK.text).tag,))], S2, U, "cut", "lvmqcow recover"),
    # what harms nothing yet
    "an LV of the disk's own size": Damage(
        an_lv_of_the_disks_own_size, DISK.text, F, "may find no space", f"resize sim/{DISK} --size {4 * MIB}"
    ),
    "the machine's tag is gone": Damage(
        [LvTag((S1,), drop=("pve-vm-100",))], S1, F, "lacks pve-vm-100", f"lvchange --addtag pve-vm-100 sim/{S1}"
    ),
    "the current LV has lost its tags": Damage(
        [LvTag((DISK.text,), drop=DISK.tags)], DISK.text, D, "which identifies the snapshots", f"--addtag pve-{DISK}"
    ),
    "one snapshot in two layouts": Damage(
        [
            LvRename(S2, PVE9_S1),
            QcowRelink(DISK.text, PVE9_S1),
            LvTag((DISK.text,), add=(_parent(PVE9_S1),), drop=(_parent(S2),)),
        ],
        *(PVE9_S1, F, "claim to be snapshot 's1'", "qemu-img info"),
    ),
    "leaked clusters": Damage(leaked_clusters, S2, L, "3 clusters", "qemu-img check -f qcow2 -r leaks"),
    "another tool's removal": Damage([_made(f"del-{S1}", *DISK.tags)], f"del-{S1}", L, "another tool", "lvremove"),
    "the tag of a volume, and no name of it": Damage(
        [_made("copy", *DISK.tags)], "copy", L, "not named like", f"lvchange --deltag pve-{DISK} sim/copy"
    ),
    "two new LVs": Damage([_made(f"new-2-{DISK}", *DISK.tags)], f"new-2-{DISK}", L, "not named like", "lvrename"),
    "the name of a snapshot, and no tag": Damage(
        [_made(f"snap-s9-{DISK}")], f"snap-s9-{DISK}", L, f"named like a part of {DISK}", "--addtag pve-vm-100"
    ),
    "a snapshot of a volume that is gone": Damage(
        [_made("snap-s1-vm-300-x.qcow2")], "snap-s1-vm-300-x.qcow2", L, "not there", "lvremove sim/snap-s1-vm-300"
    ),
    "a snapshot in the layout of Proxmox VE 9, of a volume that is gone": Damage(
        [_made("snap_vm-300-x_s1.qcow2")], "snap_vm-300-x_s1.qcow2", L, "not there", "lvremove sim/snap_vm-300-x_s1"
    ),
    "the tag of one volume, the name of another": Damage(
        [_made("vm-300-x.qcow2", *DISK.tags)],
        *("vm-300-x.qcow2", D, f"the tag of {DISK} and the name", "--addtag pve-vm-300"),
        VolumeName("vm-300-x.qcow2", 300),
    ),
    "somebody else's LV": Damage([_made("root")], "root", Severity.UNMANAGED, "no volume of lvmqcow", "left alone"),
}
