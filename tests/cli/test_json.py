"""--json: every command that can print a table has it, and prints one document and nothing else."""

from __future__ import annotations

import ast
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.cli.conftest import Cli

import misdirection.cli
from misdirection.cli.main import app

FOLDER = Path(misdirection.cli.__file__).parent
TABLE, STUDY = ("show", "table"), ("study", "_command")
OTHERS = [file.stem for file in FOLDER.glob("*.py") if file.stem not in ("sae", "repair", "organism", "study")]
Place = tuple[str, str]
"""Module of the command line, and function in it."""


def calls() -> dict[Place, set[Place]]:
    """Which functions of the command line name which others of it, by the imports of their file."""
    found: dict[Place, set[Place]] = {}
    for file in FOLDER.glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        known = {node.name: (file.stem, node.name) for node in tree.body if isinstance(node, ast.FunctionDef)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("misdirection.cli."):
                known |= {a.asname or a.name: (str(node.module).rsplit(".", 1)[-1], a.name) for a in node.names}
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                used = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
                found[file.stem, node.name] = {known[name] for name in used if name in known}
    return found


def reaches(graph: dict[Place, set[Place]], start: Place, goal: Place) -> bool:
    seen: set[Place] = set()
    waiting = [start]
    while waiting:
        one = waiting.pop()
        if one == goal:
            return True
        if one not in seen:
            seen.add(one)
            waiting += graph.get(one, set())
    return False


def owner(graph: dict[Place, set[Place]], name: str, group: str) -> Place:
    """The function of a command by its name: in the file of its group, or in one that is no group's."""
    found = [place for place in graph if place[1] == name and place[0] in (group, *(() if group else OTHERS))]
    assert len(found) == 1, (name, group, found)
    return found[0]


def commands(graph: dict[Place, set[Place]]) -> Iterator[tuple[str, Place, set[str]]]:
    """Every registered command: what is typed, the function behind it, and its options."""

    def walk(group: Any, held: Any, path: str) -> Iterator[tuple[str, Place, set[str]]]:
        for info in held.registered_commands:
            function = info.callback
            name = info.name or function.__name__.replace("_", "-")
            place = (function.__module__.rsplit(".", 1)[-1], function.__name__)
            if place[0] == "derive":  # options are added by a function around it, which keeps the name
                place = STUDY if path == "study " else owner(graph, function.__name__, path.strip())
            yield f"{path}{name}", place, {word for one in group.commands[name].params for word in one.opts}
        for info in held.registered_groups:
            yield from walk(group.commands[info.name], info.typer_instance, f"{path}{info.name} ")

    yield from walk(typer.main.get_command(app), app, "")


def test_no_command_prints_a_table_and_has_no_json() -> None:
    graph, all_of_them = calls(), list(commands(calls()))
    assert len(all_of_them) > 45 and all(place in graph for _, place, _ in all_of_them)
    with_tables = {name for name, place, _ in all_of_them if reaches(graph, place, TABLE)}
    assert {"power", "audit", "steer", "sae evaluate", "repair merge", "study triggers", "label"} < with_tables
    without = {name for name, _, options in all_of_them if name in with_tables and "--json" not in options}
    assert without == set()
    # And those whose figures come as lines, or that print none.
    rest = {name for name, _, options in all_of_them if "--json" not in options}
    assert rest == {"app", "sample", "train"}


def test_a_table_behind_two_calls_is_found() -> None:
    graph = {("a", "one"): {("a", "two")}, ("a", "two"): {TABLE}, ("a", "three"): {("a", "three")}}
    assert reaches(graph, ("a", "one"), TABLE) and not reaches(graph, ("a", "three"), TABLE)


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    path = tmp_path / "counts.csv"
    with path.open("w", newline="") as file:
        rows = [[c, u, bad, 10] for u in ("a", "b", "c") for c, bad in (("plain", 1), ("watched", 4))]
        csv.writer(file).writerows([["condition", "unit", "n_misaligned", "n_scored"], *rows])
    return path


def test_what_stands_in_the_table_stands_in_the_document(cli: Cli, counts: Path, tmp_path: Path) -> None:
    table, told = cli("power", "--change", 0.2).out, json.loads(cli("power", "--change", 0.2, "--json").out)
    assert told["after"] == 0.2 and told["plans"] and told["advice"]
    for plan in told["plans"]:
        assert f"{plan['questions']:<9}  {plan['answers']:,}" in table
    table, told = cli("conditions", counts).out, json.loads(cli("conditions", counts, "--json").out)
    assert [row["rate"] for row in told["rates"]] == [0.1, 0.4] and "40.00 %" in table
    assert told["contrasts"][0]["value"] == pytest.approx(0.3) and "+30.00" in table
    table, told = cli("sae", "show", "organism:6").out, json.loads(cli("sae", "show", "organism:6", "--json").out)
    assert told["latents"] == 768 and told["layer"] == 6 and "768 latents" in table
    assert json.loads(cli("doctor", "--json").out)["packages"]
    done = cli("study", "scaling", "--out", tmp_path / "run")
    told = json.loads(cli("study", "scaling", "--out", tmp_path / "run", "--json").out)
    assert told["kind"] == "scaling" and told["verdict"]["sentence"] in done.out


def test_an_error_prints_no_document(cli: Cli, tmp_path: Path) -> None:
    done = cli("conditions", tmp_path / "absent.csv", "--json")
    assert done.code == 2 and done.out == "" and "absent.csv" in done.err
