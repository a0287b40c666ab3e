"""The main job on real input: a file system of real files, kept through snapshots, rollback and deletion.

Runs in the lab (``ci/demo`` takes care of that). The guest is an ext4 file system on a raw file, mounted and changed
as a guest changes it; every block that changed is then written to the volume, through qemu-io. So the raw file is what
the volume must hold, and never passed through an image: a copy of it at each snapshot is that snapshot's golden file.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from lvmqcow.cli.volumes import layer_tree
from lvmqcow.lvm import loopvg
from lvmqcow.operations import Merge
from lvmqcow.storage import Storage
from lvmqcow.volume import Volume

VG, NAME = "demo", "vm-100-disk-0.qcow2"
FILES_BYTES = 210 * 1024**2
DISK_BYTES = 320 * 1024**2
PIECE_BYTES = 64 * 1024
SOURCES = ("/usr/share", "/usr/lib", "/usr/bin")


class Guest:
    """A machine whose disk is the raw file ``disk``; `flush` writes what changed to the volume."""

    def __init__(self, directory: Path) -> None:
        self.disk = directory / "guest.raw"
        self._written = directory / "written.raw"
        self._directory = directory

    def install(self) -> int:
        """Make the file system and fill it with real files; returns how many bytes these are."""
        tree = self._directory / "files"
        total = copy_files(tree, FILES_BYTES)
        run("mkfs.ext4", "-q", "-F", "-m", "0", "-d", tree, self.disk, f"{DISK_BYTES // 1024}k")
        shutil.rmtree(tree)
        shutil.copyfile(self.disk, self._written)
        return total

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """The file system, to change; unmounted after, as a guest that was shut down."""
        point = self._directory / "mnt"
        point.mkdir(exist_ok=True)
        run("mount", "-o", "loop", self.disk, point)
        try:
            yield point
        finally:
            run("umount", point)

    def flush(self, volume: Volume) -> int:
        """Write every piece that changed to the volume; returns how many bytes."""
        commands: list[str] = []
        pieces = self._directory / "pieces"
        pieces.mkdir()
        with self.disk.open("rb") as now, self._written.open("r+b") as written:
            for offset in range(0, DISK_BYTES, PIECE_BYTES):
                piece = now.read(PIECE_BYTES)
                if piece != written.read(PIECE_BYTES):
                    file = pieces / str(offset)
                    file.write_bytes(piece)
                    commands += ["-c", f"write -q -s {file} {offset} {len(piece)}"]
                    written.seek(offset)
                    written.write(piece)
        run("qemu-io", "-f", "qcow2", *commands, volume.path())
        shutil.rmtree(pieces)
        return len(commands) // 2 * PIECE_BYTES

    def reset(self, golden: Path) -> None:
        """The volume was rolled back: so is what the guest sees."""
        shutil.copyfile(golden, self.disk)
        shutil.copyfile(golden, self._written)


class Proof:
    """Golden files, and the check of everything against them."""

    def __init__(self, storage: Storage, volume: Volume, guest: Guest, directory: Path) -> None:
        self._storage = storage
        self._volume = volume
        self._guest = guest
        self._directory = directory
        self.golden: dict[str, Path] = {}
        self.checks = 0

    def keep(self, snapshot: str) -> None:
        """Remember what the guest sees now as the content of a snapshot."""
        self.golden[snapshot] = self._directory / f"{snapshot}.raw"
        shutil.copyfile(self._guest.disk, self.golden[snapshot])

    def everything(self) -> None:
        """Every snapshot and the current volume: the right content, a sound image, a sound file system."""
        findings = self._storage.check()
        assert not findings, findings
        assert list(self._volume.info().snapshots) == list(self.golden)
        for snapshot, golden in (*self.golden.items(), (None, self._guest.disk)):
            path = self._volume.path(snapshot)
            run("qemu-img", "compare", "-q", "-f", "raw", "-F", "qcow2", golden, path)
            run("qemu-img", "check", "-q", "-f", "qcow2", path)
            extracted = self._directory / "extracted.raw"
            run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, extracted)
            run("e2fsck", "-f", "-n", extracted)
            extracted.unlink()
            self.checks += 1


def main() -> int:
    started = time.monotonic()
    console = Console(highlight=False, soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="lvmqcow-demo-") as name:
        directory = Path(name)
        guest = Guest(directory)
        total = guest.install()
        group = loopvg.create(VG, 6 * 1024**3, directory / "pv.img")
        console.print(
            f"volume group {group.name} on {group.file}; a guest's ext4 with {total / 1024**2:.0f} MiB of files"
        )
        with Storage.open(VG) as storage:
            volume = storage.import_file(guest.disk, NAME)
            proof = Proof(storage, volume, guest, directory)
            for title in story(volume, guest, proof):
                proof.everything()
                console.print(f"\n[bold]{title}[/]  ({time.monotonic() - started:.0f} s, {proof.checks} images proved)")
                console.print(layer_tree(volume.info(), volume.layers()))
            volume.remove()
        loopvg.destroy(VG)
    console.print(
        f"\nProved: in {proof.checks} checks every snapshot and every current volume held its golden content byte for "
        f"byte (qemu-img compare), was a sound image (qemu-img check) and a clean file system (e2fsck -fn); "
        f"{time.monotonic() - started:.0f} s."
    )
    return 0


def story(volume: Volume, guest: Guest, proof: Proof) -> Iterator[str]:
    """The steps, one title each."""
    yield "imported"
    for number in (1, 2, 3, 4):
        snapshot = f"s{number}"
        proof.keep(snapshot)
        volume.snapshot(snapshot)
        change(guest, number)
        yield f"snapshot {snapshot}, then {guest.flush(volume) / 1024**2:.1f} MiB changed"
    volume.rollback("s4")
    guest.reset(proof.golden["s4"])
    yield "rolled back to s4"
    for snapshot, place, merge in (
        ("s1", "first", Merge.PUSH),
        ("s3", "middle", Merge.PULL),
        ("s4", "last", Merge.AUTO),
    ):
        volume.delete_snapshot(snapshot, merge)
        del proof.golden[snapshot]
        yield f"deleted the {place} snapshot, {snapshot}"


def change(guest: Guest, number: int) -> None:
    """What a day's work does: files come, go and grow."""
    with guest.mounted() as root:
        files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
        for path in files[number::40]:
            path.unlink()
        for path in files[number + 7 :: 50]:
            if path.exists():
                with path.open("ab") as file:
                    file.write(bytes([number]) * 9000)
        (root / f"written-{number}").write_bytes(bytes(range(256)) * 4096 * number)


def copy_files(tree: Path, total_bytes: int) -> int:
    """Copy files of this machine until there are enough of them."""
    copied = 0
    for source in SOURCES:
        for path in sorted(Path(source).rglob("*")):
            if copied >= total_bytes:
                return copied
            size_bytes = path.stat().st_size if path.is_file() and not path.is_symlink() else 0
            if 0 < size_bytes < 8 * 1024**2:
                target = tree / path.relative_to("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
                copied += size_bytes
    return copied


def run(*argv: str | Path) -> None:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False)
    if done.returncode or "failed" in done.stdout:
        raise SystemExit(f"demo: {' '.join(map(str, argv))} exits {done.returncode}:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
