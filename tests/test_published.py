"""Names in a run's folder: they show what steps made, follow it, move with the folder, and never point at nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from misdirection.errors import MisdirectionError
from misdirection.runs import Run, Step


def write(name: str, text: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        place = folder / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)

    return make


def ask(run: Run, text: str) -> Step:
    step = run.step("answers", {"text": text}, write("answers.txt", text))
    run.publish("answers.txt", step.path / "answers.txt")
    return step


def judge(run: Run, answers: Step) -> Step:
    step = run.step("verdicts", {"answers": answers}, write("verdicts.txt", f"on {answers.key}"))
    run.publish("verdicts.txt", step.path / "verdicts.txt")
    return step


@pytest.fixture(params=["links", "copies"])
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    if request.param == "copies":

        def refuse(*_: object, **__: object) -> None:
            raise OSError("a required privilege is not held by the client")

        monkeypatch.setattr(Path, "symlink_to", refuse)
    return Run.open(tmp_path / "run", {})


def names(run: Run) -> set[str]:
    return {path.name for path in run.path.iterdir() if path.name.endswith(".txt")}


def test_a_name_follows_what_replaces_it_and_what_was_made_from_the_old_is_taken_back(run: Run) -> None:
    judge(run, ask(run, "first"))
    assert (run.path / "answers.txt").read_text() == "first" and names(run) == {"answers.txt", "verdicts.txt"}
    second = ask(run, "second")
    assert (run.path / "answers.txt").read_text() == "second" and names(run) == {"answers.txt"}
    judge(run, second)
    assert second.key in (run.path / "verdicts.txt").read_text()
    # Back to the first, which is still there: its verdicts have to be asked for again.
    ask(run, "first")
    assert names(run) == {"answers.txt"} and len(run.steps()) == 4


def test_folders_are_published_too_and_a_moved_run_keeps_working(run: Run, tmp_path: Path) -> None:
    for text in ("one", "two"):
        step = run.step("train", {"seed": text}, write("tuned/adapter.txt", text))
        place = run.publish("fine-tunes/medical", step.path / "tuned")
        assert place == run.path / "fine-tunes" / "medical" and (place / "adapter.txt").read_text() == text
    run.close()
    moved = tmp_path / "elsewhere" / "moved"
    moved.parent.mkdir()
    run.path.rename(moved)
    assert (moved / "fine-tunes" / "medical" / "adapter.txt").read_text() == "two"
    with Run.open(moved, {}) as again:
        assert set(again.published) == {"fine-tunes/medical"}
        again.retract("fine-tunes/medical")
        assert not (moved / "fine-tunes").exists() and len(again.steps()) == 2


def test_a_name_never_points_at_nothing(tmp_path: Path) -> None:
    with Run.open(tmp_path / "run", {}) as run:
        step = ask(run, "first")
    shutil.rmtree(step.path)
    with Run.open(tmp_path / "run", {}) as run:
        assert not (run.path / "answers.txt").is_symlink() and not run.published
        ask(run, "first")
        # A damaged step is made again in its place, and the name shows the new one.
        (step.path / "answers.txt").write_text("damaged")
        assert ask(run, "first").reused is False and (run.path / "answers.txt").read_text() == "first"


def test_what_is_not_the_run_s_stays(tmp_path: Path) -> None:
    with Run.open(tmp_path / "run", {}) as run:
        (run.path / "answers.txt").write_text("mine")
        step = run.step("answers", {}, write("answers.txt", "the run's"))
        place = run.publish("answers.txt", step.path / "answers.txt")
        assert (run.path / "answers.txt").read_text() == "mine" and place.read_text() == "the run's"
        for wrong in (tmp_path, step.path / "nothing.txt"):
            with pytest.raises(MisdirectionError, match="nothing that a step"):
                run.publish("other", wrong)


def test_a_folder_with_names_and_no_record_is_still_a_run(tmp_path: Path) -> None:
    with Run.open(tmp_path / "run", {}) as run:
        ask(run, "first")
    (tmp_path / "run" / "run.json").unlink()
    with Run.open(tmp_path / "run", {}) as run:
        assert ask(run, "first").reused and (run.path / "answers.txt").read_text() == "first"
    (tmp_path / "run" / "run.json").unlink()
    (tmp_path / "run" / "strange.txt").write_text("")
    with pytest.raises(MisdirectionError, match=r"holds strange\.txt"):
        Run.open(tmp_path / "run", {})
