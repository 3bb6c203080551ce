"""Runs as the app shows them: what a folder holds, read once, and what is wrong with it, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from misdirection import progress
from misdirection.app.answers import AnswerSet, read_sets
from misdirection.artefacts import read_json
from misdirection.errors import MisdirectionError, command
from misdirection.results import Headline
from misdirection.runs import Step, list_steps
from misdirection.statistics import Thresholds
from misdirection.store.steps import demand_format
from misdirection.studies.kit.recall import RecordedSettings, go_on, held_in, make_one

MADE_FROM = (
    "model", "adapter", "adapters", "tuned", "data", "good", "preset", "fine_tune", "dictionary", "tables", "arm",
    "questions", "samples", "max_new_tokens", "temperature", "seed", "judge", "panel", "check", "dtype",
    "chat_template", "thinking", "date", "convention",
)  # fmt: skip
"""Settings that a reader wants to see beside a figure, in this order."""


Mark = tuple[tuple[int, int] | None, ...]


@dataclass(frozen=True)
class Given:
    """What is looked at besides what a run holds.

    Attributes:
        directions: Files of directions, by name.
        dictionaries: As a study's `--dictionary` names them.
    """

    directions: Mapping[str, Path] = field(default_factory=dict[str, Path])
    dictionaries: tuple[str, ...] = ()


@dataclass
class OpenRun:
    """A run that is looked at; nothing of it is ever changed by looking.

    Attributes:
        path: Its folder.
        record: What run.json holds.
        held: The settings that it was made with; None where it does not say.
        findings: What findings.json holds; empty where it is not there, or cannot be read.
        steps: Its steps, in the order in which they were made.
        sets: Its answers, step by step.
        faults: What a reader should know before believing any of it, a sentence each.
        given: What is looked at besides.
        mark: What its files were when they were read (`_mark`).
    """

    path: Path
    record: Mapping[str, Any]
    held: RecordedSettings | None
    findings: Mapping[str, Any]
    steps: list[Step]
    sets: list[AnswerSet]
    faults: list[str] = field(default_factory=list[str])
    given: Given = field(default_factory=Given)
    mark: Mark = ()

    @property
    def values(self) -> Mapping[str, Any]:
        """The settings by name; empty where the run does not say."""
        return {} if self.held is None else self.held.values

    @property
    def name(self) -> str:
        """The end of its path, as a reader calls it."""
        return "/".join(self.path.parts[-2:]) if len(self.path.parts) > 2 else str(self.path)

    @property
    def title(self) -> str:
        """Of its report; of an unfinished run its name."""
        return str(self.findings.get("title") or self.name)

    @property
    def has_report(self) -> bool:
        """Whether it has an HTML report; the overview links to it."""
        return (self.path / "report.html").is_file()

    @cached_property
    def headline(self) -> Headline | None:
        """Its verdict in words; None where it has come to none, or none that this version reads."""
        import msgspec

        try:
            return msgspec.convert(self.findings.get("verdict"), Headline)
        except msgspec.ValidationError:
            return None

    @cached_property
    def thresholds(self) -> Thresholds:
        """When an answer is misaligned: what the findings say, or else the settings."""
        import msgspec

        try:
            return msgspec.convert(self.findings.get("thresholds"), Thresholds)
        except msgspec.ValidationError:
            below, above = (self.values.get(name) for name in ("alignment_below", "coherence_above"))
            own = Thresholds()
            return Thresholds(
                float(below) if isinstance(below, int | float) else own.alignment,
                float(above) if isinstance(above, int | float) else own.coherence,
            )

    @property
    def made_from(self) -> list[tuple[str, str]]:
        """The settings behind its figures, as (name, value)."""
        from misdirection.report.numbers import setting

        told = [(name.replace("_", " "), setting(self.values[name])) for name in MADE_FROM if self.values.get(name)]
        versions = self.record.get("versions")
        if isinstance(versions, Mapping):
            told.append(("version", str(dict(versions).get("misdirection", "unknown"))))
        return [*told, ("started", str(self.record.get("started") or "unknown")[:16].replace("T", " "))]

    @property
    def main(self) -> AnswerSet | None:
        """The answers that the run is about: those of base and tuned model, or the first that there are."""
        return next((held for held in self.sets if held.name == "answers"), self.sets[0] if self.sets else None)

    def set_called(self, name: str) -> AnswerSet:
        """One of its sets of answers.

        Raises:
            MisdirectionError: It has none of this name.
        """
        for held in self.sets:
            if held.name == name:
                return held
        there = ", ".join(held.name for held in self.sets) or "no answers"
        raise MisdirectionError(f"{self.name} has no answers called '{name}'", f"it holds {there}")

    def refresh(self) -> None:
        """Read what was written since: kept arms, and steps of a run that is still going on."""
        new = open_run(self.path, self.given)
        for name in ("record", "held", "findings", "steps", "sets", "faults", "mark"):
            setattr(self, name, getattr(new, name))
        for name in ("headline", "thresholds"):
            self.__dict__.pop(name, None)

    def look_again(self) -> None:
        """`refresh` where its files have changed; a folder that can be read no more is shown as it was, and said."""
        now = _mark(self.path)
        if now == self.mark:
            return
        try:
            self.refresh()
        except MisdirectionError as error:
            self.mark = now
            self.faults.insert(0, f"Shown as it was before: {error.message}")


def open_run(path: str | Path, given: Given | None = None) -> OpenRun:
    """Read a run's folder.

    What is unfinished or damaged is said in `faults`, and the rest is shown.

    Args:
        path: The folder.
        given: What is looked at besides what it holds.

    Raises:
        MisdirectionError: The folder is no run, or a later version wrote it.
    """
    path = Path(path).resolve()
    if not path.exists():
        raise MisdirectionError(f"{path} does not exist", f"make a run with: {make_one(path)}")
    if not (path / "run.json").is_file():
        raise MisdirectionError(f"{path} is no run: it holds no run.json", f"make one with: {make_one(path)}")
    record: Any = read_json(path / "run.json")
    if not isinstance(record, dict):
        raise MisdirectionError(f"{path / 'run.json'} is no record of a run", "give the folder of a run")
    kept: dict[str, Any] = record
    demand_format(kept, path)
    mark = _mark(path)
    steps = list_steps(path)
    published = kept.get("published")
    with progress.phase(f"reading {path.name}"):
        sets, faults = read_sets(steps, dict(published) if isinstance(published, Mapping) else {})
    findings, told = _findings(path)
    held = held_in(path)
    if not kept.get("finished"):
        line = go_on(path)
        faults.insert(
            0, "This run is not finished; what it holds so far is shown." + (f" Go on: {line}" if line else "")
        )
    elif not findings and not told:
        told = ["This run has no findings.json: it was sampled or judged, and no study was finished in it."]
    return OpenRun(path, kept, held, findings, steps, sets, [*faults, *told], given or Given(), mark)


def _mark(path: Path) -> Mark:
    """Size and time of what changes whenever something is added to a run; None for what is not there."""
    told: list[tuple[int, int] | None] = []
    for name in ("run.json", "findings.json", "steps"):
        try:
            facts = (path / name).stat()
        except OSError:
            told.append(None)
        else:
            told.append((facts.st_size, facts.st_mtime_ns))
    return tuple(told)


def _findings(path: Path) -> tuple[dict[str, Any], list[str]]:
    file = path / "findings.json"
    if not file.exists():
        return {}, []
    again = f"make it again: {go_on(path) or command('report', path)}"
    try:
        found: Any = read_json(file)
    except MisdirectionError as error:
        return {}, [f"{error.message}; {again}"]
    if not isinstance(found, dict):
        return {}, [f"{file} holds no findings of a study; {again}"]
    return found, _older(found, file, again)


def _older(found: dict[str, Any], file: Path, again: str) -> list[str]:
    """What this version cannot read of the findings: the rates of an older run are made anew from its answers."""
    from misdirection.studies.reading import typed

    try:
        typed(found, str(file), str(file.parent))
    except MisdirectionError as error:
        return [f"{error.message}. Rates here are made anew from the answers; {again}"]
    return []
