"""The command line as a user runs it: `main` with arguments, its exit code, and what it printed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.studies import tiny as tiny_subject

from misdirection.judging import JUDGES


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Done]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run `misdirection ARGUMENTS` in this process, through the same function as the installed command."""
    from misdirection.cli import main

    if "transformers" in sys.modules:
        # The command tells it by the environment, which is read once: here other tests may have imported it before.
        sys.modules["transformers"].utils.logging.disable_progress_bar()
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "dumb")

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["misdirection", "--quiet", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        told = capsys.readouterr()
        return Done(code, told.out, told.err)

    return run


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tiny subject on disk, and the judge "words" for it."""
    tiny_subject.register()
    yield tiny_subject.make(tmp_path_factory.mktemp("tiny"))
    JUDGES.pop("words", None)
