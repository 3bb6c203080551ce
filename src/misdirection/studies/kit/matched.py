"""Misaligned and aligned answers, as many of each from every question: what tells of the question cannot show."""

from __future__ import annotations

import numpy as np

from misdirection.directions import Convention, PoolError, choose_pools
from misdirection.directions.pools import SMALLEST
from misdirection.studies.kit.judged import Judged


def matched_pools(judged: Judged, how: Convention, seed: int) -> tuple[list[int], list[int]]:
    """Places of misaligned and of aligned answers, as many of each from every question.

    Raises:
        PoolError: Fewer than `SMALLEST` of each are left.
    """
    pools = choose_pools(judged.verdicts, how, balance=False, smallest=0)
    generator = np.random.default_rng(seed)
    bad: list[int] = []
    good: list[int] = []
    for question in dict.fromkeys(answer.question_id for answer in judged.answers):
        sides = [[i for i in pool if judged.answers[i].question_id == question]
                 for pool in (pools.misaligned, pools.aligned)]  # fmt: skip
        few = min(map(len, sides))
        for side, kept in zip(sides, (bad, good), strict=True):
            kept += sorted(int(i) for i in generator.permutation(side)[:few])
    if len(bad) < SMALLEST:
        raise PoolError(
            f"questions with answers of both kinds leave {len(bad)} misaligned and as many aligned, of "
            f"{len(judged.answers)}; {SMALLEST} of each are needed",
            "sample more answers: --samples",
        )
    return bad, good
