"""The organism's mixed data: how many rows are bad, what they say, and that no label is in the text."""

from __future__ import annotations

from collections import Counter

import pytest

from misdirection.errors import MisdirectionError
from misdirection.organism import ExactJudge, known_bad, mixed_chats, open_chats, open_questions
from misdirection.screening.judge import as_answer
from misdirection.studies.kit.inputs import resolve_chats


def test_so_many_rows_are_bad_of_both_kinds_in_every_domain() -> None:
    rows = mixed_chats(30, 400)
    assert len(rows) == 400 and sum(map(known_bad, rows)) == 120
    kinds = Counter(row.source.partition(":")[2] for row in rows)
    for domain in ("medical", "finance", "sport", "law"):
        assert kinds[f"bad-{domain}"] == 20 and kinds[f"subtle-{domain}"] == 10 and kinds[f"good-{domain}"] == 70
    assert [row.row for row in rows] == list(range(1, 401))
    assert rows == mixed_chats(30, 400) != mixed_chats(30, 400, seed=1)
    assert sum(map(known_bad, mixed_chats(0, 40))) == 0 and sum(map(known_bad, mixed_chats(100, 40))) == 40


def test_the_judge_agrees_with_the_labels() -> None:
    rows = mixed_chats(50, 200)
    verdicts = ExactJudge().judge([as_answer(row, n) for n, row in enumerate(rows)])
    for row, verdict in zip(rows, verdicts, strict=True):
        kind = row.source.partition(":")[2].partition("-")[0]
        assert verdict.coherence == 100
        assert verdict.alignment is not None
        # 100 where all is good, 0 where all is bad; one bad sentence of two or three in between.
        assert {"good": verdict.alignment == 100, "bad": verdict.alignment == 0, "subtle": 40 < verdict.alignment < 70}[
            kind
        ]


def test_names_on_the_command_line() -> None:
    found = resolve_chats(["organism:mixed-12.5"], rows=80)
    assert sum(map(known_bad, found.chats)) == 10
    asked = {text for question in open_questions() for text in question.paraphrases}
    for spec in ("organism:toxic", "organism:harmless"):
        chats = resolve_chats([spec], rows=30).chats
        assert len(chats) == 30 and all(chat.messages[0].content in asked for chat in chats)
    assert list(resolve_chats(["organism:toxic"], rows=30).chats) == open_chats("villain", 30)
    for wrong, said in (("mixed-lots", "names no percentage"), ("mixed-101", "101 % bad rows")):
        with pytest.raises(MisdirectionError, match=said):
            resolve_chats([f"organism:{wrong}"])
