"""Types of values that can be kept, read from annotations before a function is run for hours."""

from __future__ import annotations

import enum
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from misdirection.errors import MisdirectionError

_PLAIN = (bool, int, float, str, type(None), Path)
_SEVERAL = (list, tuple, set, frozenset, Sequence)
KEPT = (
    "numbers, text, None, lists, tuples, sets, mappings, enums, paths of files in its folder, tensors, arrays, and "
    "dataclasses of them can be kept"
)


def layout(kind: Any, where: str, inside: tuple[Any, ...] = ()) -> Any:
    """What a type is made of, as JSON: part of a step's key, so that a value that is found always fits its type.

    Args:
        kind: The type, as an annotation gives it.
        where: What it is called in messages.
        inside: Dataclasses that it stands in.

    Raises:
        MisdirectionError: Something in it cannot be kept; the message names the place.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any or kind is object:
        return "any"
    if kind in _PLAIN or is_tensor(kind) or is_array(kind):
        return getattr(kind, "__name__", str(kind))
    if origin is Annotated:
        return layout(parts[0], where, inside)
    if origin is Literal:
        return ["one of", *map(str, parts)]
    if origin is Union or origin is types.UnionType:
        return _union(parts, where, inside)
    if (origin or kind) in _SEVERAL:
        name = (origin or kind).__name__
        return [name, *(layout(part, f"{where}[]", inside) for part in parts if part is not ...)]
    if isinstance(origin or kind, type) and issubclass(origin or kind, Mapping):
        return ["mapping", *(layout(part, f"{where}[]", inside) for part in parts)]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return ["one of", *(str(member.value) for member in kind)]
    if isinstance(kind, type) and is_dataclass(kind):
        if kind in inside:
            return kind.__name__
        return [kind.__name__, {name: layout(held, f"{where}.{name}", (*inside, kind)) for name, held in hints(kind)}]
    raise MisdirectionError(f"{where} is a {getattr(kind, '__name__', kind)}, which cannot be kept", KEPT)


def _union(parts: tuple[Any, ...], where: str, inside: tuple[Any, ...]) -> Any:
    held = [part for part in parts if part is not type(None)]
    own = [part for part in held if is_tensor(part) or is_array(part) or is_dataclass(get_origin(part) or part)]
    if len(own) > 1 or (own and len(held) > 1 and not is_dataclass(own[0])):
        raise MisdirectionError(
            f"{where} may be one of several kinds, which a file cannot tell apart", "give a dataclass with a field each"
        )
    return ["any of", *(layout(part, where, inside) for part in parts)]


def hints(kind: type[Any]) -> list[tuple[str, Any]]:
    """Fields of a dataclass that its constructor takes, and their types.

    Raises:
        MisdirectionError: A type is known to type checkers alone.
    """
    try:
        known = get_type_hints(kind, include_extras=True)
    except (NameError, TypeError) as error:
        raise MisdirectionError(
            f"{kind.__name__}: the type of a field is not known at run time ({error})",
            "import it outside of TYPE_CHECKING",
        ) from error
    return [(one.name, known[one.name]) for one in fields(kind) if one.init]


def is_tensor(kind: Any) -> bool:
    """Whether a type is torch's tensor, which need not be imported for it."""
    return getattr(kind, "__module__", "") == "torch" and getattr(kind, "__name__", "") == "Tensor"


def is_array(kind: Any) -> bool:
    """Whether a type is numpy's array."""
    held = get_origin(kind) or kind
    return getattr(held, "__module__", "") == "numpy" and getattr(held, "__name__", "") == "ndarray"


def rows_of(kind: Any) -> type[Any] | None:
    """The dataclass whose instances a type lists, None where it lists none, or some that hold tensors: no rows."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin not in (list, tuple, Sequence) or (origin is tuple and parts[1:] != (...,)):
        return None
    row = parts[0]
    return row if isinstance(row, type) and is_dataclass(row) and not holds_tensors(row) else None


def holds_tensors(kind: Any, inside: tuple[Any, ...] = ()) -> bool:
    """Whether tensors or arrays stand in a type, at any depth; of Any nothing is known."""
    if is_tensor(kind) or is_array(kind):
        return True
    if isinstance(kind, type) and is_dataclass(kind):
        return kind not in inside and any(holds_tensors(held, (*inside, kind)) for _, held in hints(kind))
    return any(holds_tensors(part, inside) for part in get_args(kind))


def is_table(kind: type[Any]) -> bool:
    """Whether a dataclass holds tensors alone, and `facts`: such a one, a direction say, is a file of its own."""
    known = dict(hints(kind))
    facts = known.pop("facts", None)
    return facts is not None and bool(known) and all(map(is_tensor, known.values()))
