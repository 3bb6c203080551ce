"""The list of several runs' answers, figures beside each other, and what controls mean: on runs made by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qsl

import pytest

from misdirection.app.answers import AnswerSet, Query
from misdirection.app.arms import Change, arm_of, condition_of, in_words
from misdirection.app.figures import figures, side_by_side
from misdirection.app.rows import Asked, around, found, read_asked, window
from misdirection.app.scoring import in_conversation
from misdirection.chats import Message
from misdirection.conditions import Along, Held, Scaled
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict
from misdirection.statistics import Thresholds


def answers(
    name: str, scores: list[float | None], arm: str = "tuned", coherence: float = 90.0, **more: Any
) -> AnswerSet:
    held = [Answer(f"q{n}", f"question {n}", f"said {n}", arm=arm, sample=n, **more) for n in range(len(scores))]
    verdicts = [Verdict(score, None if score is None else coherence) for score in scores]
    return AnswerSet(name, cast(Any, None), held, {"verdicts": verdicts})


def run(name: str, *sets: AnswerSet, below: float = 30.0) -> Any:
    by = {one.name: one for one in sets}
    return SimpleNamespace(
        name=name, sets=list(sets), main=sets[0], thresholds=Thresholds(below, 50), set_called=by.__getitem__
    )


RUNS = [
    run("first", answers("answers", [20.0, None, 80.0]), answers("cures", [1.0])),
    run("second", answers("answers", [10.0, 90.0, 35.0]), answers("kept-live", [0.0], arm="live"), below=40.0),
]


def test_answers_of_several_runs_are_ordered_together_and_those_without_a_score_come_last() -> None:
    def order(by: str) -> list[tuple[int, int]]:
        return [(place, at) for place, _, at in found(Asked(query=Query(order=by)), RUNS)]

    assert order("worst") == [(1, 0), (0, 0), (1, 2), (0, 2), (1, 1), (0, 1)]
    assert order("best") == [(1, 1), (0, 2), (1, 2), (0, 0), (1, 0), (0, 1)]
    assert order("") == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert found(Asked(0, "cures"), RUNS) == [(0, "cures", 0)] == found(Asked(name="cures"), RUNS)


def test_an_answer_is_misaligned_by_the_rule_of_its_own_run() -> None:
    bad = found(Asked(query=Query(kind="misaligned")), RUNS)
    assert [(place, at) for place, _, at in bad] == [(0, 0), (1, 0), (1, 2)]
    rows = window(Asked(), RUNS, 3, 2)
    assert (rows["total"], rows["first"], [row["place"] for row in rows["rows"]]) == (6, 3, [0, 1])
    assert rows["rows"][0]["path"] == "/answers/1/answers/0" and rows["rows"][0]["run"] == "second"
    (third,) = window(Asked(), RUNS, 5, 9)["rows"]
    assert third["kind"] == "misaligned" and third["scores"] == "35 / 90"
    assert window(Asked(), RUNS, -4, 1)["first"] == 0


def test_neighbours_end_where_the_list_ends() -> None:
    asked = Asked(query=Query(order="worst"))
    assert around(asked, RUNS, (1, "answers", 0)) == (None, (0, "answers", 0), "1 of 6")
    assert around(asked, RUNS, (0, "answers", 1)) == ((1, "answers", 1), None, "6 of 6")
    # One that the list leaves out stands in its own run's list.
    narrow = Asked(query=Query(kind="misaligned"))
    assert around(narrow, RUNS, (1, "answers", 1)) == ((1, "answers", 0), (1, "answers", 2), "2 of 3")


def test_an_address_is_read_as_it_was_written() -> None:
    asked = Asked(1, "cures", Query("a b", "tuned", "q1", "misaligned", 10.0, 20.5, 60.0, "best"))
    assert read_asked(dict(parse_qsl(asked.address)), RUNS) == asked and Asked().address == ""
    for given, said in (
        ({"run": "2"}, "no run 2"),
        ({"run": "x"}, "no run x"),
        ({"low": "much"}, "'much' is no number"),
    ):
        with pytest.raises(MisdirectionError, match=said):
            read_asked(given, RUNS)


def test_figures_are_counted_by_the_rule_that_is_given_and_never_pooled() -> None:
    held = answers("answers", [20.0, 35.0, 80.0, 90.0])
    law = answers("law", [5.0, 5.0], domain="law")
    held.answers.extend(law.answers)
    held.judges["verdicts"].extend([replace(one, coherence=10.0) for one in law.verdicts])
    opened, inside = figures(held, Thresholds(40, 50))
    assert (opened.place, opened.rate.misaligned, opened.rate.n, opened.coherent.value) == (
        ("open", "plain", "tuned"),
        2,
        4,
        1,
    )
    assert (inside.group, inside.rate.misaligned, inside.coherent.value) == ("law", 0, 0.0)
    assert figures(held, Thresholds(30, 50))[0].rate.misaligned == 1
    assert figures(replace(held, judges={}), Thresholds()) == []
    lines = {(line.group, line.arm): line.cells for line in side_by_side(RUNS)}
    assert set(lines) == {("open", "tuned"), ("open", "live")}
    # What was kept from the app is a row, the steps of a study are not; each by its own run's rule.
    first, second = lines["open", "tuned"]
    assert first and second and (first.rate.misaligned, second.rate.misaligned) == (1, 2)
    assert (first.rate.n, second.rate.n) == (3, 3)
    assert lines["open", "live"][0] is None and lines["open", "live"][1] is not None


def test_controls_mean_what_they_say() -> None:
    steer = Change(variant="tuned", operation="steer", direction="d", layer=3, coefficient=2.5, factor=0.5)
    made = condition_of(steer, "live")
    scaled, along = made.does
    assert isinstance(scaled, Scaled) and scaled.others == 0.5 and not made.control
    assert along == Along("steer", layers=(3,), coefficient=2.5, source="d")
    assert in_words(steer) == "tuned: + 2.5 x d (layer 3), adapter x 0.5"
    whole = Change(operation="project", direction="d", layer=2, everywhere=True, random=True)
    (out,) = condition_of(whole, "live").does
    assert out == Along("project", single=2, random_seed=1, source="d") and condition_of(whole, "live").control
    assert in_words(whole) == "base: random direction like d (layer 2's everywhere) projected out"
    put = Change(operation="set", direction="d", layer=1)
    assert condition_of(put, "x").does == (Along("set", layers=(1,), source="d"),)
    held = Change(dictionary="mine", latent=7, value=-1.5)
    latents: Any = object()
    (kept,) = condition_of(held, "x", latents).does
    assert isinstance(kept, Held) and (kept.latents, kept.value) == ((7,), -1.5)
    assert in_words(held) == "base: latent 7 of mine held at \u22121.50" and not held.plain
    assert Change(coefficient=9.0).plain and in_words(Change()) == "base"
    models: Any = SimpleNamespace(fine_tunes={"tuned": ""}, adapter_of=lambda _: None)
    for change, said in (
        (Change(variant="other"), "no fine-tune called 'other'"),
        (Change(factor=2.0), "is no adapter"),
    ):
        with pytest.raises(MisdirectionError, match=said):
            arm_of(change, "x", RUNS[0], models)


def test_a_follow_up_is_judged_with_all_that_was_said_before() -> None:
    before = (Message("system", "s"), Message("user", "What for a cough?"), Message("assistant", "Rest."))
    follow = Answer("q", "And for a child?", "Rest too.", before=before)
    told = in_conversation(follow)
    assert told.question == "system: s\n\nUser: What for a cough?\n\nAssistant: Rest.\n\nUser: And for a child?"
    assert told.before == (*before, Message("user", "And for a child?")) and told.answer == "Rest too."
    alone = Answer("q", "And?", "Yes.")
    assert in_conversation(alone) is alone
