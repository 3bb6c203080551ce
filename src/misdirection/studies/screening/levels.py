"""Every method at several shares of the rows dropped: how bad the dropped rows are, and the fall of EM without them."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

from misdirection.screening import METHODS
from misdirection.screening.choosing import agreement, choose_dropped, how_many
from misdirection.statistics import Thresholds
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.over_seeds import pooled, reduction
from misdirection.studies.screening.results import Level
from misdirection.studies.screening.settings import ScreeningConfig
from misdirection.studies.screening.steps import Screener

WHOLE = "unfiltered"
"""The arm that is trained on all rows."""

SHARES = (0.1, 0.25, 0.5, 0.75)
"""Shares of the rows at which the dropped ones are looked at, whether the rest is trained on or not."""


def level_name(method: str, share: float) -> str:
    """The arm of one method at a share that is not the study's own; names hold no dot."""
    return f"{method}-{100 * share:g}pct".replace(".", "_")


def levels(bench: Bench[ScreeningConfig], screener: Screener, judged: Judged) -> tuple[Level, ...]:
    """Every method at every share, the least first; `judged` are the answers to the open questions."""
    c, rows = bench.config, len(screener.rows.chats)
    found: list[Level] = []
    for method in c.methods:
        arms = {how_many(share, rows): level_name(method, share) for share in c.curve}
        arms[how_many(c.drop, rows)] = method
        looked = {min(max(1, int(share * rows + 0.5)), rows - 1) for share in SHARES}
        for dropped in sorted({*arms, *looked}):
            level = _looked_at(screener, method, dropped, c.seeds)
            trained = dropped in arms
            found.append(fallen(level, judged, arms[dropped], c.seeds, bench.thresholds) if trained else level)
    return tuple(found)


def _looked_at(screener: Screener, method: str, dropped: int, seeds: int) -> Level:
    """How bad the rows are that a method drops, a mean over the draws of random removal."""
    first, bad = screener.config.seed, screener.rows.bad
    draws = range(first, first + seeds) if METHODS[method].room == "random" else (first,)
    scores = [screener.values(method, seed) for seed in draws]
    share = dropped / len(scores[0])
    if bad is None:
        return Level(method=method, share=share, dropped=dropped, precision=None, recall=None)
    chosen = [choose_dropped(values, share, seed) for values, seed in zip(scores, draws, strict=True)]
    agreed = [agreement(values, out, bad) for values, out in zip(scores, chosen, strict=True)]
    recalls = [one.recall for one in agreed if one.recall is not None]
    return Level(
        method=method,
        share=share,
        dropped=dropped,
        precision=fmean(one.precision for one in agreed),
        recall=fmean(recalls) if recalls else None,
    )


def fallen(level: Level, judged: Judged, arm: str, seeds: int, rules: Thresholds) -> Level:
    """With the fall of misaligned open answers from the arm of all rows to another, in counts and in rates."""
    parts = [pooled(judged, name, seeds) for name in (WHOLE, arm)]
    before, after = (int(part.columns.misaligned(rules).sum()) for part in parts)
    return replace(
        level,
        before=before,
        after=after,
        answers=len(parts[1].answers),
        by_counts=1 - after / before if before else None,
        by_rates=reduction(judged, WHOLE, arm, seeds, rules),
    )
