"""Verbs between a volume and a file or a pipe: import, export. ``-`` is standard input, or standard output."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from lvmqcow.cli.common import add_plan_options, layer_target, open_storage, perform, target
from lvmqcow.cli.output import Output, writing
from lvmqcow.cli.verbs import Verbs
from lvmqcow.core.names import Format, VolumeName
from lvmqcow.core.sizing import parse_size
from lvmqcow.engine.exports import free_path, whole_file
from lvmqcow.engine.imports import begun, inspect, is_cd, read_size, spooled
from lvmqcow.errors import InvalidSize, NotPossible, SourceNotFound
from lvmqcow.formats import SourceFormat
from lvmqcow.operations import Export, ExportStream, Import, ImportStream, StreamFormat

__all__ = ["add_verbs"]

_STDIN: Final = 0
_STDOUT: Final = 1
_STREAM: Final = "-"
_SOURCE_FORMATS: Final = (*SourceFormat, StreamFormat.RAW_SIZE)
_FORMATS: Final = (*Format, StreamFormat.RAW_SIZE)


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module."""
    take_in = verbs.add_parser(
        "import",
        help="create a volume from an image file or from standard input",
        more="lvmqcow reads the header of an image before qemu-img may open the image. import refuses an image that "
        "names other files, an encrypted image, and an image that is damaged or cut short. import also refuses a file "
        "that looks like an image, an archive or a compressed file, unless --source-format or the name of the file "
        "says what the file is.",
    )
    take_in.add_argument("file", metavar="FILE|-", type=Path, help="the file to read, or - for standard input")
    take_in.add_argument(
        "volume", metavar="VG/VOLUME", help="the new volume; the name decides its format (qcow2 if it ends in .qcow2)"
    )
    take_in.add_argument(
        "--source-format",
        choices=_SOURCE_FORMATS,
        help="the format of FILE. vpc: VHD; raw: any bytes; raw+size: 8 bytes with the size, then raw (default: qcow2 "
        "if the name of FILE ends in .qcow2, else raw; without this option, a file that looks like another format is "
        "refused)",
    )
    take_in.add_argument(
        "--size",
        help="the size of a raw stream on standard input, which does not say its size; a stream that is shorter or "
        "longer is an error",
    )
    add_plan_options(take_in)
    take_in.set_defaults(run=_import)

    export = verbs.add_parser(
        "export",
        help="write a volume or a snapshot to a file or to standard output",
        more="FILE gets what a guest reads. FILE appears only when it is complete. A volume that is in use is "
        "refused; a snapshot can be exported while a guest runs on its volume.",
    )
    export.add_argument("source", metavar="VG/VOLUME[@SNAPSHOT]", help="the volume or snapshot to export")
    export.add_argument("file", metavar="FILE|-", type=Path, help="the file to write, or - for standard output")
    export.add_argument(
        "--format",
        choices=_FORMATS,
        help="the format of FILE. raw+size: 8 bytes with the size, then raw (default: qcow2 if the name of FILE ends "
        "in .qcow2, else raw)",
    )
    export.add_argument("--force", action="store_true", help="replace FILE if it exists, once the new file is complete")
    add_plan_options(export)
    export.set_defaults(run=_export)
    for parser in (take_in, export):
        parser.add_argument(
            "--spool",
            type=Path,
            default=Path("/var/tmp"),
            metavar="DIRECTORY",
            help="where to keep a temporary copy of an image that comes from, or goes to, a pipe and is not raw "
            "(default: %(default)s)",
        )


def _import(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = target(arguments.volume)
    with ExitStack() as opened:
        return perform(arguments, vg, _import_request(arguments, volume, opened, output), output)


def _import_request(
    arguments: argparse.Namespace, volume: VolumeName, opened: ExitStack, output: Output
) -> Import | ImportStream:
    declared, piped = arguments.source_format, str(arguments.file) == _STREAM
    raw_stream = piped and declared in (None, Format.RAW)
    if arguments.size and not raw_stream:
        raise InvalidSize(arguments.size, "the file, or the stream itself, says how large it is: leave --size out")
    if raw_stream:
        if not arguments.size:
            raise InvalidSize("", "a raw stream does not say how large it is: give --size")
        said = declared is not None or arguments.dry_run  # a dry run reads nothing of what it is about
        return ImportStream(volume, parse_size(arguments.size), _STDIN, b"" if said else begun(_STDIN, volume))
    if declared == StreamFormat.RAW_SIZE:
        stream = _STDIN if piped else _opened(arguments.file, opened)
        return ImportStream(volume, read_size(stream), stream)
    source = opened.enter_context(spooled(_STDIN, arguments.spool)) if piped else arguments.file
    shown = _STREAM if piped else None
    request = inspect(source, volume, SourceFormat(declared) if declared else None, shown)
    if request.source_format is SourceFormat.RAW and is_cd(source):
        output.say(f"{arguments.file} is the image of a CD: the guest gets it as a disk")
    return request


def _opened(path: Path, opened: ExitStack) -> int:
    try:
        return opened.enter_context(path.open("rb", buffering=0)).fileno()
    except OSError as error:
        raise SourceNotFound(str(path), error.strerror or str(error)) from error


def _export(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume, snapshot = layer_target(arguments.source)
    chosen = arguments.format or (Format.QCOW2 if arguments.file.suffix == ".qcow2" else Format.RAW)
    if str(arguments.file) == _STREAM:
        if os.isatty(_STDOUT) and not arguments.dry_run:
            raise NotPossible("standard output", "it is a terminal", "redirect it, or name a file")
        if chosen == Format.QCOW2:
            return _export_spooled(arguments, vg, volume, snapshot, output)
        return _send(arguments, vg, ExportStream(volume, snapshot, _STDOUT, StreamFormat(chosen)), output)
    if arguments.dry_run:
        path = free_path(arguments.file, arguments.force)
        return perform(arguments, vg, Export(volume, snapshot, str(path), Format(chosen)), output)
    with whole_file(arguments.file, arguments.force) as partial:
        if chosen != StreamFormat.RAW_SIZE:
            return perform(arguments, vg, Export(volume, snapshot, str(partial), Format(chosen)), output)
        with partial.open("wb", buffering=0) as file:
            request = ExportStream(volume, snapshot, file.fileno(), StreamFormat.RAW_SIZE)
            return perform(arguments, vg, request, output)


def _export_spooled(
    arguments: argparse.Namespace, vg: str, volume: VolumeName, snapshot: str | None, output: Output
) -> int:
    """qemu-img cannot write an image to a pipe."""
    with ExitStack() as spool:
        try:
            made = tempfile.TemporaryDirectory(prefix="lvmqcow-", dir=arguments.spool, ignore_cleanup_errors=True)
        except OSError as error:
            reason = f"nothing can be written there: {error.strerror or error}"
            raise NotPossible(str(arguments.spool), reason, "name another directory with --spool") from error
        path = Path(spool.enter_context(made)) / "image.qcow2"
        status = _send(arguments, vg, Export(volume, snapshot, str(path), Format.QCOW2), output)
        if not arguments.dry_run:
            with writing(), path.open("rb") as image, os.fdopen(_STDOUT, "wb", closefd=False) as stream:
                shutil.copyfileobj(image, stream, 1024**2)
        return status


def _send(arguments: argparse.Namespace, vg: str, request: Export | ExportStream, output: Output) -> int:
    """As `perform`, for a request whose data is what goes to standard output."""
    with open_storage(arguments, vg, output) as storage:
        if arguments.dry_run:
            output.commands(storage.plan(request))
        else:
            plan = storage.apply(request)
            output.say(f"{plan.operation} of {plan.target} done")
    return 0
