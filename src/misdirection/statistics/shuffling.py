"""Two classes of texts with their labels shuffled: the null of a difference between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from misdirection.errors import MisdirectionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def shuffled_columns(
    first: Sequence[bool] | NDArray[np.bool_], shuffles: int, *, groups: Sequence[str] | None = None, seed: int = 0
) -> NDArray[np.float64]:
    """Pairs of 0/1 columns (first class, second class) with the labels in random orders.

    Args:
        first: Whether each text is of the first class.
        shuffles: Number of pairs.
        groups: Texts of one group exchange labels among themselves only: answers to one question, or one text under
            two models; all texts are one group by default.
        seed: Of the orders.

    Returns:
        Shape (texts, 2 * shuffles).

    Raises:
        MisdirectionError: There are not as many groups as labels.
    """
    import numpy as np

    labels = np.asarray(first, dtype=bool)
    if groups is not None and len(groups) != len(labels):
        raise MisdirectionError(f"{len(labels)} labels and {len(groups)} groups")
    names = np.unique(np.asarray(groups), return_inverse=True)[1] if groups is not None else np.zeros(len(labels), int)
    order = np.argsort(names, kind="stable")
    generator = np.random.default_rng(seed)
    columns = np.zeros((len(labels), 2 * shuffles))
    for place in range(shuffles):
        # Sorted by (group, random number), each group's labels are in a random order within the group.
        shuffled = np.empty_like(labels)
        shuffled[order] = labels[np.lexsort((generator.random(len(labels)), names))]
        columns[:, 2 * place], columns[:, 2 * place + 1] = shuffled, ~shuffled
    return columns
