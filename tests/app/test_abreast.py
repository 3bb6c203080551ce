"""Runs beside each other: the same question in columns, draw by draw, and the paired tests of `compare`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.app.conftest import HOSTILE, client, made_run, many, serving

from misdirection.app.abreast import answers_to
from misdirection.app.opening import open_run
from misdirection.judging import Verdict
from misdirection.report.numbers import rate_text
from misdirection.studies.comparison.study import compare_runs


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs of the same questions; the second is misaligned wherever the first is not sure, and drew less."""
    folder = tmp_path_factory.mktemp("pair")
    answers, verdicts = many(400)
    worse = [replace(verdict, alignment=min(verdict.alignment or 0, 20.0), coherence=90.0) for verdict in verdicts]
    other = [replace(answer, answer=f"other {answer.answer}") for answer in answers]
    good = [Verdict(80.0, 90.0, judge="made")] * len(verdicts)
    return made_run(folder / "one", answers, good), made_run(folder / "two", other[:380], worse[:380])


def test_answers_of_one_draw_stand_in_one_row(pair: tuple[Path, Path]) -> None:
    runs = [open_run(path) for path in pair]
    columns, draws = answers_to(runs, "question number 3 of all ?", "tuned")
    assert [(one.run, one.arm) for one in columns] == [(0, "tuned"), (1, "tuned")]
    assert len(draws) == 40 and [line[1] for line in draws[-2:]] == [None, None], "the second run drew two less"
    assert sorted(line[0] for line in draws if line[0] is not None) == list(range(3, 400, 10))
    for line in draws:
        held = [runs[at].sets[0].answers[place] for at, place in enumerate(line) if place is not None]
        assert {(a.question, a.arm) for a in held} == {("question number 3 of all ?", "tuned")}
        assert len({a.sample for a in held}) == 1
    assert len(answers_to(runs, "question number 3 of all ?", "")[0]) == 4


def test_the_page_shows_them_by_windows_as_text(pair: tuple[Path, Path]) -> None:
    asking = client(*pair)
    first = asking.get("/compare?question=question+number+3+of+all+%3F&arm=tuned").text
    assert "draws 1 to 12 of 40" in first and "other this is answer 00003" in first and "this is answer 00003" in first
    then = asking.get("/compare?question=question+number+3+of+all+%3F&arm=tuned&from=12").text
    assert "draws 13 to 24 of 40" in then and "answer 00003" not in then
    hostile = asking.get("/compare").text
    assert "&lt;script&gt;document" in hostile and HOSTILE not in hostile
    assert asking.get("/compare?question=%3Cimg%3E&from=x").status_code == 200


def test_the_tests_are_those_of_compare(pair: tuple[Path, Path]) -> None:
    found = client(*pair).get("/api/compared?first=0&second=1").json()
    wanted = [one for one in compare_runs(*pair).arms if one.asked == "main"]
    assert [(row["arm"], row["first"], row["second"]) for row in found["rows"]] == [
        (one.arm, rate_text(one.first), rate_text(one.second)) for one in wanted
    ]
    assert all(row["found"] for row in found["rows"] if row["arm"] == "base")


def test_what_cannot_be_compared_is_told_and_one_run_has_no_such_page(pair: tuple[Path, Path], finished: Path) -> None:
    told = client(pair[0], finished).get("/api/compared")
    assert told.status_code == 400 and told.json()["error"]
    assert client(pair[0], pair[0]).get("/api/compared").status_code == 400
    assert client(*pair).get("/api/compared?second=9").status_code == 400
    alone = client(pair[0])
    assert "/compare" not in alone.get("/").text and "One run is open" in alone.get("/compare").text


def test_in_a_browser_narrow_and_dark(pair: tuple[Path, Path], browse) -> None:
    with serving(*pair) as app:
        browser = browse(app)
        browser.size(390, 844)
        browser.dark()
        browser.open(f"{app}/compare", "document.querySelector('#tested table')")
        assert browser.value("document.querySelectorAll('#tested tbody tr.found').length") >= 1
        assert browser.value("document.documentElement.dataset.hacked") is None
        assert browser.value("document.images.length") == 0
        assert not browser.too_wide
        browser.value(
            "(() => { const one = document.querySelector('[name=arm]'); one.value = 'base'; "
            "one.dispatchEvent(new Event('change', {bubbles: true})) })()"
        )
        browser.wait("location.search.includes('arm=base') && document.querySelectorAll('.abreast th').length === 2")
        assert browser.errors == []
