"""What token sequences have in common at their beginnings: parts that run once, and what goes on from each.

A template's system prompt begins every prompt, a trait's system prompt all of its questions, a question all of its
answers, a rubric all that it judges. `parts` makes a tree of them; prefills and readings run it level by level
(`reading`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

SHORTEST = 8
"""Tokens that a part must save, below which it does not pay to run it apart."""

LEAST = 64
"""Tokens that the parts of a level must save together: what it costs to begin a pass."""

LEVELS = 4
"""Parts behind each other at most: each level keeps the keys and values of all before it."""


@dataclass(eq=False)
class Part:
    """Tokens that run once: what sequences have in common behind the part before, or all that is left of one.

    Attributes:
        past: Place of the first token behind them.
        members: The sequences that have them.
        after: The parts that go on from here; none behind the end of a sequence.
    """

    past: int
    members: list[int]
    after: list[Part] = field(default_factory=list["Part"])


def parts(beginnings: Sequence[tuple[int, ...]], lengths: Sequence[int], kinds: Sequence[int]) -> list[Part]:
    """The parts to begin with, so that few tokens run, counted with what it costs to begin a pass.

    Args:
        beginnings: Of each sequence, the tokens that it may have in common with others; equal numbers run alike.
        lengths: Tokens of each sequence, of which one at least is left to itself.
        kinds: Sequences of unequal kinds have nothing in common.

    Returns:
        A tree in which each sequence ends once.
    """
    order = sorted(range(len(lengths)), key=lambda index: (kinds[index], beginnings[index]))
    # Parts that hold the sequence before, the longest last; what it has in common with the next ends or begins some.
    stack = [Part(0, [])]
    for index, follower in zip_longest(order, order[1:]):
        found = [Part(lengths[index], [index])]
        shared = 0
        if follower is not None and kinds[index] == kinds[follower]:
            most = min(lengths[index], lengths[follower]) - 1
            shared = min(most, _in_common(beginnings[index], beginnings[follower]))
        while stack[-1].past > shared:
            part = stack.pop()
            part.after += found
            found = _closed(part, max(shared, stack[-1].past))
        if stack[-1].past < shared:
            stack.append(Part(shared, []))
        stack[-1].after += found
    _drop_levels(stack[0], lengths)
    return stack[0].after


def _in_common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    most = min(len(one), len(other))
    if one[:most] == other[:most]:
        return most
    return next(place for place in range(most) if one[place] != other[place])


def _closed(part: Part, before: int) -> list[Part]:
    """The part, or what is behind it where it saves too little over running from `before` on."""
    if _saved(part, before) < SHORTEST:
        return part.after
    part.members = [member for behind in part.after for member in behind.members]
    return [part]


def _saved(part: Part, before: int) -> int:
    return (len(part.after) - 1) * (part.past - before)


def _drop_levels(root: Part, lengths: Sequence[int]) -> None:
    """Let what follows a level that saves too little, or is too deep, go on from the level before it."""
    level = [root]
    for _ in range(LEVELS):
        inner = [part for one in level for part in one.after if part.after]
        while inner and sum(_saved(part, one.past) for one in level for part in one.after if part.after) < LEAST:
            for one in level:
                one.after = [behind for part in one.after for behind in (part.after or [part])]
            inner = [part for one in level for part in one.after if part.after]
        level = inner
    for one in level:
        one.after = [Part(lengths[member], [member]) for member in one.members]
