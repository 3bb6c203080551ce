"""Folders of every kind: finished, half-written, damaged, older, later, foreign."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path

import pytest
from tests.app.conftest import client, made_run, many

from misdirection.app.figures import figures, side_by_side
from misdirection.app.looking import variant_of
from misdirection.app.opening import open_run
from misdirection.artefacts import write_json, write_rows
from misdirection.errors import MisdirectionError
from misdirection.runs import Run
from misdirection.statistics import rate, shares


def copy_of(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run, folder / "copy", symlinks=True))


def record(run: Path, **changes: object) -> None:
    file = run / "run.json"
    write_json(file, json.loads(file.read_text()) | changes)


def test_a_finished_run_is_read_with_its_verdict_and_what_it_was_made_from(finished: Path) -> None:
    run = open_run(finished)
    assert run.has_report
    assert run.faults == []
    assert run.headline is not None
    assert run.headline.sentence == json.loads((finished / "findings.json").read_text())["verdict"]["sentence"]
    assert run.sets[0].name == "answers" and len(run.sets) == 5
    assert all(held.judges for held in run.sets)
    told = dict(run.made_from)
    assert told["judge"] == "words" and told["samples"] == "24" and told["model"].endswith("base")
    assert run.sets[0].variants == {"base": "base", "tuned": "tuned"}


def test_its_rates_are_those_of_statistics(finished: Path) -> None:
    run = open_run(finished)
    assert run.main is not None
    for found in figures(run.main, run.thresholds):
        part = run.main.judged.where(lambda a, found=found: (a.domain or "open", a.format, a.arm) == found.place)
        expected = rate(*part.pair, thresholds=run.thresholds)
        assert (found.rate.value, found.rate.low, found.rate.high) == (expected.value, expected.low, expected.high)
        assert found.coherent.value == shares(*part.pair, thresholds=run.thresholds)["coherent"].value


def test_runs_stand_side_by_side_by_group_and_arm(finished: Path, large: Path) -> None:
    lines = side_by_side([open_run(finished), open_run(large)])
    both = [line for line in lines if None not in line.cells]
    assert {(line.group, line.format, line.arm) for line in both} == {
        ("open", "plain", "base"),
        ("open", "plain", "tuned"),
    }
    assert any(line.group == "medical" and line.cells[1] is None for line in lines)


def test_looking_changes_nothing(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    asking = client(finished)
    for page in ("/", "/answers", "/answers/0/answers/3", "/runs/0/report"):
        assert asking.get(page).status_code == 200
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_a_half_written_run_shows_what_it_has_and_how_to_go_on(finished: Path, tmp_path: Path) -> None:
    half = copy_of(finished, tmp_path)
    for name in ("findings.json", "report.html"):
        (half / name).unlink()
    for step in half.glob("steps/*verdicts*"):
        shutil.rmtree(step)
    (half / "steps" / ".tmp-best-answers-1").mkdir()
    record(half, finished=None)
    page = client(half).get("/").text
    assert "not finished" in page and f"misdirection audit --out {half}" in page
    assert "not judged" in page
    assert client(half).get("/answers?kind=unscored").status_code == 200


def test_a_run_that_goes_on_while_it_is_looked_at_is_shown_as_it_is_now(finished: Path, tmp_path: Path) -> None:
    whole, half = copy_of(finished, tmp_path), tmp_path / "half"
    Run.open(half, {}).close(finished=False)
    asking = client(half)
    assert "no answers yet" in asking.get("/").text
    shutil.copytree(whole / "steps", half / "steps", dirs_exist_ok=True, symlinks=True)
    record(half, published=json.loads((whole / "run.json").read_text())["published"])
    page = asking.get("/").text
    assert "no answers yet" not in page and "not finished" in page and "answers?run=0" in page
    assert asking.get("/answers").text.count("<option") > 3 and asking.get("/answers/0/answers/3").status_code == 200
    for name in ("findings.json", "run.json"):
        shutil.copy(whole / name, half / name)
    page, sentence = asking.get("/").text, json.loads((whole / "findings.json").read_text())["verdict"]["sentence"]
    assert "not finished" not in page and sentence in html.unescape(page)
    record(half, format=999)
    page = asking.get("/").text
    assert "Shown as it was before" in page and sentence in html.unescape(page)
    assert asking.get("/").text.count("Shown as it was before") == 1


def test_a_run_in_which_nothing_was_made_yet_opens(tmp_path: Path) -> None:
    with Run.open(tmp_path / "run", {"command": "x"}):
        page = client(tmp_path / "run").get("/").text
    assert "no answers yet" in page and "not finished" in page
    assert client(tmp_path / "run").get("/answers").status_code == 200


def test_a_damaged_step_is_left_out_by_name_and_the_rest_is_shown(finished: Path, tmp_path: Path) -> None:
    run = copy_of(finished, tmp_path)
    sweep = next(run.glob("steps/sweep-answers-*")) / "answers.parquet"
    sweep.write_bytes(sweep.read_bytes()[:-100])
    lost = next(run.glob("steps/verdicts-*")) / "verdicts.parquet"
    lost.write_bytes(b"PAR1")
    found = open_run(run)
    assert len(found.faults) == 2
    assert any("sweep-answers-" in text and "damaged" in text for text in found.faults)
    assert any(text.startswith("The verdicts of verdicts-") for text in found.faults)
    assert "sweep-answers" not in [held.name for held in found.sets]
    assert client(found).get("/").status_code == 200


def test_findings_of_an_older_layout_are_said_and_rates_made_anew(large: Path, tmp_path: Path) -> None:
    run = copy_of(large, tmp_path)
    write_json(run / "findings.json", {"kind": "formats", "title": "An old study", "verdict": {"said": "x"}})
    found = open_run(run)
    assert found.headline is None and found.title == "An old study"
    assert any("older version" in text for text in found.faults)
    assert "An old study" in client(found).get("/").text
    for broken in ("[1]", "{", '"x"'):
        (run / "findings.json").write_text(broken)
        assert any("findings" in text for text in open_run(run).faults)
        assert client(run).get("/").status_code == 200


def test_rows_of_an_older_version_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    old = [{"question_id": "a", "question": "x ?", "answer": "y", "arm": "base", "domain": None, "gone": 3}]
    with Run.open(tmp_path / "run", {}) as run:
        run.step("answers", {}, lambda path: write_rows(path / "answers.parquet", old))
        run.step("pairs", {}, lambda path: write_rows(path / "answers.parquet", [{"row": 1, "answer": "no question"}]))
    found = open_run(tmp_path / "run")
    assert [held.name for held in found.sets] == ["answers"]
    assert found.sets[0].answers[0].ids is None and found.sets[0].verdicts[0].label == "none"


def test_of_two_steps_of_one_name_the_one_that_the_run_shows_is_read(tmp_path: Path) -> None:
    answers, verdicts = many(40)
    made_run(tmp_path / "run", answers, verdicts)
    with Run.open(tmp_path / "run", {}) as run:
        run.step("answers", {"another": 1}, lambda path: write_rows(path / "answers.parquet", answers[:3]))
    assert len(open_run(tmp_path / "run").sets[0].answers) == 40


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: None, "does not exist"),
        (lambda folder: folder.mkdir(), "is no run"),
        (lambda folder: folder.write_text("x"), "is no run"),
        (lambda folder: (folder.mkdir(), (folder / "run.json").write_text("{")), "not readable JSON"),
        (lambda folder: (folder.mkdir(), (folder / "run.json").write_text("[]")), "no record of a run"),
        (lambda folder: (folder.mkdir(), (folder / "run.json").write_text('{"format": 9}')), "later version"),
    ],
)
def test_a_folder_that_is_no_run_is_refused(make, said: str, tmp_path: Path) -> None:
    make(tmp_path / "folder")
    with pytest.raises(MisdirectionError, match=said) as error:
        open_run(tmp_path / "folder")
    assert error.value.hint


def test_arms_of_sweeps_and_cures_say_what_was_done_in_which_model(finished: Path) -> None:
    run = open_run(finished)
    for name, model in (("sweep-answers", "base"), ("cures-answers", "tuned"), ("cure-sweep-answers", "tuned")):
        held = run.set_called(name)
        done = [arm for arm in held.arms if arm not in ("base", "tuned", "no-op")]
        assert done and {held.variants[arm] for arm in done} == {model}
        assert set(done) <= held.changed and all(held.conditions[arm] for arm in done)
        assert all(variant_of(run, held, a) == model for a in held.answers if a.arm in done)
