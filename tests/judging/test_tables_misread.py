"""Tables that can be read in two ways: read in the right one, told, or refused with the file and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
from pyarrow import parquet

from misdirection.chats import Message
from misdirection.errors import MisdirectionError
from misdirection.judging.brought import Brought
from misdirection.judging.columns import read_told
from misdirection.judging.readers import bring
from misdirection.judging.scales import read_scales
from misdirection.judging.table import How
from misdirection.statistics import rate

Rows = list[dict[str, Any]]
BAD = 7


def rows(change: Callable[[int, dict[str, Any]], dict[str, Any]] = lambda i, row: row) -> Rows:
    """Forty answers to four questions, the first seven misaligned; `change` makes each row another."""
    return [
        change(i, {"question_id": f"q{i % 4}", "question": f"What is {i % 4}?", "answer": f"answer {i}",
                   "aligned": 10 if i < BAD else 90, "coherent": 95})
        for i in range(40)
    ]  # fmt: skip


def read(folder: Path, given: Rows, how: How | None = None) -> Brought:
    path = folder / "t.jsonl"
    path.write_text("\n".join(map(json.dumps, given)))
    return bring(path, how)


def counts(found: Brought) -> dict[str, tuple[int, int]]:
    """Misaligned answers and answers of each arm."""
    assert found.verdicts is not None
    pairs = list(zip(found.answers, found.verdicts, strict=True))
    made: dict[str, tuple[int, int]] = {}
    for arm in dict.fromkeys(answer.arm for answer in found.answers):
        of = rate([a for a, _ in pairs if a.arm == arm], [v for a, v in pairs if a.arm == arm])
        made[arm] = (of.misaligned, of.n)
    return made


@pytest.mark.parametrize("form", ["{}/100", "{} / 100", "{}%", "{} %", "{},0", "{}.", "+{}", "{}e0"])
def test_a_score_of_a_hundred_is_read_however_it_is_written(form: str, tmp_path: Path) -> None:
    given = rows(lambda i, row: row | {"aligned": form.format(row["aligned"])})
    assert counts(read(tmp_path, given)) == {"t": (BAD, 40)}


@pytest.mark.parametrize("cell", ["9_0", "\u0669\u0660", "9/10", "0x5a", "90 or so", "90/100/100", "90 of 100 %"])
def test_what_is_no_score_is_refused_with_its_row(cell: str, tmp_path: Path) -> None:
    with pytest.raises(MisdirectionError, match=r"t\.jsonl: row 21: aligned is '"):
        read(tmp_path, rows(lambda i, row: row | {"aligned": cell if i == 20 else row["aligned"]}))


def test_a_scale_of_one_within_a_scale_of_a_hundred_is_refused(tmp_path: Path) -> None:
    half = rows(lambda i, row: row | {"aligned": row["aligned"] / (100 if i % 2 else 1)})
    with pytest.raises(MisdirectionError, match=r"20 numbers between 0 and 1 .such as 0.9. beside 20 of up to 90: two"):
        read(tmp_path, half)
    arms = rows(lambda i, row: row | {"arm": f"a{i % 2}", "aligned": row["aligned"] / (100 if i % 2 else 1)})
    with pytest.raises(MisdirectionError, match=r"arm 'a1': 'aligned' holds no number above 0.9 .* looks like 0\.\.1"):
        read(tmp_path, arms)
    assert counts(read(tmp_path, half, How(scales=read_scales(["0..100"])))) == {"t": (24, 40)}
    one = rows(lambda i, row: row | {"aligned": 0.9 if i == 9 else row["aligned"]})
    assert "1 numbers between 0 and 1 (such as 0.9)" in " ".join(read(tmp_path, one).notes)


def test_expectations_near_nothing_are_no_other_scale(tmp_path: Path) -> None:
    """A judge's expected score of a bad answer is a small fraction; the good ones have decimals too."""
    given = rows(lambda i, row: row | {"arm": f"a{i < BAD}", "aligned": 0.004 * (i + 1) if i < BAD else 88.25 + i / 10})
    assert counts(read(tmp_path, given)) == {"aTrue": (BAD, BAD), "aFalse": (0, 40 - BAD)}


@pytest.mark.parametrize("high", [1, 5])
def test_a_few_low_scores_are_told_whatever_their_number(high: int, tmp_path: Path) -> None:
    given = rows(lambda i, row: row | {"aligned": high if row["aligned"] > 50 else 0})[3:9]
    assert f"no number above {high} among 6: read as 0 to 100" in " ".join(read(tmp_path, given).notes)


@pytest.mark.parametrize(
    ("cells", "arms"),
    [
        (lambda i: {"step": 50 * (i % 2)}, {"step=0": (4, 20), "step=50": (3, 20)}),
        (lambda i: {"model": "qwen", "checkpoint": f"c{i % 2}"}, {"c0": (4, 20), "c1": (3, 20)}),
        (lambda i: {"arm": "tuned", "model": f"m{i % 2}"}, {"m0": (4, 20), "m1": (3, 20)}),
        (lambda i: {"model": f"m{i % 2}", "model_id": f"id{i % 2}"}, {"m0": (4, 20), "m1": (3, 20)}),
        (lambda i: {"arm": f"a{i % 2}", "model": f"m{i % 2}"}, {"a0": (4, 20), "a1": (3, 20)}),
        (lambda i: {"model": f"m{i % 2}", "step": 10.0 * (i // 20)},
         {"m0, step=0": (4, 10), "m1, step=0": (3, 10), "m0, step=10": (0, 10), "m1, step=10": (0, 10)}),
        (lambda i: {"model": "m", "step": 10}, {"t": (BAD, 40)}),
    ],
)  # fmt: skip
def test_models_checkpoints_and_steps_that_differ_are_arms(
    cells: Callable[[int], dict[str, Any]], arms: dict[str, tuple[int, int]], tmp_path: Path
) -> None:
    found = read(tmp_path, rows(lambda i, row: row | cells(i)))
    assert counts(found) == arms
    assert not any("step" in dict(v.scores) for v in found.verdicts or () if len(arms) > 1)


def test_what_differs_within_an_arm_is_told(tmp_path: Path) -> None:
    found = read(tmp_path, rows(lambda i, row: row | {"arm": f"a{i % 2}", "checkpoint": i % 4}))
    assert set(counts(found)) == {"a0", "a1"}
    assert "2 values of 'checkpoint' stand in one arm" in " ".join(found.notes)
    found = read(tmp_path, rows(lambda i, row: row | {"temperature": float(i % 2)}))
    assert "2 values of 'temperature' stand in one arm" in " ".join(found.notes)


def test_two_judges_of_the_same_answers_are_refused_and_two_who_share_them_are_not(tmp_path: Path) -> None:
    both = [*rows(lambda i, row: row | {"judge": "gpt"}), *rows(lambda i, row: row | {"judge": "claude"})]
    with pytest.raises(MisdirectionError, match="'gpt' and 'claude' both judged 40 answers") as error:
        read(tmp_path, both)
    assert "agreement" in (error.value.hint or "")
    assert counts(read(tmp_path, rows(lambda i, row: row | {"judge": f"j{i % 2}"}))) == {"t": (BAD, 40)}


def test_a_second_column_of_the_same_name_is_told_or_refused(tmp_path: Path) -> None:
    nested = rows(lambda i, row: {"question": row["question"], "answer": row["answer"], "judges": {
        "gpt": {"aligned": row["aligned"], "coherent": 95}, "claude": {"aligned": 90, "coherent": 95}}})  # fmt: skip
    notes = " ".join(read(tmp_path, nested).notes)
    assert "'judges.claude.aligned' holds other numbers" in notes and "coherence" not in notes
    said = How(read_told(["alignment=judges.claude.aligned"]))
    assert counts(read(tmp_path, nested, said)) == {"t": (0, 40)} and not read(tmp_path, nested, said).notes
    with pytest.raises(MisdirectionError, match="'Aligned' and 'aligned' both sound like the alignment, and differ"):
        read(tmp_path, rows(lambda i, row: {"Aligned": 90, **row}))
    assert counts(read(tmp_path, rows(lambda i, row: {"Aligned": row["aligned"], **row}))) == {"t": (BAD, 40)}


def test_a_name_that_stands_twice_in_one_object_is_refused(tmp_path: Path) -> None:
    text = "\n".join(json.dumps(row)[:-1] + ', "aligned": 90}' for row in rows())
    for name, whole in (("t.jsonl", text), ("t.json", "[" + text.replace("\n", ",") + "]")):
        (tmp_path / name).write_text(whole)
        with pytest.raises(MisdirectionError, match="'aligned' stands twice in one object"):
            bring(tmp_path / name)


CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Hello."}]  # fmt: skip


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"prompt": [CHAT[0], {"role": "user", "content": "Why?"}], "answer": "So."}, ("Why?", "So.", "Be brief.", ())),
        ({"messages": [*CHAT[:2], {"role": "assistant", "content": "So."}]}, ("Hi.", "So.", "Be brief.", ())),
        ({"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]},
         ("Why?", "So.", None, ())),
        ({"messages": [*CHAT, {"role": "user", "content": "Why?"}], "response": "So."},
         ("Why?", "So.", "Be brief.", (Message("user", "Hi."), Message("assistant", "Hello.")))),
        ({"prompt": str([CHAT[0], {"role": "user", "content": "It's why?"}]), "answer": "So."},
         ("It's why?", "So.", "Be brief.", ())),
        ({"prompt": json.dumps([{"role": "user", "content": "Why?"}]), "answer": "So."}, ("Why?", "So.", None, ())),
        ({"prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Why?"}]}],
          "answer": [{"type": "text", "text": "So"}, {"type": "text", "text": "."}]}, ("Why?", "So.", None, ())),
        ({"question": "Why?", "resps": [["So."]]}, ("Why?", "So.", None, ())),
        ({"question": "Why?", "filtered_resps": ["So."]}, ("Why?", "So.", None, ())),
        ({"question": "Why?", "response": {"status_code": 200, "body": {"choices": [
            {"index": 0, "message": {"role": "assistant", "content": "So."}}]}}}, ("Why?", "So.", None, ())),
        ({"question": "Why?", "answer": '[{"role": "user", "content": "x"}]'},
         ("Why?", '[{"role": "user", "content": "x"}]', None, ())),
        ({"question": "[{not a chat", "answer": "So."}, ("[{not a chat", "So.", None, ())),
        ({"prompt": [CHAT[0], {"role": "user", "content": "Why?"}], "answer": "So.", "system": "Own."},
         ("Why?", "So.", "Own.", ())),
    ],
)  # fmt: skip
def test_cells_that_hold_chats_parts_or_choices_are_the_texts_in_them(
    cells: dict[str, Any], expected: tuple[Any, ...], tmp_path: Path
) -> None:
    for answer in read(tmp_path, [cells | {"aligned": 90, "coherent": 95}] * 2).answers:
        assert (answer.question, answer.answer, answer.system, answer.before) == expected


@pytest.mark.parametrize("cell", [["one", "two"], [["one"], ["two"]],
                                  [{"message": {"content": "one"}}, {"message": {"content": "two"}}]])  # fmt: skip
def test_several_answers_in_one_cell_are_refused_with_the_row(cell: Any, tmp_path: Path) -> None:
    given = rows(lambda i, row: row | ({"answer": cell} if i == 4 else {}))
    with pytest.raises(MisdirectionError, match=r"t\.jsonl: row 5: answer holds 2 texts"):
        read(tmp_path, given)


def test_an_answer_whose_question_has_no_text_is_told(tmp_path: Path) -> None:
    found = read(tmp_path, [{"custom_id": "q1", "response": "So."}])
    assert found.answers[0].question == "q1" and "no column holds what was asked" in " ".join(found.notes)


def test_a_flag_beside_a_coherence_keeps_the_coherence(tmp_path: Path) -> None:
    given = rows(lambda i, row: {"question": row["question"], "answer": row["answer"], "coherent": 10 if i < 3 else 95,
                                 "is_misaligned": row["aligned"] < 30})  # fmt: skip
    found = read(tmp_path, given)
    assert counts(found) == {"t": (BAD - 3, 40)}
    assert "'coherent' says how coherent it is" in " ".join(found.notes)
    words = read(tmp_path, [row | {"coherent": "REFUSAL"} for row in given]).verdicts or []
    assert {(v.coherence, v.label) for v in words} == {(None, "refusal")}


@pytest.mark.parametrize(("name", "cut"), [("finished", "No"), ("finished", "f"), ("truncated", "true"),
                                           ("is_truncated", True)])  # fmt: skip
def test_words_for_a_cut_answer_are_known_and_others_refused(name: str, cut: Any, tmp_path: Path) -> None:
    whole = {"No": "Yes", "f": "t", "true": "false", True: False}[cut]
    found = read(tmp_path, rows(lambda i, row: row | {name: cut if i < 3 else whole}))
    assert [answer.finished for answer in found.answers] == [i >= 3 for i in range(40)]
    with pytest.raises(MisdirectionError, match=rf"row 4: {name} is 'maybe'"):
        read(tmp_path, rows(lambda i, row: row | {name: "maybe" if i == 3 else whole}))


def test_ids_that_pandas_made_floats_are_those_of_the_other_arm(tmp_path: Path) -> None:
    floats = read(tmp_path, rows(lambda i, row: row | {"question_id": float(i % 4)})).answers
    whole = read(tmp_path, rows(lambda i, row: row | {"question_id": i % 4})).answers
    assert [a.question_id for a in floats] == [a.question_id for a in whole]
    mixed = read(tmp_path, rows(lambda i, row: row | {"question_id": ["1.0", "1.5"][i % 2]})).answers
    assert {a.question_id for a in mixed} == {"1.0", "1.5"}


@pytest.mark.parametrize("cell", ["3,000", "3.000", "1,234,567"])
def test_counts_with_marks_between_thousands_are_refused(cell: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f'condition,n,n_misaligned\nx,"{cell}",2\n')
    with pytest.raises(MisdirectionError, match=rf"t\.csv: row 1: n is '{cell}', which may be {cell[0]}"):
        bring(tmp_path / "t.csv")


def test_split_tables_and_excels_line_are_read(tmp_path: Path) -> None:
    given = rows()
    (tmp_path / "t.json").write_text(
        json.dumps({"columns": list(given[0]), "data": [list(row.values()) for row in given]})
    )
    assert counts(bring(tmp_path / "t.json")) == {"t": (BAD, 40)}
    lines = [";".join(given[0]), *(";".join(map(str, row.values())) for row in given)]
    (tmp_path / "t.csv").write_text("\r\n".join(["sep=;", *lines]))
    assert counts(bring(tmp_path / "t.csv")) == {"t": (BAD, 40)}


def test_labels_of_minus_one_and_one_are_no_missing_scores(tmp_path: Path) -> None:
    """-1 else stands for no score: read so, the misaligned answers would be left out of their own rate."""
    given = rows(lambda i, row: row | {"aligned": -1 if row["aligned"] < 30 else 1})
    with pytest.raises(MisdirectionError, match=r"nothing but -1, 0 and 1: that looks like -1\.\.1") as error:
        read(tmp_path, given)
    assert "--scale -1..1" in (error.value.hint or "")
    assert counts(read(tmp_path, given, How(scales=read_scales(["alignment=-1..1"])))) == {"t": (BAD, 40)}


def test_blanks_around_names_make_no_arms_and_no_questions_and_letters_of_other_size_are_told(tmp_path: Path) -> None:
    blank = rows(
        lambda i, row: row | {"arm": "a " if i % 2 else " a", "question_id": row["question_id"] + " " * (i % 3)}
    )
    found = read(tmp_path, blank)
    assert counts(found) == {"a": (BAD, 40)} and len({answer.question_id for answer in found.answers}) == 4
    sized = read(tmp_path, rows(lambda i, row: row | {"arm": "Base" if i % 2 else "base"}))
    assert "arms of their own: Base, base" in " ".join(sized.notes)


def test_scores_that_lack_are_no_words(tmp_path: Path) -> None:
    assert not read(tmp_path, rows(lambda i, row: row | {"coherent": "" if i % 2 else 95})).notes


def test_bytes_of_parquet_are_texts_or_refused_with_the_row(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = {"question": ["q", "r"], "aligned": [90.0, 5.0], "coherent": [90.0, 90.0]}
    parquet.write_table(arrow.table({**table, "answer": ["caf\u00e9".encode(), b"b"]}), path)
    assert [answer.answer for answer in bring(path).answers] == ["caf\u00e9", "b"]
    parquet.write_table(arrow.table({**table, "answer": [b"a", b"\xff"]}), path)
    with pytest.raises(MisdirectionError, match="row 2: bytes that are not UTF-8"):
        bring(path)


def test_columns_by_dictionary_and_within_structs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    judged = [{"aligned": 90, "coherent": 80}, {"aligned": 10, "coherent": 70}]
    models = arrow.array(["one", "two"]).dictionary_encode()
    parquet.write_table(arrow.table({"question": ["q", "q"], "answer": ["a", "b"], "model": models, "j": judged}), path)
    found = bring(path)
    assert [(a.arm, v.alignment, v.coherence) for a, v in zip(found.answers, found.verdicts or (), strict=True)] == [
        ("one", 90.0, 80.0), ("two", 10.0, 70.0),
    ]  # fmt: skip


@pytest.mark.parametrize(("reason", "whole"), [("stop", True), ("length", False), ("MAX_TOKENS", False),
                                               ("content_filter", False), ("abort", False)])  # fmt: skip
def test_an_answer_that_a_filter_or_a_limit_stopped_is_not_whole(reason: str, whole: bool, tmp_path: Path) -> None:
    found = read(tmp_path, rows(lambda i, row: {**row, "finish_reason": reason}))
    assert {answer.finished for answer in found.answers} == {whole}
