"""The help lists every verb once, in groups. A mistyped verb gets a suggestion."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lvmqcow.cli import main
from lvmqcow.cli.main import parser
from lvmqcow.cli.verbs import nearest

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "verbs.md"
SUB_VERBS = {"loopvg": ("create", "list", "destroy"), "lab": ("run", "doctor")}


def helped(*words: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as left:
        main([*words, "--help"])
    assert left.value.code == 0
    return capsys.readouterr().out


def refused(*words: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


def groups(text: str) -> dict[str, list[str]]:
    """The groups of verbs in the help text."""
    blocks = re.findall(r"^([a-z ]+):\n((?:  [a-z-]+ {2,}\S.*\n)+)", text, re.MULTILINE)
    return {title: re.findall(r"^  ([a-z-]+) ", block, re.MULTILINE) for title, block in blocks}


def test_help_lists_each_verb_once_in_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    shown = groups(helped(capsys=capsys))
    assert list(shown) == ["disks", "snapshots", "copies", "moving data", "health", "proof", "lab"]
    verbs = [verb for listed in shown.values() for verb in listed]
    assert len(verbs) == len(set(verbs))
    for verb in verbs:
        assert f"`{verb}" in PAGE.read_text()
        assert f"usage: lvmqcow {verb} " in helped(verb, capsys=capsys)


def test_help_examples_can_be_parsed(capsys: pytest.CaptureFixture[str]) -> None:
    examples = re.findall(r"^  lvmqcow (.*)$", helped(capsys=capsys), re.MULTILINE)
    assert len(examples) == 3
    for example in examples:
        parser().parse_args(example.split())


def test_mistyped_verb_gets_the_nearest_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused("snapshto", "vg0/vm-100-disk-0.qcow2", "s1", capsys=capsys)
    assert "no verb 'snapshto': did you mean snapshot?" in said
    verbs = [verb for listed in groups(helped(capsys=capsys)).values() for verb in listed]
    for level in [(), *((group,) for group in SUB_VERBS)]:
        known = SUB_VERBS[level[0]] if level else verbs
        for verb in known:
            swapped = verb[:-2] + verb[-1] + verb[-2]
            assert f"no verb {swapped!r}: did you mean {verb}?" in refused(*level, swapped, "x", capsys=capsys)


def test_verb_prefix_is_completed_and_nonsense_points_to_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean delete-snapshot?" in refused("del", capsys=capsys)
    assert nearest("re", ["resize", "rename", "list"]) == ["resize", "rename"]
    said = refused("xyzzy", capsys=capsys)
    assert "no verb 'xyzzy' (`lvmqcow --help` lists all)" in said
    assert "did you mean" not in said
    assert "`lvmqcow loopvg --help`" in refused("loopvg", "xyzzy", capsys=capsys)


def test_other_usage_errors_keep_the_words_of_argparse(capsys: pytest.CaptureFixture[str]) -> None:
    assert "required: VERB" in refused(capsys=capsys)
    said = refused("create", "vg0/vm-1-a", "--size", "1G", "--format", "vmdk", capsys=capsys)
    assert "argument --format: invalid choice: 'vmdk'" in said
