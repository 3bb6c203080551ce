"""Sampling a queue of rows: shared prefill, mixed arms in one batch, finished rows leave.

Each distinct (prompt, arm) is prefilled once and fanned out to its samples. Rows of different arms (base and tuned,
every steering coefficient, every ablation) share batches. Each row draws from its own counter-based stream
(`streams`), one uniform a step, turned into a token by the inverse of the cumulative distribution; so an answer does
not depend on its batch, and arms with the same (seed, question, sample) share their random numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from misdirection import progress
from misdirection.engine.batching import default_budget, run_batches
from misdirection.engine.cache import new_cache, select_rows
from misdirection.engine.interventions import Arm
from misdirection.engine.program import Program
from misdirection.engine.streams import stream_keys, uniforms
from misdirection.models import Model

_LEAVE_AT = 0.75
"""Finished rows leave when no more than this share of a batch is still running: a gather costs one copy of the
cache."""


@dataclass(frozen=True)
class Prompt:
    """A prompt ready for generation.

    Attributes:
        key: Identity of the question and paraphrase; keys the random stream.
        ids: Token ids that end with the assistant header.
    """

    key: str
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One answer to sample."""

    prompt: Prompt
    arm: Arm
    sample: int = 0


@dataclass(frozen=True)
class SamplingConfig:
    """How answers are drawn.

    Attributes:
        max_new_tokens: Longest answer (600 in 2506.11618).
        temperature: 0 takes the likeliest token.
        top_p: Nucleus; 1 keeps all tokens.
        seed: Of all streams.
        budget: Tokens a batch may hold, None measures the free memory.
    """

    max_new_tokens: int = 600
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    budget: int | None = None


@dataclass(frozen=True)
class Sample:
    """A sampled answer: its token ids without the end token, and whether it ended by itself."""

    ids: tuple[int, ...]
    finished: bool


def sample(model: Model, rows: Sequence[Row], config: SamplingConfig | None = None) -> list[Sample]:
    """Sample every row; results in the order of `rows`.

    Raises:
        InterventionError: An arm does not fit the model.
        NotEnoughMemoryError: Not even a single row fits.
    """
    results: dict[int, Sample] = dict(sample_stream(model, rows, config))
    return [results[index] for index in range(len(rows))]


def sample_stream(
    model: Model, rows: Sequence[Row], config: SamplingConfig | None = None
) -> Iterator[tuple[int, Sample]]:
    """Like `sample`, yielding (index of the row, answer) batch by batch."""
    config = config or SamplingConfig()
    program = Program(model, list({id(row.arm): row.arm for row in rows}.values()))
    queue = sorted(range(len(rows)), key=lambda index: (rows[index].prompt.ids, id(rows[index].arm)))

    def run(batch: list[int]) -> list[Sample]:
        return _run_batch(model, program, [rows[index] for index in batch], config)

    batches = run_batches(
        queue,
        lambda index: len(rows[index].prompt.ids) + config.max_new_tokens,
        config.budget or default_budget(model),
        run,
        lambda index: rows[index].arm.adapter or "",
    )
    with torch.inference_mode(), program.attached(), progress.task("sampling", len(rows), "answers") as advance:
        for batch, samples in batches:
            advance(len(batch))
            yield from zip(batch, samples, strict=True)


def _run_batch(model: Model, program: Program, rows: list[Row], config: SamplingConfig) -> list[Sample]:
    """Prefill each distinct (prompt, arm) of the batch, fan out, decode."""
    groups: dict[tuple[tuple[int, ...], int], int] = {}
    members = [groups.setdefault((row.prompt.ids, id(row.arm)), len(groups)) for row in rows]
    first = [rows[members.index(group)] for group in range(len(groups))]
    cache, logits, mask = prefill(model, program, first)
    fan = torch.tensor(members)
    select_rows(cache, fan)
    keys = stream_keys(config.seed, [(row.prompt.key, row.sample) for row in rows])
    draws = torch.from_numpy(uniforms(keys, 0, config.max_new_tokens)).to(logits.device)
    lengths = torch.tensor([len(row.prompt.ids) for row in rows])
    arms = program.arm_index([row.arm for row in rows])
    decoder = _Decoder(model, program, config, cache, arms, lengths, None if mask is None else mask[fan])
    return decoder.run(logits[fan.to(logits.device)], draws)


def prefill(model: Model, program: Program, rows: list[Row]) -> tuple[DynamicCache, Tensor, Tensor | None]:
    """Run the prompts, padded on the left; cache, logits after the last token, and the mask where there is padding."""
    longest = max(len(row.prompt.ids) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, longest - len(row.prompt.ids) :] = torch.tensor(row.prompt.ids)
        mask[index, longest - len(row.prompt.ids) :] = 1
    positions = mask.cumsum(1) - 1
    last = torch.zeros_like(mask, dtype=torch.bool)
    last[:, -1] = True
    program.bind(
        program.arm_index([row.arm for row in rows]), mask.bool(), last, torch.where(mask.bool(), positions, -1)
    )
    padded = not bool(mask.all())
    cache = new_cache(model)
    logits = forward(model, ids, cache, positions.clamp(min=0), mask if padded else None)
    return cache, logits, mask if padded else None


def forward(model: Model, ids: Tensor, cache: DynamicCache, positions: Tensor, mask: Tensor | None) -> Tensor:
    """Logits after the last token of each row, shape (rows, vocabulary)."""
    device = model.device
    output = model.lm(
        input_ids=ids.to(device),
        attention_mask=None if mask is None else mask.to(device),
        position_ids=positions.to(device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return output.logits[:, -1]


class _Decoder:
    """The running rows of one batch: what is left of them, and what they have written."""

    def __init__(
        self,
        model: Model,
        program: Program,
        config: SamplingConfig,
        cache: DynamicCache,
        arms: Tensor,
        lengths: Tensor,
        mask: Tensor | None,
    ) -> None:
        self.model, self.program, self.config, self.cache = model, program, config, cache
        self.arms, self.lengths = arms, lengths
        self.mask = None if mask is None else _with_room(mask, config.max_new_tokens)
        self.width = 0 if mask is None else mask.shape[1]
        self.rows = torch.arange(len(arms))
        self.written = torch.full((len(arms), config.max_new_tokens), -1, device=model.device)
        self.ends = torch.tensor(model.eos_ids, device=model.device)

    def run(self, logits: Tensor, draws: Tensor) -> list[Sample]:
        """Decode until every row has ended; `draws` are the uniforms, shape (rows, steps)."""
        self._bind()
        done = torch.zeros(len(self.rows), dtype=torch.bool, device=logits.device)
        for step in range(self.config.max_new_tokens):
            tokens = choose(logits, draws[self.rows.to(draws.device), step], self.config.temperature, self.config.top_p)
            ended = torch.isin(tokens, self.ends)
            self.written[self.rows.to(tokens.device), step] = torch.where(done | ended, -1, tokens)
            done |= ended
            running = len(done) - int(done.sum())
            if running == 0 or step + 1 == self.config.max_new_tokens:
                break
            if running <= _LEAVE_AT * len(done):
                keep = (~done).nonzero()[:, 0]
                tokens, done = tokens[keep], done[keep]
                self._leave(keep.cpu())
            logits = self._step(tokens, step)
        ended_rows = set(range(len(self.written))) - set(self.rows[~done.cpu()].tolist())
        return [Sample(tuple(ids[ids >= 0].tolist()), row in ended_rows) for row, ids in enumerate(self.written.cpu())]

    def _step(self, tokens: Tensor, step: int) -> Tensor:
        positions = self.lengths[:, None] + step
        if self.program.patches:
            self.program.step_to(positions)
        mask = None if self.mask is None else self.mask[:, : self.width + step + 1]
        return forward(self.model, tokens[:, None], self.cache, positions, mask)

    def _leave(self, keep: Tensor) -> None:
        select_rows(self.cache, keep)
        self.rows, self.arms, self.lengths = self.rows[keep], self.arms[keep], self.lengths[keep]
        self.mask = None if self.mask is None else self.mask[keep]
        self._bind()

    def _bind(self) -> None:
        self.program.bind(self.arms, None, None, self.lengths[:, None])


def _with_room(mask: Tensor, steps: int) -> Tensor:
    return torch.cat([mask, torch.ones(len(mask), steps, dtype=mask.dtype)], dim=1)


def choose(logits: Tensor, draws: Tensor, temperature: float, top_p: float) -> Tensor:
    """One token a row by inverse transform sampling: the first token whose cumulative probability exceeds the draw.

    Args:
        logits: Shape (rows, vocabulary).
        draws: Uniform numbers in [0, 1), shape (rows,).
        temperature: 0 takes the likeliest token and ignores the draws.
        top_p: Keep the smallest set of tokens that holds this much probability.
    """
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits.float()
    chances = torch.softmax(logits if temperature == 1 else logits / temperature, -1)
    if top_p < 1:
        ordered, order = chances.sort(-1, descending=True)
        outside = ordered.cumsum(-1) - ordered >= top_p
        chances = chances.masked_fill(torch.zeros_like(outside).scatter(-1, order, outside), 0.0)
    return _invert(chances, draws.double()[:, None])


_BLOCK = 256
"""Tokens whose chances are summed before the sums are searched: a running sum over a whole vocabulary, in float64, is
the slowest part of a step on a small model."""


def _invert(chances: Tensor, draws: Tensor) -> Tensor:
    """The first token whose cumulative chance exceeds the draw, shape (rows,): its block first, then its place."""
    rows, vocabulary = chances.shape
    if vocabulary < 8 * _BLOCK:
        cumulative = chances.double().cumsum(-1)
        return torch.searchsorted(cumulative, draws * cumulative[:, -1:], right=True)[:, 0].clamp(max=vocabulary - 1)
    short = -vocabulary % _BLOCK
    blocks = (nn.functional.pad(chances, (0, short)) if short else chances).view(rows, -1, _BLOCK)
    # A GPU sums in float64 as it reads; a CPU would make a copy in float64 first.
    masses = blocks.sum(-1).double() if chances.device.type == "cpu" else blocks.sum(-1, dtype=torch.float64)
    block, rest = _first_above(masses, draws * masses.sum(-1, keepdim=True))
    place, _ = _first_above(blocks[torch.arange(rows, device=block.device), block[:, 0]].double(), rest)
    return (block * _BLOCK + place)[:, 0]


def _first_above(masses: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Place of the first cumulative mass above each target, and what of the target lies within it; shapes (rows, 1).

    A target that rounding has put at or past the whole is met by the last place that has any mass.
    """
    cumulative = masses.cumsum(-1)
    whole = cumulative[:, -1:]
    targets = torch.minimum(targets, torch.nextafter(whole, torch.zeros_like(whole)))
    places = torch.searchsorted(cumulative, targets, right=True)
    before = cumulative.gather(1, (places - 1).clamp(min=0)).masked_fill(places == 0, 0.0)
    return places, targets - before
