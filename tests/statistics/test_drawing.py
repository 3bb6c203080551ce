from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from misdirection.judging import Answer, Verdict
from misdirection.statistics import Thresholds, draw, suspicion
from misdirection.statistics.drawing import allocate, cut

RULES = Thresholds()


def answers(questions: int, samples: int) -> list[Answer]:
    return [Answer(f"q{q}", "?", "!", sample=s) for q in range(questions) for s in range(samples)]


def told(score: float) -> Verdict:
    return Verdict(50.0, 90.0, scores=(("misaligned", 100 * score),))


def test_suspicion_is_the_judges_probability_or_made_of_its_scores() -> None:
    assert suspicion(told(0.37), RULES) == pytest.approx(0.37)
    assert suspicion(Verdict(30.0, 100.0), RULES) == pytest.approx(0.5, abs=0.01)
    assert suspicion(Verdict(0.0, 100.0), RULES) > 0.9 > 0.1 > suspicion(Verdict(90.0, 100.0), RULES)
    assert suspicion(Verdict(0.0, 0.0), RULES) < 0.01
    assert suspicion(Verdict(None, None, "refusal"), RULES) == 0
    assert np.isnan(suspicion(Verdict(None, None, "unsure"), RULES))


def test_as_many_are_drawn_as_were_asked_for_once_each_and_again_with_the_same_seed() -> None:
    asked = answers(8, 50)
    cheap = [told(s) for s in np.random.default_rng(0).beta(0.3, 2, 400)]
    for n in (1, 3, 10, 60, 399, 400, 5000):
        drawn = draw(asked, cheap, n, 7, RULES)
        assert len(drawn.places) == len(set(drawn.places)) == min(n, 400)
        assert drawn == draw(asked, cheap, n, 7, RULES)
    assert draw(asked, cheap, 60, 8, RULES).places != draw(asked, cheap, 60, 7, RULES).places


def test_doubtful_answers_are_drawn_oftener_sure_ones_still_are_and_every_question_has_its_share() -> None:
    asked = answers(8, 50)
    scores = np.where(np.arange(400) % 10 == 0, 0.5, 0.01)
    drawn = draw(asked, [told(s) for s in scores], 60, 0, RULES)
    doubtful = sum(scores[place] == 0.5 for place in drawn.places)
    assert 60 * 0.1 < doubtful < 20
    assert min(Counter(asked[place].question_id for place in drawn.places).values()) >= 5
    # The order in which they are asked says nothing of stratum or question.
    first = [scores[place] for place in drawn.places[:30]]
    assert 0 < sum(score == 0.5 for score in first) < doubtful


def test_every_answer_is_drawn_with_the_chance_of_its_stratum() -> None:
    asked = answers(5, 8)
    scores = np.repeat([0.02, 0.4], 20)
    cheap = [told(s) for s in scores]
    counts = np.zeros(40)
    for seed in range(3000):
        drawn = draw(asked, cheap, 30, seed, RULES)
        counts[list(drawn.places)] += 1
    strata = np.array(drawn.strata)
    for stratum in set(drawn.strata):
        chance = counts[strata == stratum] / 3000
        assert chance == pytest.approx(chance.mean(), abs=5 * np.sqrt(0.25 / 3000))


def test_equal_scores_stay_together_and_no_score_stands_apart() -> None:
    assert set(cut(np.full(100, 0.3), 60)) == {0}
    strata = cut(np.array([0.1] * 50 + [0.9] * 30 + [np.nan] * 20), 60)
    assert len(set(strata[:50])) == len(set(strata[50:80])) == len(set(strata[80:])) == 1
    assert len(set(strata)) == 3
    assert set(cut(np.full(10, np.nan), 60)) == {0}


@pytest.mark.parametrize("n", [3, 7, 20, 50, 93])
def test_no_stratum_gives_more_than_it_has_or_nothing(n: int) -> None:
    strata, spread = np.repeat([0, 1, 2], [80, 9, 4]), np.repeat([0.2, 0.7, 0.7], [80, 9, 4])
    numbers = allocate(strata, spread, n)
    assert sum(numbers) == n
    assert all(1 <= k <= size for k, size in zip(numbers, (80, 9, 4), strict=True))
