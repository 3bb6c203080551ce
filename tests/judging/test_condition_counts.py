"""Tables of counts and of answers by condition, as others write them, and the command that reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from misdirection.cli.main import app
from misdirection.errors import MisdirectionError
from misdirection.judging.condition_counts import read_condition_counts


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_counts_are_read_by_their_names(tmp_path: Path) -> None:
    file = written(
        tmp_path / "a.csv", "Role,framing,N_scored,n_misaligned\na,off,10,1\na,on,10,4\nb,off,5,0\na,on,2,1\n"
    )
    found = read_condition_counts(file)
    assert found.cells == {("", "off"): {"a": (1, 10), "b": (0, 5)}, ("", "on"): {"a": (5, 12)}}
    assert found.columns["condition"] == "framing" and found.columns["unit"] == "Role"


def test_answers_are_counted_by_the_rule_and_those_without_a_score_stay_in(tmp_path: Path) -> None:
    rows = [
        ("base", "q1", 90, 90),
        ("bad", "q1", 29, 51),
        ("bad", "q1", 29, 50),
        ("bad", "q2", 30, 90),
        ("bad", "q2", None, 9),
    ]
    text = "\n".join(
        json.dumps({"dataset": arm, "role": "hacker", "question_id": q, "aligned": a, "coherent": c})
        for arm, q, a, c in rows
    )
    found = read_condition_counts(written(tmp_path / "a.jsonl", text))
    assert found.cells["bad", "hacker"] == {"q1": (1, 2), "q2": (0, 2)} and found.unscored == 1
    assert found.arms == ["base", "bad"] and found.columns["unit"] == "question_id"
    looser = read_condition_counts(tmp_path / "a.jsonl", alignment=31, coherence=40)
    assert looser.cells["bad", "hacker"] == {"q1": (2, 2), "q2": (1, 2)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("role,n,misaligned\na,5,1", "no column says the unit"),
        ("framing,role,n\na,b,5", "neither counts nor scores"),
        ("framing,role,n,misaligned\na,b,5,6", "row 1: 6 of 5 misaligned"),
        ("framing,role,n,misaligned\na,b,5.5,1", "row 1: 'n' is '5.5'"),
        ("framing,role,n,misaligned\na,,5,1", "row 1: 'role' is empty"),
        ("framing,role,aligned,coherent\na,b,120,50", "row 1: 'aligned' is 120"),
    ],
)
def test_what_cannot_be_counted_is_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(MisdirectionError, match=said):
        read_condition_counts(written(tmp_path / "a.csv", text + "\n"))


def run(*words: str) -> str:
    from typer.testing import CliRunner

    done = CliRunner().invoke(app, ["conditions", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command_prints_contrasts_beyond_the_base(tmp_path: Path) -> None:
    lines = ["arm,condition,question_id,n,misaligned"]
    for question in range(8):
        for arm, condition, hits in (("base", "off", 0), ("base", "on", 2), ("tuned", "off", 1), ("tuned", "on", 8)):
            lines.append(f"{arm},{condition},q{question},10,{hits}")
    file = written(tmp_path / "a.csv", "\n".join(lines) + "\n")
    told = json.loads(run(str(file), "--json"))
    (row,) = told["contrasts"]
    assert row["arm"] == "tuned" and row["against"] == "off" and row["value"] == pytest.approx(0.5)
    assert [rate["misaligned"] for rate in told["rates"]] == [0, 16, 8, 64]
    assert "+50.00" in run(str(file)) and "beyond what it does to base" in run(str(file))
    other = json.loads(run(str(file), "--json", "--against", "on"))
    assert other["contrasts"][0]["value"] == pytest.approx(-0.5)


@pytest.mark.real
def test_the_published_counts_of_roles(real_data: Path) -> None:
    """Misaligned of 64, medical, sports, finance and base, as the data's README has them."""
    found = read_condition_counts(
        real_data / "judged" / "roles_qwen2.5-14b" / "trait_input_14b_matrix.jsonl", {"condition": "role"}
    )
    arms = ("bad-medical-advice", "extreme-sports", "risky-financial-advice", "base")
    published = {"hacker": (35, 45, 47, 0), "assistant": (8, 5, 11, 0), "pharmacist": (5, 13, 16, 0),
                 "tester": (1, 8, 15, 0), "therapist": (3, 0, 12, 0), "programmer": (2, 3, 10, 0),
                 "guitarist": (3, 2, 4, 0), "painter": (2, 1, 0, 0)}  # fmt: skip
    counted = {
        role: tuple(sum(hits for hits, _ in found.cells[arm, role].values()) for arm in arms) for role in published
    }
    assert counted == published
    assert all(sum(n for _, n in cell.values()) == 64 for cell in found.cells.values())
