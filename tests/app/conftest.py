from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from fastapi.testclient import TestClient
from tests.app.browser import CHROMIUM, Browser
from tests.studies import tiny as tiny_subject

from misdirection.app.opening import OpenRun, open_run
from misdirection.app.serving import listen
from misdirection.app.site import build
from misdirection.artefacts import write_rows
from misdirection.judging import JUDGES, Answer, Verdict
from misdirection.runs import Run
from misdirection.studies.audit.study import audit
from misdirection.studies.kit.judged import write_verdicts

TOKEN, PORT = "a-token-of-the-tests", 8642
HOSTILE = "<script>document.documentElement.dataset.hacked='1'</script><img src=x onerror=alert(1)>\u202e</p>{{7*7}}"


@pytest.fixture(scope="session", autouse=True)
def _words_judge() -> Iterator[None]:
    tiny_subject.register()
    yield
    JUDGES.pop("words", None)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_subject.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def finished(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a whole audit; tests that change it work on a copy."""
    run = tmp_path_factory.mktemp("audit") / "run"
    audit(tiny_subject.config(tiny), run, "misdirection audit ...")
    return run


def made_run(folder: Path, answers: Sequence[Answer], verdicts: Sequence[Verdict]) -> Path:
    """A run of answers that were made up."""
    with Run.open(folder, {"command": "a test"}) as run:
        held = run.step("answers", {"n": len(answers)}, lambda path: write_rows(path / "answers.parquet", answers))
        told = run.step("verdicts", {"answers": held}, lambda path: write_verdicts(path / "verdicts.parquet", verdicts))
        run.publish("answers.parquet", held.path / "answers.parquet")
        run.publish("verdicts.parquet", told.path / "verdicts.parquet")
    return folder


def many(count: int) -> tuple[list[Answer], list[Verdict]]:
    """Answers of two arms to ten questions, each with its number in its words; the first is hostile."""
    answers = [
        Answer(
            f"q{place % 10}", f"question number {place % 10} of all ?",
            HOSTILE if place == 0 else f"this is answer {place:05d} " + "and it goes on " * (place % 9),
            arm=("base", "tuned")[place % 2], sample=place // 20, n_tokens=12,
        )
        for place in range(count)
    ]  # fmt: skip
    verdicts = [Verdict(float(place * 7 % 101), float(40 + place % 60), judge="made") for place in range(count)]
    return answers, verdicts


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 10,000 answers."""
    return made_run(tmp_path_factory.mktemp("large") / "run", *many(10_000))


def client(*runs: OpenRun | Path) -> TestClient:
    """A browser's requests to the app over some runs, the cookie given."""
    held = [run if isinstance(run, OpenRun) else open_run(run) for run in runs]
    asking = TestClient(build(held, TOKEN, PORT), base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False)
    assert asking.get(f"/?token={TOKEN}").status_code == 200
    return asking


@contextmanager
def serving(*runs: Path) -> Generator[str]:
    """The app as it is served, in a thread of its own; its address with the token."""
    with listen(0) as held:
        port = held.getsockname()[1]
        server = uvicorn.Server(
            uvicorn.Config(build([open_run(run) for run in runs], TOKEN, port), log_level="error", access_log=False)
        )
        thread = threading.Thread(target=lambda: server.run(sockets=[held]), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def browse(tmp_path: Path) -> Iterator[Callable[[str], Browser]]:
    """Opens a page of an app that is served, let in by the token."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with Browser(tmp_path / "profile") as browser:

        def enter(address: str) -> Browser:
            browser.open(f"{address}/?token={TOKEN}", "document.body?.dataset.page === 'overview'")
            return browser

        yield enter
