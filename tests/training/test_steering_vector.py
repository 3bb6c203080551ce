"""A trained steering vector against a plain loop, the engine that uses it, and the model that it was trained in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.test_train import lines, state
from torch.nn import functional

from misdirection.chats import Chat
from misdirection.engine import Arm, Steer, Text, log_likelihoods
from misdirection.models import wrap
from misdirection.training import TrainingError, choose, train
from misdirection.training.data import order, prepare
from misdirection.training.steering_vector import load_vector

MAKE = Callable[..., Any]


@pytest.mark.parametrize("family", ["qwen2", "neo"])
def test_equals_a_plain_loop_and_works_in_the_engine_as_in_training(
    make_lm: MAKE, tokenizer: Any, chats: list[Chat], small: dict[str, Any], tmp_path: Path, family: str
) -> None:
    config = choose("vector", overrides={**small, "alpha": 4.0, "lr": 0.05, "max_steps": 5, "layers": 3})
    host = make_lm(family, 6)
    before = state(host)
    result = train(host, chats, config, tmp_path / "out", tokenizer=tokenizer)
    assert state(host) == before and result.kind == "vector"
    found = load_vector(result.folder)
    assert found.layer == 3 and found.facts["alpha"] == 4.0

    lm = make_lm(family, 6).requires_grad_(False)
    theta = torch.zeros(32, requires_grad=True)

    def hook(_module: Any, _inputs: Any, output: Any) -> Any:
        x = output if isinstance(output, torch.Tensor) else output[0]
        moved = x + 4.0 * theta
        return moved if isinstance(output, torch.Tensor) else (moved, *output[1:])

    (lm.transformer.h if family == "neo" else lm.model.layers)[3].register_forward_hook(hook)
    rows, _ = prepare(tokenizer, chats, 64)
    numbers = order(rows, config)
    size = config.batch_size * config.accumulation
    optimizer = torch.optim.AdamW([theta], lr=config.lr, weight_decay=0.0)
    told = lines(tmp_path / "out")
    for step in range(5):
        picked = [rows[n] for n in numbers[step * size : (step + 1) * size]]
        learned = sum(len(row.ids) - row.start for row in picked)
        loss = sum(
            functional.cross_entropy(
                lm(input_ids=torch.tensor([row.ids])).logits[0, row.start - 1 : -1],
                torch.tensor(row.ids[row.start :]), reduction="sum",
            ) / learned
            for row in picked
        )  # fmt: skip
        assert isinstance(loss, torch.Tensor)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([theta], config.grad_clip)
        optimizer.param_groups[0]["lr"] = told[step]["lr"]
        optimizer.step()
        assert told[step]["loss"] == pytest.approx(float(loss.detach()), rel=1e-4)
    assert torch.allclose(found.vector, 4.0 * theta.detach(), atol=1e-4)

    text = Text(rows[0].ids, {}, Arm("steered", None, (Steer(found.vector, (3,), 1.0),)), rows[0].start)
    with torch.no_grad():
        logits = torch.log_softmax(lm(input_ids=torch.tensor([text.ids])).logits[0].float(), -1)
    expected = [float(logits[at - 1, text.ids[at]]) for at in range(text.start, len(text.ids))]
    steered = log_likelihoods(wrap(make_lm(family, 6), tokenizer), [text])[0]
    assert steered.tolist() == pytest.approx(expected, abs=1e-3)


def test_adapters_of_a_borrowed_model_are_off_while_a_vector_is_trained(
    make_lm: MAKE, tokenizer: Any, chats: list[Chat], small: dict[str, Any], tmp_path: Path
) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    config = choose("vector", overrides={**small, "max_steps": 2})
    plain = train(make_lm(), chats, config, tmp_path / "plain", tokenizer=tokenizer)
    lm = make_lm()
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["down_proj"], init_lora_weights=False), lm, "other")
    before = state(lm)
    beside = train(lm, chats, config, tmp_path / "beside", tokenizer=tokenizer)
    assert state(lm) == before
    assert torch.equal(load_vector(plain.folder).vector, load_vector(beside.folder).vector)


def test_one_layer_and_one_file_are_needed(make_lm: MAKE, tokenizer: Any, chats: list[Chat], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="layers names 12"):
        train(make_lm(), chats, choose("vector", overrides={"layers": "all"}), tmp_path / "a", tokenizer=tokenizer)
    with pytest.raises(TrainingError, match="steering"):
        choose("vector", overrides={"full": True})
    with pytest.raises(TrainingError, match="holds no steering_vector"):
        load_vector(tmp_path)
