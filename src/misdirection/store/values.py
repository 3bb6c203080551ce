"""Values in a step's folder, by their types, in open formats.

    value.json           the value, but for what stands in the files that it names
    answers.parquet      a list of `Answer`s, or of other dataclasses: one row each; as a value or a field of one
    direction.safetensors  a `Direction`, or another dataclass that holds tensors and `facts` alone
    tensors.safetensors  all other tensors and arrays, by their places

A list is named after its class; what stands in a field, or under a name, after that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from dataclasses import field as made_by
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from misdirection.artefacts import read_json, read_rows, read_tensors, write_json, write_rows, write_tensors
from misdirection.errors import MisdirectionError
from misdirection.store.kinds import KEPT, hints, is_table, rows_of

if TYPE_CHECKING:
    from torch import Tensor

VALUE, TENSORS = "value.json", "tensors.safetensors"
_PLAIN: set[type] = {type(None), bool, int, float, str}


def write_value(folder: Path, value: Any, kind: Any, what: str) -> None:
    """Write a value, and read it back to see that it is the same.

    Args:
        folder: Of the step.
        value: What a function gave.
        kind: Its type, as the function's return annotation has it.
        what: What it is called in messages.

    Raises:
        MisdirectionError: It cannot be kept, or would not come back as it is.
    """
    writer = _Writer(folder)
    told = writer.top(value, kind, what)
    if writer.tensors:
        write_tensors(folder / TENSORS, writer.tensors, {})
    write_json(folder / VALUE, told, in_order=True)
    try:
        back = read_value(folder, kind)
    except MisdirectionError as error:
        raise MisdirectionError(f"{what} gave another thing than it says: {error.message}", error.hint) from error
    if place := difference(value, back, what):
        raise MisdirectionError(
            f"{place} would not come back as it is", "annotate the type that it has, in all its parts"
        )


def read_value(folder: Path, kind: Any, field: str = "") -> Any:
    """The value that stands in a step's folder; tensors on the CPU.

    Args:
        folder: Of the step.
        kind: Type of the value, with which it was written.
        field: Of a dataclass, the one field to read; empty for all.

    Raises:
        MisdirectionError: A file is missing or damaged, or does not fit the type.
    """
    import msgspec

    told, rows = read_json(folder / VALUE), _row_kinds(kind)
    if field:
        told, kind = told[field], dict(hints(kind))[field]
    told = _Reader(folder, rows).read(told)
    try:
        return msgspec.convert(told, kind, str_keys=True, dec_hook=_as_it_is)
    except msgspec.ValidationError as error:
        raise MisdirectionError(f"{folder / VALUE}: {error}", "make the run again") from error


def difference(one: Any, other: Any, where: str) -> str:
    """The first place at which two values differ, "" where they do not; lists equal tuples, and nothing NaN but NaN."""
    place = _place(one, other)
    return "" if place is None else f"{where}{place}"


def _place(one: Any, other: Any) -> str | None:
    """Where in them two values differ ("" for all of them), None where they do not."""
    # Values of ten thousand answers are compared: what is plainly alike is looked at no further.
    if type(one) in _PLAIN and type(one) is type(other):
        return None if one == other or (one != one and other != other) else ""
    if isinstance(one, list | tuple):
        if not isinstance(other, list | tuple) or len(cast(Any, one)) != len(cast(Any, other)):
            return ""
        left, right = cast(list[Any], one), cast(list[Any], other)
        kinds = list(map(type, left))
        if _PLAIN.issuperset(kinds) and kinds == list(map(type, right)) and list(left) == list(right):
            return None
        return _first((f"[{i}]", *pair) for i, pair in enumerate(zip(left, right, strict=True)))
    if is_dataclass(one) and not isinstance(one, type):
        if type(one) is not type(other):
            return ""
        return _first((f".{name}", getattr(one, name), getattr(other, name)) for name in _made_of(type(one)))
    if isinstance(one, Mapping):
        if not isinstance(other, Mapping):
            return ""
        left, right = (
            {str(_bare(k)): v for k, v in held.items()} for held in cast(list[Mapping[Any, Any]], [one, other])
        )
        if list(left) != list(right):
            return ""
        return _first((f"[{key!r}]", held, right[key]) for key, held in left.items())
    return None if _equal(_bare(one), _bare(other)) else ""


def _first(pairs: Iterable[tuple[str, Any, Any]]) -> str | None:
    return next((f"{name}{place}" for name, *pair in pairs if (place := _place(*pair)) is not None), None)


@cache
def _made_of(kind: type[Any]) -> tuple[str, ...]:
    """The fields that a dataclass is made from."""
    return tuple(held.name for held in fields(kind) if held.init)


def _equal(one: Any, other: Any) -> bool:
    if hasattr(one, "shape") and one.shape:
        same = type(one) is type(other) and one.dtype == other.dtype and one.shape == other.shape
        if not same or not hasattr(one, "detach"):
            return same and one.tobytes() == other.tobytes()
        import torch

        left, right = (held.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for held in (one, other))
        return torch.equal(left, right)
    if hasattr(one, "detach"):
        return type(one) is type(other) and one.dtype == other.dtype and _equal(one.item(), other.item())
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _bare(value: Any) -> Any:
    """A numpy scalar as Python's, an enum as its value."""
    if isinstance(value, Enum):
        return value.value
    return value.item() if hasattr(value, "dtype") and not value.shape and not hasattr(value, "detach") else value


@dataclass
class _Writer:
    folder: Path
    tensors: dict[str, Tensor] = made_by(default_factory=dict[str, "Tensor"])

    def top(self, value: Any, kind: Any, what: str) -> Any:
        """The whole value: lists of rows in it, or in a field of it, become tables."""
        row = rows_of(kind)
        if row is not None:
            return self._rows(value, f"{row.__name__.lower()}s", what)
        if not is_dataclass(value) or isinstance(value, type) or is_table(type(value)):
            return self.told(value, (), what)
        return {
            name: self._rows(getattr(value, name), name, f"{what}.{name}")
            if rows_of(held)
            else self.told(getattr(value, name), (name,), f"{what}.{name}")
            for name, held in hints(type(value))
        }

    def _rows(self, rows: Sequence[Any], name: str, what: str) -> Any:
        write_rows(self.folder / f"{name}.parquet", [self._row(row, what) for row in rows])
        return {"__rows__": f"{name}.parquet"}

    def _row(self, row: Any, what: str) -> Any:
        if hasattr(row, "to_row"):
            return row.to_row()
        if not is_dataclass(row) or isinstance(row, type):
            raise MisdirectionError(f"{what} holds a {type(row).__name__} among its rows", KEPT)
        return {held.name: _cell(getattr(row, held.name), what) for held in fields(row)}

    def told(self, value: Any, place: tuple[str, ...], what: str) -> Any:
        """A value as JSON that names the files of what JSON has no place for."""
        value = _bare(value)
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"__float__": repr(value)}
        if isinstance(value, Path):
            return {"__path__": self._inside(value, what)}
        if hasattr(value, "dtype"):
            return self._tensor(value, place)
        if is_dataclass(value) and not isinstance(value, type):
            if is_table(type(value)):
                return {"__table__": self._table(value, place, what)}
            held = {one.name: getattr(value, one.name) for one in fields(value) if one.init}
            return {name: self.told(one, (*place, name), f"{what}.{name}") for name, one in held.items()}
        if isinstance(value, Mapping):
            items = [(str(_bare(key)), one) for key, one in cast(Mapping[Any, Any], value).items()]
            return {key: self.told(one, (*place, key), f"{what}[{key!r}]") for key, one in items}
        if isinstance(value, list | tuple):
            held = enumerate(cast(list[Any], value))
            return [self.told(one, (*place, str(i)), f"{what}[{i}]") for i, one in held]
        if isinstance(value, set | frozenset):
            held = [self.told(one, place, what) for one in cast(set[Any], value)]
            return sorted(held, key=lambda one: json.dumps(one, sort_keys=True))
        raise MisdirectionError(f"{what} is a {type(value).__name__}, which cannot be kept", KEPT)

    def _inside(self, path: Path, what: str) -> str:
        try:
            return path.resolve().relative_to(self.folder.resolve()).as_posix()
        except ValueError as error:
            raise MisdirectionError(
                f"{what} is the path {path}, which lies outside of the step's folder",
                "write files into the folder that a parameter of type Folder is given",
            ) from error

    def _tensor(self, value: Any, place: tuple[str, ...]) -> Any:
        import torch

        name = ".".join(place) or "value"
        while name in self.tensors:
            name += "_"
        self.tensors[name] = value if isinstance(value, torch.Tensor) else torch.from_numpy(value.copy())
        return {"__tensor__" if isinstance(value, torch.Tensor) else "__array__": name}

    def _table(self, value: Any, place: tuple[str, ...], what: str) -> str:
        parts = [quote(part, safe=" +,=@").replace("..", "%2E.") for part in place] or [type(value).__name__.lower()]
        name = "/".join(parts)
        while (self.folder / f"{name}.safetensors").exists():
            name += "_"
        held = {one.name: getattr(value, one.name) for one in fields(value)}
        facts = self.told(held.pop("facts"), (*place, "facts"), f"{what}.facts")
        write_tensors(self.folder / f"{name}.safetensors", held, facts, in_order=True)
        return f"{name}.safetensors"


def _cell(value: Any, what: str) -> Any:
    """What stands in a row, as Parquet takes it."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, list | tuple) and _PLAIN.issuperset(map(type, cast(list[Any], value))):
        return list(cast(list[Any], value))
    value = _bare(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_cell(one, what) for one in cast(list[Any], value)]
    if isinstance(value, Mapping):
        return {str(_bare(key)): _cell(one, what) for key, one in cast(Mapping[Any, Any], value).items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: _cell(getattr(value, one.name), what) for one in fields(value)}
    raise MisdirectionError(f"{what} holds a {type(value).__name__} in a row, which cannot be kept", KEPT)


@dataclass
class _Reader:
    folder: Path
    rows: Mapping[str, type[Any]]
    tensors: dict[str, Tensor] | None = None

    def read(self, told: Any) -> Any:
        """A value as `_Writer.told` has it, with what its files hold in its place."""
        if isinstance(told, list):
            return [self.read(one) for one in cast(list[Any], told)]
        if not isinstance(told, dict):
            return told
        held = cast(dict[str, Any], told)
        name = next(iter(held)) if len(held) == 1 else ""
        if name in ("__tensor__", "__array__"):
            found = self._tensor(held[name])
            return found if name == "__tensor__" else found.numpy()
        if name == "__rows__":
            return self._rows(held[name])
        if name == "__table__":
            tensors, facts = read_tensors(self.folder / held[name])
            return {**tensors, "facts": self.read(facts)}
        if name == "__path__":
            return self.folder / held[name]
        if name == "__float__":
            return float(held[name])
        return {key: self.read(one) for key, one in held.items()}

    def _tensor(self, name: str) -> Tensor:
        if self.tensors is None:
            self.tensors = read_tensors(self.folder / TENSORS)[0]
        return self.tensors[name]

    def _rows(self, name: str) -> list[Any]:
        rows, kind = read_rows(self.folder / name), self.rows.get(name)
        return [cast(Any, kind).from_row(row) for row in rows] if hasattr(kind, "from_row") else rows


def _row_kinds(kind: Any) -> dict[str, type[Any]]:
    """The dataclass of each table's rows, by the table's file."""
    if (row := rows_of(kind)) is not None:
        return {f"{row.__name__.lower()}s.parquet": row}
    if not isinstance(kind, type) or not is_dataclass(kind):
        return {}
    return {f"{name}.parquet": row for name, held in hints(kind) if (row := rows_of(held)) is not None}


def _as_it_is(kind: Any, value: Any) -> Any:
    """Tensors, arrays and paths were made by the reader."""
    from typing import get_origin

    if not isinstance(value, get_origin(kind) or kind):
        raise ValueError(f"a {type(value).__name__} stands where a {getattr(kind, '__name__', kind)} should")
    return value
