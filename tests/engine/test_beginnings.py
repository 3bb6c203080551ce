"""The tree of what sequences begin with: each sequence ends once, on its own tokens, and few tokens run."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from misdirection.engine import beginnings
from misdirection.engine.beginnings import LEAST, LEVELS, SHORTEST, Part, parts

Ids = tuple[int, ...]


def tree(sequences: Sequence[Ids], kinds: Sequence[int] | None = None) -> list[Part]:
    return parts(sequences, [len(ids) for ids in sequences], kinds or [0] * len(sequences))


def told(found: Sequence[Part], first: int = 0) -> set[tuple[int, int, tuple[int, ...]]]:
    """(first token, past the last, members) of every part."""
    return {(first, part.past, tuple(sorted(part.members))) for part in found}.union(
        *(told(part.after, part.past) for part in found)
    )


def cost(found: Sequence[Part], first: int = 0) -> int:
    """Tokens that run."""
    return sum(part.past - first + cost(part.after, part.past) for part in found)


def depth(found: Sequence[Part]) -> int:
    return max((1 + depth(part.after) for part in found), default=0)


def check(sequences: Sequence[Ids], kinds: Sequence[int], found: Sequence[Part]) -> None:
    """Members of a part have all tokens up to its end in common, and each ends once."""
    ended: list[int] = []

    def down(part: Part, first: int) -> None:
        assert first < part.past
        assert len({(kinds[n], sequences[n][: part.past]) for n in part.members}) == 1
        if part.after:
            assert len(part.members) > 1
            assert sorted(part.members) == sorted(n for behind in part.after for n in behind.members)
        else:
            ended.extend(part.members)
            assert len(sequences[part.members[0]]) == part.past
        for behind in part.after:
            down(behind, part.past)

    for part in found:
        down(part, 0)
    assert sorted(ended) == list(range(len(sequences)))
    assert depth(found) <= LEVELS + 1


def test_what_a_template_and_a_system_prompt_begin_with_runs_once() -> None:
    template, one, other = tuple(range(80)), tuple(range(100, 140)), tuple(range(200, 220))
    sequences = [(*template, *system, 1000 + n, n, 7) for system in (one, other) for n in range(5)]
    found = tree(sequences)
    assert told(found) == {
        (0, 80, tuple(range(10))),
        (80, 120, (0, 1, 2, 3, 4)),
        (80, 100, (5, 6, 7, 8, 9)),
        *((120, 123, (n,)) for n in range(5)),
        *((100, 103, (n,)) for n in range(5, 10)),
    }
    assert cost(found) == 80 + 40 + 20 + 10 * 3


def test_prompts_are_grouped_by_what_they_begin_with() -> None:
    one, two = tuple(range(100, 400)), tuple(range(400, 600))
    sequences = [(*one, 1, 2), (*two, 3), (*one, 4), (*two, 5, 6), (*one, 1, 2), (9, 9)]
    shared = {(past, members) for _, past, members in told(tree(sequences)) if len(members) > 1}
    assert shared == {(300, (0, 2, 4)), (200, (1, 3))}
    assert told(tree([tuple(range(100))] * 3)) == {(0, 99, (0, 1, 2)), *((99, 100, (n,)) for n in range(3))}
    assert tree([]) == []


def test_a_sequence_that_others_begin_with_keeps_its_last_token_to_itself() -> None:
    long = tuple(range(90))
    sequences = [long, (*long, 1, 2, 3), (*long, 4)]
    found = tree(sequences)
    check(sequences, [0] * 3, found)
    assert {(0, 89, (0, 1, 2)), (89, 90, (0,))} <= told(found)


def test_equal_tokens_of_unequal_kinds_run_apart() -> None:
    sequences = [(*range(80), n) for n in range(6)]
    found = tree(sequences, [0, 1, 0, 1, 0, 2])
    shared = {members for _, _, members in told(found) if len(members) > 1}
    assert shared == {(0, 2, 4), (1, 3)}


def test_what_may_not_be_shared_is_not() -> None:
    """Only so many tokens of each may be in common, though what lies behind is equal too."""
    ids = tuple(range(100))
    found = parts([ids[:70], ids[:70], ids[:70]], [100, 90, 100], [0, 0, 0])
    assert told(found) == {(0, 70, (0, 1, 2)), (70, 100, (0,)), (70, 90, (1,)), (70, 100, (2,))}


def test_little_is_left_where_it_is() -> None:
    few = [(*range(20), 100 + n, n) for n in range(3)]
    assert LEAST > 2 * 20
    assert depth(tree(few)) == 1
    assert depth(tree([(*range(20), 100 + n, n) for n in range(5)])) == 2
    # A level between that saves little is left out, and what is below goes on from the level before.
    pair = [(*range(60), *range(200, 216), n) for n in (1, 2)]
    found = tree([*pair, *((*range(60), 300 + n, n) for n in range(4))])
    assert depth(found) == 2
    assert cost(found) == 60 + 2 * 17 + 4 * 2


def test_a_level_of_many_small_parts_pays_together() -> None:
    """Questions of a few tokens with two answers each, behind one system prompt."""
    sequences = [(*range(24), *(1000 * q + n for n in range(12)), 500 + a, a) for q in range(1, 20) for a in (0, 1)]
    found = tree(sequences)
    assert depth(found) == 3
    assert cost(found) == 24 + 19 * 12 + 38 * 2


def test_chats_that_go_on_from_each_other_are_no_deeper_than_is_kept() -> None:
    turns = [(*range(100 * n), 5000 + n) for n in range(1, 12)]
    found = tree(turns)
    check(turns, [0] * len(turns), found)
    assert depth(found) == LEVELS + 1
    assert cost(found) < sum(map(len, turns))


@pytest.mark.parametrize("seed", range(20))
def test_no_sharing_of_one_level_runs_fewer_tokens(seed: int) -> None:
    """Beside the best cut of all sequences at one length, and with what it costs to begin a pass."""
    draw = random.Random(seed)
    systems = [tuple(draw.choices(range(50), k=draw.choice([5, 20, 60]))) for _ in range(draw.choice([1, 3, 8]))]
    sequences = [(*draw.choice(systems), *draw.choices(range(50), k=draw.choice([3, 12, 30]))) for _ in range(60)]
    found = tree(sequences)
    check(sequences, [0] * 60, found)
    for cut in range(1, max(map(len, sequences))):
        apart = {ids[: min(cut, len(ids) - 1)] for ids in sequences}
        one_level = sum(map(len, apart)) + sum(len(ids) - min(cut, len(ids) - 1) for ids in sequences)
        assert cost(found) <= one_level + LEAST + SHORTEST * len(apart)


@given(st.lists(st.tuples(st.integers(0, 1), st.lists(st.integers(0, 1), min_size=1, max_size=12)), max_size=30))
def test_every_tree_is_right(given: list[tuple[int, list[int]]]) -> None:
    sequences, kinds = [tuple(ids) for _, ids in given], [kind for kind, _ in given]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(beginnings, "LEAST", 2)
        patch.setattr(beginnings, "SHORTEST", 1)
        found = tree(sequences, kinds)
    check(sequences, kinds, found)
    assert cost(found) <= sum(map(len, sequences))
