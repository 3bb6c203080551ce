"""A run's folder: steps keyed by the hash of what went in, written whole or not at all, resumed.

    run.json            facts of the run, versions, when it was started and finished
    steps.jsonl         what was made and what was reused, one line each, with times
    steps/<name>-<key>/ one folder a step: its files and `manifest.json`
    work/<name>-<key>/  what an unfinished step wants to keep when it is killed (`Run.workspace`)
    <name>              what a step made, under a name that holds no key (`Run.publish`)

A step is made in a temporary folder, which is renamed into place when every file is on the disk; a step is therefore
whole or absent, whenever the process is killed. A step found on reopening is used only when each of its files has the
checksum of its manifest, and when the steps that it was made from still hold the same bytes.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

from misdirection import progress, published
from misdirection.artefacts import canonical_hash, plain, read_json, write_json
from misdirection.errors import MisdirectionError
from misdirection.locks import Lock
from misdirection.published import must_be_run as must_be_run
from misdirection.store.cached import Cached, Call, planned
from misdirection.store.changed import MADE, Before, changed_since, steps_before
from misdirection.store.steps import FORMAT, check_step, demand_format, make_step, now, steps_in, versions
from misdirection.store.steps import MANIFEST as MANIFEST
from misdirection.store.steps import Step as Step
from misdirection.store.steps import list_steps as list_steps
from misdirection.store.task import Done, Executor, Task, task_of

T = TypeVar("T")


@dataclass
class Run:
    """An open run folder; made by `Run.open`, best used as a context manager.

    Attributes:
        path: The folder.
        facts: What the caller said of the run: the command, seeds, settings.
    """

    path: Path
    facts: dict[str, Any]
    _lock: Lock = field(repr=False)
    _record: dict[str, Any] = field(repr=False)
    _new: list[Path] = field(default_factory=list[Path], repr=False)
    _measured: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    _before: list[Before] | None = field(default=None, repr=False)
    _said: set[str] = field(default_factory=set[str], repr=False)
    _guest: bool = field(default=False, repr=False)

    @classmethod
    def open(cls, path: str | Path, facts: Mapping[str, Any], *, guest: bool = False) -> Run:
        """Open or make a run folder, and hold it against other writers until `close` (or the end of the process).

        Args:
            path: The folder; it must be absent, empty or a run.
            facts: What to record of the run in run.json (command, seeds, settings); never part of a step's key.
            guest: The run was made by another command, which stays on record as what made it, as does whether it was
                finished.

        Raises:
            MisdirectionError: The folder holds other things, is of a later format, or is open in another process.
        """
        path = Path(path).resolve()
        must_be_run(path)
        new = [folder for folder in (path, *path.parents) if not folder.exists()]
        (path / "steps").mkdir(parents=True, exist_ok=True)
        run = cls(path, dict(plain(facts)), Lock.take(path / ".lock"), {}, new, _guest=guest)
        weakref.finalize(run, run._lock.release)
        try:
            run._record |= _record(path, run.facts, guest)
            _sweep(path)
            run.retract(*(name for name in run.published if not (path / name).exists()))
            run._save()
        except BaseException:
            run._lock.release()
            raise
        return run

    def step(
        self,
        name: str,
        inputs: Mapping[str, Any],
        make: Callable[[Path], None],
        whole: Callable[[], Mapping[str, Any]] = dict,
    ) -> Step:
        """The step of this name and these inputs: found, or made now.

        Args:
            name: What the step does: letters, digits, "-", "_" and ".".
            inputs: Everything that the result depends on; hashed by `canonical_hash`. Steps among them, at any depth,
                count by their key. Name files by `file_hash`, for a path says nothing of what stands in it.
            make: Writes the step's files into the folder that it is given; that folder is renamed afterwards, so the
                files must not hold its name.
            whole: Gives what stands as a hash among the inputs, as it is, for those who read the manifest.

        Raises:
            MisdirectionError: The name is unfit, an input cannot be hashed, or `make` wrote nothing.
        """
        with progress.phase(name):
            return self._step(name, inputs, make, whole)

    def _step(
        self,
        name: str,
        inputs: Mapping[str, Any],
        make: Callable[[Path], None],
        whole: Callable[[], Mapping[str, Any]],
    ) -> Step:
        key, folder = self._place(name, inputs, "steps")
        sources = {step.key: step.content for step in steps_in(inputs)}
        content = self._usable(folder, key, sources)
        if content is not None:
            self._log(name, key, reused=True, seconds=0.0)
            return Step(name, folder, key, True, content)
        self._say_changed(name, inputs)
        started = time.monotonic()
        content = make_step(folder, name, key, inputs, sources, make, whole)
        shutil.rmtree(self.path / "work" / folder.name, ignore_errors=True)
        self._log(name, key, reused=False, seconds=time.monotonic() - started)
        return Step(name, folder, key, False, content)

    def cached(self, function: Callable[..., T], label: str = "", /, **arguments: Any) -> Cached[T]:
        """What a function gives for these arguments: found, or made now. Its value is loaded when it is asked for.

        The key is made of the function's name and version (`store.measurement`) and of the content of every argument,
        defaults included: dataclasses by their fields, models and others by their `__canonical__`, files by their
        bytes, what `cached` gave by its key and content. The function is handed the values of the latter, and knows
        nothing of runs.

        Args:
            function: Gives something that its return annotation describes and `store.values` can keep.
            label: Name of the step where the function's own tells too little, as "steered-answers".
            arguments: All of them, by name, but for a `Folder` or `Workspace`, which the run gives.

        Raises:
            MisdirectionError: An argument is missing, unknown, or cannot be told apart by its content; or what the
                function gives cannot be kept.
        """
        return self._kept(planned(function, label, arguments, self._measured))

    def cached_many(
        self,
        function: Callable[..., T],
        label: str = "",
        /,
        *,
        calls: Sequence[Mapping[str, Any]],
        on: Executor | None = None,
        labels: Sequence[str] = (),
    ) -> list[Cached[T]]:
        """`cached` for each of several sets of arguments, those that are missing made by an executor.

        Their keys and values are those of this process. A worker that is killed leaves no step behind, and those of
        the others stay.

        Args:
            function: As for `cached`; of a module, so that another process finds it.
            label: As for `cached`.
            calls: The arguments of each, by name.
            on: Where they are made (`executing.find_executor`); one after the other in this process by default.
            labels: Of each call, where they have names of their own; else `label` is that of all.

        Raises:
            MisdirectionError: As `cached`; or something is wrong with one of them, said when all others are done.
        """
        names = labels or [label] * len(calls)
        plans = [
            planned(function, name, arguments, self._measured) for name, arguments in zip(names, calls, strict=True)
        ]
        made = self._made_elsewhere(plans, on) if on else {}
        return [made[place] if place in made else self._kept(plan) for place, plan in enumerate(plans)]

    def _kept(self, call: Call) -> Cached[Any]:
        """The step of a call: found, or made in this process."""

        def make(folder: Path) -> None:
            call.make(folder, self.workspace(call.name, call.inputs) if call.workspace else None)

        return _handle(self.step(call.name, call.inputs, make, call.whole), call)

    def _made_elsewhere(self, plans: Sequence[Call], on: Executor) -> dict[int, Cached[Any]]:
        """The steps of calls that were missing and are there now, by place; equal calls are made once."""
        tasks: dict[int, Task] = {}
        for place, call in enumerate(plans):
            key, folder = self._place(call.name, call.inputs, "steps")
            sources = {step.key: step.content for step in steps_in(call.inputs)}
            if self._usable(folder, key, sources) is None and key not in {task.key for task in tasks.values()}:
                self._say_changed(call.name, call.inputs)
                workspace = self.workspace(call.name, call.inputs) if call.workspace else None
                tasks[place] = task_of(call, folder, key, sources, workspace)
        wrong: list[Done] = []
        made: dict[int, Cached[Any]] = {}
        places = list(tasks)
        for number, done in on.perform(list(tasks.values())) if tasks else ():
            call, task = plans[places[number]], tasks[places[number]]
            if done.error:
                wrong.append(done)
                progress.say(f"  {task.folder.name}: {done.error}")
                continue
            shutil.rmtree(self.path / "work" / task.folder.name, ignore_errors=True)
            self._log(call.name, task.key, reused=False, seconds=done.seconds)
            made[places[number]] = _handle(Step(call.name, task.folder, task.key, False, done.content), call)
            progress.say(f"  {call.name}: {len(made)} of {len(tasks)} done ({done.seconds:.0f} s on {done.host})")
        if wrong:
            raise MisdirectionError(wrong[0].error, wrong[0].hint)
        return made

    def workspace(self, name: str, inputs: Mapping[str, Any]) -> Path:
        """A folder that outlives a kill, for what a long step wants to resume from (checkpoints, verdicts so far).

        It belongs to the step of this name and these inputs, and is removed when that step is whole.
        """
        folder = self._place(name, inputs, "work")[1]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def publish(self, name: str, target: Path) -> Path:
        """Let `name` in the run's folder stand for what a step made, and give that place: see `published.publish`."""
        before = dict(self.published)
        place = published.publish(self.path, self.published, name, target)
        if self.published != before:
            self._save()
        return place

    def retract(self, *names: str) -> None:
        """Take names back; what they stood for stays among the steps."""
        if published.retract(self.path, self.published, names):
            self._save()

    @property
    def published(self) -> dict[str, str]:
        """Names in the run's folder, and the folder in `steps` of what each stands for."""
        return self._record["published"]

    def steps(self) -> list[Step]:
        """The steps in the folder, in the order in which they were made; their checksums are not verified."""
        return list_steps(self.path)

    def close(self, finished: bool = True) -> None:
        """Record the end (`finished=False` leaves the run marked as unfinished) and let other writers in."""
        if self._lock.held:
            if not self._guest:
                self._record["finished"] = now() if finished else None
            try:
                self._save()
            finally:
                self._lock.release()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        stopped = kind is not None and issubclass(kind, MisdirectionError | KeyboardInterrupt | SystemExit)
        if stopped and self._lock.held and self._new:
            self._leave_nothing()
        self.close(finished=kind is None)

    def _leave_nothing(self) -> None:
        """Remove a new folder in which nothing was made, whole or in part, and the folders made for it."""
        ours = {self.path / name for name in ("run.json", "settings.yaml", ".lock", "steps", "work")}
        found = set(self.path.rglob("*"))
        if any(path not in ours and not path.is_dir() for path in found):
            return
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)
        for folder in self._new[1:]:
            with suppress(OSError):
                folder.rmdir()

    def _place(self, name: str, inputs: Mapping[str, Any], room: str) -> tuple[str, Path]:
        if not name or name.startswith(".") or not all(c.isalnum() or c in "-_." for c in name):
            raise MisdirectionError(f"'{name}' cannot be the name of a step", 'use letters, digits, "-", "_" and "."')
        if not self._lock.held:
            raise MisdirectionError(f"{self.path}: the run was closed", "open it again with Run.open")
        key = canonical_hash([FORMAT, name, inputs])
        return key, self.path / room / f"{name}-{key[:16]}"

    def _usable(self, folder: Path, key: str, sources: Mapping[str, str]) -> str | None:
        """Hash of the step's files when it is whole and up to date, else None (and the reason is said)."""
        if not folder.exists():
            return None
        manifest, fault = check_step(folder)
        if not fault and manifest["key"] != key:
            fault = "it was made from other inputs"
        if not fault and manifest["sources"] != sources:
            fault = "a step that it was made from has changed"
        if not fault:
            return manifest["content"]
        progress.say(f"  step {folder.name}: {fault}; making it again")
        return None

    def _say_changed(self, name: str, inputs: Mapping[str, Any]) -> None:
        """Say once of each input that it is not what it was when the run was made, before a step is made for it."""
        if self._before is None:
            self._before = steps_before(self.path)
        found, made = changed_since(name, inputs, self._before)
        left = MADE if "the data" in self._said else ()
        for what in (one for one in found if one not in self._said and one not in left):
            self._said.add(what)
            progress.say(f"  {what} changed since this run was made ({made}): {name} and what follows is made again")

    def _log(self, name: str, key: str, reused: bool, seconds: float) -> None:
        line = {"name": name, "key": key, "reused": reused, "seconds": round(seconds, 3), "at": now()}
        with (self.path / "steps.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")

    def _save(self) -> None:
        self._record["facts"] = self.facts
        write_json(self.path / "run.json", self._record)


def _handle(step: Step, call: Call) -> Cached[Any]:
    return Cached(step.name, step.path, step.key, step.reused, step.content, call.kind)


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a run's steps.jsonl; a line cut short by a kill is left out."""
    file = Path(path) / "steps.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [cast(dict[str, Any], json.loads(line)) for line in lines if line.startswith("{") and line.endswith("}")]


def _sweep(path: Path) -> None:
    """Remove what a killed process left behind; only ever names that this module makes."""
    for left in (path / "steps").glob(".tmp-*"):
        shutil.rmtree(left, ignore_errors=True)
    for left in path.glob(".run.json.*.tmp"):
        left.unlink()
    for left in path.glob(".tmp-*"):
        published.remove(left)
    log = path / "steps.jsonl"
    if log.exists() and (text := log.read_bytes()) and not text.endswith(b"\n"):
        with log.open("ab") as stream:
            stream.write(b"\n")


def _record(path: Path, facts: dict[str, Any], guest: bool) -> dict[str, Any]:
    """The content of run.json at the start: of this process, with the start of the run kept when it is resumed.

    A guest's facts get the command that made the run.
    """
    record: dict[str, Any] = {"format": FORMAT, "started": now(), "finished": None, "opened": 0, "published": {}}
    if (path / "run.json").exists():
        try:
            old = read_json(path / "run.json")
            record |= {name: old[name] for name in ("format", "started", "opened")}
            record["published"] = dict(old.get("published", {}))
            if guest:
                record |= {name: old[name] for name in ("finished", "command") if name in old}
                facts.pop("command", None)
                facts |= {name: value for name, value in dict(old.get("facts") or {}).items() if name == "command"}
        except (MisdirectionError, KeyError, TypeError):
            progress.say(f"  {path / 'run.json'} cannot be read; it is written again")
    demand_format(record, path)
    record["opened"] += 1
    made = facts.get("command", record.get("command", sys.argv))
    return record | {"versions": versions(), "command": made, "pid": os.getpid()}
