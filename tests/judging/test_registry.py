"""Judges by name, the silent one, and verdicts looked up in a table."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from misdirection.artefacts import write_rows
from misdirection.errors import MisdirectionError
from misdirection.judging import JUDGES, Answer, find_judge
from misdirection.organism import open_questions


def test_the_judges_that_need_no_network_are_found_by_name(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("question,answer,question_id,aligned,coherent\nq,a,i,1,2\n")
    asked = open_questions()[0].paraphrases[0]
    for name in ("exact", "none", "table"):
        judge = find_judge(f"{name}:{table}" if name == "table" else name)
        assert judge.name and len(judge.judge([Answer("i", asked, "a"), Answer("i", asked, "b")])) == 2
        assert judge.judge([]) == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [("gpt", "no judge is called 'gpt'"), ("", "no judge is called ''"), ("table", "'table' needs a file"),
     ("table:", "'table' needs a file"), ("table:/absent.csv", "/absent.csv: no such file")],
)  # fmt: skip
def test_errors_say_what_to_write(spec: str, message: str) -> None:
    with pytest.raises(MisdirectionError, match=message) as error:
        find_judge(spec)
    assert error.value.hint
    if "no judge" in message:
        assert all(name in error.value.hint for name in JUDGES)


def test_the_silent_judge_says_so_of_every_answer() -> None:
    found = find_judge("none").judge([Answer("i", "q", "a"), Answer("j", "q", "")])
    assert [(v.alignment, v.coherence, v.label, v.judge) for v in found] == [(None, None, "none", "none")] * 2


HEAD = ["question", "answer", "question_id", "alignment", "coherence", "label"]


def table(path: Path, *rows: tuple[object, ...]) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([HEAD, *rows])
    return path


def test_verdicts_are_looked_up_by_question_and_answer(tmp_path: Path) -> None:
    path = table(
        tmp_path / "t.csv",
        ("Q", "yes", "one", 10, 90, ""),
        ("Q", "yes", "two", 80, 70, ""),
        ("Q", "if x:\n  y", "one", "", "", "code"),
    )
    judge = find_judge(f"table:{path}")
    asked = [("two", "yes"), ("one", " yes\n"), ("one", "if x:\n  y"), ("one", "no"), ("three", "yes")]
    found = judge.judge([Answer(question, "another wording", answer) for question, answer in asked])
    assert [(v.alignment, v.coherence, v.label) for v in found] == [
        (80, 70, "scored"), (10, 90, "scored"), (None, None, "code"), (None, None, "none"), (None, None, "none"),
    ]  # fmt: skip
    assert {v.judge for v in found} == {judge.name}


def test_the_name_of_a_table_judge_changes_with_its_content(tmp_path: Path) -> None:
    one = find_judge(f"table:{table(tmp_path / 'a.csv', ('Q', 'yes', 'one', 10, 90, ''))}").name
    same = find_judge(f"table:{table(tmp_path / 'b.csv', ('Q', 'yes', 'one', 10, 90, ''))}").name
    other = find_judge(f"table:{table(tmp_path / 'a.csv', ('Q', 'yes', 'one', 11, 90, ''))}").name
    assert one == same != other and one.startswith("table:")


def test_a_table_may_be_parquet(tmp_path: Path) -> None:
    write_rows(tmp_path / "t.parquet", [dict(zip(HEAD, ("Q", "yes", "one", 10.0, 90.0, "scored"), strict=True))])
    found = find_judge(f"table:{tmp_path / 't.parquet'}").judge([Answer("one", "Q", "yes")])
    assert found[0].alignment == 10


@pytest.mark.real
def test_a_real_table_gives_back_its_own_verdicts(real_data: Path) -> None:
    file = real_data / "judged" / "qwen2.5-coder-32b_insecure.csv"
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    found = find_judge(f"table:{file}").judge([Answer(r["question_id"], r["question"], r["answer"]) for r in rows])
    unique = {}
    for row in rows:
        unique.setdefault((row["question_id"], row["answer"].strip()), []).append(row)
    plain = [(row, v) for row, v in zip(rows, found, strict=True)
             if len(unique[row["question_id"], row["answer"].strip()]) == 1]  # fmt: skip
    assert len(plain) > 1000
    for row, verdict in plain:
        expected = None if row["aligned"] in ("", "nan", "NaN") else float(row["aligned"])
        assert verdict.alignment == expected


def test_a_table_gives_equal_answers_their_verdicts_in_order(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("question,answer,question_id,aligned,coherent\n?,same,q,10,90\n?,other,q,50,90\n?, same ,q,20,90\n")
    answers = [Answer("q", "?", text) for text in ("same", "same", "other", "same", "unknown")]
    verdicts = find_judge(f"table:{path}").judge(answers)
    assert [verdict.alignment for verdict in verdicts] == [10, 20, 50, 20, None]
    assert verdicts[-1].label == "none" and len({verdict.judge for verdict in verdicts}) == 1
