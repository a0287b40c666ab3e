"""What lvmqcow needs of the machine below it, and the error that says which of it is not there.

A machine that is short of something is where recovery is wanted. So whatever the operating system refuses, a directory,
a process, ``/proc``, is an error of `lvmqcow.errors` with the reason and what to mend, and no traceback.
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
    """The caller's PATH, and then where root's tools are: the PATH of cron, or of an ordinary user, leaves them out."""
    directories = [*caller.get("PATH", "").split(":"), *_ROOT_DIRECTORIES]
    return ":".join(dict.fromkeys(filter(None, directories)))


def command_environment() -> dict[str, str]:
    """The environment of every command: this process's, with messages in plain C, and a PATH that has root's tools."""
    return {**os.environ, "LC_ALL": "C", "PATH": root_path(os.environ)}


def find_tool(name: str) -> str | None:
    """The path of a tool, as a command with that environment finds it; None where it is not installed."""
    return shutil.which(name, path=root_path(os.environ))


@contextmanager
def required(what: str, advice: str) -> Iterator[None]:
    """Raises UnfitMachine where the operating system refuses what is within: ``what`` failed, and why."""
    try:
        yield
    except OSError as error:
        raise UnfitMachine(f"{what}: {error.strerror or error}", advice) from error


@contextmanager
def starting(argv: Sequence[str]) -> Iterator[None]:
    """Raises UnfitMachine where the command that is started within cannot be started."""
    tool = Path(argv[0]).name
    try:
        yield
    except FileNotFoundError as error:
        raise _missing(tool) from error
    except OSError as error:
        advice = "it may lack memory, processes or open files (`ulimit -a`): free some, and ask again"
        raise UnfitMachine(f"{tool} cannot be started: {error.strerror or error}", advice) from error


def require_tools(commands: Iterable[Sequence[str]]) -> None:
    """Raises UnfitMachine: one of these commands is not installed, or may not be executed."""
    for tool in sorted({argv[0] for argv in commands}):
        if find_tool(tool) is None:
            raise _missing(tool)


def require_temporary_directory() -> None:
    """Raises UnfitMachine: there is no directory for temporary files, which TMPDIR names."""
    with required("no temporary directory can be written", "make /tmp writable, or name a directory with TMPDIR"):
        tempfile.gettempdir()


def require_device_mapper() -> None:
    """Raises UnfitMachine: this kernel has no device-mapper, so no LV can be activated.

    The kernel loads the driver when somebody first opens its device. Only where it is not there yet, dmsetup tries.
    """
    with suppress(OSError):  # then dmsetup tells
        if _DRIVER in _MISC_DEVICES.read_text().split():
            return
    argv = ("dmsetup", "version")
    with starting(argv):
        tried = subprocess.run(
            argv, env=command_environment(), stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    if tried.returncode:
        raise UnfitMachine(
            "no device-mapper in this kernel, and no logical volume without it",
            "`lvmqcow lab run` gives a machine that has it; on a machine of your own: modprobe dm-mod",
        )


def _missing(tool: str) -> UnfitMachine:
    package = _PACKAGES.get(tool)
    advice = f"install {package} (`apt-get install {package}`)" if package else "install it, or mend PATH"
    return UnfitMachine(f"{tool} is missing", advice)
