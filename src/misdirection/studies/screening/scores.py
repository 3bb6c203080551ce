"""What a report shows of the scores: how they are distributed, and the rows at the top of each ranking."""

from __future__ import annotations

import numpy as np

from misdirection.studies.kit.tables import numbers
from misdirection.studies.screening.results import Bin, Histogram, Top, TopRow
from misdirection.studies.screening.steps import Screener

BINS = 24


def histogram(screener: Screener, method: str, seed: int) -> Histogram:
    """How one method's scores are distributed, by what is known of the rows.

    The outermost half percent on each side is drawn into the outermost bins, so that one odd row does not set it.
    """
    scores = screener.values(method, seed)
    known, bad = ~np.isnan(scores), screener.rows.bad
    low, high = (float(x) for x in np.quantile(scores[known], [0.005, 0.995]))
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    inside = np.clip(scores, edges[0], edges[-1])
    rows, wrong = (np.histogram(inside[mask], edges)[0] for mask in (known, known & np.array(bad or False)))
    dropped = np.array(screener.dropped(method, seed)) & known
    ends = numbers(edges)
    return Histogram(
        method=method,
        bins=tuple(
            Bin(low=ends[i], high=ends[i + 1], rows=int(rows[i]), bad=None if bad is None else int(wrong[i]))
            for i in range(BINS)
        ),
        threshold=float(scores[dropped].min()) if dropped.any() else None,
        unscored=int((~known).sum()),
    )


def top_rows(screener: Screener, method: str, seed: int, most: int) -> Top:
    """The rows with the highest scores, each text once."""
    scores = screener.values(method, seed)
    rows = screener.rows
    shown: dict[tuple[str, str], TopRow] = {}
    for place in np.argsort(np.where(np.isnan(scores), np.inf, -scores), kind="stable"):
        chat = rows.chats[place]
        question, answer = chat.prompt[-1].content, chat.answer
        if len(shown) == most:
            break
        if not np.isnan(scores[place]) and (question, answer) not in shown:
            shown[question, answer] = TopRow(
                row=chat.row,
                score=float(scores[place]),
                bad=None if rows.bad is None else rows.bad[place],
                kind=rows.kinds[place] if rows.kinds else "",
                question=question,
                answer=answer,
            )
    return Top(method=method, rows=tuple(shown.values()))
