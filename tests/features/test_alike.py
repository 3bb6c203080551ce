"""Random latents of like activity: near their own in size, never one of those that are looked at."""

from __future__ import annotations

import torch

from misdirection.features.alike import NEAREST, of_like_activity


def test_each_is_drawn_among_the_nearest_that_are_free() -> None:
    activity = torch.logspace(-3, 3, 61)
    for seed in range(20):
        found = of_like_activity(activity, (30, 50), {29, 31}, seed, nearest=4)
        first, second = found
        # The most active is served first; its four nearest lie two on either side.
        assert first in {48, 49, 51, 52} and second in {27, 28, 32, 33}
    draws = {of_like_activity(activity, (30,), (), seed, nearest=4) for seed in range(40)}
    assert draws == {(28,), (29,), (31,), (32,)}
    assert of_like_activity(activity, (30,), (), 3) == of_like_activity(activity, (30,), (), 3)


def test_none_is_silent_taken_or_drawn_twice() -> None:
    activity = torch.ones(40)
    activity[20:] = 0
    chosen, taken = (0, 1, 2), {3, 4}
    for seed in range(10):
        found = of_like_activity(activity, chosen, taken, seed)
        assert len(found) == len(set(found)) == 3 and max(found) < 20 and not {*chosen, *taken} & set(found)


def test_where_too_few_live_there_are_fewer() -> None:
    activity = torch.tensor([3.0, 2.0, 0.0, 1.0])
    assert of_like_activity(activity, (0, 1), (), 0) == (3,)
    assert of_like_activity(activity, (0, 1), {3}, 0) == ()
    assert NEAREST == 10
