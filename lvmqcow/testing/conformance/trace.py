"""Traces: a sequence of actions as JSON lines, which can be replayed.

The first line is the header: the seed, the layout, the world and the versions. Each line after it is one action: its
kind as ``op``, and its fields. A line of an action is also what a driver is sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import UnionType
from typing import Final, cast, get_args, get_origin, get_type_hints

from lvmqcow.core.names import Layout
from lvmqcow.errors import InvalidRequest
from lvmqcow.testing.conformance.actions import KINDS, Action
from lvmqcow.testing.conformance.verdict import Json
from lvmqcow.testing.content import Write

__all__ = ["Trace", "from_document", "parse_trace", "to_document", "to_line"]

_OP: Final = "op"
_FORMAT: Final = 1


@dataclass(frozen=True)
class Trace:
    """A sequence that can be replayed."""

    actions: tuple[Action, ...]
    layout: Layout = Layout.RFC
    seed: int = 0
    world: str = "simulated"
    subject: str = "lvmqcow"
    versions: Mapping[str, str] = field(default_factory=dict)

    def documents(self) -> tuple[Mapping[str, Json], ...]:
        """Return the lines as JSON objects."""
        header: dict[str, Json] = {
            "trace": _FORMAT,
            "subject": self.subject,
            "world": self.world,
            "layout": self.layout.value,
            "seed": self.seed,
            "versions": dict(self.versions),
        }
        return (header, *(to_document(action) for action in self.actions))

    def lines(self) -> str:
        """Return the trace as it stands in a file."""
        return "".join(f"{json.dumps(document)}\n" for document in self.documents())


def to_document(action: Action) -> dict[str, Json]:
    """Return an action as a JSON object. A field that is None is left out."""
    values = {name: _value(value) for name, value in vars(action).items()}
    return {_OP: action.kind, **{name: value for name, value in values.items() if value is not None}}


def to_line(action: Action) -> str:
    """Return an action as one line."""
    return json.dumps(to_document(action))


def from_document(document: Mapping[str, Json]) -> Action:
    """Return the action of a JSON object.

    Raises:
        InvalidRequest: it is none.
    """
    kind = KINDS.get(str(document.get(_OP)))
    if kind is None:
        raise InvalidRequest(f"no action is called {document.get(_OP)!r}; there are {', '.join(KINDS)}")
    hints = get_type_hints(kind)
    given: dict[str, Json] = {name: None for name, hint in hints.items() if type(None) in get_args(hint)}
    given |= {name: value for name, value in document.items() if name != _OP}
    try:
        return kind(**{name: _parsed(hints[name], value) for name, value in given.items()})
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRequest(f"{json.dumps(dict(document))} is not the action {kind.kind}: {error}") from error


def parse_trace(lines: Iterable[str]) -> Trace:
    """Parse the lines of a trace.

    Raises:
        InvalidRequest: the lines are no trace.
    """
    try:
        documents = [json.loads(line) for line in lines if line.strip()]
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"the trace is not JSON lines: {error}") from error
    if not documents or documents[0].get("trace") != _FORMAT:
        raise InvalidRequest('the trace has no header: its first line must be {"trace": 1, …}')
    header, *rest = documents
    return Trace(
        tuple(from_document(document) for document in rest),
        Layout(header.get("layout", Layout.RFC)),
        header.get("seed", 0),
        header.get("world", "simulated"),
        header.get("subject", "lvmqcow"),
        header.get("versions", {}),
    )


def _value(value: object) -> Json:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return [[write.block, write.count, write.byte] for write in value]
    if type(value) in KINDS.values():
        return to_document(cast("Action", value))
    return cast("Json", value)


def _parsed(hint: object, value: Json) -> object:
    if hint is Action and isinstance(value, dict):
        return from_document(value)
    if hint == tuple[Write, ...]:
        return tuple(Write(*each) for each in _list(value))
    if value is None and type(None) in get_args(hint):
        return None
    options: Sequence[object] = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    for option in options:
        if isinstance(option, type) and issubclass(option, Enum):
            return option(value)
        if isinstance(option, type) and isinstance(value, option):
            return value
    raise TypeError(f"{value!r} is not of the type {hint}")


def _list(value: Json) -> list[list[int]]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list of writes")
    return [[int(str(number)) for number in each] for each in value if isinstance(each, list)]
