"""Prints what the house looks like by numbers: circles, untyped mappings, long files, lines of source and tests.

python scripts/house.py
"""

from __future__ import annotations

import ast
from collections.abc import Container, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
SOURCE, TESTS = ROOT / "src" / "misdirection", ROOT / "tests"
LONGEST = 400


def lines(folder: Path) -> dict[Path, int]:
    """Lines of every Python file."""
    return {file: len(file.read_text(encoding="utf-8").splitlines()) for file in sorted(folder.rglob("*.py"))}


def statements(file: Path) -> int:
    """Lines that are neither blank nor comment, docstring or import: what a file does."""
    text = file.read_text(encoding="utf-8")
    aside: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        said = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        if said or isinstance(node, ast.Import | ast.ImportFrom):
            aside.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    kept = (line.strip() for place, line in enumerate(text.splitlines(), 1) if place not in aside)
    return sum(bool(line) and not line.startswith("#") for line in kept)


def graph() -> dict[str, set[str]]:
    """By module, our modules that it imports, those inside functions too; what is imported for types alone aside."""
    modules = {
        ".".join(("misdirection", *file.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): file
        for file in sorted(SOURCE.rglob("*.py"))
    }
    return {name: set(_imports(file, modules)) & modules.keys() - {name} for name, file in modules.items()}


def circle_in(found: Mapping[str, set[str]]) -> list[str]:
    """The first circle of a graph; empty where there is none."""
    try:
        TopologicalSorter(found).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _imports(file: Path, known: Container[str]) -> Iterator[str]:
    for node in _at_run_time(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (one if one in known else node.module for one in whole)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            yield node
            yield from _at_run_time(node)


def main() -> None:
    """Print them."""
    source, tests = lines(SOURCE), lines(TESTS)
    untyped = {
        room: sum(file.read_text(encoding="utf-8").count("dict[str, Any]") for file in (SOURCE / room).rglob("*.py"))
        for room in ("studies", "report")
    }
    long = [str(file.relative_to(ROOT)) for file, many in {**source, **tests}.items() if many > LONGEST]
    print(f"circles: {' > '.join(circle_in(graph())) or 'none'}")
    print(f"dict[str, Any]: {untyped['studies']} in studies, {untyped['report']} in report")
    print(f"files over {LONGEST} lines: {len(long)}" + "".join(f"\n  {name}" for name in long))
    print(f"median file: {median(source.values()):.0f} lines of source, {median(tests.values()):.0f} of tests")
    whole, tested = sum(source.values()), sum(tests.values())
    print(f"lines: {whole} of source, {tested} of tests ({tested / whole:.2f} a line)")
    does, checks = (sum(map(statements, files)) for files in (source, tests))
    print(f"without docstrings, imports and blank lines: {does} and {checks} ({checks / does:.2f})")


if __name__ == "__main__":
    main()
