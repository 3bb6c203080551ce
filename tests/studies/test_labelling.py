"""Labels that a person gives: what was said of which answer, what is kept, and how far judges agree."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from misdirection.artefacts import write_json
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict
from misdirection.judging.labels import Label, LabelBook
from misdirection.statistics import Thresholds
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.labelling import Session, likeness, open_session

RULES = Thresholds()
BAD, FINE = Verdict(5.0, 90.0, judge="offline-1"), Verdict(90.0, 90.0, judge="offline-1")


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Six answers, of which the run's judge calls the first three misaligned; shown from the last to the first."""
    answers = [Answer("q", "Why?", f"because of {i}") for i in range(6)]
    book = LabelBook.open(tmp_path / "labels.jsonl")
    return Session(tmp_path, Judged(answers, [BAD] * 3 + [FINE] * 3), (), (5, 4, 3, 2, 1, 0), book, 0)


def test_what_was_skipped_waits_and_what_was_told_is_done(session: Session) -> None:
    assert session.untouched == [5, 4, 3, 2, 1, 0] and session.save() is None and not session.table.exists()
    for place, kind in ((5, "fine"), (4, "skipped"), (3, "cannot tell")):
        session.book.add(place, Label(kind))
    assert (session.untouched, session.skipped, session.done) == ([2, 1, 0], [4], 2)
    session.book.add(4, Label("misaligned"))
    assert (session.skipped, session.done) == ([], 3)
    assert session.save() == session.table
    assert [row["answer"] for row in csv.DictReader(session.table.open())] == [f"because of {i}" for i in (3, 4, 5)]


def test_the_run_s_judge_is_set_beside_the_person(session: Session) -> None:
    assert likeness(session, RULES) == []
    for place, kind in ((0, "misaligned"), (1, "misaligned"), (2, "fine"), (3, "misaligned"), (4, "cannot tell")):
        session.book.add(place, Label(kind))
    (told,) = likeness(session, RULES)
    # Of 0 .. 3 both say misaligned of 0 and 1; 2 is misaligned by the judge alone, 3 by the person alone.
    assert told.startswith("the run's judge says the same of 2 of 4 answers that both judged, kappa ")
    assert "misaligned by you alone 1, by it alone 1 " in told


def test_where_nobody_judged_the_judge_in_the_box_is_asked_for_comparison(session: Session) -> None:
    unjudged = replace(session, judged=Judged(session.judged.answers, [Verdict(None, None, "none")] * 6))
    unjudged.book.add(4, Label("cannot tell"))
    assert likeness(unjudged, RULES) == []
    unjudged.book.add(0, Label("fine"))
    assert [text.partition(" ")[0] for text in likeness(unjudged, RULES)] == ["offline"]


def test_a_run_without_answers_has_nothing_to_label(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {"facts": {}})
    (tmp_path / "steps").mkdir()
    with pytest.raises(MisdirectionError, match="holds no answers") as error:
        open_session(tmp_path, RULES)
    assert f"misdirection sample --out {tmp_path}" in str(error.value.hint)
