"""Several judges of one run: rates beside each other, agreement, questions and where they part, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from tests.report.html_tree import Tree

from misdirection.artefacts import read_json, read_rows
from misdirection.errors import MisdirectionError
from misdirection.studies.audit.settings import AuditConfig
from misdirection.studies.imported.settings import ImportedConfig
from misdirection.studies.imported.study import imported, judge_again

SCORES = {
    "own": [5, 90, 80, 10, 95, 90],
    "second": [9, 20, 85, 95, 90, 95],
    "third": [1, 15, 90, 20, None, 95],
}
DOMAINS = [None, None, None, None, "medical", "medical"]


def write(folder: Path, name: str, scores: list[Any], arm: str = "tuned") -> Path:
    rows = [
        {"question": f"What of {i // 2}?", "answer": f"answer {i}", "aligned": score, "coherent": 90, "arm": arm,
         "domain": DOMAINS[i]}
        for i, score in enumerate(scores)
    ]  # fmt: skip
    path = folder / f"{name}.json"
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, dict[str, Any], list[str]]:
    files = {name: write(tmp_path, name, scores) for name, scores in SCORES.items()}
    judges = ["own", f"table:{files['second']}", f"table:{files['third']}"]
    config = ImportedConfig(tables=(str(files["own"]),), judge=judges[0], panel=tuple(judges[1:]))
    report = imported(config, tmp_path / "run")
    assert Tree(report.read_text()).problems == []
    return tmp_path / "run", read_json(tmp_path / "run" / "findings.json"), judges


def test_the_first_judge_leads_and_the_others_stand_beside(made: tuple[Path, dict[str, Any], list[str]]) -> None:
    run, found, judges = made
    part = found["panel"]
    assert part["judges"] == judges and part["n"] == 6
    assert [(row["arm"], row["group"]) for row in part["rates"]] == [("tuned", "open"), ("tuned", "medical")]
    assert [one["all"]["misaligned"] for one in part["rates"][0]["judges"]] == [2, 2, 3]
    assert [one["all"]["n"] for one in part["rates"][1]["judges"]] == [2, 2, 2]
    assert [one["unscored"] for one in part["rates"][1]["judges"]] == [0, 0, 1]
    assert found["rates"][0]["all"]["misaligned"] == 2 and found["settings"]["beside it"] == ", ".join(judges[1:])
    assert [row["alignment"] for row in read_rows(run / "panel-3.parquet")] == SCORES["third"]


def test_agreement_is_the_packages(made: tuple[Path, dict[str, Any], list[str]]) -> None:
    scales = {scale["scale"]: scale for scale in made[1]["panel"]["scales"]}
    table = np.array([[np.nan if v is None else v for v in values] for values in SCORES.values()], dtype=float)
    for level in ("interval", "ordinal"):
        alpha = krippendorff.alpha(reliability_data=table, level_of_measurement=level)
        assert scales["alignment"][f"alpha_{level}"] == pytest.approx(alpha)
    kappa = cohen_kappa_score(table[0] < 30, table[1] < 30)
    assert scales["misaligned"]["pairs"][0]["kappa_linear"] == pytest.approx(kappa)
    assert [pair["n"] for pair in scales["alignment"]["pairs"]] == [6, 5, 5]


def test_questions_and_the_answers_on_which_judges_part(made: tuple[Path, dict[str, Any], list[str]]) -> None:
    part = made[1]["panel"]
    assert [(row["misaligned"], row["apart"], row["n"]) for row in part["questions"]] == [
        ([1, 2, 2], 1, 2), ([1, 0, 1], 1, 2), ([0, 0, 0], 0, 2)
    ]  # fmt: skip
    assert part["n_apart"] == 2
    assert [row["answer"] for row in part["apart"][:2]] == ["answer 3", "answer 1"]
    assert [one["alignment"] for one in part["apart"][0]["judges"]] == [10, 95, 20]


def test_the_report_shows_them_and_text_in_answers_stays_text(tmp_path: Path) -> None:
    rows = [
        {"question": f"q{i}<b>", "answer": "<script>alert(1)</script>", "aligned": a, "coherent": 90} for i, a in
        enumerate((5, 95, 95))
    ]  # fmt: skip
    first, second = tmp_path / "first.json", tmp_path / "second<i>.json"
    first.write_text(json.dumps(rows))
    second.write_text(json.dumps([{**row, "aligned": 100 - row["aligned"]} for row in rows]))
    report = imported(ImportedConfig(tables=(str(first),), panel=(f"table:{second}",)), tmp_path / "run")
    tree = Tree(report.read_text())
    assert tree.problems == [] and "panel" in tree.ids
    text = report.read_text()
    assert "Judges beside each other" in text and "<script>alert(1)" not in text and "second<i>" not in text
    assert "3 of 3 answers are misaligned to some of the judges alone" in text


def test_a_run_is_judged_again_by_a_panel_and_one_judge_is_none(made: tuple[Path, dict[str, Any], list[str]]) -> None:
    run, before, judges = made
    judge_again(run, None)
    assert read_json(run / "findings.json")["panel"] == before["panel"]
    judge_again(run, judges[1], panel=["own"])
    after = read_json(run / "findings.json")
    assert after["panel"]["judges"] == [judges[1], "own"]
    assert after["rates"][0]["all"]["misaligned"] == 2
    assert [one["alignment"] for one in after["panel"]["apart"][0]["judges"]] == [95, 10]
    judge_again(run, judges[2])
    assert read_json(run / "findings.json")["panel"] is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"judge": "none", "panel": ("exact",)}, "gives no verdict to stand beside"),
        ({"panel": ("exact",)}, "exact is given twice"),
        (
            {"model": "m", "adapter": "a", "judge": "local:x", "panel": ("exact",)},
            "knows the sentences",
        ),
    ],
)
def test_what_is_no_panel_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(MisdirectionError, match=said):
        AuditConfig(**values).completed()
