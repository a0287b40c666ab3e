"""What operations cost: commands and milliseconds each, and verified operations a second, real and simulated.

Runs in the lab (``tox -e bench``). Times are this machine's, in this run; the column ``/ lvs`` is the ratio to one
plain ``lvs`` process in the same run, which is what to compare between machines.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lvmqcow.core.names import Format
from lvmqcow.lvm import loopvg
from lvmqcow.lvm.commands import LvmShell
from lvmqcow.operations import Merge
from lvmqcow.qemu.img import QemuImg
from lvmqcow.real_host import RealHost
from lvmqcow.storage import Storage
from lvmqcow.testing.content import Content, Write
from lvmqcow.testing.worlds import RealWorld, SimWorld, World

VG, NAME = "bench", "vm-100-disk-0.qcow2"
SIZE_BYTES = 64 * 1024**2
ROUNDS = 5

Operation = Callable[[Storage], object]
OPERATIONS: Sequence[tuple[str, Operation]] = (
    ("create", lambda storage: storage.create(NAME, SIZE_BYTES)),
    ("snapshot", lambda storage: storage.volume(NAME).snapshot("s1")),
    ("snapshot", lambda storage: storage.volume(NAME).snapshot("s2")),
    ("list", lambda storage: storage.volumes()),
    ("rollback", lambda storage: storage.volume(NAME).rollback("s2")),
    ("delete, pull", lambda storage: storage.volume(NAME).delete_snapshot("s2", Merge.PULL)),
    ("delete, push", lambda storage: storage.volume(NAME).delete_snapshot("s1", Merge.PUSH)),
    ("remove", lambda storage: storage.volume(NAME).remove()),
)


class Counted:
    """Counts the external commands, by tool: reports, other LVM commands, qemu-img."""

    def __init__(self) -> None:
        self.now: Counter[str] = Counter()

    def __call__(self, argv: Sequence[str]) -> None:
        report = argv[0] in ("fullreport", "vgs", "lvs", "pvs")
        self.now["report" if report else "qemu-img" if argv[0].startswith("qemu") else "lvm"] += 1


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="lvmqcow-bench-") as name:
        loopvg.create(VG, 2 * 1024**3, Path(name) / "pv.img")
        counted = Counted()
        host = RealHost(VG, LvmShell(trace=counted), QemuImg(counted))
        Console(highlight=False).print(costs(RealWorld(host, Path(name)), counted))
        real = verified_per_second(RealWorld(host, Path(name)), rounds=3)
        host.close()
        loopvg.destroy(VG)
    print(f"verified operations a second: {real:.1f} real, {verified_per_second(SimWorld(), rounds=300):.0f} simulated")
    return 0


def costs(world: RealWorld, counted: Counted) -> Table:
    """Commands and time of each operation, on a volume group that nothing else uses."""
    lvs = statistics.median(
        seconds(lambda: subprocess.run(["lvs", VG], capture_output=True, check=True)) for _ in range(9)
    )
    times: dict[str, list[float]] = {}
    commands: dict[str, Counter[str]] = {}
    for _ in range(ROUNDS):
        for title, operation in OPERATIONS:
            counted.now = Counter()
            times.setdefault(title, []).append(seconds(partial(operation, world.storage)))
            commands[title] = counted.now
    table = Table("operation", "reports", "LVM changes", "qemu-img", "ms", "/ lvs", box=None, pad_edge=False)
    for title, taken in times.items():
        spent, median = commands[title], statistics.median(taken)
        counts = (str(spent[kind]) for kind in ("report", "lvm", "qemu-img"))
        table.add_row(title, *counts, f"{median * 1000:.1f}", f"{median / lvs:.1f}")
    return table


def verified_per_second(world: World, rounds: int) -> float:
    """Operations a second when every image is compared with what it should hold, and checked, after each."""
    written = [Write(3, 40, 0x55)]
    content = Content(SIZE_BYTES).written(written)
    done = 0
    started = time.monotonic()
    for _ in range(rounds):
        for title, operation in OPERATIONS:
            if title == "list":
                continue
            operation(world.storage)
            if title == "create":
                world.write(NAME, Format.QCOW2, written)
            for volume in world.host.observe().volumes:
                for layer in volume.layers:
                    assert world.difference(layer.lv.name, Format.QCOW2, content) is None
            assert world.storage.check() == ()
            done += 1
    return done / (time.monotonic() - started)


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
