"""Verbs that look for damage and mend it: check, recover."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Final

from lvmqcow.checks import Finding, Severity
from lvmqcow.cli.common import add_dry_run, add_storage_options, open_storage, vg_or_target
from lvmqcow.cli.output import Output, plan_document
from lvmqcow.errors import Corrupt, NotPossible

__all__ = ["add_verbs"]

_STATUS: Final = {
    Severity.DAMAGED: Corrupt.exit_status,
    Severity.UNFINISHED: NotPossible.exit_status,
    Severity.LEAKED: 1,
}


def add_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs of this module."""
    check = verbs.add_parser("check", help="find everything that is wrong, images included")
    check.add_argument("target", metavar="VG[/VOLUME]")
    add_storage_options(check)
    check.set_defaults(run=_check)

    recover = verbs.add_parser("recover", help="finish or undo what was cut")
    recover.add_argument("target", metavar="VG[/VOLUME]")
    add_storage_options(recover)
    add_dry_run(recover)
    recover.set_defaults(run=_recover)


def _check(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = vg_or_target(arguments.target)
    with open_storage(arguments, vg, output) as storage:
        findings = storage.check(volume.text if volume else None)
    lines = "\n".join(_line(vg, finding) for finding in findings)
    output.data({"findings": [asdict(finding) for finding in findings]}, lines)
    if not findings:
        output.say(f"{arguments.target}: nothing is wrong")
    return max((_STATUS[finding.severity] for finding in findings), default=0)


def _recover(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = vg_or_target(arguments.target)
    with open_storage(arguments, vg, output) as storage:
        if arguments.dry_run:
            names = [volume.text] if volume else [picture.name.text for picture in storage.picture().volumes]
            plans = [plan for name in names if (plan := storage.plan_recovery(name)).steps]
        else:
            plans = list(storage.recover(volume.text if volume else None))
    if output.as_json:
        output.data({"recovered": [plan_document(plan, arguments.dry_run) for plan in plans]})
    elif arguments.dry_run:
        for plan in plans:
            output.say(f"{plan.target}: {plan.operation}")
            output.commands(plan)
    if not plans:
        output.say(f"{arguments.target}: nothing was cut, nothing to do")
    return 0


def _line(vg: str, finding: Finding) -> str:
    return f"{finding.severity.value:10} {vg}/{finding.lv}: {finding.text}; {finding.advice}"
