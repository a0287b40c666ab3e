"""The verbs as a person meets them: listed in groups, and the nearest one where one is mistyped."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import NoReturn

__all__ = ["VERB", "Parser", "Verbs", "nearest", "sentences"]

VERB = "VERB"
"""What the usage calls the place of a verb."""

# the words of argparse; it says nothing else of a choice that is none
_NO_VERB = re.compile(rf"argument {VERB}: invalid choice: '(.*?)' \(choose from (.*)\)", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """Names the nearest verb where one is mistyped. Its sub-parsers do too."""

    verb_groups: Mapping[str, Mapping[str, str]] = MappingProxyType({})
    """The verbs in the groups of the help: title, verb, and what the verb does in one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and exit with status 2."""
        mistyped = _NO_VERB.fullmatch(message)
        if mistyped is None:
            super().error(message)
        close = nearest(mistyped[1], re.findall(r"[\w-]+", mistyped[2]))
        meant = f": did you mean {' or '.join(close)}?" if close else ""
        super().error(f"no verb {mistyped[1]!r}{meant} (`{self.prog} --help` lists all)")


class Verbs:
    """The verbs of a command line, and the groups in which the help lists them."""

    def __init__(self, parser: Parser, dest: str) -> None:
        """``dest`` is where what is parsed has the verb."""
        self._verbs: argparse._SubParsersAction[Parser] = parser.add_subparsers(
            dest=dest, metavar=VERB, required=True, prog=parser.prog, help=argparse.SUPPRESS
        )
        self._groups: dict[str, dict[str, str]] = {}
        parser.verb_groups = self._groups
        self._group = ""

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """The verbs that are added within are listed under this title."""
        self._group = title
        yield
        self._group = ""

    def add_parser(self, name: str, *, help: str, more: str = "") -> argparse.ArgumentParser:
        """Add a verb, and return its parser.

        ``help`` says in one line what the verb does. ``more`` goes on from there, in whole sentences.
        """
        self._groups.setdefault(self._group, {})[name] = help
        return self._verbs.add_parser(name, help=help, description=sentences(help, more))

    def listed(self) -> str:
        """All groups with their verbs, for the help."""
        width = max(len(name) for verbs in self._groups.values() for name in verbs) + 2
        blocks = (
            f"{title}:\n" + "".join(f"  {name:{width}}{text}\n" for name, text in verbs.items())
            for title, verbs in self._groups.items()
        )
        return "\n".join(blocks)


def sentences(help: str, more: str = "") -> str:
    """The description of a verb: its line of help as a sentence, then the rest."""
    return f"{help[:1].upper()}{help[1:]}. {more}".rstrip()


def nearest(word: str, verbs: Sequence[str]) -> list[str]:
    """The verb that somebody who typed ``word`` may have meant; all that begin so, where none is near."""
    return difflib.get_close_matches(word, verbs, n=1) or [verb for verb in verbs if word and verb.startswith(word)]
