"""Verdicts to render: one that fails, with everything that a report shows, and one that holds."""

from __future__ import annotations

from dataclasses import replace

from lvmqcow.testing.conformance.verdict import Finding, Json, Layer, Outcome, SuiteResult, Tried, Verdict

LONG = "vm-1000-disk-with-a-name-that-is-longer-than-its-box.qcow2"
LAYERS = (
    Layer("vm-100-disk-0.qcow2", None, "vm-100-disk-0.qcow2", "snap-s2-vm-100-disk-0.qcow2", 16 * 1024**2),
    Layer("vm-100-disk-0.qcow2", "s2", "snap-s2-vm-100-disk-0.qcow2", "snap-s1-vm-100-disk-0.qcow2", 16 * 1024**2),
    Layer("vm-100-disk-0.qcow2", "s1", "snap-s1-vm-100-disk-0.qcow2", None, 4 * 1024**2),
    Layer("vm-100-disk-0.qcow2", "branch", "snap-branch-vm-100-disk-0.qcow2", "snap-s1-vm-100-disk-0.qcow2", 0),
    Layer(LONG, None, LONG, "snap-s1-vm-100-disk-0.qcow2", 32 * 1024**3),
    Layer("vm-7-disk-0.qcow2", None, "vm-7-disk-0.qcow2", "gone", 512),
)
TRACE: tuple[dict[str, Json], ...] = (
    {"trace": 1, "subject": "lvmqcow", "world": "simulated", "layout": "rfc", "seed": 3, "versions": {}},
    {"op": "create", "volume": "vm-100-disk-0.qcow2", "size_bytes": 16777216},
    {"op": "snapshot", "volume": "vm-100-disk-0.qcow2", "snapshot": "s1"},
)
LOST = Finding(
    "sequences",
    "snapshot",
    "the process dies",
    "snap-s1 holds </script><script>alert(1)</script> something else",
    "what was written",
    'block 7 is 0x00, not 0x02 & "more"\x00\x1b[31m\udce9',
    "lvmqcow verify --on real --replay TRACE.jsonl",
    TRACE,
    ("lvrename vg/a vg/b", "qemu-img create -f qcow2 /dev/vg/a"),
    LAYERS,
    LAYERS[1:],
)
HOLDS = Verdict(
    subject="lvmqcow",
    place="real and simulated",
    seed=3,
    started="2026-11-27T20:00:00+00:00",
    seconds=61.5,
    command="lvmqcow verify --budget 1m",
    versions={"lvmqcow": "0.1.0", "kernel": "6.1.0", "lvm2": "2.03.16(2)", "qemu": "7.2.22"},
    suites=(
        SuiteResult(
            "sequences, simulated",
            "random sequences of operations",
            30.25,
            counts={"operations": 12345, "sequences": 400},
            tried=(
                Tried("snapshot", "nothing", Outcome.HELD, 400),
                Tried("snapshot", "the process dies", Outcome.HELD, 41),
                Tried("create", "EIO on write", Outcome.REFUSED, 7),
            ),
        ),
        SuiteResult("power, real", "the power goes", 0, why_not="real volume groups need root"),
        SuiteResult("kills, real", "SIGKILL inside a long step", 1.0),
    ),
)
FAILS = replace(
    HOLDS,
    suites=(
        replace(
            HOLDS.suites[0],
            tried=(*HOLDS.suites[0].tried, Tried("snapshot", "the process dies", Outcome.LOST, 1)),
            findings=(LOST, replace(LOST, operation="resize", what="it is too small", before=(), after=(), trace=())),
        ),
        *HOLDS.suites[1:],
    ),
)
EMPTY = replace(HOLDS, suites=HOLDS.suites[1:])
