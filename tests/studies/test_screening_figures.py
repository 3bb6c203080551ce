"""Histograms, rankings, shares and falls of the study of screening against plain counts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from misdirection.chats import Chat, Message
from misdirection.judging import Answer, Verdict
from misdirection.statistics import Thresholds
from misdirection.studies.kit.judged import Judged
from misdirection.studies.screening.levels import _looked_at, fallen
from misdirection.studies.screening.measures import Score, told_scores
from misdirection.studies.screening.results import Level
from misdirection.studies.screening.scores import histogram, top_rows

NAN = float("nan")
RULES = Thresholds(30, 50)


def screener(scores: list[float], bad: list[bool] | None, dropped: list[bool], texts: list[str] | None = None) -> Any:
    chats = [
        Chat((Message("user", f"u {text}"), Message("assistant", f"a {text}")), row=10 + place)
        for place, text in enumerate(texts or [str(i) for i in range(len(scores))])
    ]
    rows = SimpleNamespace(bad=bad, kinds=tuple(f"kind {i}" for i in range(len(scores))), chats=chats)
    return SimpleNamespace(rows=rows, values=lambda *_: np.array(scores), dropped=lambda *_: dropped)


def test_a_histogram_counts_each_scored_row_and_its_bad_ones_where_they_lie() -> None:
    scores = [*np.linspace(0, 1, 48).tolist(), NAN, NAN]
    bad = [place >= 40 for place in range(50)]
    found = histogram(screener(scores, bad, [place in (46, 47, 48) for place in range(50)]), "m", 0)
    assert found.unscored == 2 and found.threshold == pytest.approx(46 / 47)
    assert sum(one.rows for one in found.bins) == 48 and sum(one.bad or 0 for one in found.bins) == 8
    low, high = np.quantile(scores[:48], [0.005, 0.995])
    for one in found.bins[1:-1]:
        inside = [place for place in range(48) if one.low <= scores[place] < one.high]
        assert one.rows == len(inside) and one.bad == sum(bad[place] for place in inside)
    assert (found.bins[0].low, found.bins[-1].high) == pytest.approx((low, high), rel=1e-4)
    unknown = histogram(screener(scores, None, [False] * 50), "m", 0)
    assert unknown.threshold is None and {one.bad for one in unknown.bins} == {None}


def test_the_top_rows_are_those_of_the_highest_scores_each_text_once() -> None:
    held = screener([1.0, 5.0, NAN, 3.0, 5.0, 4.0], [False, True, True, False, True, False], [],
                    ["p", "q", "r", "s", "q", "t"])  # fmt: skip
    found = top_rows(held, "m", 0, 3)
    assert [(one.row, one.score, one.bad, one.kind, one.question) for one in found.rows] == [
        (11, 5.0, True, "kind 1", "u q"), (15, 4.0, False, "kind 5", "u t"), (13, 3.0, False, "kind 3", "u s"),
    ]  # fmt: skip
    assert len(top_rows(held, "m", 0, 9).rows) == 4


def test_a_share_is_a_mean_over_the_draws_of_random_scores_and_one_of_others() -> None:
    bad = [True, True, False, False]
    draws = {3: [4.0, 3.0, 2.0, 1.0], 4: [1.0, 4.0, 2.0, 3.0], 5: [9.0, 9.0, 9.0, 9.0]}
    held: Any = SimpleNamespace(
        config=SimpleNamespace(seed=3), rows=SimpleNamespace(bad=bad), values=lambda _, seed: np.array(draws[seed])
    )
    found = _looked_at(held, "random", 2, 2)
    # The first draw drops both bad rows, the second one of them beside a good one.
    assert (found.share, found.dropped, found.precision, found.recall) == (0.5, 2, 0.75, 0.75)
    alone = _looked_at(held, "perplexity", 1, 2)
    assert (alone.share, alone.precision, alone.recall) == (0.25, 1.0, 0.5)


def test_the_fall_is_of_the_arm_against_all_rows_in_counts_and_rates() -> None:
    counts = {"unfiltered": ((8, 6), (4, 2)), "judge": ((2, 1), (1, 1)), "random": ((7, 7), (3, 3))}
    answers, verdicts = list[Answer](), list[Verdict]()
    for name, by_seed in counts.items():
        for seed, by_question in enumerate(by_seed):
            for question, hits in enumerate(by_question):
                for sample in range(10):
                    answers.append(Answer(f"q{question}", "?", "!", arm=f"{name}-{seed}", sample=sample))
                    verdicts.append(Verdict(0.0 if sample < hits else 90.0, 90.0))
    level = Level(method="judge", share=0.5, dropped=3, precision=None, recall=None)
    found = fallen(level, Judged(answers, verdicts), "judge", 2, RULES)
    assert (found.before, found.after, found.answers) == (20, 5, 40)
    assert found.by_counts == pytest.approx(0.75) and found.by_rates is not None
    assert found.by_rates.value == pytest.approx(0.75)
    none = fallen(level, Judged(answers, [Verdict(90.0, 90.0)] * len(answers)), "judge", 2, RULES)
    assert (none.before, none.by_counts, none.by_rates) == (0, None, None)


def test_a_method_that_turns_its_scores_round_leaves_what_is_unknown_unknown() -> None:
    told = [Score(1.0), Score(None), Score(-2.0)]
    assert told_scores(told, False)[[0, 2]].tolist() == [1.0, -2.0] and np.isnan(told_scores(told, True)[1])
    assert told_scores(told, True)[[0, 2]].tolist() == [-1.0, 2.0]
