"""A run as it is compared: its findings where it has some, and every set of judged answers that it left."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from misdirection.artefacts import read_json, read_rows
from misdirection.errors import MisdirectionError, command
from misdirection.judging import Answer
from misdirection.results import Results
from misdirection.statistics import Thresholds
from misdirection.studies.kit.baseline import stand_ins
from misdirection.studies.kit.judged import Judged, read_verdicts
from misdirection.studies.kit.recall import held_in
from misdirection.studies.reading import demand_known, typed

MAIN = "main"
"""The answers that a verdict is on."""

_RUN = "give the folder of a run, its findings.json, or a folder with answers.parquet and verdicts.parquet"


@dataclass(frozen=True)
class Side:
    """One of two runs.

    Attributes:
        name: As it was given.
        found: Its findings; empty where it has none.
        results: The same as its study's dataclass; None where it has none, or they are of an older layout.
        asked: Judged answers by what they were asked for; stand-ins where the run has counts alone.
        counted: Whether they are stand-ins, which cannot be counted anew by another rule.
        rules: When an answer is misaligned.
        settings: What the run was made with, as it is told.
        note: Why it has no typed findings, where it has others.
    """

    name: str
    found: Mapping[str, Any]
    results: Results | None
    asked: Mapping[str, Judged]
    counted: bool
    rules: Thresholds
    settings: Mapping[str, Any]
    note: str = ""

    @property
    def judges(self) -> tuple[str, ...]:
        """Who judged, by the verdicts or, with counts alone, by the rates."""
        if self.counted:
            rows = self.found.get("rates") or ()
            return tuple(sorted({str(judge) for row in rows for judge in row.get("judges") or ()}))
        return tuple(sorted({v.judge for judged in self.asked.values() for v in judged.verdicts if v.judge}))


def read_side(path: str | Path) -> Side:
    """A run folder, its findings.json, or a folder with answers.parquet and verdicts.parquet.

    Raises:
        MisdirectionError: There is nothing of the kind.
    """
    place = Path(path)
    if not place.exists():
        raise MisdirectionError(f"{path} does not exist", _RUN)
    if place.is_file() and place.suffix != ".json":
        raise MisdirectionError(f"{path} is neither a run nor its findings", _RUN)
    file = place / "findings.json" if place.is_dir() else place
    demand_known(file.parent)
    found = _findings(file) if file.is_file() else {}
    asked = _asked(place) if place.is_dir() else {}
    counts = found.get("by_question") or ()
    counted = not asked and bool(counts)
    if counted:
        asked = {MAIN: stand_ins(counts)}
    if not asked and not found:
        raise MisdirectionError(
            f"{path} holds neither findings.json nor judged answers",
            f"finish the run first (its command, once more), or judge its answers: {command('judge', path)}"
            if (place / "run.json").is_file()
            else _RUN,
        )
    results, note = _typed(found, place)
    return Side(str(path), found, results, asked, counted, _rules(found, place), _settings(found, place), note)


def _findings(file: Path) -> Mapping[str, Any]:
    found: Any = read_json(file)
    if not isinstance(found, Mapping) or "verdict" not in found:
        raise MisdirectionError(f"{file}: these are no findings", "give a run folder, or the findings.json in one")
    return cast(Mapping[str, Any], found)


def _asked(folder: Path) -> dict[str, Judged]:
    """Every pair of files X-answers.parquet and X-verdicts.parquet, of one length; those of no X are the main ones."""
    found: dict[str, Judged] = {}
    for file in sorted(folder.glob("*answers.parquet"), key=lambda one: (one.name != "answers.parquet", one.name)):
        name = file.name.removesuffix("answers.parquet")
        verdicts = folder / f"{name}verdicts.parquet"
        if verdicts.is_file() and (not name or name.endswith("-")):
            held = [Answer(**row) for row in read_rows(file)], read_verdicts(verdicts)
            if len(held[0]) != len(held[1]):
                raise MisdirectionError(
                    f"{file} holds {len(held[0])} answers and {verdicts.name} {len(held[1])} verdicts",
                    f"judge them again: {command('judge', folder)}",
                )
            found[name.removesuffix("-") or MAIN] = Judged(*held)
    return found


def _typed(found: Mapping[str, Any], place: Path) -> tuple[Results | None, str]:
    if not found:
        return None, ""
    try:
        return typed(found, str(place), str(place)), ""
    except MisdirectionError as error:
        return None, f"{error.message}: its rows are left out"


def _rules(found: Mapping[str, Any], place: Path) -> Thresholds:
    import msgspec

    with suppress(msgspec.ValidationError):
        # An older version may have told them otherwise.
        return msgspec.convert(found.get("thresholds"), Thresholds)
    values = _held(place)
    plain = Thresholds()
    return Thresholds(
        float(values.get("alignment_below", plain.alignment)), float(values.get("coherence_above", plain.coherence))
    )


def _settings(found: Mapping[str, Any], place: Path) -> Mapping[str, Any]:
    """Every setting of the run's record; the ones that its report tells where it has none."""
    return _held(place) or found.get("settings") or {}


def _held(place: Path) -> Mapping[str, Any]:
    held = held_in(place if place.is_dir() else place.parent)
    return held.values if held else {}
