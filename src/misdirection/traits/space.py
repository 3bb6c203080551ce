"""The space of many traits: how alike they are, in how many dimensions they lie, and how sure that is.

Everything here is arithmetic on vectors, one a trait, at one layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

MOST_CLUSTERS = 12
STEPS = 300
"""Steps of scaling at most."""


@dataclass(frozen=True)
class Clusters:
    """Groups of traits by average linkage on 1 - cosine.

    Attributes:
        labels: Group of each trait, from 0, in the order of the leaves.
        order: Places of the traits in the order in which the tree draws them: like beside like.
        silhouette: Mean silhouette of the grouping, -1 .. 1; above 0.5 groups stand well apart, near 0 there are none.
    """

    labels: tuple[int, ...]
    order: tuple[int, ...]
    silhouette: float


@dataclass(frozen=True)
class Dimension:
    """In how many dimensions traits lie.

    Attributes:
        share: Of the variance between traits, by principal component.
        reliable: The same as found in one half of the answers and seen again in the other, as a share of the whole;
            a component of mere noise has about 0.
        participation: Participation ratio of `share`: (sum)^2 / sum of squares.
        reliable_participation: Of `reliable`, components below 0 counted as 0.
        stress: Kruskal's stress-1 of maps in 1, 2, 3 ... dimensions by metric scaling: what a map of so many dimensions
            gets wrong of the distances.
    """

    share: tuple[float, ...]
    reliable: tuple[float, ...]
    participation: float
    reliable_participation: float
    stress: tuple[float, ...]


def cosine_distances(vectors: Numbers) -> Numbers:
    """1 - cosine of every two rows, shape (rows, rows)."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    found = np.clip(1 - unit @ unit.T, 0.0, 2.0)
    np.fill_diagonal(found, 0.0)
    return (found + found.T) / 2


def clusters(distances: Numbers) -> Clusters:
    """Groups by average linkage; as many as have the highest mean silhouette."""
    from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
    from scipy.spatial.distance import squareform

    count = len(distances)
    if count < 3:
        return Clusters(tuple(range(count)), tuple(range(count)), float("nan"))
    tree = linkage(squareform(distances, checks=False), "average")
    order = [int(place) for place in leaves_list(tree)]
    tried = [fcluster(tree, k, "maxclust") for k in range(2, min(MOST_CLUSTERS, count - 1) + 1)]
    fit = [silhouette(distances, labels) for labels in tried]
    best = tried[int(np.argmax(fit))]
    names = {label: number for number, label in enumerate(dict.fromkeys(int(best[place]) for place in order))}
    return Clusters(tuple(names[int(label)] for label in best), tuple(order), float(max(fit)))


def silhouette(distances: Numbers, labels: NDArray[np.int_]) -> float:
    """Mean over rows of (b - a) / max(a, b), 0 for a row alone in its group (Rousseeuw 1987).

    a is the mean distance to the others of its own group, b the least mean distance to those of another one.
    """
    found: list[float] = []
    groups = np.unique(labels)
    for row, label in enumerate(labels):
        own = labels == label
        own[row] = False
        if not own.any() or len(groups) < 2:
            found.append(0.0)
            continue
        a = distances[row, own].mean()
        b = min(distances[row, labels == other].mean() for other in groups if other != label)
        found.append(float((b - a) / max(a, b)) if max(a, b) > 0 else 0.0)
    return float(np.mean(found))


def dimension(vectors: Numbers, first: Numbers, second: Numbers, most: int = 6) -> Dimension:
    """How many dimensions there are, by principal components and by scaling.

    The reliable variance of component k is the mean over traits of (a . u_k)(b . u_k), where u_k is a component of the
    first half's centred vectors a, and b are the second half's: noise of the halves is independent and cancels.

    Args:
        vectors: Shape (traits, width).
        first: The same from one half of the answers.
        second: From the other half.
        most: Dimensions of maps that are tried.
    """
    spread = np.linalg.svd(vectors - vectors.mean(0), compute_uv=False) ** 2
    share = spread / max(spread.sum(), 1e-300)
    a, b = (half - half.mean(0) for half in (first, second))
    axes = np.linalg.svd(a, full_matrices=False)[2]
    again = ((a @ axes.T) * (b @ axes.T)).sum(0)
    reliable = again / max(float((a * a).sum()), 1e-300)
    distances = cosine_distances(vectors)
    tried = range(1, min(most, len(vectors) - 1) + 1)
    return Dimension(
        share=tuple(map(float, share)),
        reliable=tuple(map(float, reliable)),
        participation=participation(share),
        reliable_participation=participation(np.maximum(reliable, 0.0)),
        stress=tuple(stress(distances, scaled(distances, dims)) for dims in tried),
    )


def participation(values: Numbers) -> float:
    """(sum)^2 / sum of squares: how many equal values would spread as much."""
    squares = float((values**2).sum())
    return float(values.sum()) ** 2 / squares if squares > 0 else float("nan")


def scaled(distances: Numbers, dims: int) -> Numbers:
    """Places of a map whose distances are as near to the given ones as metric scaling brings them (SMACOF).

    It begins at the classical solution, so that equal distances give equal maps; each axis has its largest entry
    positive.

    Returns:
        Shape (rows, dims), the axes in the order of their spread.
    """
    count = len(distances)
    centre = np.eye(count) - 1 / count
    values, axes = np.linalg.eigh(-0.5 * centre @ (distances**2) @ centre)
    top = np.argsort(values)[::-1][:dims]
    places = axes[:, top] * np.sqrt(np.maximum(values[top], 1e-12))
    before = np.inf
    for _ in range(STEPS):
        apart = _apart(places)
        now = float(((apart - distances) ** 2).sum())
        if before - now <= 1e-9 * max(before, 1e-300) and before < np.inf:
            break
        before = now
        pull = -distances / np.where(apart > 1e-12, apart, np.inf)
        np.fill_diagonal(pull, 0.0)
        np.fill_diagonal(pull, -pull.sum(1))
        places = pull @ places / count
    places = places - places.mean(0)
    _, _, turn = np.linalg.svd(places, full_matrices=False)
    places = places @ turn.T
    signs = np.sign(places[np.argmax(np.abs(places), axis=0), range(places.shape[1])])
    return places * np.where(signs == 0, 1.0, signs)


def stress(distances: Numbers, places: Numbers) -> float:
    """Kruskal's stress-1: root of the summed squared errors of distances over that of the map's distances."""
    apart = _apart(places)
    whole = float((apart**2).sum())
    return float(np.sqrt(((apart - distances) ** 2).sum() / whole)) if whole > 0 else float("nan")


def _apart(places: Numbers) -> Numbers:
    return np.linalg.norm(places[:, None] - places[None], axis=-1)


def alike(one: Numbers, other: Numbers) -> float:
    """Correlation of the entries above the diagonal of two tables of distances: how well one tells the other."""
    upper = np.triu_indices(len(one), 1)
    a, b = one[upper], other[upper]
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def map_error(one: Numbers, other: Numbers) -> float:
    """What is left between two maps after the best shift, turn and scale: 0 the same, 1 unrelated (Procrustes)."""
    from scipy.spatial import procrustes

    return float(procrustes(one, other)[2]) if len(one) > 2 else float("nan")


def neighbours(distances: Numbers, row: int) -> list[int]:
    """The other rows, nearest first."""
    return [int(place) for place in np.argsort(distances[row], kind="stable") if place != row]
