"""The house as its imports show it: no circles, and rooms that import only what stands above them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from scripts.house import circle_in
from scripts.house import graph as read_graph

import misdirection

ROOT = Path(misdirection.__file__).parent
STUDIES = ROOT / "studies"

graph = cache(read_graph)
"""Read once, and by none who only collects the tests."""


def room(name: str) -> str:
    """The folder or file under the package that a module belongs to."""
    return name.split(".")[1] if "." in name else name


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert circle_in(graph()) == []


def test_no_room_imports_itself_by_way_of_others() -> None:
    rooms: dict[str, set[str]] = {}
    for name, found in graph().items():
        # The package itself only names what its rooms hold; its version is a constant.
        rooms.setdefault(room(name), set()).update(room(one) for one in found if room(one) != room(name))
    rooms.pop("misdirection")
    assert circle_in({name: found - {"misdirection"} for name, found in rooms.items()}) == []


def test_a_cycle_would_be_found() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}}) and circle_in({"a": {"b"}, "b": set()}) == []


@pytest.mark.parametrize("lower", ["models", "engine", "judging", "statistics", "directions", "features", "training"])
def test_the_rooms_below_know_nothing_of_those_above(lower: str) -> None:
    above = {"studies", "report", "cli"}
    here = {name: found for name, found in graph().items() if room(name) == lower}
    told = {(name, one) for name, found in here.items() for one in found if room(one) in above}
    assert told == set()


SHARED = {"kit", "registry", "page"}


def test_a_study_imports_no_other() -> None:
    names = {path.name for path in STUDIES.iterdir() if path.is_dir()} - SHARED
    told = {
        (name.split(".")[2], one.split(".")[2])
        for name, found in graph().items()
        if name.startswith("misdirection.studies.") and name.split(".")[2] in names
        for one in found
        if one.startswith("misdirection.studies.") and one.split(".")[2] in names - {name.split(".")[2]}
    }
    assert told == set()
