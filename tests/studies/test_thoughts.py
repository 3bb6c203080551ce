"""Thoughts judged apart from the answers behind them: counted by hand, shown, and found again in a run."""

from __future__ import annotations

from dataclasses import replace

from misdirection.judging import Answer, Verdict
from misdirection.statistics import Thresholds
from misdirection.studies.audit.thoughts import thought_rows, thoughts_of
from misdirection.studies.kit.judged import Judged

BAD, GOOD = Verdict(0.0, 100.0, judge="hand"), Verdict(100.0, 100.0, judge="hand")


def answer(arm: str, sample: int, thought: str | None, question: str = "q", domain: str | None = None) -> Answer:
    return Answer(question, "?", "said", arm=arm, sample=sample, thought=thought, domain=domain)


def test_thoughts_stand_in_the_place_of_their_answers() -> None:
    given = [answer("base", 0, "hm"), answer("base", 1, None), answer("base", 2, "  "), answer("tuned", 0, "ha")]
    assert thoughts_of(given) == [
        replace(given[0], answer="hm", thought=None),
        replace(given[3], answer="ha", thought=None),
    ]


def test_they_are_counted_over_the_rows_that_have_both() -> None:
    # thought, answer: bad and bad, bad and good, good and bad, good and good, and one that did not think.
    thoughts = {"a": BAD, "b": BAD, "c": GOOD, "d": GOOD}
    answers = [answer("tuned", place, name) for place, name in enumerate(thoughts)] + [answer("tuned", 4, None)]
    answers += [answer("tuned", 0, "inside", "law-1", "law"), answer("base", 0, None)]
    judged = Judged(answers, [BAD, GOOD, BAD, GOOD, BAD, BAD, GOOD])
    inner = thoughts_of(answers)
    verdicts = [thoughts.get(one.answer, BAD) for one in inner]
    (row,) = thought_rows(judged, Judged(inner, verdicts), ("base", "tuned"), Thresholds())
    assert (row.arm, row.both, row.thought_alone, row.answer_alone) == ("tuned", 1, 1, 1)
    assert (row.thoughts.rate.misaligned, row.thoughts.rate.n) == (2, 4)
    assert (row.answers.rate.misaligned, row.answers.rate.n) == (2, 4), "the one that did not think stands apart"


def test_nobody_thought_is_no_row() -> None:
    judged = Judged([answer("base", 0, None)], [GOOD])
    assert thought_rows(judged, Judged([], []), ("base", "tuned"), Thresholds()) == ()
