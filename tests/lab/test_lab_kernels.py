"""The choice of the kernel that the lab boots, and its version."""

from __future__ import annotations

from pathlib import Path

from lvmqcow.lab.uml.kernels import KERNELS, LEAST_WITH_AMX, Kernel, installed_kernel, version_of


def saying(path: Path, text: str) -> Kernel:
    """A program that prints this text."""
    path.write_text(f"#!/bin/sh\necho '{text}'\n")
    path.chmod(0o755)
    return Kernel(path, path.parent)


def test_local_kernel_is_preferred_to_the_packaged_one(tmp_path: Path) -> None:
    local, packaged = saying(tmp_path / "local", "7.2.7"), saying(tmp_path / "packaged", "6.1.176")
    assert installed_kernel((local, packaged)) == local
    local.program.chmod(0o644)
    assert installed_kernel((local, packaged)) == packaged
    assert installed_kernel(()) is None
    assert [kernel.program.parts[2] for kernel in KERNELS] == ["local", "bin"]


def test_kernel_versions_are_compared_by_number(tmp_path: Path) -> None:
    assert version_of(saying(tmp_path / "new", "7.12.1")) == (7, 12) > LEAST_WITH_AMX
    assert version_of(saying(tmp_path / "old", "6.12.48")) < LEAST_WITH_AMX
    assert version_of(saying(tmp_path / "mute", "")) == ()
