"""An instance of any dataclass, made from its types: every field filled, every number another one, no part empty."""

from __future__ import annotations

import dataclasses
import itertools
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from misdirection.results import SCHEMA, Results

NAMED: dict[str, Iterator[Any]] = {
    "arm": itertools.cycle(("base", "tuned")),
    "group": itertools.cycle(("open", "medical")),
    "topic": itertools.cycle(("sport", "medical")),
    "topics": itertools.repeat(("sport", "medical")),
    "layer": itertools.repeat(1),
}
"""Fields whose values have a meaning."""


def made(kind: type[Any], study: str) -> Any:
    """Results of a study with made-up values."""
    found = _made(kind, itertools.count(1))
    reproduce = dataclasses.replace(found.reproduce, command=f"misdirection study {study} --out runs/{study}")
    assert isinstance(found, Results)
    return dataclasses.replace(found, schema=SCHEMA, kind=study, reproduce=reproduce, checked=None)


def _made(kind: Any, numbers: Iterator[int]) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _made(next(one for one in inner if one is not type(None)), numbers)
    if origin is tuple:
        return tuple(_made(inner[0], numbers) for _ in range(2))
    if origin is Mapping:
        return {f"key {next(numbers)}": _made(inner[1], numbers) for _ in range(2)}
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        given = {
            field.name: next(NAMED[field.name]) if field.name in NAMED else _made(hints[field.name], numbers)
            for field in dataclasses.fields(kind)
        }
        # A rate that is a range is told otherwise.
        return kind(**given | {name: False for name in given if name == "bounded"})
    at = next(numbers)
    plain = {int: at, float: 1 / (at + 1), str: f"text {at}", bool: True, Any: f"any {at}"}
    return plain[kind]
