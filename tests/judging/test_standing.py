"""What is said of a judge's error: the figures of its card, and nothing of a judge of which nothing is known."""

from __future__ import annotations

import pytest

from misdirection.judging import find_judge
from misdirection.judging.offline import card
from misdirection.judging.standing import standing

MEASURED = {
    "on": "families held out",
    "answers": 12345,
    "kappa": 0.614,
    "arms": 20,
    "near": 17,
    "within": 3,
    "off": 2.06,
}


def test_the_judge_in_the_box_says_what_its_card_says() -> None:
    name, found = find_judge("offline").name, card.card()
    told = standing([name])
    assert told == standing(["offline"]) and name in told and found["judge"] in told
    assert told.count(". ") == 0 and told.endswith(".")
    if measured := found["measured"]:
        for figure in (
            f"{measured['answers']:,}",
            f"{measured['kappa']:.2f}",
            f"{measured['near']} of {measured['arms']}",
        ):
            assert figure in told
    else:
        assert "not been measured" in told


def test_every_figure_comes_from_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    held = card.card() | {"measured": MEASURED}
    monkeypatch.setattr(card, "card", lambda: held)
    told = standing(["offline"])
    for figure in ("12,345 answers of families held out", "0.61", "17 of 20 arms", "within 3 points", "2.1 off"):
        assert figure in told
    monkeypatch.setattr(card, "card", lambda: held | {"measured": None})
    assert "not been measured" in standing(["offline"])


def test_the_card_is_that_of_the_judge_that_ships() -> None:
    assert find_judge("offline").name == f"offline@{card.card()['version']}"


def test_another_version_has_another_error() -> None:
    assert "error is not known" in standing(["offline@0"])


def test_several_judges_are_told_once_each_and_others_not() -> None:
    assert standing(["exact", "none", "openai:gpt-4o", "local:m rubrics=1", "table:ab"]) == ""
    assert standing(["offline", "offline", "exact"]) == standing(["offline"])
