"""Write the reference of the command line from its parser: a page of the manual, a man page, completions for shells.

    tox exec -e docs -- python ci/reference.py           write all files
    tox exec -e docs -- python ci/reference.py --check   write nothing; fail if a file is not what would be written

Only the completions need a package, shtab. With the names of other files the script runs without shtab.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lvmqcow.cli.common import COMMON_OPTIONS
from lvmqcow.cli.confirm import DECLINED
from lvmqcow.cli.health import STATUS
from lvmqcow.cli.main import parser
from lvmqcow.errors import CommandFailed, LvmqcowError, NothingChanged, OperationCut
from lvmqcow.lab.cli import LAB_FAILED
from lvmqcow.lvm import loopvg

CHECKOUT: Final = Path(__file__).resolve().parent.parent
SCRIPT: Final = "ci/reference.py"
REGENERATE: Final = f"tox exec -e docs -- python {SCRIPT}"

NAMES: Final = (
    "A volume is named `VG/VOLUME`, for example `vg0/vm-100-disk-0.qcow2`. `/dev/VG/VOLUME` means the same. A volume "
    "whose name ends in `.qcow2` is a qcow2 volume; any other volume is raw. A verb that takes a volume or a snapshot "
    "takes the snapshot as `VG/VOLUME@SNAPSHOT`.",
    "Data goes to stdout, everything else to stderr. lvmqcow needs root, lvm2 and qemu-img.",
)
ENVIRONMENT: Final = {
    "LVMQCOW_WIPE": "the default of `--wipe`",
    "LVMQCOW_WIPE_RATE": "the default of `--wipe-rate`",
}
FILES: Final = {
    "/run/lock/lvmqcow": "the locks, one file for each volume",
    str(loopvg.DEFAULT_DIRECTORY): "the files of the volume groups that `lvmqcow loopvg` creates",
}
STATUS_NOTES: Final = (
    f"`{OperationCut.__name__}` and `{NothingChanged.__name__}` exit with the status of the error that caused them. "
    "The message says whether there is anything to recover.",
    f"A verb that asked before it removed something, and was answered with no, exits with {DECLINED}.",
    f"`lvmqcow lab run` exits with the status of its command, or with {LAB_FAILED} if the lab itself failed.",
    "`lvmqcow check` exits with the largest status among its findings:",
)


@dataclass(frozen=True)
class Argument:
    """An option, or (without names) a positional argument."""

    names: tuple[str, ...]
    value: str
    text: str
    required: bool

    @property
    def shown(self) -> str:
        return " ".join((self.names[-1], self.value) if self.value else self.names[-1:]) if self.names else self.value


@dataclass(frozen=True)
class Verb:
    """One verb, as it is typed: ``loopvg create`` is one."""

    words: str
    text: str
    usage: str
    positionals: tuple[Argument, ...]
    options: tuple[Argument, ...]
    common: tuple[Argument, ...]


@dataclass(frozen=True)
class Row:
    """An exit status: the errors that have it, and what it means."""

    status: int
    errors: tuple[str, ...]
    meaning: str


def groups() -> dict[str, list[Verb]]:
    """All verbs, in the groups of the help."""
    top = parser()
    found = _choices(top)
    return {
        title: [verb for name, text in verbs.items() for verb in _verbs(f"{top.prog} {name}", found[name], text)]
        for title, verbs in top.verb_groups.items()
    }


def common_options(all_verbs: Mapping[str, Sequence[Verb]]) -> list[Argument]:
    """Each of them once, in the order of the help."""
    return list(dict.fromkeys(option for verbs in all_verbs.values() for verb in verbs for option in verb.common))


def examples() -> list[str]:
    """The examples of the help."""
    return re.findall(r"^  (lvmqcow .*)$", parser().epilog or "", re.MULTILINE)


def statuses() -> list[Row]:
    """What the error classes say of exit statuses."""
    kinds = [kind for kind in LvmqcowError.__subclasses__() if kind is not OperationCut]
    rows = [Row(kind.exit_status, tuple(each.__name__ for each in _classes(kind)), _first_line(kind)) for kind in kinds]
    assert CommandFailed.exit_status == LvmqcowError.exit_status  # or that one needs a row of its own
    return [Row(0, (), "Done."), *sorted(rows, key=lambda row: row.status)]


def page() -> str:
    """The page of the manual, in Markdown."""
    verbs = groups()
    return "\n".join(_page(verbs)) + "\n"


def man_page() -> str:
    """The man page, in roff."""
    verbs = groups()
    return "\n".join(_man_page(verbs)) + "\n"


def bash_completion() -> str:
    """What bash-completion loads."""
    return _completion("bash")


def zsh_completion() -> str:
    """What zsh loads from its ``fpath``."""
    return _completion("zsh")


GENERATED: Final[Mapping[str, Callable[[], str]]] = {
    "docs/reference/command-line.md": page,
    "share/man/man1/lvmqcow.1": man_page,
    "share/bash-completion/completions/lvmqcow": bash_completion,
    "share/zsh/site-functions/_lvmqcow": zsh_completion,
}


def _page(verbs: Mapping[str, Sequence[Verb]]) -> Iterator[str]:
    yield from (
        f"<!-- {SCRIPT} makes this page from the parser and the error classes: do not edit it. -->",
        "",
        "# The command line",
        "",
    )
    for paragraph in NAMES:
        yield from (paragraph, "")
    yield from ("```", *examples(), "```", "")
    for title, members in verbs.items():
        yield from (f"## {title.capitalize()}", "")
        for verb in members:
            yield from _verb_section(verb)
    yield from (f"## {COMMON_OPTIONS.capitalize()}", "")
    yield from ("Most verbs take these options. The section of each verb names the ones that it takes.", "")
    yield from _items(common_options(verbs))
    yield from ("## Environment", "")
    yield from (f"- `{name}`: {text}" for name, text in ENVIRONMENT.items())
    yield from ("", "## Files", "")
    yield from (f"- `{name}`: {text}" for name, text in FILES.items())
    yield from ("", "## Exit statuses", "", "| status | error | meaning |", "|---|---|---|")
    for row in statuses():
        yield f"| {row.status} | {', '.join(f'`{error}`' for error in row.errors)} | {row.meaning} |"
    for note in STATUS_NOTES:
        yield from ("", note)
    yield from ("", "| severity of the finding | status |", "|---|---|")
    yield from (f"| {severity.value} | {status} |" for severity, status in STATUS.items())


def _verb_section(verb: Verb) -> Iterator[str]:
    yield from (f"### {verb.words}", "", verb.text, "", "```", verb.usage, "```", "")
    yield from _items([*verb.positionals, *verb.options])
    if verb.common:
        names = ", ".join(f"`{option.names[-1]}`" for option in verb.common)
        anchor = COMMON_OPTIONS.replace(" ", "-")
        yield from (f"[{COMMON_OPTIONS.capitalize()}](#{anchor}): {names}.", "")


def _items(arguments: Sequence[Argument]) -> Iterator[str]:
    for argument in arguments:
        short = "".join(f"`{name}`, " for name in argument.names[:-1])
        yield f"- {short}`{argument.shown}`: {argument.text}"
    if arguments:
        yield ""


def _man_page(verbs: Mapping[str, Sequence[Verb]]) -> Iterator[str]:
    top = parser()
    yield from (
        f'.\\" {SCRIPT} makes this page from the parser and the error classes: do not edit it.',
        '.TH LVMQCOW 1 "" lvmqcow "lvmqcow manual"',
        ".nh",
        ".ad l",
        ".SH NAME",
        rf"{top.prog} \- {_roff((top.description or '').rstrip('.').replace('Manage', 'manage'))}",
        ".SH SYNOPSIS",
        rf".B {top.prog}",
        rf"[{_bold('-h')}] [{_bold('--version')}] {_italic('VERB')} ...",
        ".SH DESCRIPTION",
    )
    for paragraph in NAMES:
        yield from (".PP", _roff(paragraph))
    for title, members in verbs.items():
        yield f".SH {title.upper()}"
        for verb in members:
            yield from (f'.SS "{_plain(verb.words)}"', _roff(verb.text), ".PP", _roff_usage(verb), ".RS")
            yield from _roff_items([*verb.positionals, *verb.options])
            yield ".RE"
            if verb.common:
                names = ", ".join(_bold(option.names[-1]) for option in verb.common)
                yield from (".PP", f"{COMMON_OPTIONS.capitalize()}: {names}.")
    yield f".SH {COMMON_OPTIONS.upper()}"
    yield "Most verbs take these options. The section of each verb names the ones that it takes."
    yield from _roff_items(common_options(verbs))
    for title, named in (("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)):
        yield f".SH {title}"
        for name, text in named.items():
            yield from (".TP", _bold(name), _roff(text))
    yield ".SH EXIT STATUS"
    for row in statuses():
        errors = f" ({', '.join(row.errors)})" if row.errors else ""
        yield from (".TP", _bold(str(row.status)), _roff(f"{row.meaning.rstrip('.')}{errors}."))
    for note in STATUS_NOTES:
        yield from (".PP", _roff(note))
    for severity, status in STATUS.items():
        yield from (".TP", _bold(severity.value), str(status))
    yield from (".SH EXAMPLES", ".EX", *(_plain(example) for example in examples()), ".EE")
    yield from (".SH SEE ALSO", ".BR lvm (8),", ".BR qemu-img (1)")


def _roff_usage(verb: Verb) -> str:
    """The words of the verb in bold; what stands for a value in italics."""
    rest = verb.usage.removeprefix(verb.words)
    return _bold(verb.words) + re.sub(
        r"(?P<option>--?[a-z][a-z-]*)|(?P<value>\{[^}]*\}|[A-Z]+)|(?P<other>[^A-Z{-]+|.)",
        lambda found: _bold(found[0]) if found["option"] else _italic(found[0]) if found["value"] else _plain(found[0]),
        rest,
    )


def _roff_items(arguments: Sequence[Argument]) -> Iterator[str]:
    for argument in arguments:
        value = _italic(argument.value) if argument.value else ""
        names = ", ".join(_bold(name) for name in argument.names)
        yield from (".TP", f"{names} {value}".strip(), _roff(argument.text))


def _roff(text: str) -> str:
    """Running text, with its code in bold."""
    return "".join(
        _bold(part) if code % 2 else re.sub(r"--?[a-z][a-z-]+\b|.", _option_or_plain, part)
        for code, part in enumerate(text.split("`"))
    )


def _option_or_plain(found: re.Match[str]) -> str:
    at_start_of_word = found.start() == 0 or not found.string[found.start() - 1].isalnum()
    return _bold(found[0]) if found[0].startswith("--") and at_start_of_word else _plain(found[0])


def _bold(text: str) -> str:
    return rf"\fB{_plain(text)}\fR"


def _italic(text: str) -> str:
    return rf"\fI{_plain(text)}\fR"


def _plain(text: str) -> str:
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    return re.sub(r"^\.", r"\&.", escaped)


def _completion(shell: str) -> str:
    import shtab

    top = parser()
    for action in _all_actions(top):
        if isinstance(action, argparse._SubParsersAction):
            # shtab leaves out what the help leaves out, and the help of lvmqcow lists the verbs itself
            action.help = "verb"
            for each in action._choices_actions:
                action.choices[each.dest].description = each.help
        elif action.type is Path:
            # the attribute that shtab looks for
            vars(action)["complete"] = shtab.DIRECTORY if action.metavar == "DIRECTORY" else shtab.FILE
    return str(shtab.complete(top, shell)).rstrip("\n") + "\n"


def _all_actions(of: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in of._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _all_actions(each)


def _choices(of: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of its verbs."""
    return {
        name: each
        for action in of._actions
        if isinstance(action, argparse._SubParsersAction)
        for name, each in action.choices.items()
    }


def _verbs(words: str, of: argparse.ArgumentParser, text: str) -> Iterator[Verb]:
    """The verb, and those below it."""
    common = [action for group in of._action_groups if group.title == COMMON_OPTIONS for action in group._group_actions]
    shown = [action for action in of._actions if action.help != argparse.SUPPRESS and action.dest != "help"]
    inner = _choices(of)
    own = [action for action in shown if action not in common and not isinstance(action, argparse._SubParsersAction)]
    yield Verb(
        words,
        of.description or f"{text[:1].upper()}{text[1:]}.",
        of.usage.replace("%(prog)s", words) if of.usage else _usage(words, of, own, bool(inner), bool(common)),
        tuple(_argument(action) for action in own if not action.option_strings),
        tuple(_argument(action) for action in own if action.option_strings),
        tuple(_argument(action) for action in common),
    )
    texts = {
        each.dest: each.help or ""
        for action in of._actions
        if isinstance(action, argparse._SubParsersAction)
        for each in action._choices_actions
    }
    for name, each in inner.items():
        yield from _verbs(f"{words} {name}", each, texts[name])


def _usage(words: str, of: argparse.ArgumentParser, own: list[argparse.Action], inner: bool, common: bool) -> str:
    """Positional arguments first; then the options that must be given, then those that may be."""
    either = [group._group_actions for group in of._mutually_exclusive_groups]
    grouped = [action for group in either for action in group]
    arguments = [_argument(action) for action in own if action not in grouped]
    arguments.sort(key=lambda argument: (bool(argument.names), not argument.required))
    parts = [argument.shown if argument.required else f"[{argument.shown}]" for argument in arguments]
    parts += [f"[{' | '.join(_argument(action).shown for action in group)}]" for group in either]
    return " ".join((words, *parts, *(["VERB ..."] if inner else []), *(["[COMMON OPTION]..."] if common else [])))


def _argument(action: argparse.Action) -> Argument:
    value = ""
    if action.nargs != 0:
        choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices is not None else action.dest.upper()
        value = str(action.metavar or choices)
    required = action.required if action.option_strings else action.nargs != "?"
    text = (action.help or "") % vars(action)
    return Argument(tuple(action.option_strings), value, text, required)


def _classes(base: type[LvmqcowError]) -> Iterator[type[LvmqcowError]]:
    yield base
    for derived in base.__subclasses__():
        yield from _classes(derived)


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def main(argv: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog=SCRIPT, description=(__doc__ or "").splitlines()[0])
    options.add_argument("--check", action="store_true", help="write nothing; fail if a file is not up to date")
    options.add_argument("files", nargs="*", metavar="FILE", help=f"default: {', '.join(GENERATED)}")
    arguments = options.parse_args(argv)
    unknown = set(arguments.files) - set(GENERATED)
    if unknown:
        options.error(f"not generated: {', '.join(sorted(unknown))}")
    stale = []
    for name in arguments.files or GENERATED:
        path, text = CHECKOUT / name, GENERATED[name]()
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if not arguments.check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
    for name in stale:
        print(f"{name}: {f'not up to date; run: {REGENERATE}' if arguments.check else 'written'}")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
