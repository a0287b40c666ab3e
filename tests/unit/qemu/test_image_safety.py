"""Before a step opens images, their headers are checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lvmqcow.core.names import Format
from lvmqcow.core.qcow2 import Header, parse_header
from lvmqcow.errors import Corrupt
from lvmqcow.qemu.image_safety import require_harmless, require_harmless_alone
from lvmqcow.steps import ImageCopy, ImageSend, QcowCommit, QcowRebase, QcowRelink, Step
from lvmqcow.testing.hostile.images import specimens

TOP, MIDDLE, OTHER, BAD, OVER_BAD = (f"vm-1-{name}.qcow2" for name in ("top", "middle", "other", "bad", "over-bad"))

HOSTILE = next(
    header
    for specimen in specimens(Path("/nowhere/canary.txt"))
    if specimen.name == "out-backing-file.qcow2" and (header := parse_header(specimen.image.start))
)
GOOD = replace(HOSTILE, backing=None, backing_format=None)
HEADERS = {
    TOP: replace(GOOD, backing=MIDDLE, backing_format="qcow2"),
    MIDDLE: GOOD,
    OTHER: GOOD,
    BAD: HOSTILE,
    OVER_BAD: replace(GOOD, backing=BAD, backing_format="qcow2"),
}


def read(lv: str) -> Header | None:
    if lv not in HEADERS:
        raise FileNotFoundError(lv)
    return HEADERS[lv]


def look(step: Step) -> None:
    """The check that a host makes before it runs a step."""
    for lv in step.opens:
        require_harmless("vg", lv, read)
    for lv in step.opens_alone:
        require_harmless_alone("vg", lv, read)


@pytest.mark.parametrize(
    "step",
    [
        QcowRebase(TOP, OTHER, MIDDLE),
        QcowRebase(TOP, None, MIDDLE),
        QcowRebase(TOP, "vm-1-gone.qcow2", MIDDLE),
        QcowCommit(TOP, MIDDLE),
        QcowRelink(TOP, BAD),  # writes the name, but does not open the image
        ImageCopy(BAD, Format.RAW, OTHER, Format.QCOW2),
    ],
    ids=str,
)
def test_step_that_opens_only_images_of_the_vg_is_allowed(step: Step) -> None:
    look(step)


@pytest.mark.parametrize(
    "step",
    [
        QcowRebase(TOP, BAD, MIDDLE),
        QcowRebase(BAD, OTHER, MIDDLE),
        QcowRebase(BAD, None, MIDDLE),
        QcowCommit(BAD, MIDDLE),
        ImageCopy(BAD, Format.QCOW2, OTHER, Format.QCOW2),
        ImageSend(BAD, Format.QCOW2, 7, b"", 512),
    ],
    ids=str,
)
def test_step_that_opens_an_image_outside_the_vg_is_refused(step: Step) -> None:
    with pytest.raises(Corrupt, match=f"{BAD} must not be opened"):
        look(step)


def test_new_backing_chain_of_a_rebase_is_checked_to_its_end() -> None:
    with pytest.raises(Corrupt, match=f"{BAD} must not be opened"):
        look(QcowRebase(TOP, OVER_BAD, MIDDLE))


def test_backing_name_torn_by_a_power_cut_can_be_rewritten() -> None:
    """`qemu-img rebase -u` ignores the old backing file, so nothing outside is opened."""
    torn = replace(GOOD, backing="vm-1-middle.qcow2\0\0\0", backing_format="qcow2")
    require_harmless_alone("vg", TOP, lambda lv: torn)
    with pytest.raises(Corrupt, match="backing file"):
        require_harmless("vg", TOP, lambda lv: torn)


@pytest.mark.parametrize(
    "header",
    [
        replace(GOOD, external_data=True),
        replace(GOOD, unknown_features=1),
        replace(GOOD, backing="/etc/shadow", backing_format="qcow2"),
        replace(GOOD, backing="json:{}", backing_format="qcow2"),
        replace(GOOD, backing="vm-1-middle.qcow2", backing_format="raw"),
        None,
    ],
)
def test_header_that_leads_out_otherwise_is_not_rewritten(header: Header | None) -> None:
    with pytest.raises(Corrupt, match=f"{TOP} must not be opened"):
        require_harmless_alone("vg", TOP, lambda lv: header)
