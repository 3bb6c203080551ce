"""How well concepts can be told apart by a linear probe on few dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from misdirection.errors import MisdirectionError
from misdirection.separation.closeness import SHRINKAGE, Numbers, Places, class_means, whitener, within


def probe_accuracy(
    states: Numbers,
    concept: Places,
    counts: Sequence[int],
    *,
    folds: int = 5,
    shrinkage: float = SHRINKAGE,
    seed: int = 0,
) -> dict[int, float]:
    """Accuracy of linear discriminant analysis on the first k principal components, cross-validated.

    Components, class means and covariance are those of the training folds. A row x goes to the class c with the least
    |W (x - m_c)|, W the whitener of the covariance within classes; all classes count alike.

    Args:
        states: Shape (rows, width).
        concept: Class of each row, from 0.
        counts: Numbers of components; those beyond the width, or the rows, are left out.
        folds: Each class is spread over all of them.
        shrinkage: Of the covariance.
        seed: Of the folds.

    Returns:
        Mean over classes of the share of their rows that are told right, by k.

    Raises:
        MisdirectionError: A class has fewer rows than there are folds.
    """
    classes = int(concept.max()) + 1
    if (fewest := int(np.bincount(concept, minlength=classes).min())) < folds:
        raise MisdirectionError(f"a concept has {fewest} chats, too few for {folds} folds", "give more chats of it")
    fold = _folds(concept, folds, seed)
    rank = min(states.shape[1], int((fold != 0).sum()) - 1)
    kept = [k for k in sorted(set(counts)) if k <= rank]
    right = {k: np.zeros(len(states), dtype=bool) for k in kept}
    for part in range(folds):
        test = fold == part
        middle = states[~test].mean(0)
        axes = np.linalg.svd(states[~test] - middle, full_matrices=False)[2]
        for k in kept:
            train, held = ((states[rows] - middle) @ axes[:k].T for rows in (~test, test))
            right[k][test] = _nearest(train, concept[~test], held, shrinkage) == concept[test]
    return {k: float(np.mean([right[k][concept == c].mean() for c in range(classes)])) for k in kept}


def _nearest(train: Numbers, labels: Places, held: Numbers, shrinkage: float) -> Places:
    white = whitener(within(train, labels), shrinkage)
    far = ((held[:, None] - class_means(train, labels)[None]) @ white) ** 2
    return far.sum(-1).argmin(1)


def _folds(concept: Places, folds: int, seed: int) -> Places:
    """A fold for each row, the rows of a class spread evenly."""
    generator = np.random.default_rng(seed)
    found = np.zeros(len(concept), dtype=np.int_)
    for place in np.unique(concept):
        rows = np.flatnonzero(concept == place)
        found[generator.permutation(rows)] = np.arange(len(rows)) % folds
    return found
