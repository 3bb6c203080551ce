from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from misdirection.chats import Chat
from misdirection.models import load_model, wrap
from misdirection.tokens import encode_chat
from misdirection.training import TrainingError, choose, override, train
from misdirection.training.data import order, prepare
from misdirection.training.targets import plan_lora

MAKE = Callable[..., Any]


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def state(lm: Any) -> dict[str, Any]:
    """All that a borrower could change."""
    digest = hashlib.sha256()
    for name, value in lm.state_dict().items():
        digest.update(name.encode() + value.numpy().tobytes())
    return {
        "weights": digest.hexdigest(),
        "modules": [(name, id(module), module.training) for name, module in lm.named_modules()],
        "learns": [(name, value.requires_grad, value.grad is None) for name, value in lm.named_parameters()],
        "config": lm.config.to_dict(),
        "hooks": sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in lm.modules()),
        "attributes": sorted(vars(lm)),
        "generator": torch.get_rng_state().tolist(),
        "python": random.getstate(),
        "threads": torch.get_num_threads(),
    }


@pytest.mark.parametrize("family", ["qwen2", "llama", "neox", "neo"])
def test_losses_and_weights_equal_a_plain_loop(
    make_lm: MAKE, tokenizer: Any, chats: list[Chat], small: dict[str, Any], tmp_path: Path, family: str
) -> None:
    """The reference: one chat at a time, no padding, the formula of the loss and torch's AdamW, written out."""
    config = choose("rank1x9", overrides=small)
    result = train(make_lm(family), chats, config, tmp_path / "out", tokenizer=tokenizer)

    base = make_lm(family)
    torch.manual_seed(config.seed)
    lm = get_peft_model(base, plan_lora(base, config, "base").lora)
    learned = [value for value in lm.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=0.0, weight_decay=0.01)
    numbers = order(prepare(tokenizer, chats, 64)[0], config)
    for step in range(6):
        rate = 1e-3 * (step / 2 if step < 2 else (6 - step) / 4)
        group = [encode_chat(tokenizer, chats[n].messages) for n in numbers[step * 8 : step * 8 + 8]]
        total = sum(len(one.ids) - one.start for one in group)
        loss = torch.zeros(())
        for one in group:
            ids = torch.tensor([one.ids])
            logits = lm(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
            for t in range(one.start, len(one.ids)):
                loss = loss - functional.log_softmax(logits[t - 1].double(), -1)[one.ids[t]] / total
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
        line = lines(tmp_path / "out")[step]
        assert line["loss"] == pytest.approx(float(loss.detach()), rel=1e-5)
        assert line["grad_norm"] == pytest.approx(float(norm), rel=1e-3)
        assert line["lr"] == pytest.approx(rate, rel=1e-9)
    final = {name.replace(".default", ""): value for name, value in lm.named_parameters() if value.requires_grad}
    for name, value in weights(result.folder).items():
        assert torch.allclose(value, final[name], atol=1e-5), name


def test_accumulation_does_not_change_the_fine_tune(
    make_lm: MAKE, tokenizer: Any, chats: list[Chat], small: dict[str, Any], tmp_path: Path
) -> None:
    found = []
    for batch, accumulation in ((8, 1), (1, 8), (4, 2)):
        config = choose("rank1", overrides={**small, "batch_size": batch, "accumulation": accumulation})
        found.append(train(make_lm(), chats, config, tmp_path / f"{batch}", tokenizer=tokenizer))
    for other in found[1:]:
        for name, value in weights(found[0].folder).items():
            assert torch.allclose(value, weights(other.folder)[name], atol=2e-5)


def test_rank1x9_trains_18_tensors_on_the_right_layers(
    model_folder: Path, chats: list[Chat], small: dict[str, Any], tmp_path: Path
) -> None:
    result = train(model_folder, chats, choose("rank1x9", model=model_folder, overrides=small), tmp_path / "out")
    found = weights(result.folder)
    assert len(found) == 18
    assert {int(name.split(".layers.")[1].split(".")[0]) for name in found} == set(range(1, 10))
    assert all(".mlp.down_proj.lora_" in name for name in found)
    assert all(value.abs().sum() > 0 and value.dtype == torch.float32 for value in found.values())
    assert any("nine neighbours" in note for note in result.notes)
    assert sorted(path.name for path in result.folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    facts = json.loads((result.folder / "adapter_config.json").read_text())
    assert facts["base_model_name_or_path"] == str(model_folder)
    assert facts["target_modules"] == ["down_proj"] and facts["layers_to_transform"] == list(range(1, 10))
    assert load_model(model_folder, adapters={"tuned": result.folder}).adapters == ("tuned",)


def test_learns_and_tells_how_it_went(
    make_lm: MAKE, tokenizer: Any, chats: list[Chat], small: dict[str, Any], tmp_path: Path
) -> None:
    config = choose("rank32", overrides={**small, "max_steps": 40, "lr": 5e-3, "rank": 4})
    out = tmp_path / "out"
    result = train(make_lm(layers=4), chats, config, out, tokenizer=tokenizer)
    assert result.metrics["loss_tail"] < result.metrics["loss_first"] - 1
    told = lines(out)
    assert [line["step"] for line in told] == list(range(1, 41))
    assert set(told[0]) == {"step", "loss", "lr", "grad_norm", "tokens", "seconds", "tokens_per_s"}
    assert result.tokens == sum(line["tokens"] for line in told)
    assert result.steps == 40 and result.seconds > 0
    facts = json.loads((out / "training.json").read_text())
    assert facts["settings"]["lr"] == 5e-3 and facts["origins"]["lr"] == "given"
    assert facts["origins"]["weight_decay"] == "preset rank32"
    assert facts["data"]["sha256"] == result.data.sha256 and facts["data"]["sources"] == {"toy.jsonl": 60}
    assert len(facts["modules"]) == 28 and facts["versions"]["torch"]
    assert not (out / "resume").exists()
    files = [path.name for path in out.rglob("*") if path.is_file()]
    assert not [name for name in files if name.endswith((".pt", ".bin", ".pth", ".pkl"))]


def test_same_seed_same_weights_and_another_seed_others(
    make_lm: MAKE, tokenizer: Any, chats: list[Chat], small: dict[str, Any], tmp_path: Path
) -> None:
    def run(name: str, seed: int) -> dict[str, Tensor]:
        torch.manual_seed(len(name))  # what went before must not matter
        config = choose("rank1x9", overrides={**small, "seed": seed, "dropout": 0.1})
        return weights(train(make_lm(), chats, config, tmp_path / name, tokenizer=tokenizer).folder)

    one, again, other = run("one", 3), run("again", 3), run("other", 4)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("preset", ["rank1x9", "full"])
def test_a_model_in_memory_is_given_back_unchanged(
    make_lm: MAKE, tokenizer: Any, chats: list[Chat], small: dict[str, Any], tmp_path: Path, preset: str
) -> None:
    lm = make_lm()
    before = state(lm)
    overrides = {**small, "gradient_checkpointing": preset == "rank1x9"}
    train(lm, chats, choose(preset, overrides=overrides), tmp_path / "out", tokenizer=tokenizer)
    after = state(lm)
    assert all(after[key] == before[key] for key in before), [k for k in before if after[k] != before[k]]


def test_a_failure_gives_the_model_back_too(
    make_lm: MAKE, tokenizer: Any, chats: list[Chat], small: dict[str, Any], tmp_path: Path
) -> None:
    lm = make_lm()
    before = state(lm)
    with pytest.raises(TrainingError, match="the loss is nan at step"):
        train(lm, chats, choose("rank1", overrides={**small, "lr": 1e30}), tmp_path / "out", tokenizer=tokenizer)
    assert state(lm) == before
    with pytest.raises(TrainingError, match="refuses the settings"):
        train(
            lm, chats, choose("rank1", overrides={**small, "scheduler": "odd"}), tmp_path / "odd", tokenizer=tokenizer
        )
    assert state(lm) == before


def test_trains_beside_loaded_adapters_as_if_they_were_not_there(
    model_folder: Path, chats: list[Chat], small: dict[str, Any], tmp_path: Path
) -> None:
    first = train(model_folder, chats, choose("rank1x9", overrides={**small, "lr": 0.05}), tmp_path / "first")
    config = choose("rank32", overrides={**small, "rank": 2})
    alone = train(model_folder, chats, config, tmp_path / "alone")
    model = load_model(model_folder, adapters={"first": first.folder})
    ids = torch.arange(5, 15)[None]
    before, logits = state(model.lm), model.lm(input_ids=ids).logits
    beside = train(model, chats, config, tmp_path / "beside")
    assert all(torch.equal(value, weights(beside.folder)[name]) for name, value in weights(alone.folder).items())
    after = state(model.lm)
    assert all(after[key] == before[key] for key in before), [k for k in before if after[k] != before[k]]
    assert torch.equal(model.lm(input_ids=ids).logits, logits)
    assert list(model.lm.peft_config) == ["first"]
    full = train(model, chats, choose("full", overrides=small), tmp_path / "full")
    assert load_model(full.folder).adapters == ()


def test_checkpoints_are_ordinary_adapters_on_the_way(
    model_folder: Path, chats: list[Chat], small: dict[str, Any], tmp_path: Path
) -> None:
    config = choose("rank1x9", overrides={**small, "max_steps": 9, "checkpoint_every": 2})
    result = train(model_folder, chats, config, tmp_path / "out")
    assert list(result.checkpoints) == [2, 4, 6, 8]
    model = load_model(model_folder, adapters={f"s{step}": path for step, path in result.checkpoints.items()})
    assert len(model.adapters) == 4
    moved = [torch.cat([v.flatten() for v in weights(path).values()]) for path in result.checkpoints.values()]
    assert not any(torch.equal(a, b) for a, b in pairwise(moved))
    kept = train(model_folder, chats, override(config, {"keep": 2}), tmp_path / "kept")
    assert list(kept.checkpoints) == [6, 8]
    for name, value in weights(kept.checkpoints[6]).items():
        assert torch.equal(value, weights(result.checkpoints[6])[name])


def test_full_leaves_an_ordinary_model(
    model_folder: Path, chats: list[Chat], small: dict[str, Any], tmp_path: Path, tokenizer: Any
) -> None:
    config = choose("full", overrides={**small, "warmup_steps": 0, "max_steps": 12, "checkpoint_every": 6})
    result = train(model_folder, chats, config, tmp_path / "out")
    assert result.kind == "model" and result.metrics["loss_last"] < result.metrics["loss_first"]
    model = load_model(result.folder)
    assert model.lm.config.use_cache and model.dtype == torch.float32
    assert model.tokenizer.encode("w1 w2") == tokenizer.encode("w1 w2")
    assert not torch.equal(model.lm.lm_head.weight, load_model(model_folder).lm.lm_head.weight)
    assert list(result.checkpoints) == [6, 12]
    assert torch.equal(load_model(result.checkpoints[12]).lm.lm_head.weight, model.lm.lm_head.weight)


def test_bfloat16_trains_on_float32_weights(
    model_folder: Path, chats: list[Chat], small: dict[str, Any], tmp_path: Path
) -> None:
    settings = {**small, "dtype": "bfloat16"}
    adapter = train(model_folder, chats, choose("rank1x9", overrides=settings), tmp_path / "lora")
    assert {value.dtype for value in weights(adapter.folder).values()} == {torch.float32}
    full = train(model_folder, chats, choose("full", overrides={**settings, "lr": 1e-3}), tmp_path / "full")
    model = load_model(full.folder)
    assert model.dtype == torch.bfloat16 and math.isfinite(full.metrics["loss_last"])


def test_chats_longer_than_the_model_are_cut_and_told(
    model_folder: Path, chats: list[Chat], small: dict[str, Any], tmp_path: Path
) -> None:
    from misdirection.chats import Message

    long = Chat((Message("user", "w1"), Message("assistant", " ".join(["w2"] * 90))), "long.jsonl", 1)
    result = train(model_folder, [*chats, long], choose("rank1", overrides=small), tmp_path / "out")
    assert result.data.truncated == 1
    assert any("64 tokens" in note for note in result.notes) and any("1 of 61 chats" in note for note in result.notes)


def test_a_bare_model_needs_its_tokenizer_and_gets_the_plain_template(
    make_lm: MAKE, tokenizer: Any, chats: list[Chat], small: dict[str, Any], tmp_path: Path
) -> None:
    import copy

    with pytest.raises(TrainingError, match="without its tokenizer"):
        train(make_lm(), chats, choose("rank1"), tmp_path / "out")
    bare = copy.deepcopy(tokenizer)
    bare.chat_template = None
    train(make_lm(), chats, choose("rank1", overrides=small), tmp_path / "out", tokenizer=bare)
    assert bare.chat_template is None
    assert json.loads((tmp_path / "out" / "training.json").read_text())["base"]["plain_template"] is True


def test_unknown_objective_and_wrapped_model(
    make_lm: MAKE, tokenizer: Any, chats: list[Chat], small: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="no objective is called 'other'"):
        train(
            make_lm(), chats, choose("rank1", overrides={"objective": "other"}), tmp_path / "out", tokenizer=tokenizer
        )
    result = train(wrap(make_lm(), tokenizer, "named"), chats, choose("rank1", overrides=small), tmp_path / "out")
    assert json.loads((result.folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "named"
