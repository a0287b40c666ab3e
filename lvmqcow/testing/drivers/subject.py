"""A driver as a subject of the same sequences as ours."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from lvmqcow.core.names import Format, Layout, parse_volume_name
from lvmqcow.errors import LvmqcowError
from lvmqcow.operations import Newer, Plan
from lvmqcow.testing.conformance.actions import Action
from lvmqcow.testing.conformance.actions.interrupted import Interrupted
from lvmqcow.testing.conformance.actions.snapshots import Rollback
from lvmqcow.testing.conformance.actions.volumes import WriteTo
from lvmqcow.testing.conformance.trace import to_document
from lvmqcow.testing.conformance.violation import Violation, require
from lvmqcow.testing.drivers.client import DriverProcess, Refused
from lvmqcow.testing.model import Model
from lvmqcow.testing.worlds import compared, write_to_image

__all__ = ["DriverSubject"]

_OURS_ALONE: Final = ("merge", "newer", "wipe")
"""Fields of an action that say how ours does it. A driver has its own way."""


class DriverSubject:
    """A driver, and an independent look at what its volumes hold."""

    def __init__(self, start: Callable[[], DriverProcess], extent_size_bytes: int, golden: Path) -> None:
        """``start`` starts the driver; ``golden`` is a file to compare with."""
        self._start = start
        self._driver = start()
        self._extent_size_bytes = extent_size_bytes
        self._golden = golden
        self.hello = self._driver.ask({"op": "hello"})
        self.wrong_sizes: dict[str, tuple[int, int]] = {}
        """The volumes that it lists with a wrong size: the right one, and what it lists. Content is looked at all the
        same, so that one wrong listing does not hide everything else."""
        self._capabilities = frozenset(map(str, self.hello.get("capabilities", ())))

    @property
    def name(self) -> str:
        return f"{self.hello.get('name', 'driver')} {self.hello.get('version', '')}".strip()

    @property
    def recovers(self) -> bool:
        return "recover" in self._capabilities

    @property
    def offers(self) -> frozenset[str]:
        return (self._capabilities - {"recover"}) | {"write"}

    def new_model(self) -> Model:
        return Model(self._extent_size_bytes, Layout.RFC)

    def carry_out(self, action: Action) -> Plan | None:
        if isinstance(action, WriteTo):
            image_format = parse_volume_name(action.volume).format
            write_to_image(self.path(action.volume), image_format, action.writes)
            return None
        if isinstance(action, Rollback) and action.newer is not Newer.REFUSE:
            raise Violation("a driver is not asked for this", "rollback", action)
        self._driver.ask({name: value for name, value in to_document(action).items() if name not in _OURS_ALONE})
        return None

    def interrupt(self, cut: Interrupted) -> bool:
        raise Violation("a driver is cut by its shims", "no cut", cut)

    def is_refusal(self, error: Exception, wanted: type[LvmqcowError]) -> bool:
        return isinstance(error, Refused)

    def path(self, volume: str, snapshot: str | None = None) -> str:
        """Ask for the device of a volume, or of a snapshot."""
        request = {"op": "path", "volume": volume} | ({"snapshot": snapshot} if snapshot else {})
        return str(self._driver.ask(request)["path"])

    def restart(self) -> None:
        """End the driver, and start it again."""
        self._driver.close()
        self._driver = self._start()

    def recover(self) -> None:
        """Ask it to recover everything."""
        self._driver.ask({"op": "recover"})

    def verify(self, model: Model) -> None:
        listed = {str(each["volume"]): _listed(each) for each in self._list()}
        snapshots = {name: names for name, (_, names) in listed.items()}
        expected = {name: disk.listed() for name, disk in model.disks.items()}
        require(snapshots == expected, "the listing is wrong", expected, snapshots)
        sizes = {name: (disk.current.size_bytes, listed[name][0]) for name, disk in model.disks.items()}
        self.wrong_sizes |= {name: pair for name, pair in sizes.items() if pair[0] != pair[1]}
        for name, disk in model.disks.items():
            if "activate" in self.offers:
                self._driver.ask({"op": "activate", "volume": name})
            for snapshot, content in ((None, disk.current), *((s, m.content) for s, m in disk.snapshots.items())):
                image_format = Format.RAW if disk.image_format is Format.RAW else Format.QCOW2
                difference = compared(self.path(name, snapshot), image_format, content, self._golden)
                what = f"{name}@{snapshot}" if snapshot else name
                require(difference is None, f"{what} holds something else", "what was written", difference)
                if image_format is Format.QCOW2:
                    _require_sound(what, self.path(name, snapshot))
            if not disk.active:
                self._driver.ask({"op": "deactivate", "volume": name})

    def snapshots(self, volume: str) -> tuple[str, ...]:
        """Return the snapshots that it lists of a volume, oldest first."""
        found = next((_listed(each) for each in self._list() if each["volume"] == volume), (0, ()))
        return found[1]

    def remove_everything(self) -> None:
        """Remove every volume that it lists."""
        for each in self._list():
            self._driver.ask({"op": "remove", "volume": each["volume"]})

    def close(self) -> None:
        self._driver.close()

    def _list(self) -> Sequence[dict[str, Any]]:
        volumes = self._driver.ask({"op": "list"}).get("volumes")
        if not isinstance(volumes, list):
            raise Violation("the listing has no volumes", "a list", json.dumps(volumes))
        return volumes


def _require_sound(what: str, path: str) -> None:
    """Require that ``qemu-img check`` finds no corruption. It exits with 3 for leaked clusters, which lose nothing."""
    argv = ("qemu-img", "check", "-q", "-f", "qcow2", path)
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    require(done.returncode in (0, 3), f"the image of {what} is damaged", "no corruption", done.stdout + done.stderr)


def _listed(volume: dict[str, Any]) -> tuple[int, tuple[str, ...]]:
    return int(volume.get("size_bytes", -1)), tuple(map(str, volume.get("snapshots", ())))
