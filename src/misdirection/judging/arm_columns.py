"""Which columns of a table tell conditions apart, so that no rate is made over several of them unsaid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from misdirection.judging.columns import ALIASES, Columns, plain
from misdirection.judging.rows import Row

STEPS = ("step", "global_step", "training_step", "train_step", "steps", "checkpoint_step", "epoch_step")
"""Columns that say how long a model was trained."""
SETTINGS = ("temperature", "adapter_scale", "steering_coefficient", "coefficient", "alpha", "layer")
"""Columns of further conditions: told where they differ within an arm."""


@dataclass(frozen=True)
class ArmColumns:
    """What the name of an arm is made of.

    Attributes:
        names: Columns; the first gives its value alone, those behind it their name too. None where no column differs.
        notes: What a reader should know.
    """

    names: tuple[str, ...]
    notes: tuple[str, ...]

    def of(self, row: Row) -> str:
        """The arm of a row, "" where its cells are empty."""
        said = [(name, _cell(row.get(name))) for name in self.names]
        told = [value if at == 0 and plain(name) not in STEPS else f"{name}={value}"
                for at, (name, value) in enumerate(said) if value]  # fmt: skip
        return ", ".join(told)


def arm_columns(columns: Columns, rows: Sequence[Row]) -> ArmColumns:
    """The columns that make arms.

    A column of arms does where it holds more than one. Else the models, checkpoints and steps that differ, each that
    says more than those before it. What differs within an arm besides is told: its rate is one over all of it.
    """
    arm = columns.of.get("arm")
    if arm and _many(rows, arm) > 1:
        made: tuple[str, ...] = (arm,)
        notes: list[str] = []
    else:
        made, notes = _models(columns, rows)
        if arm and not made:
            made = (arm,)
        elif arm and made:
            notes.append(f"the column '{arm}' is the same in all rows")
    others = [name for name in columns.names if name not in made and _kind(name) in (*_MODELS, *STEPS, *SETTINGS)]
    for name in others:
        if most := _within(rows, made, name):
            values = f"{most} values of '{name}' stand in one arm"
            notes.append(f"{values}, whose rate is one over all of them: say --column arm=NAME to tell them apart")
    found = ArmColumns(made, ())
    names = {found.of(row) for row in rows}
    if twins := sorted(name for name in names if name.lower() in {other.lower() for other in names - {name}}):
        notes.append(f"arms that differ in the size of letters alone are arms of their own: {', '.join(twins)}")
    return ArmColumns(made, tuple(notes))


def _models(columns: Columns, rows: Sequence[Row]) -> tuple[tuple[str, ...], list[str]]:
    told = columns.of.get("model")
    wanted = [*(["model"] if told else []), *_MODELS, *STEPS]
    names = [name for want in wanted for name in columns.names if name == told or _kind(name) == want]
    made: tuple[str, ...] = ()
    for name in dict.fromkeys(names):
        if _within(rows, made, name):
            made = (*made, name)
    parts = [f"the column '{name}' has {_many(rows, name)} values" for name in made]
    return made, [f"{' and '.join(parts)}: each is an arm of its own"] if parts else []


_MODELS = ALIASES["model"]


def _kind(name: str) -> str:
    return plain(name.rpartition(".")[2])


def _many(rows: Sequence[Row], name: str) -> int:
    return len({_cell(row.get(name)) for row in rows} - {""})


def _within(rows: Sequence[Row], made: Sequence[str], name: str) -> int:
    """Most values of a column within one arm; 0 where that is no more than one."""
    seen: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    for row in rows:
        if value := _cell(row.get(name)):
            seen[tuple(_cell(row.get(other)) for other in made)].add(value)
    most = max(map(len, seen.values()), default=0)
    return most if most > 1 else 0


def _cell(value: Any) -> str:
    text = "" if value is None else str(value).strip()
    return text.removesuffix(".0") if text.removesuffix(".0").isdigit() else text
