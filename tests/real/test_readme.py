"""The examples in the README work as shown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from lvmqcow.cli import main
from lvmqcow.errors import VolumeGroupNotFound
from lvmqcow.lvm import loopvg

pytestmark = pytest.mark.lvmqcow_real

README = Path(__file__).parents[2] / "README.md"


def sessions() -> Iterator[tuple[str, str]]:
    """Commands after a prompt, with the output shown for each."""
    for block in re.findall(r"^```\n(\$ .*?)^```", README.read_text(), re.MULTILINE | re.DOTALL):
        for entry in block.split("$ ")[1:]:
            command, _, output = entry.partition("\n")
            yield command, output


@pytest.fixture
def _no_vg0() -> Iterator[None]:
    """The session leaves its volume group behind, so remove it."""
    yield
    try:
        loopvg.destroy("vg0")
    except VolumeGroupNotFound:
        return


@pytest.mark.usefixtures("_no_vg0")
def test_session_in_the_readme_is_real(capsys: pytest.CaptureFixture[str]) -> None:
    shown = list(sessions())
    assert len(shown) >= 5
    for command, output in shown:
        assert main(shlex.split(command)[1:]) == 0
        said = capsys.readouterr()
        printed = re.sub(r"/dev/loop\d+", "/dev/loop0", said.out + said.err)
        assert printed == output, command


@pytest.mark.usefixtures("_no_vg0")
def test_library_example_in_the_readme_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    loopvg.create("vg0", 30 * 1024**3, tmp_path / "pv.img")
    exec(compile(code, str(README), "exec"), {})
    assert "/dev/vg0/vm-200-disk-0.qcow2" in capsys.readouterr().out
