"""Rows in Parquet."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

from misdirection.artefacts.content import as_json
from misdirection.artefacts.whole import AGAIN, atomic_path, first_line, must_exist
from misdirection.errors import MisdirectionError

_JSON_COLUMN = {b"misdirection": b"json"}


def write_rows(path: str | Path, rows: Sequence[Any]) -> None:
    """Write rows to Parquet (zstd, with page checksums).

    Args:
        path: The file to write.
        rows: Mappings with string keys, or dataclass instances. Columns are the union of the keys, in order of first
            appearance; a row without one holds None there. Values are scalars, or lists and mappings of them; a column
            that Parquet would not give back as it is (mappings, lists of mixed type) is
            stored as JSON text and decoded by `read_rows`. Tuples come back as lists.

    Raises:
        MisdirectionError: A row is neither a mapping nor a dataclass, or holds a value of another kind.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    plain = [_row(row, number, path) for number, row in enumerate(rows, start=1)]
    names = list(dict.fromkeys(name for row in plain for name in row))
    made = [_column(name, [row.get(name) for row in plain]) for name in names]
    arrow: Any = pa
    table = arrow.Table.from_arrays([array for array, _ in made], schema=arrow.schema([field for _, field in made]))
    with atomic_path(path) as temporary:
        cast(Any, pq).write_table(table, temporary, compression="zstd", write_page_checksum=True)


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a Parquet file, as `write_rows` was given them.

    Raises:
        MisdirectionError: The file is missing, is no Parquet file or is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    must_exist(path)
    try:
        table: Any = cast(Any, pq).ParquetFile(str(path), page_checksum_verification=True).read()
        columns = {field.name: _values(table.column(i), field) for i, field in enumerate(table.schema)}
    except (cast(Any, pa).ArrowException, OSError, ValueError) as error:
        raise MisdirectionError(f"{path}: not a readable Parquet file ({first_line(error)})", AGAIN) from error
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _row(row: Any, number: int, path: str | Path) -> dict[str, Any]:
    if isinstance(row, Mapping):
        return {str(k): v for k, v in cast(Mapping[Any, Any], row).items()}
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        return {name: getattr(row, name) for name in _names(type(row))}
    raise MisdirectionError(f"{path}: row {number} is a {type(row).__name__}", "rows are mappings or dataclasses")


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    """Fields of a dataclass."""
    return tuple(field.name for field in dataclasses.fields(kind))


_SCALARS: set[type] = {bool, int, float, str}


_PLAIN: set[type] = {*_SCALARS, list, tuple, dict}


def _column(name: str, values: list[Any]) -> tuple[Any, Any]:
    """A Parquet column and its field: native where the values come back equal, else JSON text."""
    import pyarrow as pa

    arrow: Any = pa
    kinds = set(map(type, values)) - {type(None)}
    if not kinds <= _PLAIN:
        values = [v.item() if hasattr(v, "dtype") and not v.shape else v for v in values]
        kinds = set(map(type, values)) - {type(None)}
    scalar = kinds <= _SCALARS or all(v is None or isinstance(v, bool | int | float | str) for v in values)
    if not scalar:
        where = f"column '{name}'"
        values = [
            v if v is None or (isinstance(v, dict) and not v) else as_json(v, where, for_hash=False) for v in values
        ]
    # A column of mappings would come back with every row holding every key.
    if scalar or not any(isinstance(v, dict) for v in values):
        try:
            array = _arrow(values, kinds)
            if scalar or ("struct" not in str(array.type) and array.to_pylist() == values):
                return array, arrow.field(name, array.type)
        except (arrow.ArrowException, OverflowError, UnicodeEncodeError):
            pass
    text = [None if v is None else "{}" if v == {} else json.dumps(v) for v in values]
    return _arrow(text, {str}), arrow.field(name, arrow.string(), metadata=_JSON_COLUMN)


def _arrow(values: list[Any], kinds: set[type]) -> Any:
    """An Arrow array; what `pyarrow.array` makes, which imports pandas, a third of a second, before it looks."""
    import pyarrow as pa

    arrow: Any = pa
    if not kinds:
        return arrow.nulls(len(values))
    if len(kinds) > 1 or not kinds <= _SCALARS:
        return arrow.array(values)
    import numpy as np

    absent = np.fromiter((v is None for v in values), bool, len(values))
    mask = arrow.py_buffer(np.packbits(~absent, bitorder="little")) if absent.any() else None
    (kind,) = kinds
    if kind is str:
        pieces = [b"" if v is None else v.encode() for v in values]
        ends = np.cumsum([0, *map(len, pieces)])
        if ends[-1] >= 2**31:
            return arrow.array(values)
        held = [mask, arrow.py_buffer(ends.astype(np.int32)), arrow.py_buffer(b"".join(pieces))]
        return arrow.Array.from_buffers(arrow.string(), len(values), held)
    if kind is bool:
        bits = np.packbits(np.fromiter((v is True for v in values), bool, len(values)), bitorder="little")
        return arrow.Array.from_buffers(arrow.bool_(), len(values), [mask, arrow.py_buffer(bits)])
    form, number = (arrow.int64(), np.int64) if kind is int else (arrow.float64(), np.float64)
    cells = np.array([0 if v is None else v for v in values], dtype=number)
    return arrow.Array.from_buffers(form, len(values), [mask, arrow.py_buffer(cells)])


def _values(column: Any, field: Any) -> list[Any]:
    values = column.to_pylist()
    if (field.metadata or {}).get(b"misdirection") == b"json":
        return [None if v is None else {} if v == "{}" else json.loads(v) for v in values]
    return values
