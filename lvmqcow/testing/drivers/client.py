"""A driver as a process: requests go to its stdin, one JSON object a line, and replies come from its stdout.

docs/reference/driver-protocol.md describes the protocol.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from lvmqcow.testing.conformance.violation import Violation

__all__ = ["DriverDied", "DriverProcess", "Refused"]

_VG: Final = "LVMQCOW_DRIVER_VG"
_MOST_SHOWN: Final = 300
_PATIENCE_SECONDS: Final = 180


class Refused(Violation):
    """The driver refused a request, with a reason. Where it must not, that is a finding."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind, self.message = kind, message
        super().__init__(f"the driver refused ({kind}): {message}", "no refusal", kind)


class DriverDied(Violation):
    """The driver ended, or what it answered is no reply."""

    def __init__(self, request: str, why: str) -> None:
        self.request, self.why = request, why
        super().__init__(f"the driver gave no reply to {request}: {why}", "a reply", why)


class DriverProcess:
    """A driver that runs, in a session of its own. `close` ends it with all of its children."""

    def __init__(self, argv: Sequence[str], vg: str, errors: Path) -> None:
        """``errors`` takes what it writes to stderr."""
        self._errors = errors.open("ab")
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, _VG: vg, "LC_ALL": "C"},
            start_new_session=True,
        )

    def ask(self, request: Mapping[str, object]) -> Mapping[str, Any]:
        """Send a request; returns the reply.

        Raises:
            Refused: the driver refused it.
            DriverDied: the driver ended, or its reply is none.
        """
        line = json.dumps(dict(request))
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], _PATIENCE_SECONDS)[0]:
            raise DriverDied(line, f"it said nothing for {_PATIENCE_SECONDS} s")
        answer = self._process.stdout.readline()
        if not answer:
            raise DriverDied(line, f"it ended with status {self._process.wait()}")
        try:
            reply = json.loads(answer)
        except ValueError as error:
            raise DriverDied(line, f"{answer[:_MOST_SHOWN]!r} is no JSON") from error
        if not isinstance(reply, dict) or not isinstance(reply.get("ok"), bool):
            raise DriverDied(line, f'{answer[:_MOST_SHOWN]!r} has no "ok"')
        if not reply["ok"]:
            raise Refused(str(reply.get("kind", "other")), str(reply.get("message", "")))
        return reply

    def close(self) -> None:
        """End it, with everything that it started in its process group."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        self._errors.close()
