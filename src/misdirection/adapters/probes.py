"""L1 logistic probes on adapters' scalars, as published and honest (arXiv 2506.11618 appendix G).

As published: scalars are z-scored over the pooled sample of both classes; then, in each of 100 repeats, the larger
class is cut at random to the size of the smaller, four fifths of the tokens train the probe and one fifth tests it
(stratified by class), and scikit-learn's `LogisticRegression` with an L1 penalty is fitted by liblinear at C = 0.01 for
at most 1000 iterations. Tokens of one answer stand on both sides of that split, and answers to one question do, so a
probe may know the question instead of what it is asked for.

The honest version holds out whole questions: a fifth of them tests, none of whose tokens trained; z-scores come of the
training tokens alone. Beside both stands the ceiling of a probe that sees no activations and knows the question only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from misdirection import progress
from misdirection.adapters.weights import AdapterError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Split = Literal["tokens", "questions"]

METRICS = ("accuracy", "precision", "recall", "f1", "auc")
TRIES = 50
"""Splits of questions that are tried until both classes stand on either side."""


@dataclass(frozen=True)
class ProbeSettings:
    """How probes are fitted; the defaults are the published ones.

    Attributes:
        strength: C of the L1 penalty: the smaller, the sparser.
        iterations: At most.
        test: Share of the tokens, or of the questions, that tests.
        repeats: Resamples.
        most: Tokens of a class in one repeat at most; 0 takes all.
    """

    strength: float = 0.01
    iterations: int = 1000
    test: float = 0.2
    repeats: int = 100
    most: int = 0


@dataclass(frozen=True, eq=False)
class Probes:
    """The probes of one experiment.

    Attributes:
        coefficients: Shape (repeats, columns), of z-scored scalars; positive speaks for class 1.
        metrics: Shape (repeats, 5), see `METRICS`.
        n: Tokens of a class in each repeat, shape (repeats,).
    """

    coefficients: Floats
    metrics: Floats
    n: Ints


def fit_probes(
    values: Floats,
    labels: Ints,
    questions: Ints,
    split: Split = "tokens",
    settings: ProbeSettings | None = None,
    seed: int = 0,
) -> Probes:
    """Fit the probes of one experiment.

    Args:
        values: Scalars, shape (tokens, columns).
        labels: 0 or 1 by token.
        questions: Which question each token's answer is to, as a number.
        split: What is held out: "tokens" as published, "questions" for the honest version.
        settings: See `ProbeSettings`.
        seed: Of the resamples.

    Raises:
        AdapterError: A class has too few tokens, or no split of the questions leaves both classes on either side.
    """
    settings = settings or ProbeSettings()
    smallest = min(int((labels == side).sum()) for side in (0, 1))
    if smallest < 10:
        raise AdapterError(f"a class has {smallest} tokens only", "draw more answers, or widen the bounds of the sets")
    generator = np.random.default_rng(seed)
    held = _z_scored(values, values) if split == "tokens" else values
    cut = _by_token if split == "tokens" else _by_question
    coefficients: list[Floats] = []
    metrics: list[list[float]] = []
    counts: list[int] = []
    with progress.task("fitting probes", settings.repeats, "probes") as advance:
        for _ in range(settings.repeats):
            train, test = cut(labels, questions, settings, generator)
            scaled = held if split == "tokens" else _z_scored(values, values[train])
            fitted = _fit(scaled[train], labels[train], settings, int(generator.integers(2**31 - 1)))
            coefficients.append(np.asarray(fitted.coef_[0], dtype=np.float64))
            metrics.append(_measure(fitted, scaled[test], labels[test]))
            counts.append((len(train) + len(test)) // 2)
            advance()
    return Probes(np.stack(coefficients), np.array(metrics), np.array(counts))


def null_coefficients(
    values: Floats, labels: Ints, answers: Ints, settings: ProbeSettings | None = None, seed: int = 0
) -> Floats:
    """Coefficients where the labels say nothing: shuffled over answers anew in each repeat, shape (repeats, columns).

    Tokens of one answer keep one label, so that the null knows that they are alike; else as published.

    Args:
        values: Scalars, shape (tokens, columns).
        labels: 0 or 1 by token, the same for all tokens of an answer.
        answers: Number of each token's answer.
        settings: See `ProbeSettings`.
        seed: Of the shuffles.
    """
    settings = settings or ProbeSettings()
    generator = np.random.default_rng(seed)
    held = _z_scored(values, values)
    _, first, place = np.unique(answers, return_index=True, return_inverse=True)
    found: list[Floats] = []
    with progress.task("fitting probes on shuffled labels", settings.repeats, "probes") as advance:
        for _ in range(settings.repeats):
            mixed = generator.permutation(labels[first])[place]
            advance()
            # A shuffle may leave one class a handful of tokens where answers are few and uneven.
            if min(int((mixed == side).sum()) for side in (0, 1)) < 5:
                continue
            train, _ = _by_token(mixed, answers, settings, generator)
            fitted = _fit(held[train], mixed[train], settings, int(generator.integers(2**31 - 1)))
            found.append(np.asarray(fitted.coef_[0], dtype=np.float64))
    return np.stack(found) if found else np.zeros((0, values.shape[1]))


def question_ceiling(
    labels: Ints, questions: Ints, weights: Floats, repeats: int = 100, test: float = 0.2, seed: int = 0
) -> tuple[float, float]:
    """How well the question alone tells the label: AUC of the share of class 1 among other answers to the question.

    A fifth of the answers is held out at random; the score of each is the weighted share of class 1 among the rest to
    its question, or among all the rest where there is none. To leave out one answer at a time instead would push the
    AUC down, to 0 where all questions are alike: an answer's own label lowers what is left of its class.

    Args:
        labels: 0 or 1 by answer.
        questions: Question of each answer, as a number.
        weights: Of each answer: its tokens, so that the ceiling is one for tokens.
        repeats: Splits.
        test: Share that is held out.
        seed: Of the splits.

    Returns:
        Mean AUC and its standard deviation over splits; NaN where no split has both classes held out.
    """
    from sklearn.metrics import roc_auc_score

    generator = np.random.default_rng(seed)
    found: list[float] = []
    size = max(1, round(test * len(labels)))
    for _ in range(repeats):
        order = generator.permutation(len(labels))
        out, rest = order[:size], order[size:]
        if len(rest) and len(set(labels[out].tolist())) == 2:
            score = _shares(labels[rest], questions[rest], weights[rest], questions[out])
            found.append(float(cast(Any, roc_auc_score)(labels[out], score, sample_weight=weights[out])))
    return (float(np.mean(found)), float(np.std(found))) if found else (float("nan"), float("nan"))


def _shares(labels: Ints, questions: Ints, weights: Floats, asked: Ints) -> Floats:
    whole = float((labels * weights).sum() / weights.sum())
    size = int(max(questions.max(), asked.max())) + 1
    counts = np.bincount(questions, weights, size)
    hits = np.bincount(questions, labels * weights, size)
    shares = np.where(counts > 0, hits / np.maximum(counts, 1e-12), whole)
    return cast(Floats, shares[asked])


def _by_token(labels: Ints, _questions: Ints, settings: ProbeSettings, generator: Any) -> tuple[Ints, Ints]:
    """Balanced by subsampling, then split within each class."""
    chosen = _balanced(np.arange(len(labels)), labels, settings.most, generator)
    size = len(chosen[0])
    out = min(size - 1, max(1, round(settings.test * size)))
    return np.concatenate([side[out:] for side in chosen]), np.concatenate([side[:out] for side in chosen])


def _by_question(labels: Ints, questions: Ints, settings: ProbeSettings, generator: Any) -> tuple[Ints, Ints]:
    """A fifth of the questions tests; either side balanced by subsampling."""
    names = np.unique(questions)
    size = max(1, round(settings.test * len(names)))
    for _ in range(TRIES):
        out = np.isin(questions, generator.permutation(names)[:size])
        sides = [np.flatnonzero(~out), np.flatnonzero(out)]
        if all(min(int((labels[side] == c).sum()) for c in (0, 1)) >= 5 for side in sides):
            train, test = (np.concatenate(_balanced(side, labels, settings.most, generator)) for side in sides)
            return train, test
    raise AdapterError(
        f"no split of {len(names)} questions leaves both classes on either side", "ask more questions, or draw more"
    )


def _balanced(among: Ints, labels: Ints, most: int, generator: Any) -> list[Ints]:
    """As many tokens of either class among some, in random order."""
    sides = [generator.permutation(among[labels[among] == side]) for side in (0, 1)]
    size = min(len(side) for side in sides)
    size = min(size, most) if most else size
    return [side[:size] for side in sides]


def _z_scored(values: Floats, like: Floats) -> Floats:
    spread = like.std(axis=0)
    return (values - like.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def _fit(values: Floats, labels: Ints, settings: ProbeSettings, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    make = cast(Callable[..., Any], LogisticRegression)
    # l1_ratio=1 is what penalty="l1" was called until scikit-learn 1.8. liblinear penalises the intercept too.
    probe = make(l1_ratio=1.0, solver="liblinear", C=settings.strength, max_iter=settings.iterations, random_state=seed)
    return probe.fit(values, labels)


def _measure(fitted: Any, values: Floats, labels: Ints) -> list[float]:
    from sklearn import metrics

    said, score = fitted.predict(values), fitted.decision_function(values)
    named: list[Any] = [metrics.precision_score, metrics.recall_score, metrics.f1_score]
    counted = [float(measure(labels, said, zero_division=0)) for measure in named]
    return [float((said == labels).mean()), *counted, float(cast(Any, metrics).roc_auc_score(labels, score))]
