"""Tasks as jobs of Slurm, by submitit."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from misdirection import progress
from misdirection.errors import MisdirectionError, MissingExtraError
from misdirection.store.task import Done, Task

TRIES = 4
"""Times that a task is submitted before it is given up: its job may be lost or time out three times."""
POLL = 1.0
"""Seconds between two looks at the jobs that are running (submitit asks Slurm itself more seldom)."""


def on_slurm(place: str, options: dict[str, str]) -> SlurmExecutor:
    """Jobs in a partition.

    Args:
        place: The partition; empty for the cluster's default.
        options: Parameters of submitit's executor (timeout_min, mem_gb, cpus_per_task, gpus_per_node, ..., slurm_*);
            `cluster=local` runs the jobs as processes of this machine, `jobs` is how many at a time.

    Raises:
        MisdirectionError: submitit is not installed, there is no Slurm here, or it knows no such parameter.
    """
    try:
        import submitit
    except ImportError as error:
        raise MissingExtraError("submitit", "slurm") from error
    given = {name: int(text) if text.lstrip("-").isdigit() else text for name, text in options.items()}
    cluster, jobs = str(given.pop("cluster", "slurm")), int(given.pop("jobs", 0))
    try:
        # The folder is another for each run: see `perform`.
        submitit.AutoExecutor(folder=".", cluster=cluster).update_parameters(**_parameters(place, cluster, given))
    except (RuntimeError, NameError, TypeError, ValueError, AssertionError) as error:
        raise MisdirectionError(
            f"--on slurm:{place}: {error}", "are the names those of submitit, and is sbatch on this machine's path?"
        ) from error
    return SlurmExecutor(place, cluster, given, jobs)


def _parameters(place: str, cluster: str, given: dict[str, Any]) -> dict[str, Any]:
    partition = {"slurm_partition": place} if place and cluster == "slurm" else {}
    return {"name": "misdirection", "timeout_min": 240, **partition, **given}


@dataclass
class SlurmExecutor:
    """Jobs, one a task.

    Attributes:
        place: Partition.
        cluster: "slurm", or "local" for processes of this machine.
        given: Parameters of submitit's executor.
        jobs: How many at a time; 0 for all, which Slurm lines up itself.
    """

    place: str
    cluster: str
    given: dict[str, Any]
    jobs: int = 0

    def perform(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Done]]:
        """See `store.task.Executor`; a job that is lost or runs out of time is submitted again."""
        waiting = [(number, 1) for number in reversed(range(len(tasks)))]
        running: list[tuple[int, int, Any]] = []
        most = self.jobs or (max(os.cpu_count() or 1, 1) if self.cluster == "local" else len(tasks))
        while waiting or running:
            while waiting and len(running) < most:
                number, tries = waiting.pop()
                running.append((number, tries, self._submit(tasks[number])))
            if not (ended := [entry for entry in running if entry[2].done()]):
                time.sleep(POLL)
                continue
            for number, tries, job in ended:
                running.remove((number, tries, job))
                done, lost = _outcome(job)
                if lost and tries < TRIES:
                    progress.say(f"  job {job.job_id} was lost; {tasks[number].call.name} is submitted again")
                    waiting.append((number, tries + 1))
                else:
                    yield number, done

    def _submit(self, task: Task) -> Any:
        import submitit

        # Beside the steps: on a disk that the machines share.
        executor = submitit.AutoExecutor(folder=task.folder.parents[1] / "work" / "jobs", cluster=self.cluster)
        executor.update_parameters(**_parameters(self.place, self.cluster, self.given))
        return executor.submit(Task.perform, task)


def _outcome(job: Any) -> tuple[Done, bool]:
    """What a job says, and whether it ended without a word."""
    from submitit.core.utils import FailedJobError, UncompletedJobError

    try:
        return job.result(), False
    except FailedJobError as error:
        return Done(error=f"job {job.job_id} failed ({error})", hint=f"its log: {job.paths.stderr}"), False
    except UncompletedJobError:
        hint = f"its log: {job.paths.stderr}; a longer timeout_min or more mem_gb may help"
        return Done(error=f"job {job.job_id} was lost {TRIES} times", hint=hint), True
