from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "matrix.py"


def matrix() -> ModuleType:
    spec = importlib.util.spec_from_file_location("matrix", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_lowest_row_is_what_pyproject_names() -> None:
    lowest = matrix().lowest()
    text = (SCRIPT.parents[1] / "pyproject.toml").read_text()
    assert [package.split("==")[0] for package in lowest] == ["transformers", "peft"]
    assert all(f'"{package.replace("==", ">=")}' in text for package in lowest)


@pytest.mark.slow
@pytest.mark.parametrize("row", ["lowest", "newest"])
def test_the_engine_runs_on_the_lowest_and_on_the_newest_libraries(row: str) -> None:
    index = subprocess.run(
        [sys.executable, "-m", "pip", "index", "versions", "transformers"], capture_output=True, check=False
    )
    if index.returncode:
        pytest.skip("no package index can be reached")
    done = subprocess.run([sys.executable, SCRIPT, row], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert f"{row}: passed" in done.stdout
