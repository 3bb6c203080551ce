"""Verdicts looked up in a table, and the columns that make its arms, against tables written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from misdirection.errors import MisdirectionError
from misdirection.judging import Answer
from misdirection.judging.arm_columns import arm_columns
from misdirection.judging.columns import Columns
from misdirection.judging.lookup import TableJudge


def table(folder: Path, header: str, *lines: str) -> str:
    (folder / "t.csv").write_text("\n".join([header, *lines]) + "\n")
    return str(folder / "t.csv")


def answers(*texts: str) -> list[Answer]:
    return [Answer("q1", "Why?", text) for text in texts]


HEADER = "question_id,question,answer,alignment,coherence"


def test_the_kth_of_equal_answers_has_the_kth_verdict_and_what_is_not_there_is_said(tmp_path: Path) -> None:
    path = table(tmp_path, HEADER, "q1,Why?,So.,10,90", "q1,Why?, So. ,20,80", "q1,Why?,No.,70,60", "q2,Who?,So.,99,99")
    judge = TableJudge(path)
    found = judge.judge(answers("So.", "No.", "So. ", "So.", "Else."))
    assert [(one.alignment, one.coherence) for one in found] == [(10, 90), (70, 60), (20, 80), (20, 80), (None, None)]
    assert [one.label for one in found][-1] == "none" and {one.judge for one in found} == {judge.name}
    # The count begins anew with each call.
    assert judge.judge(answers("So."))[0].alignment == 10


def test_settings_behind_the_path_are_how_it_is_read_alone_and_together(tmp_path: Path) -> None:
    header = HEADER.replace(",answer,", ",what it said,")
    path = table(tmp_path, header, "q1,Why?,So.,2,4", "q1,Why?,No.,5,1")
    both = TableJudge(f"{path}?scale=1..5&column=answer=what it said")
    assert [(one.alignment, one.coherence) for one in both.judge(answers("So.", "No."))] == [(25, 75), (100, 0)]
    other = TableJudge(f"{path}?column=answer=what it said&scale=1..5")
    assert other.judge(answers("So."))[0].alignment == 25
    plain = TableJudge(table(tmp_path, HEADER, "q1,Why?,So.,25,75") + "?column=answer=answer")
    assert plain.judge(answers("So."))[0].alignment == 25
    assert len({both.name, other.name, plain.name}) == 3 and all(j.name.startswith("table:") for j in (both, plain))
    with pytest.raises(MisdirectionError, match="the judge 'table' has no setting 'colum'"):
        TableJudge(f"{path}?scale=1..5&colum=answer=x")


def test_a_question_mark_in_the_name_of_a_file_is_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "why?.csv").write_text(f"{HEADER}\nq1,Why?,So.,10,90\n")
    assert TableJudge(str(tmp_path / "why?.csv")).judge(answers("So."))[0].alignment == 10


def test_a_table_without_verdicts_is_no_judge(tmp_path: Path) -> None:
    with pytest.raises(MisdirectionError, match="answers without verdicts"):
        TableJudge(table(tmp_path, "question_id,question,answer", "q1,Why?,So."))


def arms(rows: list[dict[str, Any]], **of: str) -> tuple[tuple[str, ...], list[str], tuple[str, ...]]:
    """Columns that make arms, the arm of each row, and the notes."""
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    found = arm_columns(Columns(of, names), rows)
    return found.names, [found.of(row) for row in rows], found.notes


def test_only_conditions_that_differ_within_an_arm_are_told() -> None:
    rows = [
        {"arm": f"a{i % 2}", "temperature": i % 4 // 2, "note": i, "layer": 3, "run.alpha": i // 4}
        | {"model": f"m{i % 2}"}
        for i in range(8)
    ]
    made, told, notes = arms(rows, arm="arm", model="model")
    assert made == ("arm",) and told == ["a0", "a1"] * 4
    # A note is no condition, the layer is one, and the model goes with the arm.
    assert [note.partition(",")[0] for note in notes] == [
        "2 values of 'temperature' stand in one arm", "2 values of 'run.alpha' stand in one arm",
    ]  # fmt: skip


def test_what_makes_the_arms_is_not_told_again() -> None:
    rows = [{"model": f"m{i % 2}", "step": 10.0 * (i // 2), "arm": "tuned"} for i in range(4)]
    made, told, notes = arms(rows, arm="arm", model="model")
    assert made == ("model", "step") and told == ["m0, step=0", "m1, step=0", "m0, step=10", "m1, step=10"]
    assert notes == (
        "the column 'model' has 2 values and the column 'step' has 2 values: each is an arm of its own",
        "the column 'arm' is the same in all rows",
    )


def test_arms_whose_letters_differ_in_size_alone_are_named_and_blanks_are_none() -> None:
    made, told, notes = arms([{"arm": " Tuned"}, {"arm": "tuned"}, {"arm": None}, {"arm": "base "}], arm="arm")
    assert made == ("arm",) and told == ["Tuned", "tuned", "", "base"]
    assert notes == ("arms that differ in the size of letters alone are arms of their own: Tuned, tuned",)
    assert arms([{"arm": "x"}, {"arm": "x"}], arm="arm")[:2] == (("arm",), ["x", "x"])
    assert arms([{"mood": 1}, {"mood": 2}]) == ((), ["", ""], ())
