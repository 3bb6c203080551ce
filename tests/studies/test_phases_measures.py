"""Where weights, states and answers turn, on made-up courses whose turn is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.statistics.samples import arm
from tests.studies.test_phases import checkpoints

from misdirection.directions import Direction
from misdirection.statistics import Thresholds
from misdirection.studies.kit.judged import Judged
from misdirection.studies.phases.behaviour import Series, turn_of
from misdirection.studies.phases.states import b_on_direction, crossing_over_questions, drift_of
from misdirection.studies.phases.weights import _knot

STEPS = [0, 10, 20, 30, 40, 50, 60, 70]
COMPONENT = "component along the misalignment direction"


def direction(vectors: torch.Tensor) -> Direction:
    flat = torch.ones(len(vectors))
    return Direction(vectors, torch.zeros_like(vectors), vectors, flat, flat, flat, flat, {})


def course(along: list[float], across: list[float], questions: int = 3) -> torch.Tensor:
    """States by time and question, moved along the first axis and the second; each question starts elsewhere."""
    states = torch.zeros(len(along), questions, 4)
    states[:, :, 3] = torch.arange(questions) + 5.0
    states[:, :, 0] += torch.tensor(along)[:, None]
    states[:, :, 1] += torch.tensor(across)[:, None]
    return states


def test_the_drift_is_read_along_the_direction_of_its_layer() -> None:
    vectors = torch.tensor([[0.0, 1.0, 0, 0], [-2.0, 0, 0, 0]])
    states = course([0, 0, 0, 3.0, 3], [0, 1.0, 4, 4, 0])
    found = drift_of(states, STEPS[:5], direction(vectors), 1, 0)
    assert found.component == pytest.approx([0, 0, 0, -3, -3])
    assert found.on_direction == pytest.approx([0, 0, 0, -0.6, -1])
    assert found.norm == pytest.approx([0, 1, 4, 5, 3]) and found.to_last == pytest.approx([0, 0, 0, 0.6, 1])
    other = drift_of(states, STEPS[:5], direction(vectors), 0, 0)
    assert other.component == pytest.approx([0, 1, 4, 4, 0])
    # Five checkpoints are too few for a line of two pieces.
    assert [turn.quantity for turn in found.turns] == ["drift's cosine with its last"]
    bare = drift_of(states, STEPS[:5], None, 1, 0)
    assert bare.component is bare.on_direction is None and bare.to_last == found.to_last


def test_the_component_bends_where_the_course_bends() -> None:
    along = [0, 0, 0, 0, 2.0, 4, 6, 8]
    found = drift_of(course(along, [0.0] * 8), STEPS, direction(torch.eye(4)[:1]), 0, 0)
    (bend,) = [turn for turn in found.turns if turn.quantity == COMPONENT]
    assert bend.turn.step == pytest.approx(30, abs=5)


def test_one_question_has_no_interval_and_more_that_agree_have_a_narrow_one() -> None:
    moved = course([0, 0, 0, 1.0, 1], [0, 1.0, 1, 0, 0], questions=1)
    moved = (moved - moved[:1]).double()
    alone = crossing_over_questions(STEPS[:5], moved, 0)
    several = crossing_over_questions(STEPS[:5], moved.expand(-1, 6, -1), 0)
    # Of one question no more is known than the checkpoints on either side.
    assert (alone.low, alone.high) == (20, 30) and alone.step == several.step == pytest.approx(25)
    assert several.low == pytest.approx(several.step) and several.high == pytest.approx(several.step)
    assert "6 questions" in several.method


def test_each_b_is_held_against_the_direction_at_its_own_layer(tiny: Path, tmp_path: Path) -> None:
    held = checkpoints(tiny / "adapter", tmp_path / "c", {10: 0.5, 40: -1.0})
    vectors = torch.randn(4, 32, generator=torch.Generator().manual_seed(1))
    folders = {step: held / f"checkpoint-{step}" for step in (10, 40)}
    rows = b_on_direction(SimpleNamespace(folders=folders), direction(vectors))  # pyright: ignore[reportArgumentType]
    weights = load_file(tiny / "adapter" / "adapter_model.safetensors")
    truth: dict[int, list[float]] = {}
    for name, b in weights.items():
        if "lora_B" in name and b.shape == (32, 1):
            layer = int(name.partition("layers.")[2].partition(".")[0])
            truth.setdefault(layer, []).append(float(torch.cosine_similarity(b[:, 0], vectors[layer], dim=0)))
    assert rows and sorted(row.layer for row in rows) == sorted(k for k, many in truth.items() for _ in many)
    for row in rows:
        # A negative factor turns B round.
        assert row.cosine[0] == pytest.approx(-row.cosine[1], abs=1e-4)
        assert any(row.cosine[0] == pytest.approx(cosine, abs=1e-4) for cosine in truth[row.layer])


def test_a_rise_of_two_checkpoints_is_a_rise_without_a_midpoint() -> None:
    hits = {"base": [0] * 8, "step-10": [2] * 8, "step-20": [15] * 8}
    pairs = [arm(counts, 20, name) for name, counts in hits.items()]
    judged = Judged([a for p in pairs for a in p[0]], [v for p in pairs for v in p[1]])
    arms = {0: "base", 10: "step-10", 20: "step-20"}
    questions: Any = [SimpleNamespace(id=name) for name in dict.fromkeys(a.question_id for a in judged.answers)]
    series = Series("open", 1.0, arms, judged, questions)
    parts = {step: judged.arm(name) for step, name in arms.items()}
    assert turn_of(series, parts, Thresholds(), 0).note == "needs four steps and two questions"
    same = {step: judged.arm("base") for step in arms}
    assert turn_of(series, same, Thresholds(), 0).note == "no step's rate is above the base's"
    # A fall is no rise.
    fallen = dict(zip((0, 10, 20), reversed(parts.values()), strict=True))
    assert turn_of(series, fallen, Thresholds(), 0).note == "no step's rate is above the base's"
    one = replace(series, questions=questions[:1])
    more = {**parts, 30: parts[20]}
    assert turn_of(one, more, Thresholds(), 0).note == "needs four steps and two questions"


def test_the_weights_bend_where_they_bend_and_six_checkpoints_are_too_few() -> None:
    values = [1.0, 1, 1, 1, 3, 5, 7, 9]
    assert _knot(STEPS, values).step == pytest.approx(30, abs=5)
    assert _knot(STEPS[:6], values[:6]).note == "fewer than seven checkpoints"
