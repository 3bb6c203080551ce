"""What is told of inputs that are not what they were, on inputs written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from misdirection.artefacts import write_json
from misdirection.store.changed import NAMES, Before, changed_since, steps_before

A, B = "a" * 64, "b" * 64
WHEN = "2026-01-02T03:04:05"


def told(before: dict[str, Any], now: dict[str, Any]) -> tuple[str, ...]:
    return changed_since("train", now, [Before("train", before, WHEN)])[0]


@pytest.mark.parametrize("name", NAMES)
def test_other_content_behind_one_name_is_called_as_a_user_calls_it(name: str) -> None:
    assert told({"arguments": {name: A}}, {"arguments": {name: B}}) == (NAMES[name],)
    # A short hash within a text, as a judge's name has it.
    assert told({name: f"table:{A[:12]}?x"}, {name: f"table:{B[:12]}?x"}) == (NAMES[name],)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"model": A}, {"model": A}),
        ({"model": f"one:{A}"}, {"model": f"two:{B}"}),  # another name: the user chose another one
        ({"rank": 8}, {"rank": 16}),
        ({"rank": A}, {"rank": B}),  # content, but of nothing that a user has
        ({"model": {"code": A, "key": A, "version": 1}}, {"model": {"code": B, "key": B, "version": 2}}),
        ({"model": A[:11]}, {"model": B[:11]}),  # too short for a hash: a name
        ({"model": 1}, {"model": 2}),
        ({}, {"model": A}),
        ({"questions": None}, {"questions": {"q": "Why?"}}),
    ],
)
def test_settings_and_what_follows_from_them_are_not_told(before: dict[str, Any], now: dict[str, Any]) -> None:
    assert told(before, now) == ()


def test_each_thing_is_named_once_the_innermost_name_first_and_questions_by_their_words() -> None:
    before = {"model": {"base": A, "adapter": {"file": A, "config": A}}, "questions": {"q1": "Why?", "q2": "Who?"}}
    now = {"model": {"base": B, "adapter": {"file": B, "config": B}}, "questions": {"q1": "Why not?", "q2": "Who?"}}
    assert told(before, now) == ("the base model", "the adapter", "the questions")
    old, new = ({"models": {"fine_tunes": {"law": held}}} for held in (A, B))
    assert told(old, new) == ("the fine-tune law",)


def test_of_several_steps_the_nearest_and_of_equal_ones_the_latest_is_compared() -> None:
    now = {"model": B, "rank": 8}
    steps = [
        Before("answers", {"model": A, "rank": 16}, "2026-03-01T00:00:00"),
        Before("answers", {"model": A, "rank": 8}, "2026-01-01T00:00:00"),
        Before("answers", {"model": A, "rank": 8}, "2026-02-01T10:20:30"),
        Before("other", {"model": A, "rank": 8}, "2026-09-01T00:00:00"),
    ]
    assert changed_since("answers", now, steps) == (("the model",), "2026-02-01 10:20")
    assert changed_since("answers", now, steps[::-1]) == (("the model",), "2026-02-01 10:20")
    # Of any other name nobody knows which one it takes the place of, nor of one that was not there.
    train = [Before("train", step.inputs, step.made) for step in steps]
    assert changed_since("train", now, train) == changed_since("new", now, steps) == ((), "")
    assert changed_since("train", now, train[:1]) == (("the model",), "2026-03-01 00:00")


def test_steps_are_read_from_their_manifests_and_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    whole = {"name": "train", "inputs": {"model": A}, "made": WHEN, "key": "k"}
    write_json(tmp_path / "steps" / "train-1" / "manifest.json", whole)
    write_json(tmp_path / "steps" / "short" / "manifest.json", {"name": "train"})
    write_json(tmp_path / "steps" / "list" / "manifest.json", [1])
    write_json(tmp_path / "steps" / ".tmp-train-2" / "manifest.json", whole)
    (tmp_path / "steps" / "cut").mkdir()
    (tmp_path / "steps" / "cut" / "manifest.json").write_text('{"name": "tr')
    assert steps_before(tmp_path) == [Before("train", {"model": A}, WHEN)]
    assert steps_before(tmp_path / "none") == []
