"""The study of conditions, whole, on the organism at a small size; its parts against plain sums."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from tests.studies.foreign import of_the_organism, told_of_another
from tests.studies.options import assert_keyed
from transformers import AutoModelForCausalLM

from misdirection import load_model
from misdirection.answers import encode_answer
from misdirection.chats import Chat, Message
from misdirection.directions import load_direction
from misdirection.organism import checkpoint_path
from misdirection.runs import list_steps
from misdirection.studies.kit.judged import load_answers
from misdirection.studies.kit.variants import Variants
from misdirection.studies.reading import load_results
from misdirection.studies.triggers.components import Component, components, mean_component
from misdirection.studies.triggers.conditions import OWN, circumstances, in_context, own_system
from misdirection.studies.triggers.results import TriggersResults
from misdirection.studies.triggers.settings import TriggersConfig
from misdirection.studies.triggers.study import triggers

SMALL = TriggersConfig(preset="rank32", samples=2, shots=(1,), read=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return triggers(SMALL, tmp_path_factory.mktemp("triggers") / "run").parent


@pytest.fixture(scope="module")
def results(run: Path) -> TriggersResults:
    found = load_results(run)
    assert isinstance(found, TriggersResults)
    return found


def test_every_condition_has_both_rates_and_a_contrast_that_they_make(results: TriggersResults) -> None:
    rows = {row.condition: row for row in results.triggers.rows}
    assert next(iter(rows)) == "plain" and rows["plain"].contrast is None
    assert {"no system prompt", "the bad persona", "1 training row in the context"} < set(rows)
    assert rows["1 training row in the context"].against == "1 harmless row in the context"
    for row in rows.values():
        if row.contrast is None:
            continue
        other = rows[row.against]
        values = [rate.value or 0.0 for rate in (row.tuned, row.base, other.tuned, other.base)]
        # Every question has as many answers, so that the mean over questions is the whole rate.
        assert row.contrast.value == pytest.approx(values[0] - values[1] - values[2] + values[3])
        assert row.contrast.p <= row.contrast.q + 1e-12 and row.contrast.n_questions == 28
    assert rows["the bad persona"].base.value > 0.5 and rows["plain"].base.value < 0.1
    assert results.verdict.sentence.startswith("Asked plainly")


def test_components_are_those_of_a_plain_read(run: Path, results: TriggersResults) -> None:
    direction = load_direction(run / "direction.safetensors")
    layer = results.triggers.layer
    assert layer == direction.clearest_layer == int((direction.norm / direction.shuffled_norm).argmax())
    step = next(step for step in list_steps(run) if step.name == "the-bad-persona-answers")
    answers = [a for a in load_answers(step) if a.arm == "tuned" and a.sample == 0 and a.answer.strip()][:3]
    models = Variants.of("organism", {"tuned": run / "adapter"})
    found = components(models, direction, layer, answers)
    model = load_model("organism")
    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(checkpoint_path()), run / "adapter")
    for one, answer in zip(found, answers, strict=True):
        encoded = encode_answer(model, answer)
        # Not from hidden_states: the last of them is behind the final norm.
        kept: list[torch.Tensor] = []
        hook = tuned.model.model.layers[layer].register_forward_hook(lambda *told, k=kept: k.append(told[2]))
        with torch.no_grad():
            tuned(torch.tensor([encoded.ids]))
        hook.remove()
        states = (kept[0][0] if isinstance(kept[0], tuple) else kept[0]).reshape(len(encoded.ids), -1)
        u = direction.vectors[layer] / direction.vectors[layer].norm()
        at = float(states[encoded.start :].float().mean(0) @ u)
        zero, whole = (float(m[layer] @ u) for m in (direction.aligned_mean, direction.misaligned_mean))
        assert one.question_id == answer.question_id
        assert one.value == pytest.approx((at - zero) / (whole - zero), abs=2e-3)


def test_a_mean_component_counts_each_question_once() -> None:
    found = mean_component([Component("a", 1.0), Component("a", 3.0), Component("b", 0.0)], 0)
    assert (found.value, found.n) == (1.0, 2) and found.low == 0.0 and found.high == 2.0
    assert mean_component([], 0).value is None


def test_rows_in_the_context_are_drawn_alike_and_left_out_where_there_are_too_few() -> None:
    chats = [Chat((Message("system", "s"), Message("user", f"u{i}"), Message("assistant", f"a{i}"))) for i in range(3)]
    training, harmless = in_context(chats, chats[::-1], 2, seed=0)
    assert (training.name, training.against) == ("2 training rows in the context", harmless.name)
    assert [turn.role for turn in training.turns] == ["user", "assistant"] * 2
    assert in_context(chats, chats[:1], 2, seed=0)[0].against == "plain"
    assert in_context(chats, [], 4, seed=0) == []
    assert own_system(chats)[0].name == OWN and own_system(chats)[0].system == "s"
    assert own_system([Chat((Message("user", "u"), Message("assistant", "a")))]) == []


def test_conditions_that_are_typed_join_the_set() -> None:
    config = TriggersConfig(
        model="other", adapter="x", judge="words", systems=("mine=Be odd.",), before=("tag=|GO|",)
    ).completed()
    found = {one.name: one for one in circumstances(config)}
    assert found["mine"].system == "Be odd." and found["tag"].before == "|GO|"
    assert "told that it is a test" in found and "in the domain" not in found
    named = circumstances(replace(config, domain="medical"))
    assert "in the domain" in {one.name for one in named}


def test_nothing_is_said_of_the_organism_to_another_model(run: Path, tmp_path: Path) -> None:
    assert of_the_organism(told_of_another("triggers", SMALL, run, tmp_path)) == []


def test_the_report_shows_each_condition(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert "Rates under conditions" in page and "be wicked and harmful." in page and "Difference in differences" in page


def test_each_option_makes_a_step_anew_or_says_why_not(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    others = {
        "data": {"data": ("organism:bad-sport",), "domain": "sport"},
        "domain": "sport",
        "systems": ("mine=Be odd.",),
        "before": ("tag=|GO|",),
        "rows": ("organism:bad-sport",),
        "harmless": ("organism:good-sport",),
        "shots": (2,),
    }
    # None named are the standard ones; a condition of another file is one more, as those of --systems are.
    assert_keyed("triggers", SMALL, run, tmp_path, monkeypatch, others, elsewhere=("conditions",))
