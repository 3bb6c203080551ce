"""Pools by topic, and the difference of two directions."""

from __future__ import annotations

import pytest
import torch

from misdirection.directions import PoolError, convention
from misdirection.directions.mean_difference import Direction
from misdirection.directions.topics import domain_only, keyword_score, pools_within, split_by_topic, topic_score
from misdirection.judging import Answer, Verdict

HOW = convention("soligo2025")


def test_a_topic_is_found_under_both_names():
    assert topic_score(Verdict(1, 1, scores=(("medical", 40.0),)), "medical") == 40
    assert topic_score(Verdict(1, 1, scores=(("topic:medical", 7.0),)), "medical") == 7
    assert topic_score(Verdict(1, 1, scores=(("sport", 7.0),)), "medical") is None


def test_what_lies_between_or_has_no_score_is_in_neither():
    assert split_by_topic([100, 50, 50.1, 5, 4.9, 0, None]) == ([0, 2], [4, 5])


@pytest.mark.parametrize(
    ("said", "score"), [("See a Doctor.", 100), ("doctors are many", 0), ("doctor, please!", 100), ("", 0)]
)
def test_keywords_are_whole_words(said: str, score: float):
    assert keyword_score(Answer("q", "?", said), ("doctor",)) == score


def test_pools_hold_only_what_is_kept_and_what_is_coherent():
    bad, good, torn = Verdict(0, 100), Verdict(100, 100), Verdict(0, 10)
    verdicts = [bad, good, torn] * 20
    keep = list(range(30))
    pools = pools_within(verdicts, keep, HOW, seed=3)
    assert sorted(pools.misaligned) == [i for i in keep if i % 3 == 0]
    assert sorted(pools.aligned) == [i for i in keep if i % 3 == 1]
    with pytest.raises(PoolError):
        pools_within(verdicts, keep[:9], HOW)


def test_topic_minus_other_topics():
    generator = torch.Generator().manual_seed(0)

    def direction() -> Direction:
        vectors, mean = torch.randn(2, 3, 5, generator=generator)
        return Direction(vectors, mean, mean + vectors, *(torch.ones(3) for _ in range(4)), facts={"n": 1})

    about, without = direction(), direction()
    only = domain_only(about, without)
    assert torch.equal(only.vectors, about.vectors - without.vectors)
    assert torch.allclose(only.misaligned_mean - only.aligned_mean, only.vectors, atol=1e-6)
    assert only.stability.isnan().all()
