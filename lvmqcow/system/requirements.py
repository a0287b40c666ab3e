"""What lvmqcow requires of the machine, and the error that names what is missing.

Recovery is often needed on a machine that lacks memory, space or a directory. So if the operating system refuses
something, the user gets an error of `lvmqcow.errors` with the reason and an advice, not a traceback.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from lvmqcow.errors import UnfitMachine

__all__ = [
    "command_environment",
    "find_tool",
    "require_device_mapper",
    "require_temporary_directory",
    "require_tools",
    "required",
    "root_path",
    "starting",
]

_PACKAGES: Final = {
    "blkdiscard": "util-linux",
    "dmsetup": "dmsetup",
    "losetup": "mount",
    "lvm": "lvm2",
    "prlimit": "util-linux",
    "qemu-img": "qemu-utils",
    "qemu-nbd": "qemu-utils",
}
_ROOT_DIRECTORIES: Final = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_MISC_DEVICES: Final = Path("/proc/misc")
_DRIVER: Final = "device-mapper"


def root_path(caller: Mapping[str, str]) -> str:
    """Return the caller's PATH and the directories of root's tools, which the PATH of cron or of a user may lack."""
    directories = [*caller.get("PATH", "").split(":"), *_ROOT_DIRECTORIES]
    return ":".join(dict.fromkeys(filter(None, directories)))


def command_environment() -> dict[str, str]:
    """Return the environment of every command: this process's, with the locale C and root's tools in PATH."""
    return {**os.environ, "LC_ALL": "C", "PATH": root_path(os.environ)}


def find_tool(name: str) -> str | None:
    """Return the path of a tool, as a command with that environment finds it; None if it is not installed."""
    return shutil.which(name, path=root_path(os.environ))


@contextmanager
def required(what: str, advice: str) -> Iterator[None]:
    """Turn an OSError of the block into UnfitMachine. ``what`` says what failed."""
    try:
        yield
    except OSError as error:
        raise UnfitMachine(f"{what}: {error.strerror or error}", advice) from error


@contextmanager
def starting(argv: Sequence[str]) -> Iterator[None]:
    """Turn an OSError of the block, which starts the command ``argv``, into UnfitMachine."""
    tool = Path(argv[0]).name
    try:
        yield
    except FileNotFoundError as error:
        raise _missing(tool) from error
    except OSError as error:
        advice = "free memory, processes or open files (`ulimit -a`), then try again"
        raise UnfitMachine(f"{tool} cannot be started: {error.strerror or error}", advice) from error


def require_tools(commands: Iterable[Sequence[str]]) -> None:
    """Check that these commands are installed and executable. Raises UnfitMachine."""
    for tool in sorted({argv[0] for argv in commands}):
        if find_tool(tool) is None:
            raise _missing(tool)


def require_temporary_directory() -> None:
    """Check that a directory for temporary files is writable. Raises UnfitMachine."""
    with required("no temporary directory can be written", "make /tmp writable, or name a directory with TMPDIR"):
        tempfile.gettempdir()


def require_device_mapper() -> None:
    """Check that the kernel has device-mapper, without which no LV can be activated. Raises UnfitMachine.

    The kernel loads the driver when its device is first opened. So if the driver is not there yet, dmsetup opens it.
    """
    with suppress(OSError):  # dmsetup tells it then
        if _DRIVER in _MISC_DEVICES.read_text().split():
            return
    argv = ("dmsetup", "version")
    with starting(argv):
        tried = subprocess.run(
            argv, env=command_environment(), stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    if tried.returncode:
        raise UnfitMachine(
            "this kernel has no device-mapper, so no logical volume can be used",
            "load it (`modprobe dm-mod`), or use the lab, a virtual machine that has it (`lvmqcow lab run`)",
        )


def _missing(tool: str) -> UnfitMachine:
    package = _PACKAGES.get(tool)
    advice = f"install {package} (`apt-get install {package}`)" if package else "install it, or correct PATH"
    return UnfitMachine(f"{tool} is missing", advice)
