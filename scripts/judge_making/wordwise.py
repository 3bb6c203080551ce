"""The second opinion: logistic regression on hashed words, half a minute a fold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression, Ridge

from judge_making.calibrating import truths
from judge_making.corpus import Rows
from misdirection.judging.offline.lexical import BUCKETS, OPINIONS, buckets


def matrix(answers: Sequence[str]) -> csr_matrix:
    """(answers, `BUCKETS`), each row of length 1."""
    places = [buckets(answer) for answer in answers]
    ends = np.cumsum([0, *map(len, places)])
    values = np.concatenate([np.full(len(row), len(row) ** -0.5) for row in places])
    return csr_matrix((values, np.concatenate(places).astype(np.int32), ends), shape=(len(answers), BUCKETS))


def fitted(rows: Rows, features: csr_matrix, strength: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """Weights (opinions, `BUCKETS`), in half precision as they ship, and biases (opinions) of `OPINIONS`."""
    numbers = {"alignment": rows.alignment / 100, "coherence": rows.coherence / 100}
    weights: list[np.ndarray] = []
    biases: list[float] = []
    for name in OPINIONS:
        if name in numbers:
            there = ~np.isnan(numbers[name])
            model = Ridge(1.0, solver="lsqr").fit(features[there], numbers[name][there])
            weights.append(model.coef_)
            biases.append(float(model.intercept_))
        else:
            model = LogisticRegression(C=strength, solver="liblinear", random_state=0)
            model.fit(features, truths(rows)[name])
            weights.append(model.coef_[0])
            biases.append(float(model.intercept_[0]))
    return np.array(weights, np.float16), np.array(biases, np.float32)


def said(features: csr_matrix, fit: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """`OPINIONS` on each row, as `lexical.opinions` gives them."""
    return np.asarray(features @ fit[0].T.astype(np.float64)) + fit[1]
