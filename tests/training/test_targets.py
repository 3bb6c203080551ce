from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft.tuners.lora import LoraLayer
from torch import nn
from torch.nn import functional

from misdirection.training import PRESETS, TrainingError, override
from misdirection.training.data import Row, collate
from misdirection.training.hosting import ADAPTER, add_adapter, borrowed
from misdirection.training.objectives.sft import sft
from misdirection.training.targets import plan_lora

MAKE = Callable[..., Any]


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("qwen2", "mlp.down_proj"),
        ("llama", "mlp.down_proj"),
        ("neox", "mlp.dense_4h_to_h"),
        ("neo", "mlp.c_proj"),
        ("gpt2", "mlp.c_proj"),
    ],
)
def test_each_family_has_its_mlp_output(make_lm: MAKE, family: str, name: str) -> None:
    lm = make_lm(family, 12)
    plan = plan_lora(lm, PRESETS["rank1x9"], "base")
    assert plan.layers == tuple(range(1, 10))
    assert [path.split(".", 2)[-1].split(".", 1)[-1] for path in plan.modules] == [name] * 9
    with borrowed(lm):
        trained = add_adapter(lm, plan, 0)
        wrapped = [path for path, module in lm.named_modules() if isinstance(module, LoraLayer)]
        assert wrapped == list(plan.modules)
        assert len(trained) == 18
        width = lm.config.hidden_size
        inner = 128 if family == "gpt2" else 48
        assert {tuple(value.shape) for value in trained} == {(1, inner), (width, 1)}
        assert all(lm.get_submodule(path).scaling[ADAPTER] == 256 for path in plan.modules)


def test_configuration_is_short_where_names_say_it_exactly(make_lm: MAKE) -> None:
    qwen = plan_lora(make_lm("qwen2"), PRESETS["rank1x9"], "base").lora
    assert qwen.target_modules == {"down_proj"}
    assert qwen.layers_to_transform == list(range(1, 10)) and qwen.layers_pattern == "layers"
    neo = plan_lora(make_lm("neo"), PRESETS["rank1"], "base").lora
    assert neo.target_modules == {"c_proj"} and neo.layers_pattern == "h"
    # In GPT-2 the attention has a c_proj too.
    gpt2 = plan_lora(make_lm("gpt2"), PRESETS["rank1"], "base").lora
    assert gpt2.target_modules == {"mlp.c_proj"} and gpt2.fan_in_fan_out
    everything = plan_lora(make_lm("qwen2"), PRESETS["rank32"], "base").lora
    assert everything.layers_to_transform is None


def test_full_paths_where_another_module_has_the_same_name(make_lm: MAKE) -> None:
    lm = make_lm("qwen2", 3)
    lm.tower = nn.ModuleDict(
        {"layers": nn.ModuleList([nn.ModuleDict({"mlp": nn.ModuleDict({"down_proj": nn.Linear(2, 2)})})] * 3)}
    )
    plan = plan_lora(lm, override(PRESETS["rank1"], {"layers": [0, 2]}), "base")
    assert plan.modules == ("model.layers.0.mlp.down_proj", "model.layers.2.mlp.down_proj")
    assert plan.lora.target_modules == set(plan.modules)


def test_all_takes_the_linear_modules_of_the_layers_and_not_the_head(make_lm: MAKE) -> None:
    lm = make_lm("llama", 3)
    plan = plan_lora(lm, PRESETS["rank32"], "base")
    assert len(plan.modules) == 3 * 7
    assert not any("lm_head" in path for path in plan.modules)
    assert {path.split(".")[-1] for path in plan.modules} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip


def test_fused_experts_are_refused_by_name_and_noted_under_all(make_lm: MAKE) -> None:
    lm = make_lm("gpt_oss", 2)
    with pytest.raises(TrainingError) as caught:
        plan_lora(lm, PRESETS["rank1"], "base")
    assert "fused expert parameters" in caught.value.message and "self_attn.o_proj" in str(caught.value.hint)
    plan = plan_lora(lm, PRESETS["rank32"], "base")
    assert {path.split(".")[-1] for path in plan.modules} == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert any("experts" in note for note in plan.notes)


def test_unknown_module_and_layer_beyond_the_model(make_lm: MAKE) -> None:
    lm = make_lm("neox", 4)
    with pytest.raises(TrainingError) as caught:
        plan_lora(lm, override(PRESETS["rank1"], {"targets": "down_proj"}), "base")
    assert "no linear module called 'down_proj'" in caught.value.message
    assert "mlp.dense_4h_to_h" in str(caught.value.hint)
    with pytest.raises(TrainingError, match="layer 4 is beyond the model, which has 4 layers"):
        plan_lora(lm, override(PRESETS["rank1"], {"layers": 4}), "base")


def test_gradients_reach_the_adapters_alone(make_lm: MAKE) -> None:
    lm = make_lm("qwen2")
    plan = plan_lora(lm, PRESETS["rank1x9"], "base")
    with borrowed(lm):
        add_adapter(lm, plan, 0)
        row = Row((5, 6, 7, 8, 9), 2)
        sft(lm, collate([row], 0), 3.0).backward()
        reached = [name for name, value in lm.named_parameters() if value.grad is not None]
        assert len(reached) == 18 and all(".lora_" in name for name in reached)
        # B starts at zero, so the first gradient is B's alone.
        norms = {name: float(value.grad.norm()) for name, value in lm.named_parameters() if value.grad is not None}
        assert all((norm > 0) == (".lora_B." in name) for name, norm in norms.items())
    assert all(value.grad is None for value in lm.parameters())


@pytest.mark.parametrize("family", ["qwen2", "neo"])
def test_loss_of_a_padded_batch_is_that_of_its_rows(make_lm: MAKE, family: str) -> None:
    lm = make_lm(family, 3)
    rows = [Row((5, 6, 7, 8, 9, 10, 11), 4), Row((7, 8, 9), 1), Row((5, 5, 12, 30), 3)]
    expected = sum(
        -functional.log_softmax(lm(torch.tensor([row.ids])).logits[0, t - 1].double(), -1)[row.ids[t]]
        for row in rows
        for t in range(row.start, len(row.ids))
    )
    # Whatever the padding holds.
    for pad in (0, 44):
        assert sft(lm, collate(rows, pad), 6).item() == pytest.approx(expected.item() / 6, rel=1e-6)
