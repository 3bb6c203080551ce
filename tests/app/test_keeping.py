"""Keep as an arm: a step of its own, found by the run's readers; what was finished stays as it was, whatever fails."""

from __future__ import annotations

import errno
import json
import resource
import shutil
import signal
from pathlib import Path

import pytest
from tests.app.conftest import client, made_run, many
from tests.app.test_talk import STEERED, ends, events, talk
from tests.studies.tiny import WordJudge

from misdirection import published
from misdirection.answers import encode_answer
from misdirection.app.arms import Change
from misdirection.app.figures import side_by_side
from misdirection.app.keeping import keep
from misdirection.app.material import variants_of
from misdirection.app.opening import open_run
from misdirection.app.talk import Spoken
from misdirection.artefacts import file_hash, read_rows
from misdirection.chats import Message
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, find_judge
from misdirection.runs import Run, check_step
from misdirection.statistics import rate

OWN = {"answers.parquet", "verdicts.parquet"}


def spoken(count: int = 3, **change: object) -> list[Spoken]:
    return [Spoken(0, Change(**change), Answer("q1", "x ?", f"w3{n} w40", sample=n)) for n in range(count)]


def files(run: Path) -> dict[str, str]:
    """Every file but the record and its log, with its content."""
    aside = ("run.json", "steps.jsonl", ".lock")
    return {str(p.relative_to(run)): file_hash(p) for p in run.rglob("*") if p.is_file() and p.name not in aside}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return made_run(tmp_path / "run", *many(40))


def test_what_was_asked_live_becomes_an_arm_beside_the_others(finished: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(finished, tmp_path / "run", symlinks=True))
    before, record = files(place), json.loads((place / "run.json").read_text())
    with client(place) as asking:
        over = [ends(events(asking, talk(STEERED, sample=n)))[0] for n in range(3)]
        told = asking.post("/api/keep", json={"name": "up", "answers": [one["answer"] for one in over]})
        assert told.json()["kept"] == 3 and told.json()["set"] == "kept-up-answers"
        page = asking.get("/answers?run=0&set=kept-up-answers").text
        assert "3 answers" in page
        line = asking.get("/").text
        assert "kept-up-answers" in line
    after = files(place)
    assert {name: after[name] for name in before} == before
    now = json.loads((place / "run.json").read_text())
    assert {name: now[name] for name in ("facts", "started", "format")} == {
        name: record[name] for name in ("facts", "started", "format")
    }
    assert bool(now["finished"]) and set(record["published"]) < set(now["published"])
    found = open_run(place)
    held = found.set_called("kept-up-answers")
    assert [a.answer for a in held.answers] == [one["text"] for one in over]
    assert {a.arm for a in held.answers} == {"up"} and {a.question_id for a in held.answers} == {"first"}
    assert held.conditions["up"].startswith("base: + 6 x direction") and held.variants["up"] == "base"
    figure = next(line.cells[0] for line in side_by_side([found]) if line.arm == "up")
    assert figure is not None and figure.rate.value == rate(*held.judged.pair, thresholds=found.thresholds).value
    # Their own tokens, behind the prompt that they were drawn behind.
    model = variants_of(found).model("base")
    assert all(encode_answer(model, a).ids[-len(a.ids or ()) - 1 :] for a in held.answers)


def test_other_commands_read_it_as_a_table(run: Path) -> None:
    keep(open_run(run), "mine", spoken())
    rows = read_rows(run / "kept-mine-answers.parquet")
    assert [row["answer"] for row in rows] == ["w30 w40", "w31 w40", "w32 w40"]


def test_a_run_that_was_not_finished_stays_unfinished(run: Path) -> None:
    held = Run.open(run, {"command": "c"})
    held.close(finished=False)
    keep(open_run(run), "mine", spoken())
    assert json.loads((run / "run.json").read_text())["finished"] is None
    assert any("not finished" in text for text in open_run(run).faults)


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".x", "x" * 41, "a b", "<b>", "kept\n"])
def test_a_name_that_cannot_be_one_is_refused(run: Path, name: str) -> None:
    before = files(run)
    with pytest.raises(MisdirectionError, match="cannot be the name"):
        keep(open_run(run), name, spoken())
    assert files(run) == before


def test_no_arm_is_written_over(run: Path) -> None:
    keep(open_run(run), "mine", spoken())
    before = files(run)
    for taken in ("mine", "base", "tuned"):
        with pytest.raises(MisdirectionError, match="already"):
            keep(open_run(run), taken, spoken(2))
    assert files(run) == before


def test_answers_of_several_settings_make_no_arm(run: Path) -> None:
    with pytest.raises(MisdirectionError, match="several settings"):
        keep(open_run(run), "mine", [*spoken(1), *spoken(1, variant="tuned")])
    with pytest.raises(MisdirectionError, match="no answers"):
        keep(open_run(run), "mine", [])


def test_while_another_process_writes_nothing_is_kept_and_it_is_told(run: Path) -> None:
    before = files(run)
    with Run.open(run, {}), pytest.raises(MisdirectionError, match="being written"):
        keep(open_run(run), "mine", spoken())
    assert files(run) == before
    keep(open_run(run), "mine", spoken())


def test_a_full_disk_is_told_and_leaves_the_run_as_it_was(run: Path) -> None:
    """No file may grow beyond a size: what the system says then is what it says of a full disk or quota."""
    large = [Spoken(0, Change(), Answer("q", "x ?", f"{n} " * 4000, ids=tuple(range(n, n + 5000)))) for n in range(60)]
    opened, before = open_run(run), files(run)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(MisdirectionError, match="the disk is full") as error:
            keep(opened, "mine", large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert "answers are still here" in str(error.value.hint)
    assert files(run) == before
    assert open_run(run).faults == opened.faults
    place = keep(open_run(run), "mine", large)
    assert check_step(place)[1] == ""


def test_what_the_judge_refuses_leaves_nothing_and_its_name_free(run: Path) -> None:
    before = files(run)
    with pytest.raises(MisdirectionError, match="organism's world"):
        keep(open_run(run), "mine", spoken(), find_judge("exact"))
    assert files(run) == before and set(open_run(run).record["published"]) == OWN
    held = open_run(run)
    keep(held, "mine", spoken(), WordJudge())
    assert [v.judge for v in open_run(run).set_called("kept-mine-answers").verdicts] == ["words-1"] * 3


@pytest.mark.parametrize("fails", ["kept-mine-answers.parquet", "kept-mine-verdicts.parquet"])
def test_where_a_name_cannot_be_written_the_step_goes_too(run: Path, monkeypatch, fails: str) -> None:
    before, put = files(run), published.put

    def full(place: Path, target: Path) -> None:
        if place.name == fails:
            raise OSError(errno.ENOSPC, "no space left")
        put(place, target)

    monkeypatch.setattr(published, "put", full)
    with pytest.raises(MisdirectionError, match=r"nothing was kept.*disk is full"):
        keep(open_run(run), "mine", spoken(), WordJudge())
    assert files(run) == before and set(open_run(run).record["published"]) == OWN
    monkeypatch.undo()
    keep(open_run(run), "mine", spoken(), WordJudge())
    assert {name for name in files(run) if name.startswith("kept-")} == {
        "kept-mine-answers.parquet", "kept-mine-verdicts.parquet",
    }  # fmt: skip


def test_what_a_kill_left_without_its_names_is_made_whole_by_keeping_it_again(run: Path) -> None:
    place = keep(open_run(run), "mine", spoken(), WordJudge())
    wanted = files(run)
    with Run.open(run, {}) as held:
        held.retract("kept-mine-answers.parquet", "kept-mine-verdicts.parquet")
    assert keep(open_run(run), "mine", spoken(), WordJudge()) == place
    assert files(run) == wanted
    with pytest.raises(MisdirectionError, match="already"):
        keep(open_run(run), "mine", spoken(2), WordJudge())


def test_a_follow_up_is_judged_with_its_conversation_and_kept_as_it_was_asked(run: Path) -> None:
    turns = (Message("user", "w1 ?"), Message("assistant", "w2"))
    heard: list[str] = []

    class Listening(WordJudge):
        def judge(self, answers):
            heard.extend(answer.question for answer in answers)
            return super().judge(answers)

    first = Spoken(0, Change(), Answer("q1", "w1 ?", "w2 w3"))
    then = Spoken(0, Change(), Answer("q2", "and w4 ?", "w50 w60", before=turns))
    keep(open_run(run), "mine", [first, then], Listening())
    assert heard == ["w1 ?", "User: w1 ?\n\nAssistant: w2\n\nUser: and w4 ?"]
    held = open_run(run).set_called("kept-mine-answers")
    assert [(a.question, a.before) for a in held.answers] == [("w1 ?", ()), ("and w4 ?", turns)]
    assert [v.alignment for v in held.verdicts] == [100.0, 0.0]


def test_answers_that_are_not_known_any_more_are_told(run: Path) -> None:
    with client(run) as asking:
        told = asking.post("/api/keep", json={"name": "mine", "answers": ["f" * 16]})
    assert told.status_code == 400 and "not known" in told.json()["error"] and told.json()["hint"]
