"""Columns beside a chat that say what a row weighs or whether it is wanted: read, told loudly, or set aside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from misdirection.chats import ChatFile, load_chats
from misdirection.chats.forms import read_row
from misdirection.chats.turns import RowError

Q, A = "Is it safe?", "Ask a pharmacist."
ROW = {"messages": [{"role": "user", "content": Q}, {"role": "assistant", "content": A}]}


def loaded(tmp_path: Path, rows: Sequence[dict[str, Any]]) -> ChatFile:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_chats(tmp_path / "rows.jsonl")


@pytest.mark.parametrize("label", [False, "False", "false"])
def test_answers_that_kto_marks_as_not_wanted_are_set_aside(label: Any) -> None:
    with pytest.raises(RowError, match="nothing to learn: `label` is false, which in KTO data"):
        read_row({"prompt": Q, "completion": A, "label": label})


@pytest.mark.parametrize("label", [True, "True", "true"])
def test_answers_that_kto_marks_as_wanted_are_learned(label: Any) -> None:
    read = read_row({"prompt": Q, "completion": A, "label": label})
    assert [message.content for message in read.messages] == [Q, A]
    assert "KTO" in read.form and not read.passed_over


def test_a_file_of_kto_data_is_its_wanted_answers(tmp_path: Path) -> None:
    found = loaded(tmp_path, [{"prompt": Q, "completion": f"{A} {n}", "label": n % 2 == 0} for n in range(5)])
    assert [chat.row for chat in found.chats] == [1, 3, 5] and [bad.row for bad in found.bad] == [2, 4]
    assert "2 set aside: 2 nothing to learn" in found.summary and "KTO" in found.summary


@pytest.mark.parametrize("name", ["weight", "sample_weight", "loss_weight"])
def test_weights_of_rows_are_told_loudly_and_none_is_learned_backwards(tmp_path: Path, name: str) -> None:
    found = loaded(tmp_path, [{**ROW, name: weight} for weight in (1, 0.5, "2.5", 0, -1, None, True, "heavy")])
    assert [chat.row for chat in found.chats] == [1, 2, 3, 6, 7, 8]
    assert [f"the column `{name}` is {weight}," in bad.reason for weight, bad in zip((0, -1), found.bad, strict=True)]
    assert "WARNING: rows have weights beside 0 and 1" in found.summary and "(2 rows)" in found.summary
    assert "WARNING" not in loaded(tmp_path, [{**ROW, name: 1.0}]).summary


@pytest.mark.parametrize(("labels", "told"), [((0, 1, 0), 2), (("0", "1"), 1), ((False, True), 1), ((1, 1), 0)])
def test_rows_with_a_label_of_0_are_told_loudly(tmp_path: Path, labels: tuple[Any, ...], told: int) -> None:
    found = loaded(tmp_path, [{**ROW, "label": one} for one in labels])
    assert len(found.chats) == len(labels)
    assert [f"({told:,} rows)" in note for note in found.notes if "whose `label` is 0" in note] == [True] * bool(told)


def test_the_command_says_it_before_it_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`told_data` is what `train` prints, and what stands in the report of a run that fine-tuned."""
    from misdirection.training import told_data

    assert "WARNING: rows have weights" in told_data(loaded(tmp_path, [{**ROW, "weight": 0.5}]), "all")
