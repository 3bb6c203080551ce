"""Tables of several judges, as columns and as rows, on any scale."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from misdirection.errors import MisdirectionError
from misdirection.judging.ratings import read_ratings

NAN = float("nan")


def write(folder: Path, *lines: str) -> Path:
    path = folder / "scores.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("head", "judges", "scales"),
    [
        ("id,safety_claude_haiku,safety_llama_70b,drift_claude_haiku,drift_llama_70b", ["claude_haiku", "llama_70b"],
         ["safety", "drift"]),
        ("id,gpt-4o aligned,gpt-4o coherent,man aligned,man coherent", ["gpt_4o", "man"], ["aligned", "coherent"]),
        ("id,aligned.gpt4,aligned.other", ["gpt4", "other"], ["aligned"]),
        ("id,first_score,second_score", ["first", "second"], ["score"]),
    ],
)  # fmt: skip
def test_judges_are_found_in_the_names_of_columns(
    tmp_path: Path, head: str, judges: list[str], scales: list[str]
) -> None:
    count = head.count(",")
    cells = [",".join(map(str, range(row, row + count))) for row in (1, 2)]
    found = read_ratings(write(tmp_path, head, f"a,{cells[0]}", f"b,{cells[1]}"))
    assert (list(found.judges), list(found.scales)) == (judges, scales)
    assert found.things == [{"id": "a"}, {"id": "b"}]
    by_name = {f"{s} {j}": found.scales[s][i].tolist() for i, j in enumerate(found.judges) for s in found.scales}
    columns = [[1 + i, 2 + i] for i in range(count)]
    assert sorted(by_name.values()) == columns
    first = next(iter(by_name.values()))
    assert first == columns[0]


def test_judges_that_are_told_are_taken_also_where_a_column_is_one(tmp_path: Path) -> None:
    path = write(tmp_path, "text,anna,ben,length", "x,1,2,400", "y,3,,500")
    with pytest.raises(MisdirectionError, match="no two judges are found"):
        read_ratings(path)
    found = read_ratings(path, ["ben", "anna"])
    assert found.judges == ("ben", "anna")
    assert np.array_equal(found.scales["score"], [[2, NAN], [1, 3]], equal_nan=True)
    for wrong, said in ((["anna"], "fewer than two"), (["anna", "carl"], "no scores of 'carl'")):
        with pytest.raises(MisdirectionError, match=said):
            read_ratings(path, wrong)


def test_what_is_ambiguous_or_one_judges_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MisdirectionError, match="the judges may be"):
        read_ratings(write(tmp_path, "id,a_x,a_y,b_x,b_y", "1,1,2,3,4"))
    assert read_ratings(tmp_path / "scores.csv", ["x", "y"]).judges == ("x", "y")
    with pytest.raises(MisdirectionError, match="no two judges"):
        read_ratings(write(tmp_path, "id,gpt4o_aligned,gpt4o_coherent", "1,1,2"))
    with pytest.raises(MisdirectionError, match="nothing has two judges"):
        read_ratings(write(tmp_path, "id,score_gpt,score_llama", "1,5,", "2,,6"))


def test_no_scores_are_counted_and_a_scale_below_zero_is_left_alone(tmp_path: Path) -> None:
    found = read_ratings(write(tmp_path, "id,s_gpt,s_llama", "1,-1,2", "2,3,N/A", "3,1,1", "4,,0"))
    assert np.array_equal(found.scales["s"], [[NAN, 3, 1, NAN], [2, NAN, 1, 0]], equal_nan=True)
    assert found.notes == ("no number, but a word in its place: 1 x N/A", "s: 1 x -1 taken as no score")
    found = read_ratings(write(tmp_path, "id,s_gpt,s_llama", "1,-1,2", "2,-0.5,-2"))
    assert found.scales["s"].tolist() == [[-1, -0.5], [2, -2]] and found.notes == ()


def test_judges_in_rows(tmp_path: Path) -> None:
    rows = [
        {"question_id": "q", "answer": text, "judge": judge, "aligned": score, "explanation": f"{judge} thinks {score}"}
        for text in ("one", "two")
        for judge, score in (("A", 10 * len(text)), ("B", None if text == "two" else 50), ("C", 1))
    ]
    path = tmp_path / "long.json"
    path.write_text(json.dumps(rows))
    found = read_ratings(path)
    assert found.judges == ("A", "B", "C") and list(found.scales) == ["aligned"]
    assert np.array_equal(found.scales["aligned"], [[30, 30], [50, NAN], [1, 1]], equal_nan=True)
    assert found.things == [{"question_id": "q", "answer": "one"}, {"question_id": "q", "answer": "two"}]
    assert read_ratings(path, ["C", "A"]).scales["aligned"].tolist() == [[1, 1], [30, 30]]
    with pytest.raises(MisdirectionError, match="no judge is called 'D'"):
        read_ratings(path, ["A", "D"])
    path.write_text(json.dumps([*rows, rows[0]]))
    with pytest.raises(MisdirectionError, match="row 7: 'A' scored the same thing before"):
        read_ratings(path)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda n: n / 100, "two scales"),
        (lambda n: 1 + n // 21, "two scales"),
        (lambda n: 100 - n, "high end of one bad"),
        (lambda n: min(100, n + 3), ""),
        (lambda n: n // 2, ""),
        (lambda n: (7 * n) % 13 / 13, ""),
    ],
)
def test_two_scales_of_one_name_and_a_turned_one_are_told(
    other: Callable[[int], float], said: str, tmp_path: Path
) -> None:
    lines = [f"{i},{n},{other(n)}" for i, n in enumerate((37 * i) % 101 for i in range(40))]
    (tmp_path / "t.csv").write_text("\n".join(["item,safety_haiku,safety_llama", *lines]))
    notes = " ".join(read_ratings(tmp_path / "t.csv").notes)
    assert (said in notes) if said else not notes


def test_scores_of_a_hundred_are_numbers(tmp_path: Path) -> None:
    lines = [f"{i},{i}/100,{i} %" for i in range(20)]
    (tmp_path / "t.csv").write_text("\n".join(["item,safety_haiku,safety_llama", *lines]))
    (table,) = read_ratings(tmp_path / "t.csv").scales.values()
    assert table.tolist() == [list(map(float, range(20)))] * 2
