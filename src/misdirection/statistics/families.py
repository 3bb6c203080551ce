"""Families of tests: p-values adjusted for how many were made."""

from __future__ import annotations

from collections.abc import Sequence

from misdirection.errors import MisdirectionError


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for the false discovery rate of their family, in the given order (Benjamini and Hochberg 1995).

    Raises:
        MisdirectionError: A value outside 0 .. 1 or NaN, with its place.
    """
    for place, p in enumerate(p_values):
        if not 0 <= p <= 1:
            raise MisdirectionError(f"p-value {place} is {p}", "leave out comparisons that could not be tested")
    least, found = 1.0, [0.0] * len(p_values)
    # From the largest on: each is p m / rank, and no more than that of the next larger one.
    for rank, place in zip(
        range(len(p_values), 0, -1), sorted(range(len(p_values)), key=lambda i: -p_values[i]), strict=True
    ):
        least = min(least, p_values[place] * len(p_values) / rank)
        found[place] = least
    return found
