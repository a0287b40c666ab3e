"""Verbs that look for damage and mend it: check, recover."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Final

from lvmqcow.checks.structure import Finding, Severity
from lvmqcow.cli.common import (
    add_accept_option,
    add_dry_run,
    add_storage_options,
    add_wipe_rate_option,
    open_storage,
    vg_or_target,
)
from lvmqcow.cli.output import Output, plan_document
from lvmqcow.cli.verbs import Verbs
from lvmqcow.engine.executor import raise_together
from lvmqcow.errors import Corrupt, LvmqcowError, NotPossible
from lvmqcow.operations import Plan

__all__ = ["STATUS", "add_verbs"]

STATUS: Final = {
    Severity.DAMAGED: Corrupt.exit_status,
    Severity.UNFINISHED: NotPossible.exit_status,
    Severity.REFUSED: NotPossible.exit_status,
    Severity.UNCHECKED: NotPossible.exit_status,
    Severity.WARNING: 1,
    Severity.LEAKED: 1,
    Severity.NOTED: 0,
    Severity.UNMANAGED: 0,
}
"""What `check` exits with for a finding of each severity. With several findings, the largest."""


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module."""
    check = verbs.add_parser(
        "check",
        help="find everything that is wrong with a volume or with a volume group",
        more="check reads the LVM metadata, the headers and the tables of the images. check changes nothing. Without "
        "--activate, check activates nothing, and reports what is inactive as not looked at. Every finding names the "
        "command to run next.",
    )
    check.add_argument("target", metavar="VG[/VOLUME]", help="the volume, or the volume group, to check")
    check.add_argument(
        "--activate",
        action="store_true",
        help="also look at inactive volumes: activate each one, look, and deactivate it again",
    )
    add_storage_options(check)
    check.set_defaults(run=_check)

    recover = verbs.add_parser(
        "recover",
        help="finish or undo interrupted operations",
        more="An operation is interrupted by a power cut, a kill, Ctrl-C, a disk that fails or a full volume group. "
        "recover never removes what could be the only copy of some data: it reports the volume as damaged instead. "
        "--dry-run shows what recover would do.",
    )
    recover.add_argument("target", metavar="VG[/VOLUME]", help="the volume, or the volume group, to recover")
    common = add_storage_options(recover)
    add_dry_run(common)
    add_accept_option(common)
    add_wipe_rate_option(common)
    recover.set_defaults(run=_recover)


def _check(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = vg_or_target(arguments.target)
    with open_storage(arguments, vg, output) as storage:
        look = storage.check_activating if arguments.activate else storage.check
        findings = look(volume.text if volume else None)
    lines = "\n".join(_line(vg, finding) for finding in findings)
    output.data({"findings": [asdict(finding) for finding in findings]}, lines)
    severities = {finding.severity for finding in findings}
    harmless = {Severity.UNMANAGED, Severity.NOTED}
    if severities <= harmless:
        output.say(f"{arguments.target}: nothing is wrong")
    elif severities <= {*harmless, Severity.UNCHECKED}:
        output.say(f"{arguments.target}: nothing wrong was found, and not everything was looked at")
    return max((STATUS[severity] for severity in severities), default=0)


def _recover(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = vg_or_target(arguments.target)
    plans: list[Plan] = []
    errors: list[LvmqcowError] = []
    with open_storage(arguments, vg, output) as storage:
        names = [volume.text] if volume else [name.text for name in storage.picture().recoverable]
        for name in names:
            try:
                plans += [storage.plan_recovery(name)] if arguments.dry_run else storage.recover(name)
            except LvmqcowError as error:  # the others are tried all the same
                errors.append(error)
    plans = [plan for plan in plans if plan.steps]
    if output.as_json:
        output.data({"recovered": [plan_document(plan, arguments.dry_run) for plan in plans]})
    elif arguments.dry_run:
        for plan in plans:
            output.say(f"{plan.target}: {plan.operation}")
            output.commands(plan)
    raise_together(errors)
    if not plans:
        output.say(f"{arguments.target}: nothing was cut, nothing to do")
    return 0


def _line(vg: str, finding: Finding) -> str:
    where = f"{vg}/{finding.lv}" if finding.lv else vg
    return f"{finding.severity.value:10} {where}: {finding.text}; {finding.advice}"
