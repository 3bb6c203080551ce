"""Probes on data whose truth is known: coefficients, metrics and ceilings against closed forms and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from misdirection.adapters.probes import (
    METRICS,
    ProbeSettings,
    fit_probes,
    null_coefficients,
    question_ceiling,
)
from misdirection.adapters.weights import AdapterError

FEW = ProbeSettings(repeats=3)


def data(n: int = 3000, columns: int = 4, seed: int = 0):
    """Labels that depend on column 1 alone; 30 questions, 300 answers of 10 tokens."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(n, columns)) * [1, 3, 10, 0.1] + [5, 0, -2, 0]
    labels = (generator.random(n) < 1 / (1 + np.exp(-values[:, 1]))).astype(np.int64)
    answers = np.arange(n) // 10
    return values, labels, answers, answers % 30


def test_only_the_column_that_tells_has_a_coefficient_and_the_scale_of_a_column_says_nothing():
    values, labels, answers, questions = data()
    found = fit_probes(values, labels, questions, settings=FEW)
    assert found.coefficients.shape == (3, 4) and found.metrics.shape == (3, 5)
    assert (found.coefficients[:, 1] > 0.5).all() and np.abs(found.coefficients[:, [0, 2, 3]]).max() < 0.05
    scaled = fit_probes(values * [7, 0.01, 1, 100] - 3, labels, questions, settings=FEW)
    assert np.allclose(scaled.coefficients, found.coefficients, atol=1e-4)
    assert found.n.tolist() == [min(labels.sum(), (1 - labels).sum())] * 3
    again = fit_probes(values, labels, questions, settings=FEW)
    assert np.array_equal(again.coefficients, found.coefficients)
    assert np.abs(null_coefficients(values, labels, answers, FEW)).max() < 0.05


def test_the_fit_is_the_minimum_of_the_l1_problem_that_liblinear_states():
    values, labels, _, questions = data(400)
    loose = ProbeSettings(strength=0.05, repeats=1)
    found = fit_probes(values, labels, questions, settings=loose, seed=3).coefficients[0]
    # The same draws: balanced, four fifths of either class, z-scored over all tokens.
    generator = np.random.default_rng(3)
    scaled = (values - values.mean(0)) / values.std(0)
    sides = [generator.permutation(np.flatnonzero(labels == side)) for side in (0, 1)]
    size = min(map(len, sides))
    out = round(0.2 * size)
    chosen = np.concatenate([side[:size][out:] for side in sides])
    x, y = np.column_stack([scaled[chosen], np.ones(len(chosen))]), 2 * labels[chosen] - 1

    def loss(halves: np.ndarray) -> float:
        weights = halves[:5] - halves[5:]
        return halves.sum() + 0.05 * np.logaddexp(0, -y * (x @ weights)).sum()

    best = minimize(loss, np.zeros(10), bounds=[(0, None)] * 10, method="L-BFGS-B", options={"ftol": 1e-14}).x
    assert np.allclose(found, (best[:5] - best[5:])[:4], atol=5e-3)
    assert np.abs(found).max() > 0.1


def test_a_probe_that_knows_the_question_is_unmasked_by_whole_questions_held_out():
    generator = np.random.default_rng(1)
    answers = np.repeat(np.arange(400), 5)
    questions = answers % 20
    # The label is the question's, and the scalars are no more than the question's name.
    values = np.eye(20)[questions] + 0.1 * generator.normal(size=(2000, 20))
    labels = np.random.default_rng(5).permutation(np.arange(20) % 2)[questions]
    settings = ProbeSettings(strength=1.0, repeats=8)
    loose = fit_probes(values, labels, questions, "tokens", settings).metrics.mean(0)
    strict = fit_probes(values, labels, questions, "questions", settings).metrics.mean(0)
    auc = METRICS.index("auc")
    assert loose[auc] > 0.99 and strict[auc] < 0.75
    first = np.unique(answers, return_index=True)[1]
    ceiling, _ = question_ceiling(labels[first], questions[first], np.ones(400))
    assert ceiling == 1.0


def test_the_ceiling_is_that_of_knowing_each_questions_rate():
    generator = np.random.default_rng(2)
    questions = np.arange(20000) % 2
    labels = (generator.random(20000) < np.where(questions == 1, 0.8, 0.2)).astype(np.int64)
    found, spread = question_ceiling(labels, questions, np.ones(20000), repeats=20)
    # P(score of a 1 above that of a 0) + half of ties: 0.8 * 0.8 + 0.5 * 2 * 0.8 * 0.2.
    assert found == pytest.approx(0.8, abs=0.01) and spread < 0.02
    alike, _ = question_ceiling(generator.integers(0, 2, 4000), np.arange(4000) % 40, np.ones(4000), repeats=20)
    assert alike == pytest.approx(0.5, abs=0.06)
    heavy, _ = question_ceiling(labels, questions, np.where(questions == labels, 1.0, 1e-9), repeats=5)
    assert heavy == pytest.approx(1.0, abs=1e-6)
    assert np.isnan(question_ceiling(np.ones(9, dtype=np.int64), np.arange(9), np.ones(9))[0])


def test_a_null_that_knows_answers_is_wider_than_one_that_takes_tokens_for_independent():
    generator = np.random.default_rng(3)
    answers = np.repeat(np.arange(60), 40)
    values = np.repeat(generator.normal(size=(60, 2)), 40, axis=0)
    labels = (np.arange(60) % 2)[answers]
    settings = ProbeSettings(repeats=30)
    clustered = np.abs(null_coefficients(values, labels, answers, settings)).mean()
    single = np.abs(null_coefficients(values, labels, np.arange(2400), settings)).mean()
    assert clustered > 5 * single


def test_too_little_is_refused_by_name():
    values, labels, _, questions = data(40)
    with pytest.raises(AdapterError, match="a class has"):
        fit_probes(values, np.r_[np.ones(5), np.zeros(35)].astype(np.int64), questions)
    with pytest.raises(AdapterError, match="no split of 1 questions"):
        fit_probes(values, labels, np.zeros(40, dtype=np.int64), "questions")


def test_tokens_of_a_class_can_be_capped():
    values, labels, _, questions = data()
    assert fit_probes(values, labels, questions, settings=ProbeSettings(repeats=2, most=100)).n.tolist() == [100, 100]
