"""The house as its imports show it: no circles, and rooms that import only what stands above them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import misdirection

ROOT = Path(misdirection.__file__).parent
STUDIES = ROOT / "studies"

MODULES = {
    ".".join(("misdirection", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): file
    for file in sorted(ROOT.rglob("*.py"))
}


def imports(name: str) -> set[str]:
    """Our modules that one imports, those inside functions too; what is imported for types alone aside."""
    found: set[str] = set()
    for node in _at_run_time(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("misdirection"):
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {one if one in MODULES else str(node.module) for one in whole}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("misdirection")}
    return (found & MODULES.keys()) - {name}


def _at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _at_run_time(node)


GRAPH = {name: imports(name) for name in MODULES}


def room(name: str) -> str:
    """The folder or file under the package that a module belongs to."""
    return name.split(".")[1] if "." in name else name


def cycle_of(graph: Mapping[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert cycle_of(GRAPH) == []


def test_no_room_imports_itself_by_way_of_others() -> None:
    rooms: dict[str, set[str]] = {}
    for name, found in GRAPH.items():
        # The package itself only names what its rooms hold; its version is a constant.
        rooms.setdefault(room(name), set()).update(room(one) for one in found if room(one) != room(name))
    rooms.pop("misdirection")
    assert cycle_of({name: found - {"misdirection"} for name, found in rooms.items()}) == []


def test_a_cycle_would_be_found() -> None:
    assert cycle_of({"a": {"b"}, "b": {"c"}, "c": {"a"}}) and cycle_of({"a": {"b"}, "b": set()}) == []


@pytest.mark.parametrize("lower", ["models", "engine", "judging", "statistics", "directions", "features", "training"])
def test_the_rooms_below_know_nothing_of_those_above(lower: str) -> None:
    above = {"studies", "report", "cli"}
    told = {(name, one) for name, found in GRAPH.items() if room(name) == lower for one in found if room(one) in above}
    assert told == set()


SHARED = {"kit", "registry", "page"}
NOT_YET = {("geometry", "features")}
"""Studies that still read another's files."""


def test_a_study_imports_no_other() -> None:
    names = {path.name for path in STUDIES.iterdir() if path.is_dir()} - SHARED
    told = {
        (name.split(".")[2], one.split(".")[2])
        for name, found in GRAPH.items()
        if name.startswith("misdirection.studies.") and name.split(".")[2] in names
        for one in found
        if one.startswith("misdirection.studies.") and one.split(".")[2] in names - {name.split(".")[2]}
    }
    assert told == set()
