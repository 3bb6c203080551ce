"""Dataclasses in dataclasses as tables of flat rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, cast

Tables = dict[str, list[dict[str, Any]]]


def tables(name: str, value: Any) -> Tables:
    """Each table inside a part of findings, by its place there; a field `rows` is the table of the part itself."""
    found: Tables = {}
    _collect(name, value, {}, found)
    return found


def _collect(name: str, value: Any, outer: Mapping[str, Any], found: Tables) -> None:
    if _is_table(value):
        for row in value:
            flat = {**outer, **_flat(row)}
            found.setdefault(name.removesuffix(".rows"), []).append(flat)
            _inside(name.removesuffix(".rows"), row, flat, found)
    elif is_dataclass(value):
        _inside(name, value, outer, found)


def _inside(name: str, value: Any, outer: Mapping[str, Any], found: Tables) -> None:
    plain = {key: held for key, held in outer.items() if held is None or isinstance(held, bool | int | float | str)}
    for field in fields(value):
        _collect(f"{name}.{field.name}", getattr(value, field.name), plain, found)


def _is_table(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(is_dataclass(one) for one in cast(tuple[Any, ...], value))


def _flat(row: Any, before: str = "") -> dict[str, Any]:
    """The columns of a row: what stands in it, and what stands in those of its fields that are dataclasses."""
    found: dict[str, Any] = {}
    held: dict[str, Any] = (
        dict(cast(Mapping[str, Any], row))
        if isinstance(row, Mapping)
        else {field.name: getattr(row, field.name) for field in fields(row)}
    )
    for name, value in held.items():
        if is_dataclass(value) or isinstance(value, Mapping):
            found |= _flat(value, f"{before}{name}.")
        elif not _is_table(value):
            found[f"{before}{name}"] = list(cast(tuple[Any, ...], value)) if isinstance(value, tuple) else value
    return found
