"""Run qemu-img: commands with progress, and commands that print JSON.

Every command names the format of every image, so qemu-img never probes it. The locale is C, and no shell is used.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from lvmqcow.core.images import FileCheck, ImageCheck, MergeCost
from lvmqcow.core.qcow2 import OURS, ImageOptions
from lvmqcow.errors import CommandFailed, NotPossible
from lvmqcow.formats import SourceFormat
from lvmqcow.steps.limits import READING, Limits
from lvmqcow.system.callbacks import Progress, Trace
from lvmqcow.system.requirements import command_environment, require_tools, starting
from lvmqcow.system.signals import deferred
from lvmqcow.system.stderr_pipe import stderr_pipe
from lvmqcow.system.udev import without_udev

__all__ = ["QemuImg"]


_PERCENT = re.compile(rb"\((\d+\.\d+)/100%\)")


_CHECKED = (0, 2, 3)  # qemu-img(1): 0 clean, 2 corrupt, 3 leaked clusters; 1 check failed, 63 not supported


_CAN_BE_CHECKED = tuple(each for each in SourceFormat if each not in (SourceFormat.RAW, SourceFormat.VPC))


# how Popen reports that the time limit was reached, or that glib could not allocate memory
_LIMIT_HIT = tuple(-number for number in (signal.SIGXCPU, signal.SIGKILL, signal.SIGABRT, signal.SIGTRAP))


class QemuImg:
    """Runs qemu-img. Raises UnfitMachine if qemu-img is not installed."""

    def __init__(self, trace: Trace | None = None, reading: Limits = READING) -> None:
        """``reading`` limits memory and time of qemu-img while it checks a file from outside."""
        require_tools([("qemu-img",)])
        self._trace = trace
        self._reading = reading
        # the malloc arena of each thread reserves 64 MiB of address space, which counts against the limits
        self._environment = {**command_environment(), **without_udev(), "MALLOC_ARENA_MAX": "2"}
        self._measured: dict[tuple[int, ImageOptions], int] = {}

    def run(self, argv: Sequence[str], progress: Progress | None = None) -> None:
        """Run the command of a step.

        The command inherits the lock of the volume. If this process is killed, the lock holds until the command ends.

        Raises:
            CommandFailed: the command failed; with its stderr.
            UnfitMachine: the command could not be started.
            KeyboardInterrupt: Ctrl-C was pressed. The command has been stopped.
        """
        if self._trace is not None:
            self._trace(argv)
        with stderr_pipe() as stderr:
            process: subprocess.Popen[bytes] | None = None
            try:
                with deferred(), starting(argv):
                    process = subprocess.Popen(
                        argv,
                        env=self._environment,
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=stderr.fileno(),
                        close_fds=False,
                        start_new_session=True,
                    )
                _follow(process, progress)
            except KeyboardInterrupt:
                if process:
                    process.terminate()
                    process.wait()
                raise
            if process.returncode:
                raise CommandFailed(argv, process.returncode, stderr.text())

    def measure(self, virtual_size_bytes: int, options: ImageOptions = OURS) -> int:
        """Return the bytes of a fully allocated image. qemu-img is asked once for each size with each options."""
        asked = (virtual_size_bytes, options)
        if asked not in self._measured:
            argv = ("qemu-img", "measure", "--output=json", "-O", "qcow2", "-o", str(options))
            document = self._json((*argv, "--size", str(virtual_size_bytes)))
            self._measured[asked] = int(cast(int, document["fully-allocated"]))
        return self._measured[asked]

    def check(self, path: str, cluster_size_bytes: int) -> ImageCheck:
        """Check a qcow2 image. With ``-U`` a running guest may have the image open.

        Raises:
            CommandFailed: qemu-img could not read it as a qcow2 image.
        """
        argv = ("qemu-img", "check", "-U", "-f", "qcow2", "--output=json", path)
        return self._checked(argv, cluster_size_bytes)

    def check_file(self, path: str, source_format: SourceFormat) -> FileCheck:
        """Check a file that is to be imported, within limits. Its header must have been inspected before.

        Raises:
            CommandFailed: qemu-img could not read it as that format.
            NotPossible: the check needs more memory or time than the limits allow.
        """
        look = (*self._reading.argv, "qemu-img")
        asked = ("-f", source_format.value, "--output=json", path)
        try:
            size_bytes = int(cast(int, self._json((*look, "info", *asked))["virtual-size"]))
            if source_format not in _CAN_BE_CHECKED:
                return FileCheck(size_bytes, corruptions=0)
            found = cast(Mapping[str, int], self._json((*look, "check", *asked), accepted=_CHECKED))
            corruptions, file_bytes = _corruptions(found), _size_bytes(path)
            if corruptions or found.get("image-end-offset", 0) <= file_bytes:
                return FileCheck(size_bytes, corruptions)
            return FileCheck(size_bytes, corruptions, self._data_end((*look, "map", *asked)) > file_bytes)
        except CommandFailed as failed:
            if failed.status in _LIMIT_HIT or os.strerror(errno.ENOMEM) in failed.stderr:
                reason = f"qemu-img needs more than {self._reading} to check the file"
                convert = f"qemu-img convert -f {source_format} -O qcow2"
                advice = f"if you trust the file, make a simpler copy ({convert}) and import that"
                raise NotPossible(path, reason, advice) from failed
            raise

    def merge_cost(self, child_path: str) -> MergeCost:
        """Return how many bytes a merge of a child with its parent would move, from ``qemu-img map`` of the child.

        The map is read line by line, because the map of a large, scattered image does not fit in memory.
        """
        pull = push = 0
        for extent in self._extents(("qemu-img", "map", "-f", "qcow2", "--output=json", child_path)):
            if extent["present"] and extent["depth"] == 0:
                push += extent["length"]
            elif extent["present"] and extent["depth"] == 1:
                pull += extent["length"]
        return MergeCost(pull_bytes=pull, push_bytes=push)

    def _data_end(self, argv: Sequence[str]) -> int:
        """Return where the data of a disk ends in its file, in bytes. The last cluster may be used only in part."""
        data = (extent for extent in self._extents(argv) if extent["data"] and "offset" in extent)
        return max((extent["offset"] + extent["length"] for extent in data), default=0)

    def _extents(self, argv: Sequence[str]) -> Iterator[Mapping[str, int]]:
        """Yield the extents that ``qemu-img map`` prints."""
        if self._trace is not None:
            self._trace(argv)
        with stderr_pipe() as stderr:
            with starting(argv):
                process = subprocess.Popen(argv, env=self._environment, stdout=subprocess.PIPE, stderr=stderr.fileno())
            with process:
                assert process.stdout is not None  # Popen was asked for a pipe
                for line in process.stdout:
                    if text := line.strip(b"[],\n "):
                        yield json.loads(text)
            if process.returncode:
                raise CommandFailed(argv, process.returncode, stderr.text())

    def _checked(self, argv: Sequence[str], cluster_size_bytes: int) -> ImageCheck:
        clusters = cast(Mapping[str, int], self._json(argv, accepted=_CHECKED))
        return ImageCheck(
            corruptions=_corruptions(clusters),
            leaked_clusters=clusters.get("leaks", 0),
            allocated_bytes=clusters.get("allocated-clusters", 0) * cluster_size_bytes,
        )

    def _json(self, argv: Sequence[str], accepted: Sequence[int] = (0,)) -> Mapping[str, object]:
        if self._trace is not None:
            self._trace(argv)
        with starting(argv):
            process = subprocess.Popen(
                argv,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        with process:
            out, err = process.communicate()
        if process.returncode not in accepted:
            raise CommandFailed(argv, process.returncode, err.decode(errors="replace"))
        return cast(Mapping[str, object], json.loads(out))


def _corruptions(found: Mapping[str, int]) -> int:
    """Return the corruptions that ``qemu-img check`` counted, including errors of the check itself."""
    return found.get("corruptions", 0) + found.get("check-errors", 0)


def _size_bytes(path: str) -> int:
    """Return the size of a file or a block device. Raises CommandFailed."""
    try:
        with open(path, "rb") as file:
            return file.seek(0, os.SEEK_END)
    except OSError as error:
        raise CommandFailed(("stat", path), error.errno or 1, error.strerror or str(error)) from error


def _follow(process: subprocess.Popen[bytes], progress: Progress | None) -> None:
    """Read the percentages that ``-p`` prints until the command ends."""
    assert process.stdout is not None  # Popen was asked for a pipe
    with process.stdout as pipe:
        while text := os.read(pipe.fileno(), 4096):
            found = _PERCENT.findall(text)
            if progress is not None and found:
                progress(float(found[-1]))
    process.wait()
