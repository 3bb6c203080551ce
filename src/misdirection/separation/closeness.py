"""How close concepts lie to each other at one layer: cosines of their means and directions, and dimensions.

Everything here is arithmetic on states, one a chat. A concept's mean is that of the chats that show it; its direction
is that mean minus the mean of the chats on the same that do not show it, and where it has none, its mean minus that of
all concepts' means. The first says what the concept is about, the second what changes when it shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from misdirection.traits.space import participation

Numbers = NDArray[np.float64]
Places = NDArray[np.int_]

SHRINKAGE = 0.1
"""Share of a multiple of the unit matrix in the covariance that whitens."""


@dataclass(frozen=True)
class Closeness:
    """Cosines of every two concepts at one layer, shape (concepts, concepts), and how many dimensions there are.

    Attributes:
        means: Of the class means, from their own mean.
        means_whitened: The same after whitening by the covariance within concepts.
        directions: Of the concepts' directions.
        directions_whitened: The same after whitening.
        dimensions_of_means: Participation ratio of the class means.
        dimensions_of_states: Of all states.
    """

    means: Numbers
    means_whitened: Numbers
    directions: Numbers
    directions_whitened: Numbers
    dimensions_of_means: float
    dimensions_of_states: float


def closeness(states: Numbers, concept: Places, shown: NDArray[np.bool_], shrinkage: float = SHRINKAGE) -> Closeness:
    """All of it at one layer.

    Args:
        states: Shape (chats, width).
        concept: Number of each chat's concept, from 0.
        shown: Whether the chat shows it.
        shrinkage: Of the covariance, 0 to 1; see `whitener`.
    """
    own = class_means(states[shown], concept[shown])
    central = own - own.mean(0)
    arrows = directions(states, concept, shown)
    white = whitener(within(states, 2 * concept + shown), shrinkage)
    return Closeness(
        means=cosines(central),
        means_whitened=cosines(central @ white),
        directions=cosines(arrows),
        directions_whitened=cosines(arrows @ white),
        dimensions_of_means=participation_ratio(own),
        dimensions_of_states=participation_ratio(states),
    )


def class_means(states: Numbers, concept: Places) -> Numbers:
    """Mean state of each class, shape (classes, width): sum over its rows divided by their number."""
    count = int(concept.max()) + 1
    return np.stack([states[concept == place].mean(0) for place in range(count)])


def directions(states: Numbers, concept: Places, shown: NDArray[np.bool_]) -> Numbers:
    """Direction of each concept, shape (concepts, width); see the module."""
    own = class_means(states[shown], concept[shown])
    middle = own.mean(0)
    against = [~shown & (concept == place) for place in range(len(own))]
    return np.stack(
        [mean - (states[rows].mean(0) if rows.any() else middle) for mean, rows in zip(own, against, strict=True)]
    )


def within(states: Numbers, groups: Places) -> Numbers:
    """Pooled covariance within groups, shape (width, width): sum of (x - m_g)(x - m_g)^T over the number of rows."""
    left = np.array(states, copy=True)
    for group in np.unique(groups):
        left[groups == group] -= left[groups == group].mean(0)
    return left.T @ left / max(len(left), 1)


def whitener(covariance: Numbers, shrinkage: float = SHRINKAGE) -> Numbers:
    """((1 - s) C + s (tr C / d) I)^(-1/2), symmetric, shape (width, width); the unit matrix where C is zero."""
    width = len(covariance)
    level = float(np.trace(covariance)) / width
    if level <= 0:
        return np.eye(width)
    values, axes = np.linalg.eigh((1 - shrinkage) * covariance + shrinkage * level * np.eye(width))
    return (axes / np.sqrt(np.maximum(values, 1e-12 * level))) @ axes.T


def cosines(vectors: Numbers) -> Numbers:
    """Cosine of every two rows, shape (rows, rows); 0 with a row of length zero."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    return np.clip(unit @ unit.T, -1.0, 1.0)


def mean_off_diagonal(table: Numbers) -> float:
    """Mean of a square table but for its diagonal."""
    return float(table[~np.eye(len(table), dtype=bool)].mean())


def participation_ratio(vectors: Numbers) -> float:
    """(sum of l)^2 / sum of l^2 over the eigenvalues l of the rows' covariance: how many equal ones spread as much."""
    spread = np.linalg.svd(vectors - vectors.mean(0), compute_uv=False).astype(np.float64)
    return participation(spread**2)


def shuffled_floor(
    states: Numbers, concept: Places, shown: NDArray[np.bool_], shuffles: int = 20, seed: int = 0
) -> float:
    """Mean squared cosine between the centred class means where the labels say nothing, over shuffles of them.

    What is left of it is what classes of this size show by chance.
    """
    generator = np.random.default_rng(seed)
    held, labels = states[shown], concept[shown]
    found: list[float] = []
    for _ in range(shuffles):
        own = class_means(held, generator.permutation(labels))
        found.append(mean_off_diagonal(cosines(own - own.mean(0)) ** 2))
    return float(np.mean(found))
