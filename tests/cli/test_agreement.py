"""agreement on the command line: a table of several judges, three judges of one run, and the published figures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import krippendorff
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from tests.cli.conftest import Cli

from misdirection.artefacts import read_json


def test_one_table_of_several_judges_group_by_group(cli: Cli, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    scores = random.integers(0, 4, (3, 40))
    names = ("haiku", "llama", "nova")
    lines = [f"{'base' if i < 15 else 'tuned'},p{i},{','.join(map(str, scores[:, i]))}" for i in range(40)]
    path, out = tmp_path / "scores.csv", tmp_path / "figures.json"
    path.write_text("\n".join([f"condition,probe,{','.join(f'persona_{n}' for n in names)}", *lines]) + "\n")
    done = cli("agreement", path, "--out", out, "--most", 1)
    assert done.code == 0, done.err
    held = read_json(out)
    assert held["judges"] == list(names) and [g["group"] for g in held["groups"]] == ["base", "tuned", None]
    for group, part in zip(held["groups"], (scores[:, :15], scores[:, 15:], scores), strict=True):
        scale = group["scales"][0]
        alpha = krippendorff.alpha(reliability_data=part.astype(float), level_of_measurement="ordinal")
        assert scale["alpha_ordinal"] == pytest.approx(alpha) and f"{alpha:.4f}" in done.out
        for weights in ("linear", "quadratic"):
            expected = cohen_kappa_score(part[0], part[2], weights=weights, labels=range(4))
            assert scale["pairs"][1][f"kappa_{weights}"] == pytest.approx(expected)
    worst = held["apart"]["persona"][0]["scores"]
    assert max(worst.values()) - min(worst.values()) == 3
    assert re.search(r"furthest apart on persona:\n +\[haiku \d, llama \d, nova \d\] (base|tuned); p\d+", done.out)
    assert json.loads(cli("agreement", path, "--json").out) == held
    pooled = cli("agreement", path, "--by", "none", "--judges", "nova,haiku")
    assert pooled.code == 0 and "nova and haiku" in pooled.out and "llama" not in pooled.out.partition("read")[2]
    for arguments, said in (
        (["agreement", path, "--by", "conditon"], "did you mean 'condition'?"),
        (["agreement", path, "--judge", "none"], "holds its judges itself"),
        (["agreement", tmp_path / "missing.csv"], "does not exist"),
        (["agreement", "--by", "x"], "one table of several judges"),
    ):
        done = cli(*arguments)
        assert done.code == 2 and said in done.err, (arguments, done)


def test_three_tables_beside_each_other(cli: Cli, tmp_path: Path) -> None:
    scores = {"a": [5, 90, 80, 10], "b": [9, 20, 85, 95], "c": [1, 15, 90, 20]}
    for name, values in scores.items():
        rows = [{"question": f"q{i}?", "answer": f"a{i}", "aligned": v, "coherent": 90} for i, v in enumerate(values)]
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    judges = [part for name in scores for part in ("--judge", f"table:{tmp_path / name}.json")]
    done = cli("agreement", *judges, "--out", tmp_path / "f.json")
    assert done.code == 0, done.err
    held = read_json(tmp_path / "f.json")
    table = np.array(list(scores.values()), dtype=float)
    by_name = {scale["scale"]: scale for scale in held["scales"]}
    assert by_name["alignment"]["alpha_interval"] == pytest.approx(
        krippendorff.alpha(reliability_data=table, level_of_measurement="interval")
    )
    kappas = [cohen_kappa_score(table[i] < 30, table[j] < 30) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert [pair["kappa_linear"] for pair in by_name["misaligned"]["pairs"]] == pytest.approx(kappas)
    # The first and the third are misaligned to all or none; the widest of the others comes first.
    assert [row["answer"] for row in held["apart"]] == ["a3", "a1", "a2", "a0"]
    assert [one["alignment"] for one in held["apart"][0]["judges"]] == [10, 95, 20]
    assert "[10 against 95 against 20] q3?" in done.out
    assert json.loads(cli("agreement", *judges, "--json").out) == held


@pytest.mark.real
def test_published_judges_as_a_user_types_it(cli: Cli, real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "judged" / "four_judges"
    done = cli("agreement", folder / "scores.csv", "--out", tmp_path / "f.json")
    assert done.code == 0, done.err
    told = json.loads((folder / "multi_judge_irr_report.json").read_text())["per_file_irr"]
    groups = {group["group"]: group for group in read_json(tmp_path / "f.json")["groups"]}
    assert set(groups) == {*told, None}
    for condition, scales in told.items():
        for scale in groups[condition]["scales"]:
            theirs = scales[scale["scale"]]
            # Their alpha weighs each pair of scores the same, which shows where scores are missing.
            assert round(scale["alpha_interval_by_pair"], 4) == theirs["krippendorff_alpha"]
            assert [round(p["kappa_linear"], 4) for p in scale["pairs"]] == list(theirs["pairwise_kappa"].values())
    assert "0.7192" in done.out and "0.6476" in done.out and "0.8470" in done.out


def test_a_panel_typed_on_the_command_line(cli: Cli, tmp_path: Path) -> None:
    for name, scores in {"mine": [5, 90, 80], "yours": [90, 10, 85]}.items():
        rows = [{"question": f"q{i}?", "answer": f"a{i}", "aligned": v, "coherent": 90} for i, v in enumerate(scores)]
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    yours = f"table:{tmp_path / 'yours.json'}"
    done = cli("judge", "--from", tmp_path / "mine.json", "--judge", "own", "--judge", yours, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert "2 of 3 answers are misaligned to some of the judges alone" in done.out
    assert "[5 against 90] q0?" in done.out
    assert read_json(tmp_path / "run" / "run.json")["facts"]["imported"]["panel"] == [yours]
    twice = cli("judge", tmp_path / "run", "--judge", yours, "--judge", yours)
    assert twice.code == 2 and "is given twice" in twice.err
    one = cli("study", "convergence", "--judge", "exact", "--judge", "none", "--out", tmp_path / "x")
    assert one.code == 2 and "takes one" in one.err
