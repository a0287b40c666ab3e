"""Which kernel the lab boots, and what version it is."""

from __future__ import annotations

from pathlib import Path

from lvmqcow.lab.kernels import KERNELS, LEAST_WITH_AMX, Kernel, installed_kernel, version_of


def saying(path: Path, text: str) -> Kernel:
    """A program that answers with that."""
    path.write_text(f"#!/bin/sh\necho '{text}'\n")
    path.chmod(0o755)
    return Kernel(path, path.parent)


def test_the_administrators_own_kernel_comes_before_the_distributions(tmp_path: Path) -> None:
    local, packaged = saying(tmp_path / "local", "7.2.7"), saying(tmp_path / "packaged", "6.1.176")
    assert installed_kernel((local, packaged)) == local
    local.program.chmod(0o644)
    assert installed_kernel((local, packaged)) == packaged
    assert installed_kernel(()) is None
    assert [kernel.program.parts[2] for kernel in KERNELS] == ["local", "bin"]


def test_a_version_is_compared_by_its_numbers(tmp_path: Path) -> None:
    assert version_of(saying(tmp_path / "new", "7.12.1")) == (7, 12) > LEAST_WITH_AMX
    assert version_of(saying(tmp_path / "old", "6.12.48")) < LEAST_WITH_AMX
    assert version_of(saying(tmp_path / "mute", "")) == ()
