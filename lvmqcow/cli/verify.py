"""The verb that judges an implementation: verify."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lvmqcow.cli.output import Output
from lvmqcow.cli.verbs import Verbs
from lvmqcow.errors import InvalidRequest

if TYPE_CHECKING:
    from lvmqcow.testing.verify.run import Asked

__all__ = ["add_verbs", "seconds"]

_UNITS = {"s": 1, "m": 60, "h": 3600}


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module."""
    verify = verbs.add_parser(
        "verify",
        help="prove that this machine, or another implementation, loses nothing",
        more="verify makes volume groups of its own on sparse files and touches no other. It runs suites of random "
        "operations, cuts, kills and faults, and compares every byte. Where this machine has no device-mapper, real "
        "volume groups are made in the lab. A suite that cannot run here is reported as not proved. Exit status: 0 if "
        "everything held, 1 if something was lost, 16 if nothing could be run.",
    )
    verify.add_argument(
        "--budget", type=seconds, default=600.0, metavar="TIME", help="how long: 90s, 10m, 2h (default: 10m)"
    )
    verify.add_argument("--seed", type=int, default=0, metavar="N", help="of all random choices (default: 0)")
    verify.add_argument("--jobs", type=_jobs, default=1, metavar="N", help="processes side by side (default: 1)")
    verify.add_argument("--suite", nargs="+", default=[], metavar="NAME", help="run only these suites (default: all)")
    verify.add_argument("--on", choices=("real", "simulated"), help="run only suites in this place (default: both)")
    verify.add_argument("--only", metavar="TRIAL", help="run one trial of one suite; a finding names it")
    verify.add_argument("--here", action="store_true", help="make real volume groups on this machine, not in the lab")
    verify.add_argument("--replay", type=Path, metavar="FILE", help="run the sequence of a trace instead of the suites")
    verify.add_argument("--specimen", metavar="NAME", help="judge lvmqcow with this historic defect put back")
    verify.add_argument("--driver", metavar="COMMAND", help="judge this program, which speaks the driver protocol")
    verify.add_argument("--html", type=Path, metavar="FILE", help="write a page for people")
    verify.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML for a CI system")
    verify.add_argument("--json", type=Path, dest="json_file", metavar="FILE", help="write the verdict as JSON")
    verify.add_argument("--list", action="store_true", help="list the suites and the specimens, and run nothing")
    verify.set_defaults(run=_verify, json=False, verbose=False)


def seconds(written: str) -> float:
    """Return the seconds of ``90s``, ``10m`` or ``2h``; a number alone means seconds."""
    number, unit = (written[:-1], written[-1]) if written[-1:] in _UNITS else (written, "s")
    try:
        value = float(number) * _UNITS[unit]
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{written!r} is not a time such as 90s, 10m or 2h")
    return value


def _jobs(written: str) -> int:
    if not written.isdecimal() or int(written) < 1:
        raise argparse.ArgumentTypeError(f"{written!r} is not a number of processes")
    return int(written)


def _verify(arguments: argparse.Namespace, output: Output) -> int:
    # the harness is large, and no other verb needs it
    from lvmqcow.testing.report.html.page import write_html
    from lvmqcow.testing.report.json_report import write_json
    from lvmqcow.testing.report.junit import write_junit
    from lvmqcow.testing.report.text import text
    from lvmqcow.testing.verify.listing import listing
    from lvmqcow.testing.verify.run import verify

    if arguments.list:
        output.data({}, listing())
        return 0
    _require_writable([path for path in (arguments.html, arguments.junit, arguments.json_file) if path])
    progress = _Progress(output)
    verdict = verify(_asked(arguments), progress.show)
    progress.end()
    for path, write in (
        (arguments.html, write_html),
        (arguments.junit, write_junit),
        (arguments.json_file, write_json),
    ):
        if path:
            write(verdict, path)
    output.data({}, text(verdict).rstrip("\n"))
    return verdict.exit_status


def _asked(arguments: argparse.Namespace) -> Asked:
    from lvmqcow.testing.conformance.suite import Place
    from lvmqcow.testing.verify.run import Asked

    return Asked(
        suites=tuple(arguments.suite),
        place=Place(arguments.on) if arguments.on else None,
        budget_seconds=arguments.budget,
        seed=arguments.seed,
        jobs=arguments.jobs,
        only=arguments.only,
        specimen=arguments.specimen,
        driver=arguments.driver,
        here=arguments.here,
        replay=arguments.replay,
        command=shlex.join(["lvmqcow", *sys.argv[1:]]),
    )


def _require_writable(paths: Sequence[Path]) -> None:
    """Find out now, not after the whole budget, that a report cannot be written."""
    for path in paths:
        try:
            path.open("ab").close()
        except OSError as error:
            raise InvalidRequest(f"{path} cannot be written: {error.strerror}") from error


class _Progress:
    """Shows the trial that runs: on a terminal, in one line."""

    def __init__(self, output: Output) -> None:
        self._shown = sys.stderr.isatty() and not output.as_json

    def show(self, trial: str) -> None:
        if self._shown:
            print(f"\r\x1b[K{trial[:76]}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
