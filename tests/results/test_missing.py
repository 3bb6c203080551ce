"""Findings in which nothing was seen: rates of no answers and numbers that are none, in every report and verdict."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import pytest
from tests.report.html_tree import Tree
from tests.results.made import made

from misdirection.results import RateRow
from misdirection.studies.page import render
from misdirection.studies.registry import studies

TYPED = {name: study.results for name, study in studies().items() if study.results is not None}
ONE_PART = (
    "semantic", "adapters", "formats", "triggers", "phases", "geometry", "weights", "in_context", "personas", "traits",
    "scaling", "screening", "defences",
)  # fmt: skip
"""Studies whose verdict is told of one part of the results, called as the study is."""

NO_NUMBER = re.compile(r"\b(None|nan|inf)\b")


def unseen(value: Any, numbers: bool) -> Any:
    """The same with rates of no answers; and, where `numbers` says so, without every number that may be missing."""
    if isinstance(value, RateRow):
        return dataclasses.replace(value, misaligned=0, n=0, value=None, low=None, high=None)
    if isinstance(value, tuple):
        return tuple(unseen(one, numbers) for one in value)
    if isinstance(value, Mapping):
        return {name: unseen(one, numbers) for name, one in value.items()}
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    hints = typing.get_type_hints(type(value))
    held = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    gone = {name for name, one in held.items() if numbers and isinstance(one, int | float) and optional(hints[name])}
    return dataclasses.replace(value, **{n: None if n in gone else unseen(one, numbers) for n, one in held.items()})


def optional(hint: Any) -> bool:
    return isinstance(hint, types.UnionType) and type(None) in typing.get_args(hint)


def test_what_is_taken_away_is_gone() -> None:
    whole = made(TYPED["formats"], "formats")
    row, other = (unseen(whole, numbers).formats.rows[0] for numbers in (False, True))
    assert (row.rate.n, row.rate.value, row.q) == (0, None, whole.formats.rows[0].q) and other.q is None


@pytest.mark.parametrize("numbers", [False, True], ids=["rates", "numbers"])
@pytest.mark.parametrize("name", sorted(TYPED))
def test_a_report_of_nothing_seen_is_whole_and_shows_no_none(name: str, numbers: bool) -> None:
    whole = made(TYPED[name], name)
    said, full = (render(one.to_json()) for one in (unseen(whole, numbers), whole))
    tree, whole_tree = Tree(said), Tree(full)
    assert tree.problems == []
    gone = {place for place in set(whole_tree.ids) - set(tree.ids) if f"{place}-title" in whole_tree.ids}
    # A section without a single number cannot be drawn; the page says which were left out.
    assert not gone or (numbers and "left-out" in tree.ids)
    assert "not complete" not in said and ">None<" not in said and not re.search(r">\s*(nan|inf)\b", said)


@pytest.mark.parametrize("numbers", [False, True], ids=["rates", "numbers"])
@pytest.mark.parametrize("name", ONE_PART)
def test_a_verdict_on_nothing_seen_is_a_sentence_without_none(name: str, numbers: bool) -> None:
    told = import_module(f"misdirection.studies.{name}.verdict").verdict
    part = getattr(made(TYPED[name], name), name)
    said = told(unseen(part.rows if name == "formats" else part, numbers))
    assert said.sentence.strip().endswith((".", "!")) and said.state
    assert not [text for text in (said.sentence, *said.details) if NO_NUMBER.search(text)]
