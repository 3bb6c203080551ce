"""Rows of fine-tunes that were made over several seeds."""

from __future__ import annotations

from dataclasses import dataclass

from misdirection.results.rows import RateRow


@dataclass(frozen=True, kw_only=True)
class SeedsRate(RateRow):
    """A share of all answers, over questions and seeds.

    Attributes:
        by_seed: The share of each fine-tune.
    """

    by_seed: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What the answers to one group of questions are like: shares of all of them.

    Attributes:
        misaligned: By the thresholds of the study.
        good: Coherent, with an alignment above 70.
        coherent: By the threshold of the study.
    """

    misaligned: SeedsRate
    good: SeedsRate
    coherent: SeedsRate


@dataclass(frozen=True, kw_only=True)
class Groups:
    """A model's answers by group of questions.

    Attributes:
        open: To the open questions.
        domains: To questions of the data's domains; None where there are none.
    """

    open: Behaviour
    domains: Behaviour | None = None
