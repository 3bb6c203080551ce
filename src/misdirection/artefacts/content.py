"""What values and files hold: as JSON, and as a hash that is equal for equal content."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from misdirection.artefacts.whole import must_exist
from misdirection.errors import MisdirectionError

_EXACT: set[type] = {type(None), bool, int, str}


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
    return as_json(value, where, for_hash=True)


def plain(value: Any) -> Any:
    """A value in JSON's own kinds: dataclasses become mappings, paths text, tuples lists, non-finite numbers None.

    Raises:
        MisdirectionError: A value that JSON has no place for, named by where it stands.
    """
    return as_json(value, "value", for_hash=False)


def file_hash(path: str | Path) -> str:
    """SHA-256, in hex, of a file's bytes; of a folder, over the sorted relative names and hashes of its files.

    Raises:
        MisdirectionError: There is no such file or folder.
    """
    must_exist(path)
    path = Path(path)
    if path.is_dir():
        files = sorted((p.relative_to(path).as_posix(), p) for p in path.rglob("*") if p.is_file())
        return canonical_hash([[name, file_hash(file)] for name, file in files])
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def as_json(value: Any, where: str, for_hash: bool) -> Any:
    """A value in JSON's own kinds, or as it is hashed; see `plain` and `canonical`."""
    if isinstance(value, enum.Enum):
        return as_json(value.value, where, for_hash)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else ({"__float__": repr(value)} if for_hash else None)
    if isinstance(value, Path):
        return value.as_posix()
    return _composite(value, where, for_hash)


def _composite(value: Any, where: str, for_hash: bool) -> Any:
    if hasattr(value, "__canonical__"):
        return as_json(value.__canonical__(), where, for_hash)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields: dict[str, Any] = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        name = {"__class__": type(value).__name__} if for_hash else {}
        return name | {k: as_json(v, f"{where}.{k}", for_hash) for k, v in fields.items()}
    if isinstance(value, Mapping):
        mapping = cast(Mapping[Any, Any], value)
        return {_key(k, where): as_json(v, f"{where}[{k!r}]", for_hash) for k, v in mapping.items()}
    if isinstance(value, list | tuple):
        if _EXACT.issuperset(map(type, cast(Sequence[Any], value))):
            return list(cast(Sequence[Any], value))
        return [as_json(v, f"{where}[{i}]", for_hash) for i, v in enumerate(cast(Sequence[Any], value))]
    if isinstance(value, set | frozenset):
        members = [as_json(v, where, for_hash) for v in cast(frozenset[Any], value)]
        return sorted(members, key=lambda v: json.dumps(v, sort_keys=True))
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return _array(value, where, for_hash)
    raise MisdirectionError(
        f"{where} is a {type(value).__name__}, which cannot be written as JSON",
        "use numbers, text, lists, mappings, paths or dataclasses of them",
    )


def _array(value: Any, where: str, for_hash: bool) -> Any:
    if not for_hash or not value.shape:
        return as_json(value.tolist(), where, for_hash)
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
