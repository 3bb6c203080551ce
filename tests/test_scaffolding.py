"""What keeps a fresh clone working: every dependency is pinned, every pin is what runs, the entry points tell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().lower().splitlines() if not line.startswith("#")
)
NEEDED = [Requirement(text) for text in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"])]


@pytest.mark.parametrize("requirement", NEEDED, ids=lambda requirement: requirement.name)
def test_every_dependency_is_pinned_inside_its_range_and_the_pin_is_what_runs(requirement: Requirement) -> None:
    pin = PINS[requirement.name]
    assert pin in requirement.specifier
    assert Version(version(requirement.name)).public == pin


def make(*arguments: str) -> str:
    # As a user types it: a make that runs these tests would make this one say which folder it enters.
    outside = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    done = subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, env=outside)
    return done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_help_names_every_target() -> None:
    named = {line.split()[0] for line in make("help").splitlines()}
    assert named >= {"demo", "real", "test", "test-all", "bench", "lint", "help", "clean"}


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
@pytest.mark.parametrize("target", ["demo", "real", "test", "test-all", "bench", "lint"])
def test_every_target_makes_the_environment_first(target: str) -> None:
    commands = make("--dry-run", "--assume-new=constraints.txt", target).splitlines()
    assert commands[0].endswith("scripts/bootstrap.py")
    assert len(commands) > 1


def test_bootstrap_tells_an_old_python_what_to_do(tmp_path: Path) -> None:
    # The interpreter that runs the tests is new enough: the script is told that it is not.
    script = (ROOT / "scripts" / "bootstrap.py").read_text().replace("OLDEST = (3, 11)", "OLDEST = (99, 0)")
    (tmp_path / "scripts").mkdir()
    copy = tmp_path / "scripts" / "bootstrap.py"
    copy.write_text(script)
    done = subprocess.run([sys.executable, copy], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Python 99.0 or newer is needed" in done.stderr
    assert "make PYTHON=" in done.stderr
    assert not (tmp_path / ".venv").exists()
