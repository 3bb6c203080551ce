"""Rows that are being decoded together: how they come, go on and leave."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import torch
from torch import Tensor

from misdirection.engine import passes
from misdirection.engine.cache import select_rows
from misdirection.engine.choosing import choose
from misdirection.engine.finite import demand
from misdirection.engine.program import Program
from misdirection.engine.rows import Row, Sample, SamplingConfig
from misdirection.engine.shared_prefix import SharedPrompts, can_share
from misdirection.engine.streams import stream_keys, uniforms
from misdirection.models import Model

_LEAVE_AT = 0.75
"""Finished rows leave when no more than this share of a batch is still running: a gather costs one copy of the
cache."""


class Batch:
    """The running rows, each at its own step.

    Args:
        model: The resident model.
        program: Of all arms, attached.
        config: How answers are drawn.
        rows: All rows of the call; the batch names them by their index.
    """

    def __init__(self, model: Model, program: Program, config: SamplingConfig, rows: Sequence[Row]) -> None:
        self.model, self.program, self.config, self.all = model, program, config, rows
        self.running: list[int] = []
        self.room = True
        self._held: SharedPrompts | Copies | None = None
        self._ends = torch.tensor(model.eos_ids, device=model.device)

    @property
    def open(self) -> bool:
        """Whether rows may join: none is there, or some have left and those that stay keep their prompts apart."""
        return not self.running or (self.room and isinstance(self._held, SharedPrompts))

    def admit(self, new: Sequence[int]) -> None:
        """Prefill each distinct (prompt, arm) of new rows and set them beside those that run.

        If this raises, or `step` does, nothing but `running` can be relied on.
        """
        rows = [self.all[index] for index in new]
        self.running += new
        groups: dict[object, int] = {}
        members = [groups.setdefault(row.group, len(groups)) for row in rows]
        first = [rows[members.index(group)] for group in range(len(groups))]
        cache, logits, mask = passes.prefill(self.model, self.program, first)
        lengths = [len(row.prompt.ids) for row in first]
        if isinstance(self._held, SharedPrompts):
            self._held.join(cache, members, lengths)
        elif can_share(self.model):
            self._held = SharedPrompts(self.model, cache, members, lengths)
        else:
            self._held = Copies(self.model, cache, members, mask)
        self._add(rows, logits[torch.tensor(members, device=logits.device)])
        self.room = False

    def step(self, leave_at: float = _LEAVE_AT) -> list[tuple[int, Sample]]:
        """Draw one token a row and run the model on it; the answers of rows that leave.

        Args:
            leave_at: Finished rows leave when no more than this share is still running; with 1 each leaves at once.
        """
        self._demand_numbers()
        place = self._steps.clamp(max=self.config.max_new_tokens - 1)[:, None].to(self.model.device)
        tokens = choose(self._logits, self._draws.gather(1, place)[:, 0], self.config.temperature, self.config.top_p)
        ended = torch.isin(tokens, self._ends)
        before = self._written.gather(1, place)[:, 0]
        self._written.scatter_(1, place, torch.where(self._done | ended, before, tokens)[:, None])
        self._ended = torch.where(ended & ~self._done, tokens, self._ended)
        self._steps += 1
        self._done |= ended | (place[:, 0] == self.config.max_new_tokens - 1)
        running = len(self.running) - int(self._done.sum())
        left: list[tuple[int, Sample]] = []
        if running < len(self.running) and running <= leave_at * len(self.running):
            left = self._answers(self._done)
            keep = (~self._done).nonzero()[:, 0]
            tokens = tokens[keep]
            self._keep(keep)
        if self.running:
            positions = (self._lengths + self._steps - 1)[:, None]
            if self.program.patches:
                self.program.step_to(positions)
            assert self._held is not None
            self._logits = self._held.forward(tokens[:, None], positions)
        return left

    def written(self) -> dict[int, tuple[int, ...]]:
        """The tokens that each running row has drawn so far."""
        if not self.running:
            return {}
        held = self._written.cpu()
        return {index: tuple(ids[ids >= 0].tolist()) for index, ids in zip(self.running, held, strict=True)}

    def end(self, rows: Container[int]) -> None:
        """Let rows end where they are, as if they had been cut; they leave with the next step."""
        self._done |= torch.tensor([index in rows for index in self.running], device=self._done.device)

    @property
    def drawn(self) -> tuple[list[int], list[int]]:
        """Tokens that each row has drawn: of those that draw on, and of those that have ended but not left."""
        if not self.running:
            return [], []
        done = self._done.cpu()
        return self._steps[~done].tolist(), self._steps[done].tolist()

    def bind(self) -> None:
        """Gather the arms' tensors for the rows that run now."""
        self.program.bind(self._arms, None, None, (self._lengths + self._steps)[:, None])

    def _demand_numbers(self) -> None:
        # A row's largest logit is NaN or infinite where one is NaN or +inf or all are -inf; a banned token's may be.
        sound = self._logits.amax(-1).isfinite() | self._done
        if not bool(sound.all()):
            place = int((~sound).nonzero()[0, 0])
            row, written = self.all[self.running[place]], self._written[place]
            prompt = row.prompt.ids
            demand(sound, self.model, "logits", (*prompt, *written[written >= 0].tolist()), row.arm, len(prompt))

    def _add(self, rows: list[Row], logits: Tensor) -> None:
        device, config, count = logits.device, self.config, len(rows)
        keys = stream_keys(config.seed, [(row.prompt.key, row.sample) for row in rows])
        state = (
            logits,
            torch.from_numpy(uniforms(keys, 0, config.max_new_tokens)).to(device),
            torch.full((count, config.max_new_tokens), -1, device=device),
            torch.zeros(count, dtype=torch.bool, device=device),
            torch.full((count,), -1, device=device),
            torch.zeros(count, dtype=torch.long),
            torch.tensor([len(row.prompt.ids) for row in rows]),
            self.program.arm_index([row.arm for row in rows]),
        )
        if len(self.running) > count:
            state = tuple(torch.cat([old, new]) for old, new in zip(self._state(), state, strict=True))
        self._set(state)
        self.bind()

    def _keep(self, keep: Tensor) -> None:
        if not len(keep):
            self.running, self._held = [], None
            return
        assert self._held is not None
        self._held.keep(keep.cpu())
        self.running = [self.running[index] for index in keep.tolist()]
        self._set(tuple(part[keep.to(part.device)] for part in self._state()))
        self.bind()
        self.room = True

    def _state(self) -> tuple[Tensor, ...]:
        device = (self._logits, self._draws, self._written, self._done, self._ended)
        return (*device, self._steps, self._lengths, self._arms)

    def _set(self, state: tuple[Tensor, ...]) -> None:
        self._logits, self._draws, self._written, self._done, self._ended = state[:5]
        self._steps, self._lengths, self._arms = state[5:]

    def _answers(self, which: Tensor) -> list[tuple[int, Sample]]:
        places = which.nonzero()[:, 0]
        written, ended = self._written[places].cpu(), self._ended[places].tolist()
        return [
            (self.running[place], Sample(tuple(ids[ids >= 0].tolist()), end >= 0, end if end >= 0 else None))
            for place, ids, end in zip(places.tolist(), written, ended, strict=True)
        ]


class Copies:
    """The cache of rows that each hold a copy of their prompt, all at one step: for attention of any kind."""

    def __init__(self, model: Model, cache: Any, members: list[int], mask: Tensor | None) -> None:
        self.model, self.cache = model, cache
        fan = torch.tensor(members)
        select_rows(cache, fan)
        self.mask = None if mask is None else mask[fan]

    def keep(self, indices: Tensor) -> None:
        """Keep the rows named by `indices`."""
        select_rows(self.cache, indices)
        self.mask = None if self.mask is None else self.mask[indices]

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Logits after one more token a row, both inputs of shape (rows, 1)."""
        if self.mask is not None:
            self.mask = torch.cat([self.mask, torch.ones(len(self.mask), 1, dtype=self.mask.dtype)], 1)
        return passes.forward(self.model, tokens, self.cache, positions, self.mask)
