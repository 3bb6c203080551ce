"""Rows that come while others run: one more token of all of them at a time.

`sampling` is given all of its rows at once; here they come when people ask. Rows that are drawn alike share a batch: a
new one joins those that run, whatever its arm, where the family's attention keeps prompts apart (`shared_prefix`), and
begins a batch beside theirs where it does not. Their answers are the same as `sample` gives, row by row.

A batch that fails (no numbers, no memory) is taken apart and its rows begin again one by one, on the same random
numbers, so that one person's coefficient ends nobody else's answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from misdirection.engine.batching import default_budget, is_out_of_memory
from misdirection.engine.decoding import Batch
from misdirection.engine.finite import explained
from misdirection.engine.fits import check_arm
from misdirection.engine.program import Program
from misdirection.engine.rows import Row, Sample, SamplingConfig
from misdirection.engine.shared_prefix import can_share
from misdirection.errors import MisdirectionError
from misdirection.models import Model, NotEnoughMemoryError
from misdirection.models.positions import demand_positions
from misdirection.models.vocabulary import demand_tokens


@dataclass(frozen=True)
class Progress:
    """How far a row is.

    Attributes:
        row: Its number, as `Live.put` gave it.
        ids: Tokens that it has drawn so far.
        sample: Its answer, once it has ended.
        error: Why it came to none.
    """

    row: int
    ids: tuple[int, ...] = ()
    sample: Sample | None = None
    error: MisdirectionError | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will be told of it."""
        return self.sample is not None or self.error is not None


@dataclass
class _Together:
    """Rows of one config, of which those in the batch run."""

    config: SamplingConfig
    rows: list[Row] = field(default_factory=list[Row])
    numbers: list[int] = field(default_factory=list[int])
    waiting: list[int] = field(default_factory=list[int])
    batch: Batch | None = None
    alone: bool = False

    @property
    def running(self) -> list[int]:
        return [] if self.batch is None else self.batch.running


class Live:
    """The rows of one resident model; used by one thread.

    Args:
        model: The resident model.
        budget: Tokens that all running rows may come to hold; None measures the free memory.
    """

    def __init__(self, model: Model, budget: int | None = None) -> None:
        self.model = model
        self.budget = default_budget(model) if budget is None else budget
        self._groups: list[_Together] = []
        self._count = 0
        self._stopped: set[int] = set()

    @property
    def busy(self) -> bool:
        """Whether a row waits or runs."""
        return bool(self._groups)

    def put(self, row: Row, config: SamplingConfig) -> int:
        """Take a row in; gives its number.

        Raises:
            InterventionError: Its arm does not fit the model.
            ModelError: It needs more positions or tokens than there are.
        """
        check_arm(self.model, row.arm)
        demand_positions(self.model, len(row.prompt.ids) + config.max_new_tokens - 1, "the prompt and its answer")
        demand_tokens(self.model, [row.prompt.ids], "prompts")
        self._count += 1
        self._wait(row, config, self._count)
        return self._count

    def stop(self, number: int) -> None:
        """Let a row end where it is; what it has drawn is its answer."""
        self._stopped.add(number)

    def step(self) -> list[Progress]:
        """One more token of every row that runs; how far each of them is."""
        told: list[Progress] = []
        for group in list(self._groups):
            told += self._step(group)
        self._groups = [group for group in self._groups if group.waiting or group.running]
        self._stopped -= {one.row for one in told if one.over}
        return told

    def _wait(self, row: Row, config: SamplingConfig, number: int, alone: bool = False) -> None:
        joined = (group for group in self._groups if group.config == config and not group.alone)
        group = None if alone else next((one for one in joined if not one.running or can_share(self.model)), None)
        if group is None:
            group = _Together(config, alone=alone)
            self._groups.append(group)
        group.waiting.append(len(group.rows))
        group.rows.append(row)
        group.numbers.append(number)

    def _step(self, group: _Together) -> list[Progress]:
        told = [Progress(group.numbers[i], (), Sample((), False)) for i in group.waiting if self._ends(group, i)]
        group.waiting = [index for index in group.waiting if not self._ends(group, index)]
        new = self._fitting(group)
        if not new and not group.running:
            return told
        group.waiting = group.waiting[len(new) :]
        try:
            with explained(), torch.inference_mode():
                return told + self._run(group, new)
        except Exception as error:
            if not (isinstance(error, MisdirectionError) or is_out_of_memory(error)):
                raise
            return told + self._apart(group, new, error)

    def _run(self, group: _Together, new: list[int]) -> list[Progress]:
        """Admit new rows, draw one token of each."""
        before = () if group.batch is None or not group.batch.running else group.batch.program.arms
        if new or group.batch is None:
            arms = {id(arm): arm for arm in (*before, *(group.rows[index].arm for index in new))}
            program = Program(self.model, list(arms.values()))
            if group.batch is None or not group.batch.running:
                group.batch = Batch(self.model, program, group.config, group.rows)
            group.batch.program = program
        batch = group.batch
        with batch.program.attached():
            if new:
                batch.admit(new)
            else:
                # Another batch's hooks were in place since.
                batch.bind()
            batch.end({index for index in batch.running if self._ends(group, index)})
            left = batch.step(leave_at=1.0)
        ended = [Progress(group.numbers[index], answer.ids, answer) for index, answer in left]
        return [*(Progress(group.numbers[index], ids) for index, ids in batch.written().items()), *ended]

    def _apart(self, group: _Together, new: list[int], error: Exception) -> list[Progress]:
        """What a failed batch comes to: a single row's error, or its rows by themselves."""
        failed = list(dict.fromkeys([*group.running, *new]))
        group.batch = None
        if len(failed) > 1:
            for index in failed:
                self._wait(group.rows[index], group.config, group.numbers[index], alone=True)
            return []
        if not isinstance(error, MisdirectionError):
            error = NotEnoughMemoryError(
                f"an answer of up to {group.config.max_new_tokens} tokens does not fit in memory",
                "ask for fewer new tokens, or wait until other answers have ended",
            )
        return [Progress(group.numbers[failed[0]], error=error)]

    def _ends(self, group: _Together, index: int) -> bool:
        return group.numbers[index] in self._stopped

    def _fitting(self, group: _Together) -> list[int]:
        """The waiting rows of a group that fit beside all that run; one at least where none does."""
        room = self.budget - sum(_length(one, index) for one in self._groups for index in one.running)
        idle = not any(one.running for one in self._groups)
        found: list[int] = []
        for index in group.waiting:
            room -= _length(group, index)
            if room < 0 and not (idle and not found):
                break
            found.append(index)
        return found


def _length(group: _Together, index: int) -> int:
    return len(group.rows[index].prompt.ids) + group.config.max_new_tokens
