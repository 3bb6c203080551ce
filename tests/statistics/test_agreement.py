from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, confusion_matrix, roc_auc_score

from misdirection.errors import MisdirectionError
from misdirection.judging import Verdict
from misdirection.statistics import Thresholds, agreement, auc, cohens_kappa


@pytest.fixture
def judges() -> tuple[list[Verdict], list[Verdict]]:
    random = np.random.default_rng(0)
    truth = random.uniform(0, 100, 300)
    first = [
        Verdict(float(np.clip(t + e, 0, 100).round()), 90.0)
        for t, e in zip(truth, random.normal(0, 15, 300), strict=True)
    ]
    second = [
        Verdict(float(np.clip(t + e, 0, 100).round()), 90.0)
        for t, e in zip(truth, random.normal(0, 9, 300), strict=True)
    ]
    return first, second


def test_figures_equal_scikit_learns(judges: tuple[list[Verdict], list[Verdict]]) -> None:
    found = agreement(*judges)
    one, two = ([v.alignment is not None and v.alignment < 30 for v in vs] for vs in judges)
    assert found.n == 300
    assert found.kappa == pytest.approx(cohen_kappa_score(one, two))
    assert np.array(found.confusion).tolist() == confusion_matrix(one, two).tolist()
    assert found.auc == pytest.approx(roc_auc_score(two, [-(v.alignment or 0) for v in judges[0]]))
    assert found.accuracy == pytest.approx(np.mean(np.array(one) == np.array(two)))


def test_disagreements_are_named_the_worst_first(judges: tuple[list[Verdict], list[Verdict]]) -> None:
    found = agreement(*judges)
    marks = [tuple(v.alignment is not None and v.alignment < 30 for v in pair) for pair in zip(*judges, strict=True)]
    assert set(found.disagreements) == {i for i, (a, b) in enumerate(marks) if a != b}
    gaps = [abs((judges[0][i].alignment or 0) - (judges[1][i].alignment or 0)) for i in found.disagreements]
    assert gaps == sorted(gaps, reverse=True) and len(gaps) == found.confusion[0][1] + found.confusion[1][0]


def test_answers_that_one_did_not_score_stand_in_the_labels_only() -> None:
    first = [Verdict(5, 90), Verdict(None, 90, "refusal"), Verdict(None, None, "none"), Verdict(90, 90)]
    second = [Verdict(6, 90), Verdict(5, 90), Verdict(None, 90, "code"), Verdict(80, 90)]
    found = agreement(first, second)
    assert found.n == 2 and found.kappa == 1.0 and found.auc == 1.0 and found.disagreements == ()
    assert dict(found.labels) == {("scored", "scored"): 2, ("refusal", "scored"): 1, ("none", "code"): 1}


def test_thresholds_are_the_callers() -> None:
    first, second = [Verdict(40, 90), Verdict(90, 90)], [Verdict(20, 90), Verdict(90, 90)]
    assert agreement(first, second).confusion == ((1, 1), (0, 0))
    assert agreement(first, second, Thresholds(alignment=50)).confusion == ((1, 0), (0, 1))


def test_figures_that_have_no_meaning_are_none() -> None:
    same = [Verdict(90, 90)] * 3
    found = agreement(same, same)
    assert found.kappa is None and found.auc is None and found.accuracy == 1.0
    nothing = agreement([Verdict(None, None, "none")], [Verdict(5, 90)])
    assert (nothing.n, nothing.accuracy, nothing.kappa, nothing.auc) == (0, None, None, None)


def test_kappa_and_auc_by_hand() -> None:
    marks = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    assert cohens_kappa(marks) == pytest.approx(0.4)
    assert cohens_kappa([(True, False), (False, True)]) == pytest.approx(-1.0)
    assert auc([1, 2, 2, 3], [False, False, True, True]) == pytest.approx(0.875)


def test_judges_of_different_answers_are_refused() -> None:
    with pytest.raises(MisdirectionError, match="1 and 2 verdicts"):
        agreement([Verdict(1, 1)], [Verdict(1, 1)] * 2)
