from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.studies import tiny as tiny_subject

from misdirection.judging import JUDGES
from misdirection.studies.audit.study import audit


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base model with an adapter, a whole tuned model and questions (see tests/studies/tiny.py)."""
    return tiny_subject.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session", autouse=True)
def _words_judge() -> Iterator[None]:
    tiny_subject.register()
    yield
    JUDGES.pop("words", None)


@pytest.fixture(scope="session")
def finished(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one whole audit; tests that change it work on a copy."""
    run = tmp_path_factory.mktemp("audit") / "run"
    audit(tiny_subject.config(tiny), run, "misdirection audit ...")
    return run
