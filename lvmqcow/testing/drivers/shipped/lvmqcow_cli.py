"""The driver of lvmqcow's own command line: ``python -m lvmqcow.testing.drivers.shipped.lvmqcow_cli``.

It shows how little a driver needs. Every request is one command, which is a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["main"]

_KINDS: Final = {10: "not-found", 12: "not-possible", 13: "no-space", 14: "io"}
_CAPABILITIES: Final = (
    *("create", "snapshot", "rollback", "delete_snapshot", "rename_snapshot"),
    *("resize", "rename", "remove", "activate", "deactivate", "recover"),
)


class _Failed(Exception):
    def __init__(self, status: int, said: str) -> None:
        self.status, self.said = status, said
        super().__init__(status, said)


def main() -> None:
    """Answer requests until stdin ends."""
    for line in sys.stdin:
        try:
            reply: dict[str, Any] = {"ok": True, **_answer(json.loads(line))}
        except _Failed as failed:
            reply = {"ok": False, "kind": _KINDS.get(failed.status, "other"), "message": failed.said}
        print(json.dumps(reply), flush=True)


def _answer(request: Mapping[str, Any]) -> Mapping[str, Any]:
    vg = os.environ["LVMQCOW_DRIVER_VG"]
    volume = f"{vg}/{request.get('volume')}"
    match request["op"]:
        case "hello":
            return {"protocol": 1, "name": "lvmqcow", "version": "cli", "capabilities": list(_CAPABILITIES)}
        case "create":
            _run("create", volume, "--size", f"{request['size_bytes']}B")
        case "resize":
            _run("resize", volume, "--size", f"{request['size_bytes']}B")
        case "snapshot" | "rollback":
            _run(request["op"], volume, request["snapshot"])
        case "delete_snapshot":
            _run("delete-snapshot", volume, request["snapshot"])
        case "rename_snapshot":
            _run("rename-snapshot", volume, request["snapshot"], request["new"])
        case "rename":
            _run("rename", volume, request["new"])
        case "remove":
            _run("remove", volume, "--yes")
        case "activate" | "deactivate":
            _run(request["op"], volume)
        case "recover":
            _run("recover", vg)
        case "path":
            snapshot = (request["snapshot"],) if "snapshot" in request else ()
            return {"path": _run("path", volume, *snapshot).strip()}
        case "list":
            return {"volumes": _listed(vg)}
        case _:
            raise _Failed(2, f"there is no request {request['op']!r}")
    return {}


def _listed(vg: str) -> list[dict[str, Any]]:
    volumes = json.loads(_run("list", vg, "--json"))["volumes"]
    return [
        {"volume": each["name"], "size_bytes": each["virtual_size_bytes"], "snapshots": each["snapshots"]}
        for each in volumes
    ]


def _run(*words: str) -> str:
    argv = (sys.executable, "-P", "-m", "lvmqcow", *words, "--lvm", "process")
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise _Failed(done.returncode, done.stderr.strip())
    return done.stdout


if __name__ == "__main__":
    main()
