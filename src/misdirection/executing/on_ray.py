"""Tasks by actors of Ray: each keeps the model that it has loaded, and a lost actor's task is done by another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from misdirection import progress
from misdirection.errors import MisdirectionError, MissingExtraError
from misdirection.store.task import Done, Task

TRIES = 4
"""Times that a task is begun before it is given up: its machine may be lost three times."""
STARTS = 3
"""Times that a cluster on this machine is started before that is given up."""
LOST = "was it killed for want of memory? fewer at a time need less: --on 'ray://...?workers=1'"


def on_ray(place: str, options: dict[str, str]) -> RayExecutor:
    """Actors on a cluster of Ray's, or on one that is started here.

    Args:
        place: "local" starts one on this machine; HOST:PORT is that of a cluster's client server; "auto" is the
            cluster that this process runs in.
        options: `workers` (actors; by default as many as fit), `cpus` (cores of each, 1) and `gpus` (0) of each.

    Raises:
        MisdirectionError: Ray is not installed, an option is unknown or no number.
    """
    if find_spec("ray") is None:
        raise MissingExtraError("ray", "cluster")
    size = {"workers": 0.0, "cpus": 1.0, "gpus": 0.0}
    if unknown := options.keys() - size.keys():
        raise MisdirectionError(f"--on ray://{place}: '{min(unknown)}' is no option", f"they are {', '.join(size)}")
    try:
        size |= {name: float(text) for name, text in options.items()}
    except ValueError as error:
        raise MisdirectionError(f"--on ray://{place}: {error}", f"{', '.join(size)} are numbers") from error
    return RayExecutor(place, int(size["workers"]), size["cpus"], size["gpus"])


def _connect(ray: Any, place: str) -> None:
    """Reach a cluster, or start one here: Ray gives its own processes half a minute to come up, and no more.

    On a machine that is busy with other things they may need longer, so they are ended and started again.
    """
    progress.say(f"  reaching Ray ({place})")
    address = {"local": "local", "auto": "auto"}.get(place, f"ray://{place}")
    for left in reversed(range(STARTS if place == "local" else 1)):
        try:
            ray.init(address=address, log_to_driver=False, include_dashboard=False if place == "local" else None)
            return
        except Exception as error:  # Ray raises what it is itself, and bare exceptions at its own time limits
            ray.shutdown()
            if not left:
                raise MisdirectionError(
                    f"--on ray://{place}: Ray cannot be reached ({error})",
                    "ray://local starts it on this machine; for a cluster give the host and port of its client server "
                    "(10001)",
                ) from error
            progress.say(f"  Ray did not start ({error}); once more")


@dataclass
class RayExecutor:
    """Actors that wait for tasks; the cluster is reached when there are any.

    Attributes:
        place: Of the cluster: see `on_ray`.
        workers: How many; 0 for as many as the cluster has room for.
        cpus: Cores of each.
        gpus: Accelerators of each.
        actors: Those that are there.
    """

    place: str
    workers: int = 0
    cpus: float = 1.0
    gpus: float = 0.0
    actors: list[Any] = field(default_factory=list[Any])

    def perform(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Done]]:
        """See `store.task.Executor`; what is lost with its machine is begun again by another actor.

        Raises:
            MisdirectionError: The cluster cannot be reached.
        """
        import ray
        from ray.exceptions import RayActorError

        if not ray.is_initialized():
            _connect(ray, self.place)
        waiting = [(number, 1) for number in reversed(range(len(tasks)))]
        free = self._actors(ray, len(tasks))
        busy: dict[Any, tuple[int, int, Any]] = {}
        while waiting or busy:
            while waiting and free:
                (number, tries), actor = waiting.pop(), free.pop()
                busy[actor.perform.remote(tasks[number])] = (number, tries, actor)
            ended, _ = ray.wait(list(busy), num_returns=1)
            number, tries, actor = busy.pop(ended[0])
            try:
                yield number, ray.get(ended[0])
            except RayActorError as error:
                actor = self._another(ray, actor)
                if tries == TRIES:
                    yield number, Done(error=f"a worker was lost {TRIES} times at the same task ({error})", hint=LOST)
                else:
                    progress.say(f"  a worker was lost; {tasks[number].call.name} is begun again")
                    waiting.append((number, tries + 1))
            free.append(actor)

    def _actors(self, ray: Any, tasks: int) -> list[Any]:
        """As many actors as there is room and work for; those that are there stay, with their models."""
        have = ray.cluster_resources()
        fit = min(have.get(kind, 0.0) // each for kind, each in (("CPU", self.cpus), ("GPU", self.gpus)) if each)
        wanted = min(self.workers or max(int(fit), 1), tasks)
        while len(self.actors) < wanted:
            self.actors.append(self._new(ray))
        return self.actors[:wanted]

    def _another(self, ray: Any, lost: Any) -> Any:
        """An actor in the place of one that is gone."""
        self.actors[self.actors.index(lost)] = actor = self._new(ray)
        return actor

    def _new(self, ray: Any) -> Any:
        return ray.remote(num_cpus=self.cpus, num_gpus=self.gpus)(Worker).remote()


class Worker:
    """What an actor does; models stay loaded in its process between tasks (`Variants`)."""

    def perform(self, task: Task) -> Done:
        """Do a task."""
        return task.perform()
