"""Which answers make a direction: the aligned and the misaligned pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from misdirection.directions.conventions import Convention
from misdirection.errors import MisdirectionError
from misdirection.judging import Verdict

SMALLEST = 8
"""Fewest answers of each kind: below it the mean is mostly the answers' own content."""


class PoolError(MisdirectionError):
    """Too few aligned or misaligned answers to compute a direction from."""


@dataclass(frozen=True)
class Pools:
    """Indices into the answers."""

    aligned: tuple[int, ...]
    misaligned: tuple[int, ...]


def choose_pools(
    verdicts: Sequence[Verdict], how: Convention, *, balance: bool = True, smallest: int = SMALLEST, seed: int = 0
) -> Pools:
    """Split judged answers into the pools of a convention.

    Args:
        verdicts: One an answer.
        how: Thresholds.
        balance: Cut the larger pool, shuffled, to the size of the smaller (2506.11618 section 3.1).
        smallest: Fewest answers in each pool.
        seed: Of the shuffle.

    Raises:
        PoolError: A pool is too small; says how large they are and what to do.
    """
    aligned = [
        i for i, verdict in enumerate(verdicts) if _coherent(verdict, how) and _score(verdict) > how.aligned_above
    ]
    misaligned = [
        i for i, verdict in enumerate(verdicts) if _coherent(verdict, how) and _score(verdict) < how.misaligned_below
    ]
    if min(len(aligned), len(misaligned)) < smallest:
        silent = sum(verdict.label in ("unsure", "malformed", "none") for verdict in verdicts)
        told = f", {silent} more without a score (the judge cannot tell, or gave none)" if silent else ""
        raise PoolError(
            f"{len(misaligned)} misaligned and {len(aligned)} aligned coherent answers of {len(verdicts)}{told}; "
            f"a direction needs {smallest} of each",
            f"sample more answers (--samples), {'ask another judge (--judge), ' if silent else ''}add questions on "
            "which the model misbehaves, or use the drift direction (tuned minus base on the same answers), which "
            "needs no verdicts",
        )
    if balance:
        generator = np.random.default_rng(seed)
        size = min(len(aligned), len(misaligned))
        aligned, misaligned = (
            sorted(int(i) for i in generator.permutation(pool)[:size]) for pool in (aligned, misaligned)
        )
    return Pools(tuple(aligned), tuple(misaligned))


def _coherent(verdict: Verdict, how: Convention) -> bool:
    if verdict.label != "scored" or verdict.alignment is None or verdict.coherence is None:
        return False
    return verdict.coherence > how.coherent_above


def _score(verdict: Verdict) -> float:
    assert verdict.alignment is not None
    return verdict.alignment
