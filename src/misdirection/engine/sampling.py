"""Sampling a queue of rows: shared prefill, mixed arms in one batch, finished rows leave and waiting rows follow.

Each distinct (prompt, arm) is prefilled once for its samples. Rows of different arms (base and tuned, every steering
coefficient, every ablation) share batches. Each row draws from its own counter-based stream (`streams`), one uniform
a step, turned into a token by the inverse of the cumulative distribution; so an answer does not depend on its batch,
and arms with the same (seed, question, sample) share their random numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import torch

from misdirection import progress
from misdirection.engine.batching import attempt, default_budget, give_back, halved
from misdirection.engine.beginnings import Part
from misdirection.engine.decoding import Batch
from misdirection.engine.finite import explained
from misdirection.engine.outlook import expected_tokens
from misdirection.engine.passes import texts_of
from misdirection.engine.program import Program
from misdirection.engine.reading import beginnings, can_go_on
from misdirection.engine.rows import Prompt, Row, Sample, SamplingConfig
from misdirection.engine.shared_prefix import can_share
from misdirection.models import Model
from misdirection.models.positions import demand_positions
from misdirection.models.vocabulary import demand_tokens

__all__ = ["Prompt", "Row", "Sample", "SamplingConfig", "sample", "sample_stream"]


def sample(model: Model, rows: Sequence[Row], config: SamplingConfig | None = None) -> list[Sample]:
    """Sample every row; results in the order of `rows`.

    Raises:
        InterventionError: An arm does not fit the model.
        NotEnoughMemoryError: Not even a single row fits.
        ModelError: The family cannot be sampled, or a row needs more positions than there are.
        NotFiniteError: A row's logits are no numbers.
    """
    results: dict[int, Sample] = dict(sample_stream(model, rows, config))
    return [results[index] for index in range(len(rows))]


def sample_stream(
    model: Model, rows: Sequence[Row], config: SamplingConfig | None = None
) -> Iterator[tuple[int, Sample]]:
    """Like `sample`, yielding (index of the row, answer) as answers end."""
    config = config or SamplingConfig()
    program = Program.of(model, rows)
    if config.max_new_tokens < 1:
        yield from ((index, Sample((), False)) for index in range(len(rows)))
        return
    most = len(rows) * config.max_new_tokens
    work = progress.task("sampling", len(rows), "answers", work=most, work_unit="tokens")
    longest = max((len(row.prompt.ids) for row in rows), default=0)
    demand_positions(model, longest + config.max_new_tokens - 1, "prompts and answers")
    demand_tokens(model, {id(row.prompt): row.prompt.ids for row in rows}.values(), "prompts")
    with explained(), torch.inference_mode(), program.attached(), work as advance:
        for left in _decode(model, program, rows, config, advance):
            yield from left
    give_back()


def _decode(
    model: Model, program: Program, rows: Sequence[Row], config: SamplingConfig, advance: Callable[..., None]
) -> Iterator[list[tuple[int, Sample]]]:
    """Decode all rows, halving the budget and starting the running rows again when memory runs out."""
    lengths = _lengths(model, rows, config.max_new_tokens)
    order = _order(model, rows, lengths)
    rank = {index: place for place, index in enumerate(order)}
    budget = config.budget or default_budget(model)
    waiting, batch = order, Batch(model, program, config, rows)
    ended: list[int] = []

    def outlook() -> tuple[float, str]:
        running, over = batch.drawn
        # What the youngest row has come to says when all end, where no more are to follow.
        told = f"token {min(running)} of at most {config.max_new_tokens}" if running and not waiting else ""
        return expected_tokens([*ended, *over], running, len(waiting), config.max_new_tokens), told

    while waiting or batch.running:
        if batch.open:
            count = _fitting(batch.running, waiting, lengths, budget, rows)
            new, waiting = waiting[:count], waiting[count:]
            if new:
                give_back()
            done = attempt(batch.admit, new) if new else ()
        else:
            done = ()
        width = len(batch.running)
        left = None if done is None else attempt(lambda batch: batch.step(), batch)
        if left is None:
            budget = halved([lengths[index] for index in batch.running])
            waiting = sorted([*batch.running, *waiting], key=lambda index: rank[index])
            batch = Batch(model, program, config, rows)
        else:
            ended += [len(answer.ids) + answer.finished for _, answer in left[0]]
            advance(len(left[0]), work=width, outlook=outlook)
            if left[0]:
                yield left[0]


def _order(model: Model, rows: Sequence[Row], lengths: Sequence[int]) -> list[int]:
    """Rows of an adapter together, in them those whose prompts begin alike, in these the longest first."""
    groups: dict[object, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(row.group, []).append(index)
    samples = list(groups.values())

    def ordered(parts: Sequence[Part]) -> Iterator[int]:
        for part in sorted(parts, key=lambda part: key(part.members)):
            yield from ordered(part.after) if part.after else samples[part.members[0]]

    def key(members: Sequence[int]) -> tuple[str, int]:
        firsts = [samples[member][0] for member in members]
        return rows[firsts[0]].arm.adapter or "", -max(lengths[index] for index in firsts)

    alone = [Part(0, [member]) for member in range(len(samples))]
    firsts = [rows[some[0]] for some in samples]
    return list(ordered(beginnings(texts_of(firsts)) if can_go_on(model) else alone))


def _lengths(model: Model, rows: Sequence[Row], new_tokens: int) -> list[int]:
    """Tokens that each row may come to hold; a prompt that its samples share is shared out among them."""
    samples = Counter(row.group for row in rows) if can_share(model) else Counter[object]()
    return [-(-len(row.prompt.ids) // max(1, samples[row.group])) + new_tokens for row in rows]


def _fitting(
    running: Sequence[int], waiting: Sequence[int], lengths: Sequence[int], budget: int, rows: Sequence[Row]
) -> int:
    """How many of the waiting rows fit beside those that run: at least one where none runs, whole groups if any."""
    count, longest = 0, max((lengths[index] for index in running), default=0)
    for index in waiting:
        longest = max(longest, lengths[index])
        if (len(running) + count + 1) * longest > budget and (running or count):
            break
        count += 1
    if running and 0 < count < len(waiting):
        begun = rows[waiting[count]].group
        whole = next((n for n in range(count, 0, -1) if rows[waiting[n - 1]].group != begun), 0)
        return whole or count
    return count
