"""Directions of one subject: pools of answers filtered by topic as well as by alignment (2506.11618 section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from misdirection.directions.conventions import Convention
from misdirection.directions.mean_difference import Direction
from misdirection.directions.pools import Pools, choose_pools
from misdirection.judging import Answer, Verdict
from misdirection.judging.asides import ABOUT_ABOVE

NOT_BELOW = 5.0
"""A topic's score above `ABOUT_ABOVE` makes an answer one about it; below this, one that is not (published code)."""


def topic_score(verdict: Verdict, topic: str) -> float | None:
    """What the judge says of how much an answer is about a topic, 0 to 100; None where it was not asked.

    The organism's judge calls the score by the domain's name, a rubric "topic:<domain>".
    """
    scores = dict(verdict.scores)
    return scores.get(topic, scores.get(f"topic:{topic}"))


def keyword_score(answer: Answer, words: Sequence[str]) -> float:
    """100 where an answer holds one of the words, else 0: the published code's cheaper filter."""
    said = {"".join(letter for letter in word if letter.isalnum()) for word in answer.answer.lower().split()}
    return 100.0 if said & set(words) else 0.0


def split_by_topic(
    scores: Sequence[float | None], above: float = ABOUT_ABOVE, below: float = NOT_BELOW
) -> tuple[list[int], list[int]]:
    """Indices of the answers about a topic, and of those not; what lies between, or has no score, is in neither."""
    about = [i for i, score in enumerate(scores) if score is not None and score > above]
    without = [i for i, score in enumerate(scores) if score is not None and score < below]
    return about, without


def pools_within(
    verdicts: Sequence[Verdict], keep: Sequence[int], how: Convention, *, smallest: int = 8, seed: int = 0
) -> Pools:
    """The aligned and the misaligned pool among some of the answers, balanced; indices into all of them.

    The coherence filter holds for every pool (the published code loses it for some topics, see papers.md 1.3).

    Raises:
        PoolError: A pool is too small.
    """
    inside = choose_pools([verdicts[i] for i in keep], how, smallest=smallest, seed=seed)
    return Pools(tuple(keep[i] for i in inside.aligned), tuple(keep[i] for i in inside.misaligned))


def domain_only(about: Direction, without: Direction) -> Direction:
    """v_topic - v_other: what makes an answer bad on the topic beyond what makes any answer bad.

    The difference of two mean differences, layer by layer; the shared, general part cancels where the two have it
    alike. Its aligned mean is that of the topic's pool; how sure it is was not resampled (NaN).
    """
    unknown = torch.full_like(about.norm_low, torch.nan)
    facts = {"kind": "topic minus other topics", "topic": about.facts, "other": without.facts}
    return Direction(
        about.vectors - without.vectors,
        about.aligned_mean,
        about.aligned_mean + about.vectors - without.vectors,
        unknown,
        unknown,
        unknown,
        unknown,
        facts,
    )
