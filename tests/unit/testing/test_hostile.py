"""Hostile files are imported as the declared format or refused. Files that they name are never opened.

Here qemu-img runs on real files. ``tests/real/test_hostile.py`` imports them into real volumes.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lvmqcow.core.names import Format, VolumeName
from lvmqcow.engine.imports import inspect
from lvmqcow.errors import Corrupt, LvmqcowError, NotPossible
from lvmqcow.formats import SourceFormat
from lvmqcow.operations import Import
from lvmqcow.operations.import_image import require_whole
from lvmqcow.qemu.img import QemuImg
from lvmqcow.steps import ImageWrite
from lvmqcow.steps.limits import READING, Limits
from lvmqcow.testing.canary import Canary, canary
from lvmqcow.testing.cases.scenarios import DISK, RAW, state, storage
from lvmqcow.testing.hostile.images import listing, specimens
from lvmqcow.testing.hostile.specimen import DATA, Notice, Specimen
from lvmqcow.testing.simulated.host import SimHost

CORPUS = specimens(Path("/nowhere/canary.txt"))
GIB = 1024**3


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Canary]:
    with canary(tmp_path / "canary.txt") as bird:
        yield bird


@pytest.fixture
def tripwire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that exists after any start of qemu-img."""
    binaries, touched = tmp_path / "bin", tmp_path / "qemu-img was started"
    binaries.mkdir()
    fake = binaries / "qemu-img"
    fake.write_text(f"#!/bin/sh\ntouch '{touched}'\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{binaries}:{os.environ['PATH']}")
    return touched


def of(*notices: Notice) -> pytest.MarkDecorator:
    found = [specimen.name for specimen in CORPUS if specimen.notice in notices]
    return pytest.mark.parametrize("name", found)


def laid_out(directory: Path, name: str) -> tuple[Specimen, Path]:
    """Write the whole corpus. Return one specimen and its path. It names the canary next to it."""
    made = {specimen.name: specimen for specimen in specimens(directory / "canary.txt")}
    for other in ("out-cycle-self.qcow2", "out-cycle-a.qcow2", "out-cycle-b.qcow2"):
        made[other].image.write(directory / other)
    return made[name], made[name].image.write(directory / name)


def volume_for(specimen: Specimen) -> VolumeName:
    return RAW if specimen.declared is SourceFormat.RAW else DISK


def test_corpus_has_at_least_100_different_specimens() -> None:
    assert len(CORPUS) >= 100
    assert len({specimen.name for specimen in CORPUS}) == len(CORPUS)
    assert len({specimen.what for specimen in CORPUS}) == len(CORPUS)
    assert len({(specimen.image.start, specimen.declared, *specimen.image.parts.items()) for specimen in CORPUS}) > 100
    assert specimens(Path("/nowhere/canary.txt")) == CORPUS
    listed = Path(__file__).parents[3] / "fixtures" / "hostile.txt"
    assert listed.read_text().splitlines() == listing(CORPUS)


@of(Notice.HEADER)
def test_hostile_header_is_refused_before_any_tool_runs(
    tmp_path: Path, tripwire: Path, watched: Canary, name: str
) -> None:
    specimen, path = laid_out(tmp_path, name)
    host = SimHost()
    before = state(host)
    with pytest.raises(LvmqcowError) as refused:
        storage(host).import_file(path, volume_for(specimen).text, specimen.declared)
    assert type(refused.value) is specimen.refusal
    assert specimen.says in str(refused.value)
    assert str(path) in str(refused.value)
    assert state(host) == before
    assert not tripwire.exists()


@of(Notice.HEADER)
def test_refused_hostile_file_comes_with_advice(tmp_path: Path, name: str) -> None:
    specimen, path = laid_out(tmp_path, name)
    with pytest.raises(LvmqcowError) as refused:
        inspect(path, volume_for(specimen), specimen.declared)
    advice = str(refused.value)
    if isinstance(refused.value, Corrupt):
        assert "qemu-img convert" in advice
        assert str(path) in advice.partition("qemu-img convert")[2]
        assert f"-f {specimen.declared} " in advice or f"driver={specimen.declared}," in advice


@of(Notice.TABLES)
def test_hostile_tables_are_found_by_qemu_img_within_limits(tmp_path: Path, watched: Canary, name: str) -> None:
    specimen, path = laid_out(tmp_path, name)
    request = inspect(path, volume_for(specimen), specimen.declared)
    quick = Limits(READING.memory_bytes, cpu_seconds=2) if name == "processor.qcow2" else READING
    with pytest.raises(LvmqcowError) as refused:
        require_whole(request, QemuImg(reading=quick).check_file)
    assert type(refused.value) is specimen.refusal
    assert specimen.says in str(refused.value)
    assert str(path) in str(refused.value)


def usage(limits: Limits, path: Path) -> tuple[int, resource.struct_rusage]:
    """The status of a check within limits (negative: the signal that ended it), and its resource usage."""
    process = subprocess.Popen(
        [*limits.argv, "qemu-img", "check", "-q", "-f", "qcow2", path], stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used


def test_memory_limit_stops_a_check_that_needs_more(tmp_path: Path) -> None:
    _, path = laid_out(tmp_path, "memory.qcow2")
    os.truncate(path, 100 * GIB)  # the check needs 1.6 GiB, which the machine has
    status, used = usage(READING, path)
    assert status == 1
    assert used.ru_maxrss * 1024 < GIB
    with pytest.raises(NotPossible, match="1024 MiB of memory"):
        QemuImg().check_file(str(path), SourceFormat.QCOW2)
    status, used = usage(Limits(4 * GIB), path)
    assert status == 0
    assert used.ru_maxrss * 1024 > GIB


def test_cpu_limit_stops_a_check_that_takes_longer(tmp_path: Path) -> None:
    _, path = laid_out(tmp_path, "processor.qcow2")
    for seconds in (1, 3):
        status, used = usage(Limits(GIB, cpu_seconds=seconds), path)
        assert status == -signal.SIGXCPU
        assert used.ru_utime + used.ru_stime <= seconds + 1
        assert used.ru_maxrss * 1024 < GIB


def test_reading_limits_are_one_gibibyte_and_30_seconds() -> None:
    assert READING.argv == ("prlimit", "--as=1073741824", "--cpu=30:31")


@of(Notice.NEVER, Notice.VOLUME_GROUP)
def test_harmless_file_is_read_in_its_declared_format(tmp_path: Path, watched: Canary, name: str) -> None:
    specimen, path = laid_out(tmp_path, name)
    request = inspect(path, volume_for(specimen), specimen.declared)
    require_whole(request, QemuImg().check_file)
    assert request.source_format is specimen.declared
    if specimen.notice is Notice.NEVER:
        assert content(tmp_path, request) == expected(specimen, path)


def content(directory: Path, request: Import) -> bytes:
    """The content that an import writes into a raw volume."""
    assert request.size_bytes == 1024**2
    target = directory / "target"
    target.write_bytes(b"\0" * request.size_bytes)
    *argv, _ = ImageWrite(request.source, request.source_format, "target", Format.RAW).argv("vg")
    subprocess.run([*argv, str(target)], check=True, capture_output=True)
    return target.read_bytes()


def expected(specimen: Specimen, path: Path) -> bytes:
    if specimen.declared is SourceFormat.RAW:
        return path.read_bytes()
    return (bytes([DATA]) * 4096).ljust(1024**2, b"\0")


UNGUARDED = {
    "out-backing-file.qcow2": ("qemu-img", "convert", "-f", "qcow2", "-O", "raw"),
    "out-backing-unnamed.qcow2": ("qemu-img", "convert", "-f", "qcow2", "-O", "raw"),
    "out-backing-version-2.qcow2": ("qemu-img", "convert", "-f", "qcow2", "-O", "raw"),
    "out-backing-json.qcow2": ("qemu-img", "convert", "-f", "qcow2", "-O", "raw"),
    "out-backing-far.qcow2": ("qemu-img", "convert", "-f", "qcow2", "-O", "raw"),
    "out-data-file.qcow2": ("qemu-img", "convert", "-f", "qcow2", "-O", "raw"),
    "out-data-file-hidden.qcow2": ("qemu-img", "convert", "-f", "qcow2", "-O", "raw"),
    "guest-qcow2.raw": ("qemu-img", "convert", "-O", "raw"),
    "guest-vmdk.raw": ("qemu-img", "convert", "-O", "raw"),
}


@pytest.mark.parametrize("name", UNGUARDED)
def test_hostile_files_trigger_the_canary_without_our_checks(tmp_path: Path, name: str) -> None:
    """This proves that the canary works."""
    _, path = laid_out(tmp_path, name)
    with canary(tmp_path / "canary.txt") as bird:
        subprocess.run([*UNGUARDED[name], str(path), str(tmp_path / "out")], check=False, capture_output=True)
        touches = bird.touches()
    assert "opened" in touches
    assert "read" in touches


def test_base_of_all_specimens_is_a_valid_image(tmp_path: Path) -> None:
    """All specimens are made from it, so each is refused only for its own defect."""
    _, path = laid_out(tmp_path, "sound.qcow2")
    assert subprocess.run(("qemu-img", "check", "-f", "qcow2", str(path)), check=False).returncode == 0
