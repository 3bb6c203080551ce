"""What several studies ask under, and what they read through: removals with their thresholds, pools, dictionaries."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from misdirection.conditions import Along
from misdirection.directions import CONVENTIONS, PoolError
from misdirection.errors import MisdirectionError
from misdirection.features import Dictionary, DictionaryError
from misdirection.judging import Answer, Verdict
from misdirection.studies.kit import lens
from misdirection.studies.kit.caps import Caps
from misdirection.studies.kit.conditions import (
    RANDOM_SEEDS,
    TUNED,
    Operation,
    alone,
    at_layers,
    cures,
    single_cures,
    steering_grid,
    steering_point,
)
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.matched import matched_pools

CAPS = Caps(
    quantile=0.75, answers=3, own=(1.0, 2.0, 3.0), single={"1": (4.0, 5.0, 6.0), "2": (7.0, 8.0, 9.0)},
    random={str(seed): (10.0 * seed,) * 3 for seed in RANDOM_SEEDS},
)  # fmt: skip


def test_a_cap_has_the_thresholds_of_the_direction_that_it_acts_along() -> None:
    assert (CAPS.along(), CAPS.along(1), CAPS.along(2)) == (CAPS.own, (4.0, 5.0, 6.0), (7.0, 8.0, 9.0))
    assert [CAPS.along(random_seed=seed)[0] for seed in RANDOM_SEEDS] == [10.0, 20.0, 30.0]
    # A random direction has its own thresholds whatever layer is named.
    assert CAPS.along(1, random_seed=2) == (20.0,) * 3
    for missing in ({"single": 0}, {"random_seed": 9}):
        with pytest.raises(MisdirectionError, match="no threshold was measured"):
            CAPS.along(**missing)


def test_each_removal_acts_where_its_name_says_and_controls_are_random() -> None:
    best: dict[Operation, int] = {"project": 2, "cap": 1}
    found = {one.name: one for one in cures(best, CAPS)}
    wanted = {
        "project": Along("project"), "cap": Along("cap", thresholds=CAPS.own),
        "project-single-2": Along("project", single=2),
        "cap-single-1": Along("cap", single=1, thresholds=CAPS.single["1"]),
    }  # fmt: skip
    for seed in RANDOM_SEEDS:
        wanted[f"project-random-{seed}"] = Along("project", random_seed=seed)
        wanted[f"cap-random-{seed}"] = Along("cap", random_seed=seed, thresholds=CAPS.random[str(seed)])
    assert {name: one.along for name, one in found.items() if name != "no-op"} == wanted
    assert {name for name, one in found.items() if one.control} == {"no-op", *(n for n in wanted if "random" in n)}
    assert found["no-op"].along == Along("steer", coefficient=0.0)
    assert {one.variant for one in found.values()} == {"tuned"}
    assert [(one.name, one.along) for one in alone(best, CAPS)] == [
        ("project-alone-2", Along("project", (2,))), ("cap-alone-1", Along("cap", (1,), thresholds=CAPS.own)),
    ]  # fmt: skip
    assert [one.along for one in single_cures((1, 2), CAPS) if one.along and one.along.operation == "cap"] == [
        Along("cap", single=layer, thresholds=CAPS.single[str(layer)]) for layer in (1, 2)
    ]
    assert {one.along.operation for one in single_cures((1, 2), None) if one.along} == {"project", "set"}


def test_steering_adds_at_one_layer_of_the_base_and_its_control_is_random() -> None:
    grid = steering_grid((1, 2), (0.5, 4.0))
    assert [one.point for one in grid] == [(1, 0.5), (1, 4.0), (2, 0.5), (2, 4.0)]
    assert all(one.variant == "base" and not one.control for one in grid)
    control = steering_point(2, 4.0, 7)
    assert control.control and control.variant == "base" and control.name not in {one.name for one in grid}
    assert control.along == Along("steer", (2,), 4.0, random_seed=7)


def test_only_a_direction_of_its_own_at_each_layer_is_kept_to_some_layers() -> None:
    project, single = (one for one in cures({"project": 2}, None) if one.name in ("project", "project-single-2"))
    assert at_layers(project, (0, 2)).along == Along("project", (0, 2))
    assert at_layers(single, (0, 2)) == single and at_layers(TUNED, (0,)) == TUNED


def pool(counts: dict[str, tuple[int, int, int]]) -> Judged:
    """Misaligned, aligned and incoherent answers of each question, one after the other."""
    answers, verdicts = list[Answer](), list[Verdict]()
    kinds = (Verdict(5.0, 90.0), Verdict(95.0, 90.0), Verdict(5.0, 10.0))
    for question, numbers in counts.items():
        for kind, many in zip(kinds, numbers, strict=True):
            answers += [Answer(question, "?", "!", sample=i) for i in range(many)]
            verdicts += [kind] * many
    return Judged(answers, verdicts)


def test_pools_take_as_many_of_each_kind_from_every_question() -> None:
    judged = pool({"a": (6, 3, 2), "b": (2, 9, 1), "c": (4, 0, 0), "d": (5, 5, 0)})
    bad, good = matched_pools(judged, CONVENTIONS["soligo2025"], 0)
    for places, score in ((bad, 5.0), (good, 95.0)):
        questions = [judged.answers[place].question_id for place in places]
        assert {name: questions.count(name) for name in "abcd"} == {"a": 3, "b": 2, "c": 0, "d": 5}
        assert len(set(places)) == len(places)
        assert all((judged.verdicts[i].alignment, judged.verdicts[i].coherence) == (score, 90.0) for i in places)
    assert matched_pools(judged, CONVENTIONS["soligo2025"], 0) == (bad, good)
    with pytest.raises(PoolError, match="leave 7 misaligned and as many aligned"):
        matched_pools(pool({"a": (6, 3, 2), "d": (9, 4, 0)}), CONVENTIONS["soligo2025"], 0)


@pytest.fixture
def model(tmp_path: Path) -> Any:
    """The settings of a model of three layers of width 4."""
    (tmp_path / "model").mkdir()
    facts = {"model_type": "llama", "num_hidden_layers": 3, "hidden_size": 4, "num_attention_heads": 2}
    (tmp_path / "model" / "config.json").write_text(json.dumps(facts))
    return SimpleNamespace(model=str(tmp_path / "model"), trust_remote_code=False)


@pytest.mark.parametrize(("own", "asked", "read"), [(1, None, 1), (1, 2, 2), (0, None, 0), (2, 0, 0), (None, 2, 2)])
def test_a_dictionary_reads_the_layer_that_is_asked_for_else_its_own(
    own: int | None, asked: int | None, read: int, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Dictionary(torch.eye(4), torch.eye(4), torch.zeros(4), torch.zeros(4), layer=own)
    monkeypatch.setattr(lens, "resolve_dictionary", lambda _: held)
    assert lens.open_lens(model, "d", asked).layer == read


@pytest.mark.parametrize(
    ("width", "layer", "said"), [(4, 3, "has layers 0 to 2"), (4, -1, "layers 0 to 2"), (5, 1, "a width of 5")]
)
def test_a_dictionary_of_another_size_is_refused(
    width: int, layer: int, said: str, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = torch.zeros(width)
    held = Dictionary(torch.eye(width), torch.eye(width), line, line, layer=1)
    monkeypatch.setattr(lens, "resolve_dictionary", lambda _: held)
    with pytest.raises(DictionaryError, match=said):
        lens.open_lens(model, "d", layer)
