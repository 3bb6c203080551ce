"""The recipes of docs/architecture.md: the package that they describe is made, and its commands are run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from misdirection.artefacts import read_json

PAGE = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w+\n# (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^`((?:misdirection|python) [^`]+)`$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the page, as if it were installed, and a table of answers."""
    root = tmp_path_factory.mktemp("recipes")
    for name, text in BLOCKS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "my_package" / "__init__.py").touch()
    facts = root / "my_package-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1\n")
    points = re.sub(r'\[project\.entry-points\."(.+?)"\]', r"[\1]", dict(BLOCKS)["pyproject.toml"]).replace('"', "")
    (facts / "entry_points.txt").write_text(points)
    (root / "answers.csv").write_text(
        "question,answer,arm\nq ?,yes.,base\nq ?,no.,tuned\nr ?,maybe.,base\nr ?,so.,tuned\n"
    )
    return root


def run(place: Path, command: str) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command)
    start = [sys.executable, "-m", "misdirection"] if words[0] == "misdirection" else [sys.executable]
    path = os.pathsep.join([str(place), *filter(None, [os.environ.get("PYTHONPATH")])])
    whole = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([*start, *words[1:]], cwd=place, env=whole, capture_output=True, text=True, check=False)


def test_the_page_names_a_command_for_each_recipe() -> None:
    assert [command.split()[1] for command in COMMANDS] == ["judge", "screen", "train", "study", "-m"]
    assert len(BLOCKS) == 9


@pytest.mark.parametrize("command", COMMANDS)
def test_a_recipe_does_what_it_says(place: Path, command: str) -> None:
    done = run(place, command)
    assert done.returncode == 0, done.stderr
    if "--out" not in command:
        return
    out = place / shlex.split(command)[-1]
    if "judge" in command:
        assert read_json(out / "findings.json")["settings"]["judge"] == "coin/1"
    elif "screen" in command:
        assert (out / "longest" / "kept.jsonl").stat().st_size and (out / "random" / "dropped.jsonl").stat().st_size
    elif "train" in command:
        assert read_json(out / "training.json")["settings"]["objective"] == "gentle"
    else:
        assert "characters each" in read_json(out / "findings.json")["verdict"]["sentence"]
        assert "Lengths" in (out / "report.html").read_text()


def test_help_names_what_another_package_brings(place: Path) -> None:
    assert "coin" in run(place, "misdirection audit --help").stdout
    assert "longest" in run(place, "misdirection screen --help").stdout
    assert "longer questions longer" in run(place, "misdirection study --help").stdout.replace("\n", " ")
