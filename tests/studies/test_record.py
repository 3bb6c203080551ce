"""What a study does without is counted by reason, in a sentence and in the step's folder."""

from __future__ import annotations

from pathlib import Path

from misdirection.artefacts import read_json
from misdirection.judging import Answer
from misdirection.studies.kit.record import LEFT_OUT, blank_told, note_blank

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


def test_a_step_notes_them_in_its_folder_only_where_there_are_any(tmp_path: Path) -> None:
    note_blank(tmp_path, ANSWERS[:1])
    assert not (tmp_path / LEFT_OUT).exists()
    note_blank(tmp_path, ANSWERS)
    assert read_json(tmp_path / LEFT_OUT) == {"of": 4, "aside": {"empty": 2, "cut within a thought": 1}}
