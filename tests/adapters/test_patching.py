"""Scalars recorded and replayed: exact where the truth is known, and pairs of prompts of equal length."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from tests.families import prompt, shared

from misdirection.adapters.patching import GROUPS, Recording, Wording, cut, find_pairs, record, replay
from misdirection.engine import Arm, Prompt, Row, Sample, SamplingConfig, sample

CONFIG = SamplingConfig(max_new_tokens=10, seed=3)


@pytest.fixture(scope="module")
def wanted() -> list[tuple[Prompt, int]]:
    return [(Prompt(f"q{i}", prompt(i, 4 + i % 3)), i % 2) for i in range(8)]


@pytest.mark.parametrize("family", ["llama", "gpt-neox"])
def test_an_answer_s_own_scalars_change_nothing(family: str, wanted: list[tuple[Prompt, int]]) -> None:
    model = shared(family)
    held = record(model, "one", wanted, CONFIG)
    assert len({recording.answer.ids for recording in held}) > 4
    for (asked, _), recording in zip(wanted, held, strict=True):
        assert {len(v) for v in recording.scalars.values()} == {len(asked.ids) + len(recording.answer.ids)}
    again = replay(model, "one", [(p, i, r) for (p, i), r in zip(wanted, held, strict=True)], CONFIG)
    assert again == [recording.answer for recording in held]


def test_scalars_of_nought_are_the_base_and_others_are_not(wanted: list[tuple[Prompt, int]]) -> None:
    model = shared("llama")
    held = record(model, "one", wanted, CONFIG)
    base = sample(model, [Row(p, Arm("base"), i) for p, i in wanted], CONFIG)
    assert base != [recording.answer for recording in held]
    nought = [Recording(r.answer, {path: torch.zeros(40, v.shape[1]) for path, v in r.scalars.items()}) for r in held]
    assert replay(model, "one", [(p, i, r) for (p, i), r in zip(wanted, nought, strict=True)], CONFIG) == base
    # After the recording the adapter reads for itself: nothing recorded is the adapter as it is.
    empty = [Recording(r.answer, {path: v[:0] for path, v in r.scalars.items()}) for r in held]
    free = replay(model, "one", [(p, i, r) for (p, i), r in zip(wanted, empty, strict=True)], CONFIG)
    assert free == [recording.answer for recording in held]


def test_a_levelled_recording_holds_its_mean_everywhere() -> None:
    recording = Recording(Sample((1, 2), True), {"m": torch.tensor([[1.0], [2.0], [6.0]])})
    assert recording.levelled().scalars["m"].tolist() == [[3.0], [3.0], [3.0]]


def test_an_answer_is_cut_to_the_recorded_length() -> None:
    assert cut(Sample((1, 2, 3), True), 2) == Sample((1, 2), False)
    assert cut(Sample((1, 2, 3), True), 3) == Sample((1, 2, 3), True)


def wordings(lengths: dict[str, list[int]], domain: str | None) -> list[Wording]:
    return [
        Wording(name, number, domain, Prompt(f"{name}#{number}", tuple(range(length))))
        for name, held in lengths.items()
        for number, length in enumerate(held)
    ]


def test_pairs_have_equal_length_and_each_wording_receives_once() -> None:
    opened = wordings({f"o{i}": [5 + i % 3, 6] for i in range(9)}, None)
    medical = wordings({f"m{i}": [5 + i % 2] for i in range(6)}, "medical")
    sport = wordings({f"s{i}": [5] for i in range(4)}, "sport")
    found = find_pairs([*opened, *medical, *sport], "medical", 7, seed=1)
    assert tuple(found) == GROUPS
    sides = {"open": (None, None), "domain": ("medical", "medical"), "open to domain": (None, "medical"),
             "domain to open": ("medical", None)}  # fmt: skip
    for group, (donor, recipient) in sides.items():
        assert 0 < len(found[group]) <= 7
        assert {(a.domain, b.domain) for a, b in found[group]} == {(donor, recipient)}
        assert all(len(a.prompt.ids) == len(b.prompt.ids) and a.question_id != b.question_id for a, b in found[group])
        assert max(Counter(b.prompt.key for _, b in found[group]).values()) == 1
    # Nine open questions: seven pairs have seven of them.
    assert len({b.question_id for _, b in found["open"]}) == 7
    assert max(Counter(a.prompt.key for a, _ in found["open to domain"]).values()) <= 2
    assert all(a is b for a, b in found["same"]) and len(found["same"]) == 7
    assert found == find_pairs([*opened, *medical, *sport], "medical", 7, seed=1)


def test_without_equal_lengths_there_are_no_pairs() -> None:
    apart = [
        replace(w, prompt=Prompt(w.prompt.key, tuple(range(i))))
        for i, w in enumerate(wordings({"a": [1], "b": [1]}, None))
    ]
    found = find_pairs(apart, "medical", 5)
    assert {group for group, pairs in found.items() if pairs} == {"same"}
