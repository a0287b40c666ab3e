"""The command line of the lab: `lvmqcow lab run|doctor`, `ci/lab`, `python3 -m lvmqcow.lab`.

`run` exits with the status of the command, or with 125 if the lab itself failed. `doctor` exits
with 0 if a lab can run here, else with 1.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from . import diagnose, lab_kind, probe
from .doctor import Finding, Status, verdict
from .errors import LabError
from .launch import DEFAULT_MEMORY_BYTES, run

__all__ = ["LAB_FAILED", "add_parsers", "execute", "main"]

LAB_FAILED = 125
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands `run` and `doctor` to a parser. `execute` takes the parsed arguments."""
    run_parser = subparsers.add_parser(
        "run",
        help="run a command as root under a kernel with device-mapper and loop devices",
        usage="%(prog)s [--memory SIZE] [--disk FILE]... -- COMMAND [ARGUMENT]...",
    )
    run_parser.add_argument(
        "--memory",
        metavar="SIZE",
        dest="memory_bytes",
        type=parse_size,
        default=DEFAULT_MEMORY_BYTES,
        help="of the lab's kernel, where it has one of its own: 512M, 2G (default: 2G)",
    )
    run_parser.add_argument(
        "--disk",
        metavar="FILE",
        dest="disks",
        type=Path,
        action="append",
        default=[],
        help="a file that is a disk inside; LVMQCOW_LAB_DISKS names the devices; two labs may share one",
    )
    run_parser.add_argument("command", nargs="+", metavar="COMMAND", help="after a --")
    doctor_parser = subparsers.add_parser(
        "doctor", help="what this machine has and lacks for a lab, and how to mend it"
    )
    doctor_parser.add_argument("--json", action="store_true", help="for programs to read")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and execute; returns the exit status."""
    parser = argparse.ArgumentParser(prog="lvmqcow lab", description=__doc__.splitlines()[0])
    add_parsers(parser.add_subparsers(dest="verb", required=True))
    return execute(parser.parse_args(argv))


def execute(arguments: argparse.Namespace) -> int:
    """Run the parsed subcommand; returns the exit status."""
    if arguments.verb == "doctor":
        return _doctor(arguments.json)
    try:
        return run(arguments.command, memory_bytes=arguments.memory_bytes, disks=arguments.disks)
    except LabError as error:
        print(f"lvmqcow lab: {error}", file=sys.stderr)
        return LAB_FAILED
    except KeyboardInterrupt:  # before there was a lab to pass it on to
        return 128 + signal.SIGINT


def parse_size(text: str) -> int:
    """ "512M" -> bytes."""
    match = re.fullmatch(r"(\d+)([KMG]?)", text.upper())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 512M or 2G")
    return int(match[1]) * _UNITS[match[2]]


def _doctor(as_json: bool) -> int:
    machine = probe()
    findings = diagnose(machine)
    if as_json:
        print(json.dumps(_report(findings, lab_kind(machine)), indent=2))
    else:
        for finding in findings:
            print(f"{finding.status.value:8}{finding.check:18}{finding.text}")
            if finding.status is not Status.OK:
                print(f"{'':26}-> {finding.mend}")
        print(verdict(machine))
    return 0 if lab_kind(machine) else 1


def _report(findings: Sequence[Finding], kind: str | None) -> dict[str, object]:
    listed = [{**vars(finding), "status": finding.status.value} for finding in findings]
    return {"lab": kind, "findings": listed}
