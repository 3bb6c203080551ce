"""What a study does without is counted by reason, in a sentence and beside the value of a measurement."""

from __future__ import annotations

from misdirection.judging import Answer
from misdirection.studies.kit.record import LeftOut, blank_told, left_blank

ANSWERS = [
    Answer("q", "Why?", "Because."),
    Answer("q", "Why?", " \n"),
    Answer("q", "Why?", ""),
    Answer("q", "Why?", "", thought="Let me"),
]


def test_blank_answers_are_told_by_reason_and_others_are_not() -> None:
    told = "3 of 4 answers could not be read back (2 empty, 1 cut within a thought) and are left out of the drift"
    assert blank_told(ANSWERS, "the drift") == [told]
    assert blank_told(ANSWERS[:1], "the drift") == blank_told([], "the drift") == []


def test_a_measurement_keeps_their_count_only_where_there_are_any() -> None:
    assert left_blank(ANSWERS[:1]) is None
    assert left_blank(ANSWERS) == LeftOut(4, {"empty": 2, "cut within a thought": 1})
