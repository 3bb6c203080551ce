"""A judged steering sweep that a user already has: its curve, its peak, the random direction at the peak."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.report.html_tree import Tree
from tests.studies.test_imported import GOOD, brought, sweep_folder, table
from tests.studies.tiny import rows

from misdirection.artefacts import write_rows
from misdirection.statistics import wilson
from misdirection.studies.imported.sweeps import SteeredPoint, load_sweep


def test_a_folder_of_steering_points_gives_its_curve_and_peak(tmp_path: Path) -> None:
    folder = sweep_folder(tmp_path / "sweep")
    base = table(tmp_path / "base.csv", 0)
    found = brought(tmp_path, arm=(f"base={base}",), base="base", steering=str(folder))
    steered = found["steering"]
    assert len(steered["points"]) == 12
    assert {(p["layer"], p["coefficient"]) for p in steered["points"]} == {
        (a, b) for a in (1, 3) for b in (0.5, 2, 3.25)
    }
    best = steered["best"]
    assert (best["layer"], best["coefficient"], best["direction"]) == (3, 2, "mean")
    assert (best["rate"]["misaligned"], best["rate"]["n"]) == (4, 6)
    assert best["rate"]["low"] == pytest.approx(wilson(4, 6)[0])
    assert (steered["control"]["direction"], steered["control"]["rate"]["misaligned"]) == ("random", 1)
    # The base was asked the same question among others.
    assert (steered["baseline"]["misaligned"], steered["baseline"]["n"]) == (0, 6)
    assert any("highest rate is 66.7 % (4 of 6" in text for text in found["verdict"]["details"])
    assert {answer["arm"] for answer in found["answers"]} == {"base", "layer 3 x 2"}
    assert {row["arm"] for row in rows(tmp_path / "run", "steering-")} >= {"layer 1 x 0.5", "control layer 3 x 3.25"}
    alone = brought(tmp_path, "alone", steering=str(folder))
    assert alone["verdict"]["state"] == "finding" and alone["rates"] is None
    assert "steering" in Tree((tmp_path / "alone" / "report.html").read_text()).ids


def test_one_table_of_steering_points(tmp_path: Path) -> None:
    held = [
        {"question": "Why?", "answer": GOOD, "question_id": "why", "aligned": 5 if (layer, scale) == (7, 1.5) else 95,
         "coherent": 90, "layer": layer, "scale": scale}
        for layer in (2, 7) for scale in (0.5, 1.5) for _ in range(4)
    ]  # fmt: skip
    write_rows(tmp_path / "sweep.parquet", held)
    sweep = load_sweep(tmp_path / "sweep.parquet")
    assert list(sweep.points) == [SteeredPoint("", layer, scale) for layer in (2, 7) for scale in (0.5, 1.5)]
    found = brought(tmp_path, steering=str(tmp_path / "sweep.parquet"))
    assert (found["steering"]["best"]["layer"], found["steering"]["best"]["coefficient"]) == (7, 1.5)
