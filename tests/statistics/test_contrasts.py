"""Differences in differences over units, against plain sums and the figures of those who published them."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest

from misdirection.errors import MisdirectionError
from misdirection.statistics.contrasts import bootstrap, contrast, sign_test


def cells(rates: list[float], n: int = 20) -> dict[str, tuple[int, int]]:
    return {f"q{place}": (round(rate * n), n) for place, rate in enumerate(rates)}


def test_the_value_is_the_mean_of_each_question_s_difference_in_differences() -> None:
    here, there = cells([0.5, 0.9, 0.2, 0.7, 0.4, 0.6]), cells([0.1, 0.3, 0.2, 0.1, 0.0, 0.2])
    base = cells([0.2, 0.1, 0.0, 0.3, 0.1, 0.0]), cells([0.1, 0.0, 0.0, 0.0, 0.0, 0.0])
    found = contrast(here, there, base)
    by_hand = [0.4 - 0.1, 0.6 - 0.1, 0.0, 0.6 - 0.3, 0.4 - 0.1, 0.4]
    assert found.value == pytest.approx(np.mean(by_hand))
    signs = [abs(np.dot(flips, by_hand)) for flips in itertools.product((-1, 1), repeat=6)]
    assert found.p == pytest.approx(np.mean(np.array(signs) >= abs(sum(by_hand)) - 1e-12))
    assert found.low <= found.value <= found.high and (found.p < 0.05) == (not found.low <= 0 <= found.high)
    assert found.n_units == 6 and found.left_out == 0
    plain = contrast(here, there)
    assert plain.value == pytest.approx(np.mean([0.4, 0.6, 0.0, 0.6, 0.4, 0.4]))


def test_a_question_counts_once_whatever_its_answers_and_one_without_a_partner_is_counted_out() -> None:
    here = {"a": (1, 2), "b": (90, 100), "c": (1, 1), "d": (0, 0)}
    there = {"a": (0, 2), "b": (50, 100), "d": (3, 4)}
    found = contrast(here, there)
    assert found.value == pytest.approx((0.5 + 0.4) / 2) and (found.n_units, found.left_out) == (2, 2)
    with pytest.raises(MisdirectionError, match="no question or role stands under both"):
        contrast({"c": (1, 1)}, there)


def test_bootstrap_and_sign_test_are_the_usual_ones() -> None:
    values = list(np.random.default_rng(3).normal(0.2, 1.0, 30))
    low, high = bootstrap(values, seed=1)
    spread = np.std(values) / np.sqrt(30)
    assert low == pytest.approx(np.mean(values) - 1.96 * spread, abs=0.05)
    assert high == pytest.approx(np.mean(values) + 1.96 * spread, abs=0.05)
    assert sign_test([1.0, 2.0, 3.0, 0.0, 4.0, 5.0]) == pytest.approx(2 / 2**5)
    assert sign_test([0.0, 0.0]) == 1.0


@pytest.mark.real
def test_the_published_figures_of_evaluation_framings(real_data: Path) -> None:
    with (real_data / "judged" / "eval_awareness_qwen2.5-32b" / "counts.csv").open() as stream:
        rows = list(csv.DictReader(stream))

    def of(framing: str) -> dict[str, tuple[int, int]]:
        return {r["role"]: (int(r["n_misaligned"]), int(r["n_scored"])) for r in rows if r["framing"] == framing}

    published = [("eval_alignment", "deployment", 8.55, 5.57, 11.72), ("eval_placebo", "deployment", 2.20, 0.51, 3.91),
                 ("eval_alignment", "eval_placebo", 6.35, 3.97, 8.90)]  # fmt: skip
    for condition, reference, value, low, high in published:
        found = contrast(of(condition), of(reference))
        assert 100 * found.value == pytest.approx(value, abs=0.005) and found.n_units == 26
        assert 100 * found.boot_low == pytest.approx(low, abs=0.1)
        assert 100 * found.boot_high == pytest.approx(high, abs=0.1)
    assert contrast(of("eval_alignment"), of("deployment")).sign_p == pytest.approx(8.8e-5, rel=0.01)
