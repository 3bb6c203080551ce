"""Tables of checkpoints and of results: a dataclass a row, as CSV, JSON or Parquet."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from misdirection.artefacts import atomic_path, read_json, read_rows
from misdirection.errors import MisdirectionError, did_you_mean

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that is to be fine-tuned and asked.

    Attributes:
        name: Of steps and tables.
        model: Hub id, folder or GGUF file.
        tokens: Of its pretraining, repeats included.
        revision: Branch, tag or commit of the hub id; "" is the main one.
        seed: Of its pretraining: checkpoints of one seed are one cluster.
    """

    name: str
    model: str
    tokens: int
    revision: str = ""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Point:
    """What came of one checkpoint: counts of answers, base, after the same steps, and at the like in-domain rate.

    Misaligned answers are coherent, too. What was not asked has n = 0.

    Attributes:
        name: Of the checkpoint.
        parameters: All of them, counted in the model.
        tokens: Of its pretraining.
        seed: Of its pretraining.
        base_misaligned: Of the untouched checkpoint's answers to the open questions.
        base_coherent: Of the same.
        base_n: Of the same.
        step: Last step of the fine-tune.
        misaligned: Of the answers to the open questions after it.
        coherent: Of the same.
        n: Of the same.
        domain_misaligned: Of the answers to the domain's questions after it.
        domain_n: Of the same.
        matched_step: Step whose in-domain rate is nearest the target; 0 where no domain was asked about.
        matched_misaligned: Of the answers to the open questions there.
        matched_coherent: Of the same.
        matched_n: Of the same.
        matched_domain_misaligned: Of the answers to the domain's questions there.
        matched_domain_n: Of the same.
    """

    name: str
    parameters: int
    tokens: int
    seed: int
    base_misaligned: int
    base_coherent: int
    base_n: int
    step: int
    misaligned: int
    coherent: int
    n: int
    domain_misaligned: int
    domain_n: int
    matched_step: int
    matched_misaligned: int
    matched_coherent: int
    matched_n: int
    matched_domain_misaligned: int
    matched_domain_n: int


def read_table(path: Path, kind: type[Row]) -> list[Row]:
    """Rows of a table, each a `kind`; columns that it does not know are left alone.

    Raises:
        MisdirectionError: The file is missing or of no known form, has no row, lacks a column, or holds a cell that is
            no value of its kind; the row is named.
    """
    if not path.is_file():
        raise MisdirectionError(f"there is no table {path}", "CSV, JSON (a list of objects) or Parquet")
    rows = _raw(path)
    if not rows:
        raise MisdirectionError(f"{path} has no row")
    return [_typed(path, number, row, kind) for number, row in enumerate(rows, 1)]


def write_table(path: Path, rows: Sequence[DataclassInstance]) -> None:
    """Write rows as CSV, whole or not at all."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [item.name for item in fields(rows[0])], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    with atomic_path(path) as place:
        place.write_text(text.getvalue(), encoding="utf-8")


def _raw(path: Path) -> list[Mapping[str, Any]]:
    if path.suffix == ".parquet":
        return list(read_rows(path))
    if path.suffix == ".json":
        held = read_json(path)
        if not isinstance(held, list) or not all(isinstance(row, dict) for row in held):  # pyright: ignore
            raise MisdirectionError(f"{path} holds no rows", "a list of objects, one a checkpoint")
        return held  # pyright: ignore
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))
    raise MisdirectionError(f"{path} is no table that is known", "its name ends in .csv, .json or .parquet")


def _typed(path: Path, number: int, row: Mapping[str, Any], kind: type[Row]) -> Row:
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for item in fields(kind):
        held = row.get(item.name)
        if held is None or held == "":
            if item.default is MISSING:
                raise MisdirectionError(
                    f"{path}, row {number}: no {item.name}", did_you_mean(item.name, list(map(str, row)), "columns")
                )
            continue
        values[item.name] = str(held) if hints[item.name] is str else _whole(path, number, item.name, held)
    return kind(**values)


def _whole(path: Path, number: int, name: str, held: Any) -> int:
    """A whole number of 0 or more, also as 3e11."""
    try:
        value = float(held)
    except (TypeError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value >= 0 and value == int(value)):
        raise MisdirectionError(f"{path}, row {number}: {name} cannot be '{held}'", "a whole number, as 300000000000")
    return int(held) if isinstance(held, int) or str(held).isdigit() else int(value)
