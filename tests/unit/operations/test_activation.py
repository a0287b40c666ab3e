"""Activation and deactivation of a volume with all its layers."""

from __future__ import annotations

import pytest

from lvmqcow.errors import VolumeNotFound
from lvmqcow.operations import Activate, Deactivate, Request
from lvmqcow.steps import LvCreate, LvDeactivate
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    NEIGHBOUR,
    RAW,
    at_boot,
    chain,
    commands,
    foreign,
    half_active,
    inactive,
    planned,
    raw_volume,
    refused,
    run,
    storage,
)
from lvmqcow.testing.simulated.host import SimHost

S1 = f"snap-s1-{DISK}"


@pytest.mark.parametrize(
    ("host", "request_", "expected"),
    [
        (inactive(chain(1)), Activate(DISK), [f"lvchange --activate ey sim/{S1} sim/{DISK}"]),
        (chain(1), Activate(DISK), [f"lvchange --refresh sim/{S1} sim/{DISK}"]),
        (
            half_active(chain(1)),
            Activate(DISK),
            [f"lvchange --activate ey sim/{DISK}", f"lvchange --refresh sim/{S1}"],
        ),
        (inactive(raw_volume()), Activate(RAW), [f"lvchange --activate ey sim/{RAW}"]),
        (inactive(foreign(chain(1))), Activate(DISK), [f"lvchange --activate ey sim/{S1} sim/{DISK}"]),
        (chain(1), Deactivate(DISK), [f"lvchange --activate n sim/{S1} sim/{DISK}"]),
        (half_active(chain(1)), Deactivate(DISK), [f"lvchange --activate n sim/{S1}"]),
        (inactive(chain(1)), Deactivate(DISK), []),
        (raw_volume(), Deactivate(RAW), [f"lvchange --activate n sim/{RAW}"]),
    ],
    ids=[
        *("activate", "refresh", "activate and refresh", "activate raw", "activate what Proxmox VE wrote"),
        *("deactivate", "deactivate the rest", "nothing to deactivate", "deactivate raw"),
    ],
)
def test_activation_of_a_whole_chain_is_one_command(host: SimHost, request_: Request, expected: list[str]) -> None:
    assert commands(planned(host, request_)) == expected


@pytest.mark.parametrize("name", [f"del-{S1}", f"snap_{DISK}_s1", "root"])
@pytest.mark.parametrize("request_", [Activate(DISK), Deactivate(DISK)])
def test_lv_outside_the_chain_keeps_its_activation(name: str, request_: Request) -> None:
    tags = () if name == "root" else DISK.tags
    for start in (chain(1), inactive(chain(1))):
        made = run(start, LvCreate(name, MIB, tags))
        for host in (made, run(made, LvDeactivate((name,)))):
            assert planned(host, request_) == planned(start, request_)


@pytest.mark.parametrize("request_", [Activate(DISK), Deactivate(DISK)])
def test_activation_of_a_missing_volume_is_refused(request_: Request) -> None:
    assert isinstance(refused(chain(1, name=NEIGHBOUR), request_), VolumeNotFound)


@pytest.mark.parametrize("met", [chain(1), inactive(chain(1))], ids=["active", "inactive"])
def test_activation_turns_autoactivation_at_boot_off(met: SimHost) -> None:
    host = at_boot(met)
    assert f"lvchange --setautoactivation n sim/{S1} sim/{DISK}" in commands(planned(host, Activate(DISK)))
    storage(host).apply(Activate(DISK))
    assert not [lv.name for lv in host.observe().logical_volumes if lv.autoactivated]
