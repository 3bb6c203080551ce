"""What sampling still has to draw, against a slow reference, and the cases whose answer is known."""

from __future__ import annotations

import random

import pytest

from misdirection.engine.outlook import expected_tokens


def slow(ended: list[int], running: list[int], waiting: int, most: int) -> float:
    """Token by token: the chance to go on is what those who came as far did."""

    def further(length: int) -> float:
        if length >= most:
            return 0.0
        reached = sum(n >= length for n in (*ended, *running))
        stays = 1 - sum(n == length for n in ended) / reached if length and reached else 1.0
        return stays * (1 + further(length + 1)) if length and length not in begun else 1 + further(length + 1)

    # A row that draws on at a length has passed the chance to end there.
    total = 0.0
    for length in running:
        begun = {length}
        total += further(length)
    begun = set[int]()
    return total + waiting * further(0)


def test_rows_of_which_none_has_ended_go_to_the_end() -> None:
    assert expected_tokens([], [10] * 4, 0, 64) == 4 * 54
    assert expected_tokens([], [], 5, 64) == 5 * 64
    assert expected_tokens([64] * 9, [64], 2, 64) == 2 * 64


def test_rows_end_as_others_did() -> None:
    # All of eight ended after their tenth token.
    assert expected_tokens([10] * 8, [], 3, 64) == pytest.approx(30)
    assert expected_tokens([10] * 8, [4, 4], 0, 64) == pytest.approx(12)
    # Half of them did, the others at the end: the other rows are as likely to do either.
    assert expected_tokens([10] * 4 + [64] * 4, [4], 1, 64) == pytest.approx((6 + 60) / 2 + 37)


@pytest.mark.parametrize("seed", range(5))
def test_against_the_slow_reference(seed: int) -> None:
    draw = random.Random(seed)
    ended = [draw.randint(1, 12) for _ in range(20)]
    running = [draw.randint(1, 12) for _ in range(7)]
    assert expected_tokens(ended, running, 5, 12) == pytest.approx(slow(ended, running, 5, 12))
