"""A measurement as a task: all that another process needs to make a step of a run, and what it says when it is done."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from misdirection.errors import MisdirectionError
from misdirection.store.cached import Call
from misdirection.store.steps import make_step


@dataclass(frozen=True)
class Task:
    """A step that is to be made.

    Attributes:
        call: The measurement with its arguments; sent to where it is made, so all of them can be pickled.
        folder: Place of the step.
        key: Of the step.
        sources: Content of each step that it is made from, by key.
        workspace: A folder that outlives a kill, None where none is wanted.
        here: The folder that relative paths are meant from.
        threads: Threads of PyTorch: sums in another order give other numbers.
    """

    call: Call
    folder: Path
    key: str
    sources: Mapping[str, str]
    workspace: Path | None
    here: Path
    threads: int

    def perform(self) -> Done:
        """Make the step in this process; what is wrong with the input is told, not raised: others go on.

        A step is renamed into place when it is whole: a process that is killed leaves nothing that could be taken for
        one, and what made it goes on from its workspace.
        """
        started = time.monotonic()
        if not self.folder.parent.is_dir():
            return Done(
                error=f"{socket.gethostname()} does not see {self.folder.parent}",
                hint="put the run on a disk that all machines share, under one name",
            )
        try:
            with _as_there(self.here, self.threads):
                content = make_step(
                    self.folder, self.call.name, self.key, self.call.inputs, self.sources,
                    lambda place: self.call.make(place, self.workspace), self.call.whole,
                )  # fmt: skip
        except MisdirectionError as error:
            return Done(error=error.message, hint=error.hint)
        return Done(content, time.monotonic() - started, socket.gethostname())


@dataclass(frozen=True)
class Done:
    """What a task says of itself.

    Attributes:
        content: Hash of the step's files; empty where it failed.
        seconds: That it took.
        host: Machine that made it.
        error: What was wrong, empty where nothing was.
        hint: What to do about it.
    """

    content: str = ""
    seconds: float = 0.0
    host: str = ""
    error: str = ""
    hint: str | None = None


def task_of(call: Call, folder: Path, key: str, sources: Mapping[str, str], workspace: Path | None) -> Task:
    """A call as a task that is done as it would be done here."""
    import torch

    return Task(call, folder, key, sources, workspace, Path.cwd(), torch.get_num_threads())


class Executor(Protocol):
    """Where the tasks of a grid are done."""

    def perform(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Done]]:
        """Do them all, each told as soon as it is done: its place in `tasks` and what it says."""
        ...


@contextlib.contextmanager
def _as_there(here: Path, threads: int) -> Generator[None]:
    """As in the process that made the task: its folder, and its number of threads."""
    import torch

    before, own = Path.cwd(), torch.get_num_threads()
    with contextlib.suppress(OSError):
        os.chdir(here)
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        os.chdir(before)
        torch.set_num_threads(own)
