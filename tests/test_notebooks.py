"""The notebooks of the documentation run from top to bottom in an empty folder, and say what their text promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from tests.studies.few import few

NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"


FEWER = "samples=6, questions=('few.yaml',), layers=(6,), coefficients=(2.0,), drift_samples=2"
"""An audit of some of the questions at one layer; of the rest of a cell nothing is another thing."""


def run(name: str, folder: Path, written: str = "", instead: str = "") -> list[str]:
    """What the cells of code show, as text; some of what is written in them can be another thing."""
    book: Any = nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4)
    if written:
        (cell,) = [cell for cell in book.cells if cell.cell_type == "code" and written in cell.source]
        cell.source = cell.source.replace(written, instead)
    NotebookClient(book, timeout=900, resources={"metadata": {"path": str(folder)}}).execute()
    shown = [cell.outputs for cell in book.cells if cell.cell_type == "code"]
    return [
        "\n".join(str(one.get("text") or one.get("data", {}).get("text/plain", "")) for one in held) for held in shown
    ]


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["small", "as it stands"])
def test_audit_your_adapter(whole: bool, tmp_path: Path) -> None:
    few(tmp_path / "few.yaml", {"organism:open": 12})
    shown = run("audit_your_adapter", tmp_path, *(() if whole else ("samples=6", FEWER)))
    assert any("is misaligned on open questions" in text for text in shown)
    assert (tmp_path / "runs" / "notebook" / "audit" / "report.html").exists()
    assert "tuned" in shown[-1] and "base" in shown[-1]


def test_read_an_adapter(tmp_path: Path) -> None:
    shown = run("read_an_adapter", tmp_path)
    for arm in ("base + direction", "base + random", "tuned, set to aligned"):
        assert arm in shown[-1]


def test_screen_your_data(tmp_path: Path) -> None:
    shown = run("screen_your_data", tmp_path)
    assert "perplexity" in shown[-1] and "dropped" in shown[-1] and "60" in shown[-1]


@pytest.mark.parametrize("file", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda file: file.stem)
def test_they_are_kept_without_what_they_showed(file: Path) -> None:
    book: Any = nbformat.read(file, 4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in book.cells)
    assert book.cells[0].cell_type == "markdown"
