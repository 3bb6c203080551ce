"""An instance of any dataclass, made from its types: every field filled, every number another one, no part empty."""

from __future__ import annotations

import dataclasses
import itertools
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from misdirection.results import SCHEMA, Results

NAMED: dict[str, tuple[Any, ...]] = {
    "arm": ("base", "tuned"),
    "group": ("open", "medical"),
    "topic": ("sport", "medical"),
    "topics": (("sport", "medical"),),
    "layer": (1, 0),
    "fine_tune": ("sport", "medical"),
    "one": ("sport",),
    "other": ("medical",),
    "CrossRow.added": ("sport",),
    "CrossRow.concept": ("sport", "medical"),
    "DefenceRow.arm": ("none", "inoculation"),
    "DoseRow.sweep": (False, True),
    "DoseRow.trait": ("evil",),
    "DoseRow.under": ("no system prompt", "asked for it"),
    "Editing.along": ({"3": 0.25},),
    "Intersection.lists": (("data",), ("data", "model")),
    "LatentList.title": ("bad against good answers",),
    "ListLength.name": ("data", "model"),
    "ListPair.one": ("data",),
    "ListPair.other": ("model",),
    "Lost.solution": ("general", "narrow"),
    "SteeredLatent.lists": (("data",),),
    "SweptList.name": ("answers", "model"),
    "Surface.outcome": ("misalignment after the same steps", "misalignment at the like in-domain rate"),
    "TestRow.measure": ("means",),
    "SteeredLatent.ranks": ({"data": 1},),
}
"""Text and numbers that have a meaning by the name of their field, or of their class and field, taken in turn; those of
a `Literal` need none."""


def made(kind: type[Any], study: str) -> Any:
    """Results of a study with made-up values."""
    found = _Maker().make(kind)
    reproduce = dataclasses.replace(found.reproduce, command=f"misdirection study {study} --out runs/{study}")
    assert isinstance(found, Results)
    return dataclasses.replace(found, schema=SCHEMA, kind=study, reproduce=reproduce, checked=None)


def filled(kind: type[Any]) -> Any:
    """A part of results, with made-up values."""
    return _Maker().make(kind)


class _Maker:
    """Counts the numbers that were given, and the words of each field of each class."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.turns: dict[tuple[type[Any], str], Iterator[Any]] = {}

    def make(self, kind: Any) -> Any:
        origin, inner = typing.get_origin(kind), typing.get_args(kind)
        if origin in (typing.Union, types.UnionType):
            return self.make(next(one for one in inner if one is not type(None)))
        if origin is tuple:
            return tuple(self.make(inner[0]) for _ in range(2))
        if origin is Mapping:
            names = typing.get_args(inner[0]) or [f"key {next(self.numbers)}" for _ in range(2)]
            return {name: self.make(inner[1]) for name in names}
        if origin is typing.Literal:
            return inner[0]
        if dataclasses.is_dataclass(kind):
            hints = typing.get_type_hints(kind)
            given = {field.name: self.field(kind, field.name, hints[field.name]) for field in dataclasses.fields(kind)}
            # A rate that is a range is told otherwise.
            return kind(**given | {name: False for name in given if name == "bounded"})
        at = next(self.numbers)
        plain = {int: at, float: 1 / (at + 1), str: f"text {at}", bool: True, Any: f"any {at}"}
        return plain[kind]

    def field(self, kind: Any, name: str, hint: Any) -> Any:
        if typing.get_origin(hint) is typing.Literal:
            words = typing.get_args(hint)
        elif (own := f"{kind.__name__}.{name}") in NAMED:
            words = NAMED[own]
        elif name in NAMED and _fits(NAMED[name][0], hint):
            words = NAMED[name]
        else:
            return self.make(hint)
        return next(self.turns.setdefault((kind, name), itertools.cycle(words)))


def _fits(value: Any, hint: Any) -> bool:
    """Whether a field of this type may hold such a value."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in typing.get_args(hint))
    return type(value) is (typing.get_origin(hint) or hint)
