from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.ppi_python import case

from misdirection.errors import MisdirectionError
from misdirection.statistics import powered_mean

# Made by `benchmarks/ppi_python.py --fixture`, in an environment with ppi-python.
ROWS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("ppi_python.json").read_text())["rows"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['case']}-{row['factor']}-{row['level']}")
def test_mean_and_interval_are_those_of_ppi_python(row: dict[str, Any]) -> None:
    found = powered_mean(**case(*row["case"]), factor=row["factor"], level=row["level"])
    assert [found.value, found.low, found.high] == pytest.approx([row["value"], row["low"], row["high"]], abs=1e-12)


def test_the_best_factor_is_0_for_noise_and_about_1_for_the_truth() -> None:
    random = np.random.default_rng(0)
    truth = (random.random(5000) < 0.3).astype(float)
    assert powered_mean(truth[:400], random.random(400), random.random(4600)).factor < 0.15
    told = powered_mean(truth[:400], truth[:400], truth[400:])
    assert told.factor == pytest.approx(4600 / 5000, abs=0.1)
    alone = powered_mean(truth[:400], truth[:400], truth[400:], factor=0.0)
    assert told.high - told.low < 0.5 * (alone.high - alone.low)


def test_a_cheap_judge_that_says_one_thing_changes_nothing() -> None:
    found = powered_mean([0, 1, 0, 1], [0.3] * 4, [0.3] * 9)
    assert (found.value, found.factor) == (0.5, 0.0)


def test_too_few_values_are_refused() -> None:
    with pytest.raises(MisdirectionError, match="1 dear values"):
        powered_mean([1.0], [1.0], [0.0, 1.0])
