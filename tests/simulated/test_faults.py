"""Any step of any operation may fail. The error is reported, no data is lost, and full images get more space."""

from __future__ import annotations

import pytest

from lvmqcow.testing.cases.operation_table import with_every_trait
from lvmqcow.testing.suites.faults import fail_every_step, find_images_full, find_the_group_full

ROWS = pytest.mark.parametrize("operation", with_every_trait())


@ROWS
def test_failed_step_raises_and_recovery_follows_the_plan(operation: str) -> None:
    assert fail_every_step(operation).counts["steps failed"] > 0 or operation.startswith("activate, active")


@ROWS
def test_full_image_gets_more_space_and_operation_continues(operation: str) -> None:
    find_images_full(operation)


@ROWS
def test_full_vg_postpones_operation_and_volume_stays_usable(operation: str) -> None:
    find_the_group_full(operation)
