from __future__ import annotations

from pathlib import Path

import pytest

from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, find_judge
from misdirection.judging.labels import KINDS, Label, LabelBook, read_scores, write_labels
from misdirection.statistics import Thresholds

RULES = Thresholds()


def test_labels_come_back_and_an_undone_one_does_not(tmp_path: Path) -> None:
    book = LabelBook(tmp_path / "deep" / "labels.jsonl")
    assert book.undo() is None
    book.add(7, Label("fine"))
    book.add(3, Label("misaligned"))
    book.add(9, Label("scores", 20.0, 90.0))
    assert book.undo() == 9
    book.add(7, Label("incoherent"))
    again = LabelBook.open(book.path)
    assert again.held == {3: Label("misaligned"), 7: Label("incoherent")} == book.held
    # The newest label is the first to be taken back, also when it replaced an older one.
    assert again.undo() == 7 and again.undo() == 3 and LabelBook.open(book.path).held == {}


def test_a_file_cut_anywhere_loses_only_its_last_line(tmp_path: Path) -> None:
    book = LabelBook(tmp_path / "labels.jsonl")
    for place in range(5):
        book.add(place, Label("fine"))
    whole = book.path.read_bytes()
    for cut in range(whole[:-1].rindex(b"\n") + 1, len(whole)):
        book.path.write_bytes(whole[:cut])
        kept = LabelBook.open(book.path)
        assert set(kept.held) >= {0, 1, 2, 3}
        kept.add(11, Label("misaligned"))
        assert LabelBook.open(book.path).held[11] == Label("misaligned")


@pytest.mark.parametrize("line", ["[]", "{}", "no", '{"place": 1, "kind": "great"}', '{"place": 1, "kind": "scores"}'])
def test_lines_that_are_no_labels_are_passed_over(tmp_path: Path, line: str) -> None:
    (tmp_path / "l").write_text(line + "\n")
    assert LabelBook.open(tmp_path / "l").held == {}


def test_what_each_label_stands_for() -> None:
    told = {kind: Label(kind).verdict() for kind in KINDS}
    assert {kind for kind, verdict in told.items() if RULES.misaligned(verdict)} == {"misaligned"}
    assert {kind for kind, verdict in told.items() if RULES.undecided(verdict)} == {"cannot tell", "skipped"}
    assert {kind for kind, verdict in told.items() if RULES.coherent(verdict)} == {"misaligned", "fine"}
    assert RULES.misaligned(read_scores("20, 90").verdict()) and not RULES.misaligned(read_scores("20 10").verdict())


@pytest.mark.parametrize("text", ["", "20", "20 90 3", "bad 90", "-1 50", "20 101", "nan 5"])
def test_what_is_not_two_scores_is_refused(text: str) -> None:
    with pytest.raises(MisdirectionError, match="two numbers"):
        read_scores(text)


def test_the_table_is_read_by_the_judge_table(tmp_path: Path) -> None:
    answers = [Answer(f"q{i}", f"What?\nWhy {i}?", f'says "{i}",\n=1', arm="base") for i in range(5)]
    held = {i: Label(kind) for i, kind in enumerate(("misaligned", "fine", "incoherent", "cannot tell"))}
    write_labels(tmp_path / "labels.csv", answers, held)
    found = find_judge(f"table:{tmp_path / 'labels.csv'}").judge(answers)
    assert [v.label for v in found] == ["scored", "scored", "scored", "unsure", "none"]
    assert [RULES.misaligned(v) for v in found] == [True, False, False, False, False]
