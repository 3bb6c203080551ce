"""Weighted kappa beside scikit-learn, alpha beside the package krippendorff, and figures that others published."""

from __future__ import annotations

import csv
import json
from itertools import combinations
from pathlib import Path

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from misdirection.errors import MisdirectionError
from misdirection.judging import Verdict
from misdirection.statistics import Thresholds, cohens_kappa
from misdirection.statistics.krippendorff_alpha import krippendorff_alpha
from misdirection.statistics.panel import scale_agreement, verdict_scales, where_they_part
from misdirection.statistics.weighted_kappa import weighted_kappa

NAN = float("nan")


def scores(judges: int, answers: int, missing: float = 0.2, whole: bool = True, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    truth = random.uniform(0, 100, answers)
    table = truth + random.normal(0, 15, (judges, answers))
    table = table.clip(0, 100).round(0 if whole else 6)
    table[random.uniform(size=table.shape) < missing] = NAN
    return table


@pytest.mark.parametrize("level", ["interval", "ordinal"])
@pytest.mark.parametrize("shape", [(2, 40), (4, 60), (3, 7)])
@pytest.mark.parametrize("whole", [True, False])
def test_alpha_equals_the_package(level: str, shape: tuple[int, int], whole: bool) -> None:
    for seed in range(3):
        table = scores(*shape, whole=whole, seed=seed)
        expected = krippendorff.alpha(reliability_data=table, level_of_measurement=level)
        assert krippendorff_alpha(table, level) == pytest.approx(expected, abs=1e-10)  # type: ignore[arg-type]


def test_alpha_of_krippendorffs_own_example() -> None:
    """Four observers of twelve units, "Computing Krippendorff's Alpha-Reliability" (2011), section C and D."""
    star = NAN
    table = np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, star, star, star],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, star, 3],
            [star, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, star],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, star],
        ]
    )
    assert krippendorff_alpha(table, "interval") == pytest.approx(0.849, abs=5e-4)
    assert krippendorff_alpha(table, "ordinal") == pytest.approx(0.815, abs=5e-4)


def test_alpha_by_pair_is_the_same_where_nothing_is_missing_and_by_hand_where_something_is() -> None:
    table = scores(3, 30, missing=0)
    assert krippendorff_alpha(table, each="pair") == pytest.approx(krippendorff_alpha(table))
    table = np.array([[0, 3, 1, NAN], [1, 3, NAN, NAN], [2, 0, 1, 2]], dtype=float)
    observed = np.mean([1, 4, 1, 0, 9, 9, 0])
    held = [0, 1, 2, 3, 3, 0, 1, 1, 2]
    expected = np.mean([(held[i] - held[j]) ** 2 for i in range(9) for j in range(9) if i != j])
    assert krippendorff_alpha(table, each="pair") == pytest.approx(1 - observed / expected)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=60))
def test_weighted_kappa_equals_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    a, b = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    for weights in ("linear", "quadratic"):
        found = weighted_kappa(a, b, weights)
        if len({*a, *b}) == 1:
            assert found is None
        else:
            expected = cohen_kappa_score(a.astype(int), b.astype(int), weights=weights, labels=range(6))
            assert found == pytest.approx(expected, abs=1e-9)


def test_weighted_kappa_of_decimals_is_the_formula_and_of_marks_cohens() -> None:
    table = scores(2, 90, whole=False)
    both = table[:, ~np.isnan(table).any(axis=0)]
    a, b = both
    for weights, power in (("linear", 1), ("quadratic", 2)):
        expected = 1 - (abs(a - b) ** power).mean() / (abs(a[:, None] - b) ** power).mean()
        assert weighted_kappa(*table, weights) == pytest.approx(expected)  # type: ignore[arg-type]
    marks = [(x < 30, y < 30) for x, y in zip(a, b, strict=True)]
    found = weighted_kappa(*np.array(marks, dtype=float).T)
    assert (
        found
        == pytest.approx(cohens_kappa(marks))
        == pytest.approx(weighted_kappa(*np.array(marks, float).T, "quadratic"))
    )


def test_what_has_no_meaning_is_none_and_what_cannot_be_is_refused() -> None:
    nothing = np.full(3, NAN)
    assert weighted_kappa(nothing, np.ones(3)) is None and weighted_kappa(np.ones(3), np.ones(3)) is None
    assert weighted_kappa(np.full(3, 0.1), np.full(3, 0.1)) is None
    assert krippendorff_alpha(np.array([[1, NAN], [NAN, 2]])) is None
    assert krippendorff_alpha(np.ones((2, 4))) is None and krippendorff_alpha(np.full((3, 9), 0.1)) is None
    found = scale_agreement("x", np.array([[1, 2, NAN], [1, NAN, NAN]]))
    assert (found.n, found.complete, found.interval, found.pairs[0].n) == (1, 1, None, 1)
    assert (found.pairs[0].pearson, found.pairs[0].spearman, found.mean_kappa) == (None, None, None)
    with pytest.raises(MisdirectionError, match="two judges or more"):
        scale_agreement("x", np.ones((1, 4)))
    with pytest.raises(MisdirectionError, match="shapes"):
        weighted_kappa(np.ones(2), np.ones(3))
    with pytest.raises(MisdirectionError, match="2, 1 verdicts"):
        verdict_scales([[Verdict(1, 1)] * 2, [Verdict(1, 1)]])


def test_correlations_are_scipys_and_the_shift_is_the_second_minus_the_first() -> None:
    table = scores(2, 80)
    pair = scale_agreement("alignment", table).pairs[0]
    a, b = table[:, ~np.isnan(table).any(axis=0)]
    assert pair.n == len(a) and pair.shift == pytest.approx((b - a).mean())
    assert pair.pearson == pytest.approx(stats.pearsonr(a, b).statistic)
    assert pair.spearman == pytest.approx(stats.spearmanr(a, b).statistic)


def test_verdicts_become_scales_and_they_part_where_marks_differ_first() -> None:
    first = [Verdict(10, 90), Verdict(80, 90), Verdict(5, 40), Verdict(None, None, "none"), Verdict(50, 90)]
    second = [Verdict(20, 90), Verdict(25, 90), Verdict(95, 90), Verdict(5, 90), Verdict(None, 90, "refusal")]
    found = verdict_scales([first, second])
    assert np.array_equal(found["misaligned"], [[1, 0, 0, NAN, 0], [1, 1, 0, 1, NAN]], equal_nan=True)
    assert np.array_equal(found["alignment"][1], [20, 25, 95, 5, NAN], equal_nan=True)
    # The second answer is misaligned to one of them only; the third has the widest spread, to both it is not.
    assert where_they_part(found["alignment"], found["misaligned"]) == [1, 2, 0]
    assert where_they_part(found["alignment"]) == [2, 1, 0]
    other = verdict_scales([first, second], Thresholds(alignment=15))
    assert other["misaligned"][1].tolist()[:2] == [0, 0]


@pytest.mark.real
def test_every_figure_of_four_published_judges(real_data: Path) -> None:
    """Kappas, alphas and counts of 9 conditions x 3 scales, to the four places that the authors print.

    Their alpha weighs each pair of scores the same, which is Krippendorff's but where scores are missing (4 of 27);
    they average kappas that were rounded to four places.
    """
    folder = real_data / "judged" / "four_judges"
    report = json.loads((folder / "multi_judge_irr_report.json").read_text())
    keys = dict(zip(report["judges"], ("claude_35_haiku", "llama_33_70b", "mistral_large_3", "nova_pro"), strict=True))
    with (folder / "scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    seen = 0
    for condition, scales in report["per_file_irr"].items():
        mine = [row for row in rows if row["condition"] == condition]
        for scale, told in scales.items():
            held = [[float(row[f"{scale}_{key}"]) for row in mine] for key in keys.values()]
            table = np.array([[NAN if value < 0 else value for value in row] for row in held])
            found = scale_agreement(scale, table)
            pairs = [f"{report['judges'][i]} vs {report['judges'][j]}" for i, j in combinations(range(4), 2)]
            kappas = {name: round(pair.linear or 0.0, 4) for name, pair in zip(pairs, found.pairs, strict=True)}
            assert kappas == told["pairwise_kappa"]
            assert round(found.interval_by_pair or 0.0, 4) == told["krippendorff_alpha"]
            assert round(float(np.mean(list(kappas.values()))), 4) == told["mean_kappa"]
            assert (len(table), table.shape[1]) == (told["n_judges"], told["n_items"])
            exact = krippendorff.alpha(reliability_data=table, level_of_measurement="interval")
            assert found.interval == pytest.approx(exact, abs=1e-10)
            same = found.interval == pytest.approx(found.interval_by_pair, abs=1e-12)
            assert same == (found.complete == 150)
            seen += len(kappas) + 2
    assert seen == 9 * 3 * 8
