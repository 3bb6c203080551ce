"""Adapters where tokens of all rows lie one after the other, or mixed; adapters of the head; tokens beyond the base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tests.families import network, words
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, Qwen2MoeConfig

from misdirection.chats import Chat, Message
from misdirection.engine import (
    Arm,
    Prompt,
    Row,
    SamplingConfig,
    ScaleAdapter,
    Text,
    capture_means,
    capture_scalars,
    compare,
    log_likelihoods,
    sample,
)
from misdirection.engine.program import InterventionError
from misdirection.models import Model, ModelError, load_model
from misdirection.training import choose, train

TEXTS = [[3, 4, 5, 6, 7], [8, 9, 10], [20, 21, 22, 23, 24, 25]]


def experts() -> Any:
    torch.manual_seed(0)
    config = Qwen2MoeConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, moe_intermediate_size=24, num_hidden_layers=3,
        shared_expert_intermediate_size=24, num_attention_heads=4, num_key_value_heads=2, num_experts=4,
        num_experts_per_tok=2, initializer_range=0.25, pad_token_id=0, eos_token_id=1, max_position_embeddings=128,
        tie_word_embeddings=False,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config).eval()


def tuned(folder: Path, lm: Any, **settings: Any) -> tuple[Model, Any]:
    """The model with an adapter as we load it, and as plain PEFT does."""
    lm.save_pretrained(folder / "base")
    words().save_pretrained(folder / "base")
    peft: Any = get_peft_model(AutoModelForCausalLM.from_pretrained(folder / "base"), LoraConfig(r=2, **settings))
    torch.manual_seed(3)
    for name, values in peft.named_parameters():
        if "lora_" in name:
            nn.init.normal_(values, std=0.4)
    peft.save_pretrained(folder / "adapter", save_embedding_layers=False)
    plain: Any = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder / "base"), folder / "adapter")
    return load_model(folder / "base", adapters={"tuned": folder / "adapter"}), plain.eval()


def wanted(plain: Any, ids: list[int], on: bool) -> Tensor:
    with torch.no_grad():
        if on:
            logits = plain(torch.tensor([ids])).logits[0]
        else:
            with plain.disable_adapter():
                logits = plain(torch.tensor([ids])).logits[0]
    return torch.log_softmax(logits, -1)[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]


@pytest.mark.parametrize(
    ("lm", "settings"),
    [
        (experts, {"target_modules": ["shared_expert.down_proj", "shared_expert.up_proj", "q_proj"]}),
        (lambda: network("llama"), {"target_modules": ["lm_head", "down_proj"]}),
        (lambda: network("llama"), {"target_modules": ["lm_head"]}),
    ],
    ids=["shared experts", "head and layers", "head"],
)
def test_rows_with_and_without_it_share_a_batch(tmp_path: Path, lm: Any, settings: dict[str, Any]) -> None:
    model, plain = tuned(tmp_path, lm(), **settings)
    base, on = Arm("base"), Arm("tuned", "tuned")
    texts = [Text(ids, {}, arm, 1) for ids in TEXTS for arm in (base, on)]
    for text, found in zip(texts, log_likelihoods(model, texts), strict=True):
        truth = wanted(plain, list(text.ids), text.arm is on)
        torch.testing.assert_close(found, truth, rtol=0, atol=1e-4)
    rows = [Row(Prompt(f"q{n}", tuple(ids)), arm, 0) for n, ids in enumerate(TEXTS) for arm in (base, on)]
    settings = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0}
    for row, answer in zip(rows, sample(model, rows, SamplingConfig(max_new_tokens=5, temperature=0.0)), strict=True):
        ids = torch.tensor([row.prompt.ids])
        if row.arm is on:
            written = plain.generate(input_ids=ids, **settings)
        else:
            with plain.disable_adapter():
                written = plain.generate(input_ids=ids, **settings)
        truth_ids = written[0, ids.shape[1] :].tolist()
        ends = (at for at, token in enumerate(truth_ids) if token in model.eos_ids)
        assert list(answer.ids) == truth_ids[: next(ends, None)]


def test_scalars_of_shared_experts_are_each_rows_own(tmp_path: Path) -> None:
    model, _ = tuned(tmp_path, experts(), target_modules=["shared_expert.down_proj"])
    arm = Arm("tuned", "tuned")
    together = capture_scalars(model, [Text(ids, {}, arm, 1) for ids in TEXTS], "tuned")
    for ids, found in zip(TEXTS, together, strict=True):
        alone = capture_scalars(model, [Text(ids, {}, arm, 1)], "tuned")[0]
        assert found.keys() == alone.keys()
        for path, values in found.items():
            assert values.shape == (len(ids), 2)
            torch.testing.assert_close(values, alone[path], rtol=0, atol=1e-5)


class _Mixed(nn.Module):
    """Runs its inner layer on the tokens of all rows in another order, as experts that are no one tensor do."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.experts = nn.ModuleList([inner])

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, -2)
        return self.experts[0](flat.flip(0)).flip(0).view(*x.shape[:-1], -1)


def test_where_tokens_are_mixed_one_arm_runs_and_two_are_refused(tmp_path: Path) -> None:
    model, plain = tuned(tmp_path, network("llama"), target_modules=["down_proj"])
    for lm in (model.lm, plain.base_model.model):
        for layer in lm.model.layers:
            layer.mlp.down_proj = _Mixed(layer.mlp.down_proj)
    model.lora = {
        "tuned": {name.replace("down_proj", "down_proj.experts.0"): m for name, m in model.lora["tuned"].items()}
    }
    base, on = Arm("base"), Arm("tuned", "tuned")
    half = Arm("half", "tuned", (ScaleAdapter({}, 0.5),))
    full = log_likelihoods(model, [Text(ids, {}, on, 1) for ids in TEXTS])
    for ids, found in zip(TEXTS, full, strict=True):
        torch.testing.assert_close(found, wanted(plain, ids, True), rtol=0, atol=1e-4)
    weaker = log_likelihoods(model, [Text(ids, {}, half, 1) for ids in TEXTS])
    assert not torch.allclose(weaker[0], full[0], atol=1e-3)
    with pytest.raises(InterventionError, match="mixed together"):
        log_likelihoods(model, [Text(ids, {}, arm, 1) for ids in TEXTS for arm in (base, on)])
    with pytest.raises(InterventionError, match="mixed together"):
        capture_scalars(model, [Text(ids, {}, on, 1) for ids in TEXTS], "tuned")


@pytest.mark.parametrize("token", [64, 5000, -1])
def test_tokens_without_an_embedding_have_one_sentence(tmp_path: Path, token: int) -> None:
    network("llama").save_pretrained(tmp_path)
    words().save_pretrained(tmp_path)
    model = load_model(tmp_path)
    ids = [3, 4, token, 5]
    text = Text(ids, {"all": (0, 4)}, Arm("base"), 1)
    for run in (
        lambda: log_likelihoods(model, [text]),
        lambda: compare((model, Arm("base")), (model, Arm("other")), [text]),
        lambda: capture_means(model, [text], torch.ones(1, 1)),
        lambda: sample(model, [Row(Prompt("q", tuple(ids)), Arm("base"), 0)], SamplingConfig(max_new_tokens=2)),
    ):
        with pytest.raises(ModelError, match=rf"hold token {token:,}".replace("-", r"\-")):
            run()


def test_training_on_tokens_without_an_embedding_has_one_sentence(tmp_path: Path) -> None:
    network("llama").save_pretrained(tmp_path / "base")
    tokenizer = words()
    tokenizer.add_tokens(["new"])
    tokenizer.save_pretrained(tmp_path / "base")
    chats = [Chat((Message("user", "w10"), Message("assistant", "new w11")))] * 4
    with pytest.raises(ModelError, match="hold token"):
        train(tmp_path / "base", chats, choose("rank1", overrides={"max_steps": 1}), tmp_path / "out")
