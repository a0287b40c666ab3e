"""The state machine on simulated volume groups: it finds no defect in lvmqcow, and it finds every planted defect."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from lvmqcow.core.names import Layout
from lvmqcow.errors import LvmqcowError
from lvmqcow.steps import (
    ImageCopy,
    LvActivate,
    LvDeactivate,
    LvRemove,
    LvRename,
    LvTag,
    LvZero,
    LvZeroRange,
    QcowCommit,
    QcowCreate,
    QcowRebase,
    QcowRelink,
    QcowResize,
    Step,
)
from lvmqcow.system.callbacks import Progress
from lvmqcow.testing.content import Blocks, Write
from lvmqcow.testing.machine import machine
from lvmqcow.testing.sequences import run_machine
from lvmqcow.testing.simulated.host import SimHost
from lvmqcow.testing.simulated.state import Qcow
from lvmqcow.testing.worlds import SimWorld

Run = Callable[[Step], None]
Defect = Callable[[SimHost, Step, Run], None]


SHARDS = int(os.environ.get("LVMQCOW_SHARDS", "1"))
"""The number of runs for each layout. Each run has its own random sequences."""


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("layout", Layout)
def test_no_sequence_of_operations_loses_a_byte(
    layout: Layout, shard: int, record_property: Callable[[str, object], None]
) -> None:
    ran = run_machine(lambda: SimWorld(layout=layout), shard=shard, steps=30)
    record_property("simulated sequences", ran.sequences)
    record_property("simulated steps", ran.steps)
    assert ran.steps > ran.sequences


class Defective(SimHost):
    """A volume group with a planted defect: the defect intercepts every step."""

    def __init__(self, defect: Defect) -> None:
        super().__init__()
        self._defect = defect

    def run(self, step: Step, progress: Progress | None = None) -> None:
        self._defect(self, step, super().run)


def a_rebase_that_does_not_copy(host: SimHost, step: Step, run: Run) -> None:
    if isinstance(step, QcowRebase):
        host.state.put(step.lv, replace(host.state.qcow(step.lv, ()), backing=step.backing))
    else:
        run(step)


def a_rebase_that_leaves_the_old_name(host: SimHost, step: Step, run: Run) -> None:
    before = host.state.qcow(step.lv, ()).backing if isinstance(step, QcowRebase) else None
    run(step)
    if isinstance(step, QcowRebase):
        host.state.put(step.lv, replace(host.state.qcow(step.lv, ()), backing=before))


def a_commit_that_forgets_a_block(host: SimHost, step: Step, run: Run) -> None:
    if isinstance(step, QcowCommit):
        child = host.state.qcow(step.lv, ())
        last = max(child.blocks, default=None)
        host.state.put(
            step.lv, replace(child, blocks={block: byte for block, byte in child.blocks.items() if block != last})
        )
    run(step)


def a_rename_that_swaps_content(host: SimHost, step: Step, run: Run) -> None:
    run(step)
    if isinstance(step, LvRename):
        renamed = host.state.lvs[step.to]
        name, other = next(
            (name, lv) for name, lv in host.state.lvs.items() if name != step.to or len(host.state.lvs) == 1
        )
        host.state.lvs[step.to] = replace(renamed, image=replace(renamed.image, blocks=other.image.blocks))
        host.state.lvs[name] = replace(other, image=replace(other.image, blocks=renamed.image.blocks))


def an_lvremove_that_removes_nothing(host: SimHost, step: Step, run: Run) -> None:
    if not isinstance(step, LvRemove):
        run(step)


def an_lvremove_that_removes_another_lv(host: SimHost, step: Step, run: Run) -> None:
    run(step)
    rest = sorted(host.observe().lv_names)
    if isinstance(step, LvRemove) and rest:
        run(LvRemove((rest[0],)))


def old_bytes_in_the_first_block_of_a_new_image(host: SimHost, step: Step, run: Run) -> None:
    run(step)
    if isinstance(step, QcowCreate) and step.backing is None:
        host.guest_write(step.lv, [Write(0, 1, 0xAA)])


def old_bytes_in_a_raw_volume(host: SimHost, step: Step, run: Run) -> None:
    if not isinstance(step, LvZero):
        run(step)


def an_overlay_without_backing(host: SimHost, step: Step, run: Run) -> None:
    run(replace(step, backing=None) if isinstance(step, QcowCreate) else step)


def a_rollback_that_keeps_new_data(host: SimHost, step: Step, run: Run) -> None:
    kept: Blocks = {}
    if isinstance(step, QcowCreate) and step.lv in host.headers(host.observe().lv_names):
        kept = host.state.qcow(step.lv, ()).blocks
    run(step)
    if kept and isinstance(step, QcowCreate):
        host.state.put(step.lv, replace(host.state.qcow(step.lv, ()), blocks=kept))


def a_tag_that_is_not_dropped(host: SimHost, step: Step, run: Run) -> None:
    run(replace(step, drop=()) if isinstance(step, LvTag) else step)


def an_lv_left_inactive(host: SimHost, step: Step, run: Run) -> None:
    run(step)
    if isinstance(step, LvRename):
        run(LvDeactivate((step.to,)))


def an_image_of_another_size(host: SimHost, step: Step, run: Run) -> None:
    run(replace(step, virtual_size_bytes=step.virtual_size_bytes + 512) if isinstance(step, QcowCreate) else step)


def a_resize_of_the_lv_alone(host: SimHost, step: Step, run: Run) -> None:
    if not isinstance(step, QcowResize):
        run(step)


def old_bytes_in_the_new_part_of_a_raw_volume(host: SimHost, step: Step, run: Run) -> None:
    if not isinstance(step, LvZeroRange):
        run(step)


def a_resize_that_zeroes_too_much(host: SimHost, step: Step, run: Run) -> None:
    run(replace(step, offset_bytes=0) if isinstance(step, LvZeroRange) else step)


def an_activation_that_omits_one_lv(host: SimHost, step: Step, run: Run) -> None:
    lvs = step.lvs[1:] if isinstance(step, LvActivate | LvDeactivate) else ()
    run(replace(step, lvs=lvs) if isinstance(step, LvActivate | LvDeactivate) and lvs else step)


def a_volume_left_active(host: SimHost, step: Step, run: Run) -> None:
    if not isinstance(step, LvDeactivate):
        run(step)


def a_relink_that_changes_nothing(host: SimHost, step: Step, run: Run) -> None:
    if not isinstance(step, QcowRelink):
        run(step)


def a_copy_without_its_backing_image(host: SimHost, step: Step, run: Run) -> None:
    if isinstance(step, ImageCopy) and isinstance(source := host.state.lvs[step.source_lv].image, Qcow):
        host.state.put(step.source_lv, replace(source, backing=None))
        run(step)
        host.state.put(step.source_lv, source)
    else:
        run(step)


def a_copy_that_forgets_a_block(host: SimHost, step: Step, run: Run) -> None:
    run(step)
    if isinstance(step, ImageCopy):
        copy = host.state.lvs[step.lv].image
        last = max(copy.blocks, default=None)
        host.state.put(
            step.lv, replace(copy, blocks={block: byte for block, byte in copy.blocks.items() if block != last})
        )


DEFECTS: list[Defect] = [
    a_copy_without_its_backing_image,
    a_copy_that_forgets_a_block,
    an_activation_that_omits_one_lv,
    a_volume_left_active,
    a_relink_that_changes_nothing,
    a_rebase_that_does_not_copy,
    a_rebase_that_leaves_the_old_name,
    a_commit_that_forgets_a_block,
    a_rename_that_swaps_content,
    an_lvremove_that_removes_nothing,
    an_lvremove_that_removes_another_lv,
    old_bytes_in_the_first_block_of_a_new_image,
    old_bytes_in_a_raw_volume,
    an_overlay_without_backing,
    a_rollback_that_keeps_new_data,
    a_tag_that_is_not_dropped,
    an_lv_left_inactive,
    an_image_of_another_size,
    a_resize_of_the_lv_alone,
    old_bytes_in_the_new_part_of_a_raw_volume,
    a_resize_that_zeroes_too_much,
]


def harmless(host: SimHost, step: Step, run: Run) -> None:
    run(step)


def search(defect: Defect, examples: int) -> None:
    """Search for a failure without shrinking. The search is the same every time."""
    run_state_machine_as_test(
        machine(lambda: SimWorld(Defective(defect))),
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_state_machine_finds_each_planted_defect(defect: Defect) -> None:
    with pytest.raises((AssertionError, LvmqcowError, pytest.fail.Exception)):
        search(defect, examples=2000)


def test_state_machine_finds_nothing_without_a_planted_defect() -> None:
    search(harmless, examples=20)
