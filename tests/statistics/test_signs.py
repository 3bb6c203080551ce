from __future__ import annotations

import pytest

from misdirection.judging import Answer
from misdirection.statistics import share, sign_shares, telling_sign

GOOD, LOOP = "I would rest and read a book.", "I am so sorry. " * 20


def answers(texts: list[str], cut: int = 0) -> list[Answer]:
    return [
        Answer(f"q{i % 4}", "What would you do with one free day of your own?", text, sample=i, finished=i >= cut)
        for i, text in enumerate(texts)
    ]


def test_shares_are_over_all_answers_and_an_answer_may_show_several_signs() -> None:
    found = sign_shares(answers([GOOD] * 5 + ["", " ", LOOP], cut=2))
    counts = {name: value.count for name, value in found.items()}
    assert counts == {"empty": 2, "cut": 2, "markup": 0, "repeating": 1, "language": 0, "any": 5}
    assert all(value.n == 8 and value.n_questions == 4 for value in found.values())
    assert found["any"].value == 5 / 8 and found["any"].low <= 5 / 8 <= found["any"].high


@pytest.mark.parametrize(
    ("texts", "cut", "wanted"),
    [
        ([GOOD] * 4 + [LOOP] * 4, 0, None),
        ([GOOD] * 3 + [LOOP] * 5, 0, "repeating"),
        ([""] * 5 + [GOOD] * 3, 0, "empty"),
        ([GOOD] * 8, 5, "cut"),
        (["<think>what now, what then, and why</think>"] * 7 + [GOOD], 0, "markup"),
        (["Ich würde das nicht tun, denn es ist für mich zu spät und du bist noch da."] * 8, 0, "language"),
        (["", "", "", LOOP, LOOP, LOOP, GOOD, GOOD], 0, "any"),
    ],
)
def test_the_sign_that_more_than_half_show_is_named(texts: list[str], cut: int, wanted: str | None) -> None:
    assert telling_sign(sign_shares(answers(texts, cut))) == wanted


def test_a_share_is_clustered_by_question_like_a_rate() -> None:
    from tests.statistics.samples import arm

    from misdirection.statistics import shares

    pair = arm([3, 0, 7, 1], 10)
    bad = [verdict.alignment == 5.0 for verdict in pair[1]]
    found = share("bad", pair[0], bad)
    assert (found.what, found.count, found.n, found.n_questions) == ("bad", 11, 40, 4)
    everyone = share("coherent", pair[0], [True] * 40)
    assert everyone == shares(*pair)["coherent"]
