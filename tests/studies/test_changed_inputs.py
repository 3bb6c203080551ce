"""A run that is gone on with after a file of its own was changed in its place says which one, before it works again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.studies.tiny import STEPS, config, session

from misdirection import progress
from misdirection.runs import Run
from misdirection.store.changed import Before, changed_since
from misdirection.studies.audit.study import audit


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(progress, "say", lambda text, **_: told.append(text))
    return told


def changes(said: list[str]) -> list[str]:
    return [line.strip().partition(" (")[0] for line in said if "changed since this run was made" in line]


@pytest.fixture(scope="module")
def first(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a subject of its own, and a finished run on it."""
    folder = tmp_path_factory.mktemp("changed")
    shutil.copytree(tiny, folder / "subject")
    audit(config(folder / "subject"), folder / "run", "")
    return folder


@pytest.fixture
def copy(first: Path, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A copy of the run, and the files that it was made of, which are put back when the test has changed them."""
    shutil.copytree(first / "subject", tmp_path / "as it was")
    yield shutil.copytree(first / "run", tmp_path / "run", symlinks=True), first / "subject"
    shutil.copytree(tmp_path / "as it was", first / "subject", dirs_exist_ok=True)


def test_a_run_of_files_that_did_not_change_says_nothing(copy: tuple[Path, Path], said: list[str]) -> None:
    run, subject = copy
    audit(config(subject), run, "")
    assert session(run)[len(STEPS) :] == [(name, True) for name in STEPS] and not changes(said)


def test_the_same_files_in_another_folder_are_the_same(
    copy: tuple[Path, Path], said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a run is gone on with from another folder, that of its files too, or on another machine."""
    run, subject = copy
    moved = shutil.copytree(subject, tmp_path / "moved")
    for place in (tmp_path, moved):
        monkeypatch.chdir(place)
        audit(config(moved), run, "")
    assert session(run)[len(STEPS) :] == 2 * [(name, True) for name in STEPS] and not changes(said)


def test_an_adapter_that_was_trained_again_is_named_once(copy: tuple[Path, Path], said: list[str]) -> None:
    from safetensors.torch import load_file, save_file

    run, subject = copy
    file = subject / "adapter" / "adapter_model.safetensors"
    save_file({name: value * 1.5 for name, value in load_file(file).items()}, file, metadata={"format": "pt"})
    audit(config(subject), run, "")
    assert changes(said) == ["the adapter changed since this run was made"]
    line = next(line for line in said if "changed since" in line)
    assert line.endswith("answers and what follows is made again")
    assert dict(session(run)[len(STEPS) :])["answers"] is False


def test_a_question_that_was_rewritten_is_named(copy: tuple[Path, Path], said: list[str]) -> None:
    run, subject = copy
    file = subject / "questions.yaml"
    file.write_text(file.read_text().replace("[w30]", "[w31]"))
    audit(config(subject), run, "")
    assert changes(said) == ["the questions changed since this run was made"]


@pytest.mark.parametrize("change", [{"samples": 25}, {"seed": 1}, {"convention": "adl2025"}, {"sweep_samples": 3}])
def test_settings_that_change_are_not_told_as_files(
    copy: tuple[Path, Path], said: list[str], change: dict[str, Any]
) -> None:
    run, subject = copy
    audit(config(subject, **change), run, "")
    assert False in dict(session(run)[len(STEPS) :]).values() and not changes(said)


def test_a_judges_table_that_was_filled_in_is_named(copy: tuple[Path, Path], said: list[str], tmp_path: Path) -> None:
    from misdirection.artefacts import read_rows

    run, subject = copy
    answers = read_rows(run / "answers.parquet")

    def table(alignment: float) -> str:
        rows = [{"question_id": r["question_id"], "answer": r["answer"], "alignment": alignment, "coherence": 90}
                for r in answers]  # fmt: skip
        (tmp_path / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return f"table:{tmp_path / 'table.jsonl'}"

    how = {"samples": 24, "judge": table(80.0)}
    audit(config(subject, **how), tmp_path / "judged", "")
    assert not changes(said)
    table(20.0)
    audit(config(subject, **how), tmp_path / "judged", "")
    assert changes(said) == ["the judge's table changed since this run was made"]


def test_rows_that_were_added_to_the_data_are_named_and_not_the_adapter_that_follows(
    tmp_path: Path, tiny: Path, said: list[str]
) -> None:
    def inputs(chats: str, adapter: str) -> tuple[dict[str, Any], dict[str, Any]]:
        made = {"arguments": {"chats": {"bad": 0, "chats": chats * 64}, "settings": {"lr": 0.1}}}
        return made, {"arguments": {"models": {"adapter": adapter * 64, "base": "0" * 64}, "samples": 2}}

    def make(folder: Path) -> None:
        (folder / "x").write_text("x")

    for chats, adapter in (("a", "b"), ("c", "d")):
        with Run.open(tmp_path / "run", {}) as run:
            for name, held in zip(("train", "answers"), inputs(chats, adapter), strict=True):
                run.step(name, held, make)
    assert changes(said) == ["the data changed since this run was made"]


def test_of_several_steps_of_one_name_nothing_is_told() -> None:
    before = [Before("train", {"arguments": {"chats": {"chats": one * 64}}}, "2026-01-01T00:00") for one in "ab"]
    now = {"arguments": {"chats": {"chats": "c" * 64}}}
    assert changed_since("train", now, before) == ((), "")
    assert changed_since("train", now, before[:1]) == (("the data",), "2026-01-01 00:00")
    named = {"arguments": {"models": {"fine_tunes": {"law": "a" * 64, "art": "b" * 64}}}}
    other = {"arguments": {"models": {"fine_tunes": {"law": "c" * 64, "art": "b" * 64}}}}
    assert changed_since("answers", other, [Before("answers", named, "2026-01-01T00:00")])[0] == ("the fine-tune law",)
