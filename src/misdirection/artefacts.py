"""Files in open formats, written whole or not at all: Parquet for rows, safetensors for tensors, JSON for facts.

Nothing here reads or writes pickle. A file is written beside its place under a temporary name, synced, and renamed over
it, so that a reader meets the old file or the new one and never half of one.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import math
import os
import secrets
import shutil
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from misdirection.errors import MisdirectionError

if TYPE_CHECKING:
    from torch import Tensor

FACTS = "misdirection"
_JSON_COLUMN = {b"misdirection": b"json"}
_PARTIAL = ".partial-"
_AGAIN = "fetch or make it again; a step of a run is made again by itself when the run is started again"

BINARY: int = getattr(os, "O_BINARY", 0)
"""Flag of `os.open` without which Windows writes two characters at each line's end."""


@contextmanager
def atomic_path(path: str | Path) -> Generator[Path, None, None]:
    """A temporary path beside `path`; on success it is synced and renamed to `path`, on failure it is removed.

    Missing parent folders are made. An error of the system that names no file is given the name of this one.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(target)
        sync(target.parent)
    except OSError as error:
        error.filename = error.filename or str(target)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Generator[Path, None, None]:
    """A folder to write in, which becomes `path` when the block ends well and vanishes when it does not.

    Errors of the system are given its name as in `atomic_path`.
    """
    partial = path.with_name(f"{_PARTIAL}{path.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        for file in partial.iterdir():
            sync(file)
        if path.exists():
            shutil.rmtree(path)
        partial.rename(path)
        sync(path.parent)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of it to an open file: the system may take less in one call, as it does where the disk is nearly full.

    Raises:
        OSError: It takes no more.
    """
    while content:
        content = content[os.write(descriptor, content) :]


def sync(path: Path) -> None:
    """Ask the system to bring a file, or a folder's list of names, to the disk; Windows brings the latter by itself."""
    windows = sys.platform == "win32"
    if windows and path.is_dir():
        return
    # Windows flushes only what may be written.
    descriptor = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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

    _must_exist(path)
    try:
        table: Any = cast(Any, pq).ParquetFile(str(path), page_checksum_verification=True).read()
        columns = {field.name: _values(table.column(i), field) for i, field in enumerate(table.schema)}
    except (cast(Any, pa).ArrowException, OSError, ValueError) as error:
        raise MisdirectionError(f"{path}: not a readable Parquet file ({_first_line(error)})", _AGAIN) from error
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], in_order: bool = False
) -> None:
    """Write named tensors (any shapes and dtypes) to safetensors, with `facts` as JSON in its metadata.

    Equal input gives equal bytes; facts are sorted by their names, unless they are to stand `in_order`. Tensors on a
    device are copied to the host; tensors that share memory are written apart.
    """
    from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

    seen: set[int] = set()
    ready: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        host = tensor.detach().cpu().contiguous()
        storage = host.untyped_storage().data_ptr()
        ready[name] = host.clone() if storage in seen else host
        seen.add(storage)
    text = json.dumps(plain(facts), sort_keys=not in_order, allow_nan=False)
    with atomic_path(path) as temporary:
        # One metadata entry only: the library writes several in an order that changes from process to process.
        save_file(ready, temporary, metadata={FACTS: text})


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors (on the CPU) and the facts of a safetensors file; the facts are empty when it was made by others.

    Raises:
        MisdirectionError: The file is missing, is no safetensors file or is damaged.
    """
    from safetensors import SafetensorError, safe_open

    _must_exist(path)
    try:
        with cast(Any, safe_open)(str(path), framework="pt", device="cpu") as file:
            metadata: dict[str, str] = file.metadata() or {}
            facts = json.loads(metadata.get(FACTS, "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise MisdirectionError(f"{path}: not a readable safetensors file ({_first_line(error)})", _AGAIN) from error


def write_json(path: str | Path, value: Any, in_order: bool = False) -> None:
    """Write what `plain` accepts as JSON; numbers that are not finite become null.

    Keys are sorted, unless they are to stand `in_order`, as they are.
    """
    text = json.dumps(plain(value), indent=1, sort_keys=not in_order, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def read_json(path: str | Path) -> Any:
    """The value of a JSON file.

    Raises:
        MisdirectionError: The file is missing or is not JSON; the message names the line.
    """
    _must_exist(path)
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise MisdirectionError(f"{path}: not readable JSON ({_first_line(error)})", _AGAIN) from error


def canonical_hash(value: Any) -> str:
    """SHA-256, in hex, of the canonical JSON of a value: sorted keys, no spaces, floats by their shortest repr.

    Tuples equal lists and paths equal their text (use `file_hash` for what stands in the file). Dataclasses count with
    the name of their class, so that two kinds with equal fields differ; arrays and tensors count by dtype, shape and
    bytes; an object with a method `__canonical__` counts by what that returns.

    Raises:
        MisdirectionError: A value of another kind, named by its place.
    """
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def canonical(value: Any, where: str = "value") -> Any:
    """A value as the JSON that `canonical_hash` hashes; `where` is what it is called in messages.

    Raises:
        MisdirectionError: A value of another kind, named by its place.
    """
    return _canonical(value, where, for_hash=True)


def file_hash(path: str | Path) -> str:
    """SHA-256, in hex, of a file's bytes; of a folder, over the sorted relative names and hashes of its files.

    Raises:
        MisdirectionError: There is no such file or folder.
    """
    _must_exist(path)
    path = Path(path)
    if path.is_dir():
        files = sorted((p.relative_to(path).as_posix(), p) for p in path.rglob("*") if p.is_file())
        return canonical_hash([[name, file_hash(file)] for name, file in files])
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def plain(value: Any) -> Any:
    """A value in JSON's own kinds: dataclasses become mappings, paths text, tuples lists, non-finite numbers None.

    Raises:
        MisdirectionError: A value that JSON has no place for, named by where it stands.
    """
    return _canonical(value, "value", for_hash=False)


def _canonical(value: Any, where: str, for_hash: bool) -> Any:
    if isinstance(value, enum.Enum):
        return _canonical(value.value, where, for_hash)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else ({"__float__": repr(value)} if for_hash else None)
    if isinstance(value, Path):
        return value.as_posix()
    return _composite(value, where, for_hash)


def _composite(value: Any, where: str, for_hash: bool) -> Any:
    if hasattr(value, "__canonical__"):
        return _canonical(value.__canonical__(), where, for_hash)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields: dict[str, Any] = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        name = {"__class__": type(value).__name__} if for_hash else {}
        return name | {k: _canonical(v, f"{where}.{k}", for_hash) for k, v in fields.items()}
    if isinstance(value, Mapping):
        mapping = cast(Mapping[Any, Any], value)
        return {_key(k, where): _canonical(v, f"{where}[{k!r}]", for_hash) for k, v in mapping.items()}
    if isinstance(value, list | tuple):
        return [_canonical(v, f"{where}[{i}]", for_hash) for i, v in enumerate(cast(Sequence[Any], value))]
    if isinstance(value, set | frozenset):
        members = [_canonical(v, where, for_hash) for v in cast(frozenset[Any], value)]
        return sorted(members, key=lambda v: json.dumps(v, sort_keys=True))
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return _array(value, where, for_hash)
    raise MisdirectionError(
        f"{where} is a {type(value).__name__}, which cannot be written as JSON",
        "use numbers, text, lists, mappings, paths or dataclasses of them",
    )


def _array(value: Any, where: str, for_hash: bool) -> Any:
    if not for_hash or not value.shape:
        return _canonical(value.tolist(), where, for_hash)
    if hasattr(value, "detach"):
        import torch

        dtype, shape = str(value.dtype), list(value.shape)
        value = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    else:
        dtype, shape = str(value.dtype), list(value.shape)
    return {"__array__": dtype, "shape": shape, "sha256": hashlib.sha256(value.tobytes()).hexdigest()}


def _key(key: Any, where: str) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool | int | float | Path) or key is None:
        return str(key)
    raise MisdirectionError(f"{where} has a key of type {type(key).__name__}", "use text or numbers as keys")


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
            v if v is None or (isinstance(v, dict) and not v) else _canonical(v, where, for_hash=False) for v in values
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


def _must_exist(path: str | Path) -> None:
    if not Path(path).exists():
        raise MisdirectionError(f"{path}: no such file", "check the path, or run the step that writes it")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
