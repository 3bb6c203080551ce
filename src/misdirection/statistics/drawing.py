"""Which answers the dear judge is asked about: drawn at random, oftener where the cheap judge is in doubt.

The answers of one arm are cut into strata by the cheap judge's suspicion s, so that their spreads, sqrt(s(1 − s)), sum
to about the same in each (Dalenius and Hodges 1959); each stratum is drawn from in proportion to that sum (Neyman
1934). Every answer is given some spread beside its own, however sure the cheap judge is, for it may be wrong there: the
chance of being drawn differs by a factor of 3.5 at most. Within a stratum the draw goes through the questions in a
random order at equal steps, so that each question has its share (strata of question and score).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from misdirection.judging.base import Answer, Verdict
from misdirection.statistics.counts import Thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRATA = 4
"""Strata by score at most."""

IN_STRATUM = 15
"""Verdicts that a stratum should have on the average."""

LEAST = 4
"""Verdicts that a stratum has at least, unless it is smaller."""

EVERYWHERE = 0.2
"""Spread that every answer is given beside its own."""

WIDTH = 10.0
"""Points over which a score counts as near to its threshold."""


@dataclass(frozen=True)
class Draw:
    """Answers drawn for the dear judge.

    Attributes:
        strata: Number of its stratum, for each answer.
        places: Places of the drawn answers, in the random order in which they are asked.
    """

    strata: tuple[int, ...]
    places: tuple[int, ...]


def suspicion(verdict: Verdict, rules: Thresholds) -> float:
    """How likely the cheap judge thinks it that an answer is misaligned, 0 .. 1; NaN where it cannot tell.

    Its own probability where it gives one (the score "misaligned"); else one made of its two scores, a half at each
    threshold. Being wrong costs verdicts, never the rate's being right.
    """
    told = dict(verdict.scores).get("misaligned")
    if told is not None:
        return min(1.0, max(0.0, told / 100))
    if verdict.label in ("code", "refusal"):
        return 0.0
    if verdict.alignment is None or verdict.coherence is None:
        return math.nan
    return _step((rules.alignment - verdict.alignment) / WIDTH) * _step((verdict.coherence - rules.coherence) / WIDTH)


def draw(answers: Sequence[Answer], cheap: Sequence[Verdict], n: int, seed: int, rules: Thresholds) -> Draw:
    """Draw answers of one arm on one kind of question.

    Args:
        answers: All of them.
        cheap: The cheap judge's verdicts, one an answer.
        n: How many to draw; all where there are no more.
        seed: Of the draw.
        rules: When an answer is misaligned.
    """
    import numpy as np

    scores = np.array([suspicion(verdict, rules) for verdict in cheap])
    names = sorted({answer.question_id for answer in answers})
    questions = np.array([names.index(answer.question_id) for answer in answers])
    random = np.random.default_rng(seed)
    strata = cut(scores, n)
    numbers = allocate(strata, _spread(scores), min(n, len(answers)))
    places = np.concatenate([_steps(np.flatnonzero(strata == h), questions, k, random) for h, k in enumerate(numbers)])
    return Draw(tuple(strata.tolist()), tuple(random.permutation(places).tolist()))


def cut(scores: NDArray[Any], n: int) -> NDArray[Any]:
    """The stratum of each answer by its score; equal scores stay together, answers without a score stand apart.

    Args:
        scores: Suspicions, NaN where the cheap judge cannot tell.
        n: Number of verdicts that there will be.
    """
    import numpy as np

    told = ~np.isnan(scores)
    strata = np.full(len(scores), -1)
    if told.any():
        place = np.unique(scores[told], return_inverse=True)[1]
        held = np.bincount(place, weights=_spread(scores[told]))
        middle = np.cumsum(held) - held / 2
        most = max(1, min(STRATA, n // IN_STRATUM))
        strata[told] = np.minimum((middle / held.sum() * most).astype(int), most - 1)[place]
    return np.unique(strata, return_inverse=True)[1]


def allocate(strata: NDArray[Any], spread: NDArray[Any], n: int) -> list[int]:
    """How many answers each stratum gives, in proportion to its summed spread, no more than it has, `n` in all."""
    import numpy as np

    sizes, held = np.bincount(strata), np.bincount(strata, weights=spread)
    least = np.minimum(sizes, LEAST if n >= LEAST * len(sizes) else max(1, n // len(sizes)))
    wanted = least.astype(float)
    free = np.ones(len(sizes), bool)
    while free.any():
        share = (n - wanted[~free].sum()) * held / held[free].sum()
        out = free & ((share >= sizes) | (share <= least))
        wanted[free] = np.clip(share, least, sizes)[free]
        # One side at a time: what the full strata cannot take goes to the others.
        full = out & (share >= sizes)
        out = full if full.any() else out
        if not out.any():
            break
        free &= ~out
    numbers = np.floor(wanted + 1e-9).astype(int)
    while numbers.sum() < n:
        numbers[int(np.where(numbers < sizes, wanted - numbers, -np.inf).argmax())] += 1
    while numbers.sum() > n:
        numbers[int(np.where(numbers > 1, numbers - wanted, -np.inf).argmax())] -= 1
    return numbers.tolist()


def _steps(places: NDArray[Any], questions: NDArray[Any], n: int, random: Any) -> NDArray[Any]:
    """`n` places at equal steps from a random start, question by question in a random order."""
    import numpy as np

    order = random.permutation(int(questions.max()) + 1)
    sorted_places = places[np.lexsort((random.random(len(places)), order[questions[places]]))]
    step = len(places) / n
    at = np.floor((random.random() + np.arange(n)) * step).astype(int)
    return sorted_places[np.minimum(at, len(places) - 1)]


def _spread(scores: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    return EVERYWHERE + np.where(np.isnan(scores), 0.4, np.sqrt(np.clip(scores * (1 - scores), 0, None)))


def _step(x: float) -> float:
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, x))))
