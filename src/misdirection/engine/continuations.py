"""How likely given short continuations of a prompt are: what a judge's score is made of, without sampling.

One forward pass over each prompt gives the probabilities of every first token; what prompts begin with alike runs once.
Continuations of several tokens are followed in the cache of that pass, one token further each time, and only where
enough probability leads.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from misdirection.engine.batching import pass_budget
from misdirection.engine.decoding import Copies
from misdirection.engine.finite import demand, explained
from misdirection.engine.interventions import Arm
from misdirection.engine.passes import Prefilled, prefills
from misdirection.engine.program import Program
from misdirection.engine.rows import Prompt, Row
from misdirection.engine.shared_prefix import SharedPrompts, can_share
from misdirection.models import Model
from misdirection.models.positions import demand_positions
from misdirection.models.vocabulary import demand_tokens

FLOOR = 1e-3
"""Beginnings that are less likely than this are not followed; what lies behind them counts as 0."""


_PROMPTS = 4
"""Passes' worth of tokens that run together: long prompts one by one are slower (measured)."""


@dataclass
class _Node:
    """A beginning of continuations: those that end here, and the tokens that go on from it."""

    ends: list[int] = field(default_factory=list[int])
    after: dict[int, _Node] = field(default_factory=dict[int, "_Node"])


def continuation_chances(
    model: Model, prompts: Sequence[tuple[int, ...]], continuations: Sequence[tuple[int, ...]], floor: float = FLOOR
) -> Iterator[tuple[int, list[float]]]:
    """Probability of each continuation after each prompt.

    A continuation that others go on from ("8" before "85") counts with the probability that none of these follows:
    p(8) (1 - sum over the given tokens t of p(t | 8)). The base model answers; adapters are off.

    Args:
        model: The resident model.
        prompts: Token ids, each ending with the assistant header.
        continuations: Token ids, each at least one, all different.
        floor: Beginnings with less probability are not followed; the probabilities are exact at 0.

    Yields:
        (index of the prompt, one probability a continuation), batch by batch.

    Raises:
        NotFiniteError: The logits are no numbers.
    """
    root = _tree(continuations)
    depth = max(len(ids) for ids in continuations)
    longest = max((len(ids) for ids in prompts), default=0)
    demand_positions(model, longest + depth - 1, "prompts and continuations")
    demand_tokens(model, [*prompts, *continuations], "prompts and continuations")
    program = Program(model, [arm := Arm("base")])

    rows = [Row(Prompt("", ids), arm) for ids in prompts]

    def follow(some: Sequence[int], begun: Prefilled) -> list[tuple[int, list[float]]]:
        found = _follow(model, program, [rows[index] for index in some], begun, root, len(continuations), floor)
        return list(zip(some, found, strict=True))

    with explained(), torch.inference_mode(), program.attached():
        for found in prefills(model, program, rows, _PROMPTS * pass_budget(model), follow):
            yield from found


def _tree(continuations: Sequence[tuple[int, ...]]) -> _Node:
    root = _Node()
    for number, ids in enumerate(continuations):
        node = root
        for token in ids:
            node = node.after.setdefault(token, _Node())
        node.ends.append(number)
    return root


def _follow(
    model: Model, program: Program, rows: list[Row], begun: Prefilled, root: _Node, count: int, floor: float
) -> list[list[float]]:
    """Level by level: `members` are the rows that run, each a prompt that was led to a node."""
    found = [[0.0] * count for _ in rows]
    cache, logits, mask = begun
    lengths = [len(row.prompt.ids) for row in rows]
    members = [(index, root, 1.0) for index in range(len(rows))]
    held: SharedPrompts | Copies | None = None
    for step in itertools.count():
        onward: list[tuple[int, int, int, _Node, float]] = []
        for (index, *_), finite in zip(members, logits.amax(-1).isfinite().cpu(), strict=True):
            demand(finite, model, "logits", rows[index].prompt.ids, rows[index].arm, lengths[index])
        for place, ((index, node, chance), after) in enumerate(zip(members, _chances(logits, members), strict=True)):
            for number in node.ends:
                found[index][number] += chance * max(0.0, 1.0 - sum(after.values()))
            for token, further in node.after.items():
                if not further.after or chance * after[token] < floor:
                    for number in further.ends:
                        found[index][number] += chance * after[token]
                else:
                    onward.append((place, token, index, further, chance * after[token]))
        if not onward:
            break
        fan = [place for place, *_ in onward]
        if held is not None:
            held.keep(torch.tensor(fan))
        elif can_share(model):
            held = SharedPrompts(model, cache, fan, lengths)
        else:
            held = Copies(model, cache, fan, mask)
        tokens = torch.tensor([[token] for _, token, *_ in onward])
        positions = torch.tensor([[lengths[index] + step] for _, _, index, *_ in onward])
        program.bind(program.arm_index([rows[index].arm for _, _, index, *_ in onward]), None, None, positions)
        logits = held.forward(tokens.to(model.device), positions)
        members = [(index, node, chance) for _, _, index, node, chance in onward]
    return found


def _chances(logits: Tensor, members: Sequence[tuple[int, _Node, float]]) -> list[dict[int, float]]:
    """For each row the probabilities of the tokens that go on from its node."""
    found: list[dict[int, float]] = []
    for row, (_, node, _) in zip(logits, members, strict=True):
        tokens, whole = list(node.after), row.float()
        given = whole[torch.tensor(tokens, device=row.device, dtype=torch.long)].double()
        found.append(dict(zip(tokens, (given - whole.logsumexp(-1).double()).exp().tolist(), strict=True)))
    return found
