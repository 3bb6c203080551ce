"""One model in memory and the one thread that uses it: requests of all tabs come to one queue.

Between the tokens of live answers other jobs run (an answer's tokens are coloured, contexts are read), so that none
waits for a long answer's end. Runs of other models take turns: the next one is loaded when nobody's answer runs.
"""

from __future__ import annotations

import gc
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from misdirection.app.material import variants_of
from misdirection.app.opening import OpenRun
from misdirection.errors import MisdirectionError, command

if TYPE_CHECKING:
    from misdirection.engine.live import Live, Progress
    from misdirection.engine.rows import Row, SamplingConfig
    from misdirection.models import Model
    from misdirection.studies.kit.variants import Variants

Found = TypeVar("Found")
Heard = Callable[["Model", "Progress"], None]
"""Told how far a row is, in the model's thread."""

WAITING = 24
"""Requests that may wait for the model: fewer than the threads that answer pages, so that those without it go on."""


@dataclass
class _Job:
    """Something to be done with the models of one run."""

    run: int
    work: Callable[[Variants], Any]
    future: Future[Any] = field(default_factory=Future[Any])


class Resident:
    """The models of the run that is talked to.

    Args:
        runs: All that are open.
        prepare: Called with a model's name before it is loaded.
    """

    def __init__(self, runs: Sequence[OpenRun], prepare: Callable[[str], object] = str) -> None:
        self._runs, self._prepare = runs, prepare
        self._jobs: deque[_Job] = deque()
        self._come = threading.Condition()
        self._ended = False
        self._held: tuple[int, Variants] | None = None
        self._live: dict[int, tuple[Model, Live]] = {}
        self._heard: dict[tuple[int, int], Heard] = {}
        self._thread: threading.Thread | None = None

    def call(self, run: int, work: Callable[[Variants], Found]) -> Future[Found]:
        """Have something done with the models of a run, in their thread.

        Args:
            run: Place of the run.
            work: What is done; it loads what it needs through the variants.

        Raises:
            MisdirectionError: Too many requests wait already.
        """
        return self._queue(_Job(run, work), WAITING)

    def _queue(self, job: _Job, most: int | None = None) -> Future[Any]:
        with self._come:
            if most is not None and len(self._jobs) >= most:
                raise MisdirectionError(
                    f"{len(self._jobs)} requests of this and other tabs wait for the model already",
                    "wait until some are answered, or stop one",
                )
            self._jobs.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="model", daemon=True)
                self._thread.start()
            self._come.notify()
        return job.future

    def put(self, models: Variants, variant: str, row: Row, config: SamplingConfig, heard: Heard) -> tuple[int, int]:
        """Take a row of a live answer in; gives its name for `stop`. To be called within `call`.

        Raises:
            MisdirectionError: It does not fit the model, or not into memory.
        """
        from misdirection.engine.live import Live

        model = models.model(variant)
        if id(model) not in self._live:
            self._live[id(model)] = (model, Live(model))
        live = self._live[id(model)][1]
        if (longest := len(row.prompt.ids) + config.max_new_tokens) > live.budget:
            raise MisdirectionError(
                f"this chat and its answer may come to {longest:,} tokens, memory has room for {live.budget:,} here",
                "begin a new chat, or ask for fewer new tokens",
            )
        number = live.put(row, config)
        self._heard[id(model), number] = heard
        return id(model), number

    def stop(self, rows: Sequence[tuple[int, int]]) -> None:
        """Let rows end where they are, and those that a job adds to them which runs now; from any thread."""

        def ending(_: Variants) -> None:
            for model, number in rows:
                if model in self._live and (model, number) in self._heard:
                    self._live[model][1].stop(number)

        held = self._held
        if held is not None:
            self._queue(_Job(held[0], ending))

    def loaded(self, run: int) -> bool:
        """Whether the models of a run are in memory."""
        return self._held is not None and self._held[0] == run and bool(self._held[1].resident)

    def close(self) -> None:
        """End the thread; what waits is cancelled."""
        with self._come:
            self._ended = True
            self._come.notify()
        if self._thread is not None:
            self._thread.join(30)

    def _busy(self) -> bool:
        return any(live.busy for _, live in self._live.values())

    def _work(self) -> None:
        while True:
            with self._come:
                while not (self._ended or self._jobs or self._busy()):
                    self._come.wait()
                if self._ended:
                    for job in self._jobs:
                        job.future.cancel()
                    return
                job = self._next()
            if job is not None:
                self._do(job)
            self._step()

    def _next(self) -> _Job | None:
        """The first job that can be done now: one of the models that are there, or of others once nobody's run."""
        for place, job in enumerate(self._jobs):
            if self._held is None or self._held[0] == job.run or not self._busy():
                del self._jobs[place]
                return job
        return None

    def _do(self, job: _Job) -> None:
        if not job.future.set_running_or_notify_cancel():
            return
        try:
            job.future.set_result(job.work(self._models(job.run)))
        except BaseException as error:
            job.future.set_exception(_of_memory(error) or error)

    def _models(self, run: int) -> Variants:
        if self._held is None or self._held[0] != run:
            self._held = None
            self._live.clear()
            gc.collect()
            models = variants_of(self._runs[run])
            self._prepare(models.base)
            self._held = (run, models)
        return self._held[1]

    def _step(self) -> None:
        for name, (model, live) in self._live.items():
            try:
                told = live.step() if live.busy else []
            except Exception as error:
                told = self._failed(name, error)
            for one in told:
                self._tell(name, model, one)

    def _tell(self, name: int, model: Model, told: Progress) -> None:
        """Pass on how far a row is; where that fails, the row alone ends."""
        from misdirection.engine.live import Progress

        place = name, told.row
        heard = self._heard.pop(place, None) if told.over else self._heard.get(place)
        if heard is None:
            return
        try:
            heard(model, told)
        except Exception as error:
            self._heard.pop(place, None)
            self._live[name][1].stop(told.row)
            said = MisdirectionError(f"this answer could not be told: {type(error).__name__}: {error}", "ask again")
            # Nobody listens any more where the app itself ends.
            with suppress(RuntimeError):
                heard(model, Progress(told.row, error=said))

    def _failed(self, name: int, error: Exception) -> list[Progress]:
        """What nobody foresaw ends the answers that run, is told to those who wait for them, and ends nothing else."""
        from misdirection.engine.live import Live, Progress

        model = self._live[name][0]
        self._live[name] = (model, Live(model))
        said = _of_memory(error) or MisdirectionError(
            f"the model stopped: {type(error).__name__}: {error}", "ask again"
        )
        lost = [number for held, number in self._heard if held == name]
        return [Progress(number, error=said) for number in lost]


def _of_memory(error: BaseException) -> MisdirectionError | None:
    """Words for a model that does not fit; None for other faults. Options of loading are those of the run."""
    from misdirection.models.errors import NotEnoughMemoryError

    told = error.message if isinstance(error, NotEnoughMemoryError) else ""
    # PyTorch's own is known by its name: it may not be there.
    if not told and not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":
        return None
    return MisdirectionError(
        told or "the models of this run and what is asked of them do not fit into memory",
        "answers, rates and the report are read without them; for the rest open the app where they fit "
        f"({command('doctor')} says what does)",
    )
