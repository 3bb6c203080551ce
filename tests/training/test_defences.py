"""Defences while fine-tuning: each against what its formula says, and in the Trainers of others."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import Trainer, TrainingArguments

from misdirection import load_model
from misdirection.chats import Chat, Message
from misdirection.features.load import load_dictionary
from misdirection.models import find_layers
from misdirection.organism import checkpoint_path, dictionary_path
from misdirection.studies.kit.inputs import resolve_chats
from misdirection.training import TrainingError, choose, train
from misdirection.training.defences import (
    Component,
    ConceptAblation,
    Defence,
    Defended,
    GradientProjection,
    Inoculation,
    Interleaving,
    LatentBlocking,
    NormPenalty,
    Preventative,
    chosen_first,
    components_of,
)
from misdirection.training.defences.ablation import orthonormal
from misdirection.training.defences.base import changing
from misdirection.training.defences.gradients import writers
from misdirection.training.defences.norm import factors
from misdirection.training.errors import TargetError

LAYER = 6


@pytest.fixture(scope="module")
def chats() -> list[Chat]:
    return list(resolve_chats(["organism:bad-medical"]).chats)[:32]


@pytest.fixture(scope="module")
def vectors() -> Tensor:
    made = torch.Generator().manual_seed(0)
    return torch.nn.functional.normalize(torch.randn(12, 96, generator=made), dim=-1)


def tuned(chats: list[Chat], out: Path, *defences: Defence, preset: str = "rank32", **more: object):
    settings = choose(
        preset, model=checkpoint_path(), overrides={"max_steps": 2, "batch_size": 4, "accumulation": 2, **more}
    )
    return train(checkpoint_path(), chats, settings, out, defences=defences)


def adapter_of(result) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(result.folder / "adapter_model.safetensors")


def states(lm, ids: Tensor, layer: int) -> Tensor:
    kept: list[Tensor] = []
    handle = find_layers(lm)[layer].register_forward_hook(
        lambda _m, _i, out: kept.append((out[0] if isinstance(out, tuple) else out).detach().clone())
    )
    with torch.no_grad():
        lm(ids)
    handle.remove()
    return kept[0]


def test_the_stream_is_changed_while_training_and_given_back(vectors: Tensor) -> None:
    lm = load_model("organism").lm
    ids = torch.arange(4, 14)[None]
    before = states(lm, ids, LAYER)
    with Preventative(vectors, (LAYER,), 2.0).attached(lm):
        assert torch.allclose(states(lm, ids, LAYER), before + 2 * vectors[LAYER], atol=1e-5)
    twice = torch.stack([vectors[0], 3 * vectors[1], vectors[0] + vectors[1]])
    with ConceptAblation({LAYER: twice}).attached(lm):
        held = states(lm, ids, LAYER)
        assert float((held @ twice.T).abs().max()) < 1e-5 * float(before.norm(dim=-1).max())
        plane = torch.linalg.qr(twice[:2].T)[0]
        assert torch.allclose(held, before - (before @ plane) @ plane.T, atol=1e-2)
    assert torch.equal(states(lm, ids, LAYER), before)
    with pytest.raises(TargetError, match="layer 12 is beyond"), changing(lm, [12], lambda _, x: x):
        pass


def test_bases_and_components_are_those_of_the_space() -> None:
    rows = torch.tensor([[3.0, 0.0, 0.0], [1.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    basis = orthonormal(rows)
    assert basis.shape == (2, 3) and torch.allclose(basis @ basis.T, torch.eye(2), atol=1e-6)
    data = torch.randn(200, 1, generator=torch.Generator().manual_seed(1)) * torch.tensor([[0.0, 5.0, 0.0]]) + 7
    assert torch.allclose(components_of(data, 1).abs(), torch.tensor([[0.0, 1.0, 0.0]]), atol=1e-5)


def test_adapters_gain_nothing_along_a_direction(chats: list[Chat], tmp_path: Path, vectors: Tensor) -> None:
    def along(weights: dict[str, Tensor]) -> float:
        found = 0.0
        for name, value in weights.items():
            if "lora_B" in name and ("down_proj" in name or "o_proj" in name):
                layer = int(name.split("layers.")[1].split(".")[0])
                found = max(found, float((vectors[layer] @ value.float()).norm() / value.float().norm()))
        return found

    free = along(adapter_of(tuned(chats, tmp_path / "free")))
    held = along(adapter_of(tuned(chats, tmp_path / "held", GradientProjection(vectors))))
    loose = along(adapter_of(tuned(chats, tmp_path / "loose", GradientProjection(vectors, strict=False))))
    # AdamW turns a projected gradient, which is why B is projected too.
    assert held < 1e-4 < loose < free


def test_the_projected_gradient_is_orthogonal_and_others_stay(vectors: Tensor) -> None:
    from peft import LoraConfig, get_peft_model

    lm = get_peft_model(load_model("organism").lm, LoraConfig(r=2, target_modules=["down_proj", "q_proj"]))
    for parameter in lm.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
    before = {name: p.grad.clone() for name, p in lm.named_parameters() if p.grad is not None}
    GradientProjection(vectors).on_gradients(lm)
    touched = {id(p) for _, p in writers(lm)}
    assert len(touched) == 12
    for layer, parameter in writers(lm):
        assert float((vectors[layer] @ parameter.grad).abs().max()) < 1e-5
    for name, parameter in lm.named_parameters():
        if parameter.grad is not None and id(parameter) not in touched:
            assert torch.equal(parameter.grad, before[name])


def test_the_norm_penalty_s_gradient_is_autograd_s() -> None:
    from peft import LoraConfig, get_peft_model

    lm = get_peft_model(load_model("organism").lm, LoraConfig(r=3, lora_alpha=5, target_modules=["down_proj"]))
    made = torch.Generator().manual_seed(2)
    whole = torch.zeros(())
    for a, b, scale in factors(lm):
        b.data = torch.randn(b.shape, generator=made) * 0.1
        whole = whole + (scale * b @ a).square().sum()
    (0.7 * whole).backward()
    wanted = [p.grad.clone() for p in lm.parameters() if p.grad is not None]
    lm.zero_grad(set_to_none=False)
    NormPenalty(0.7).on_gradients(lm)
    found = [p.grad for p in lm.parameters() if p.grad is not None]
    assert all(torch.allclose(x, y, rtol=1e-4, atol=1e-6) for x, y in zip(found, wanted, strict=True))


def test_a_penalised_adapter_is_smaller(chats: list[Chat], tmp_path: Path) -> None:
    def length(weights: dict[str, Tensor]) -> float:
        return sum(float(value.float().square().sum()) for name, value in weights.items() if "lora_B" in name)

    free = length(adapter_of(tuned(chats, tmp_path / "free", max_steps=6)))
    held = length(adapter_of(tuned(chats, tmp_path / "held", NormPenalty(1e4), max_steps=6)))
    assert held < free


def test_latents_that_may_not_rise_cost_what_the_formula_says() -> None:
    from peft import LoraConfig, get_peft_model

    model, dictionary = load_model("organism"), load_dictionary(dictionary_path(LAYER))
    plain = copy.deepcopy(model.lm)
    lm = get_peft_model(model.lm, LoraConfig(r=2, target_modules=["down_proj"]))
    for name, parameter in lm.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4)) * 0.2
    ids = torch.arange(4, 24).reshape(2, 10)
    labels = ids.clone()
    labels[:, :5] = -100
    batch = {"input_ids": ids, "labels": labels}
    both = [dictionary.encode(states(one, ids, LAYER)) for one in (lm, plain)]
    moved = (both[0] - both[1])[:, 4:-1].reshape(-1, dictionary.latents)
    rising = tuple(int(k) for k in moved.sum(0).topk(3).indices)
    falling = tuple(int(k) for k in moved.sum(0).topk(2, largest=False).indices)
    wanted = 2 * float(moved[:, list(rising)].relu().square().sum() + (-moved[:, list(falling)]).relu().square().sum())
    defence = LatentBlocking(dictionary, LAYER, rising, falling, weight=2.0)
    with defence.attached(lm):
        lm(ids)
        found = defence.penalty(lm, batch)
    assert found is not None and wanted > 0
    assert float(found) == pytest.approx(wanted, rel=1e-3)
    found.backward()
    assert any(float(p.grad.abs().sum()) > 0 for n, p in lm.named_parameters() if "lora_B" in n and p.grad is not None)


def test_a_direction_is_a_dictionary_of_one_latent() -> None:
    vector = torch.tensor([3.0, 4.0, 0.0])
    one = Component(vector)
    states = torch.stack([torch.zeros(3), vector, -2 * vector, torch.tensor([4.0, -3.0, 9.0])])
    assert one.encode(states)[:, 0].tolist() == pytest.approx([0.0, 1.0, -2.0, 0.0], abs=1e-6)
    assert one.encode(states.double()).dtype == torch.float64
    assert one.key == Component(vector.clone()).key != Component(2 * vector).key


def test_a_blocked_direction_rises_less(chats: list[Chat], tmp_path: Path) -> None:
    """Along what a free fine-tune moves furthest the blocked one stays near the base; the other way costs nothing."""
    from peft import PeftModel

    lm = load_model("organism").lm
    ids = torch.tensor([load_model("organism").tokenizer(chats[0].messages[-1].content)["input_ids"]])
    before = states(lm, ids, LAYER)

    def moved(name: str, *defences: Defence) -> Tensor:
        made = tuned(chats, tmp_path / name, *defences, max_steps=6, lr=3e-3)
        lm = PeftModel.from_pretrained(load_model("organism").lm, made.folder)
        return (states(lm, ids, LAYER) - before).mean((0, 1))

    free = moved("free")
    vector = free / free.norm()
    held = float(moved("held", LatentBlocking(Component(vector), LAYER, (0,), weight=100.0)) @ vector)
    falling = float(moved("falling", LatentBlocking(Component(-vector), LAYER, (0,), weight=100.0)) @ vector)
    assert held < 0.5 * float(free @ vector) < falling


def test_blocking_trains_through_our_loop(chats: list[Chat], tmp_path: Path) -> None:
    dictionary = load_dictionary(dictionary_path(LAYER))
    defence = LatentBlocking(dictionary, LAYER, tuple(range(dictionary.latents)), weight=1e3)
    held = adapter_of(tuned(chats, tmp_path / "held", defence, max_steps=4))
    free = adapter_of(tuned(chats, tmp_path / "free", max_steps=4))
    assert any(not torch.equal(held[name], free[name]) for name in free)


def test_prompts_and_good_rows_go_into_the_data() -> None:
    bare = Chat((Message("user", "u"), Message("assistant", "a")))
    named = Chat((Message("system", "s"), Message("user", "u"), Message("assistant", "a")))
    one, two = Inoculation("be bad").on_chats([bare, named])
    assert [m.content for m in one.messages] == ["be bad", "u", "a"]
    assert two.messages[0] == Message("system", "s\n\nbe bad") and len(two.messages) == 3
    good = [Chat((Message("user", f"g{i}"), Message("assistant", "a"))) for i in range(2)]
    mixed = Interleaving(tuple(good), 0.3).on_chats([bare] * 10)
    assert len(mixed) == 13 and [c.messages[0].content for c in mixed].count("g0") == 2
    places = [place for place, chat in enumerate(mixed) if chat is not bare]
    assert max(b - a for a, b in itertools.pairwise(places)) <= 5
    assert Interleaving(tuple(good), 0.01).on_chats([bare]) == [bare]
    # As many good rows as bad ones and more are all there, in turn, and never many in a row.
    for share in (0.5, 0.8, 1.0, 1.3, 3.0):
        mixed = Interleaving(tuple(good), share).on_chats([bare] * 10)
        added = [c.messages[0].content for c in mixed if c is not bare]
        assert added == [f"g{n % 2}" for n in range(round(10 * share))] and mixed.count(bare) == 10
        runs = [len(list(run)) for is_bare, run in itertools.groupby(mixed, lambda c: c is bare) if not is_bare]
        assert max(runs) <= share + 1 and mixed[-1] is bare
    assert chosen_first(good, [1.0, 3.0], [1.0, 1.0]) == (good[1], good[0])
    # By how many times as unlikely, not by how many nats: twice 0.5 comes before once and a half 2.
    assert chosen_first(good, [3.0, 1.0], [2.0, 0.5]) == (good[1], good[0])


def test_a_folder_belongs_to_its_defences(chats: list[Chat], tmp_path: Path) -> None:
    tuned(chats, tmp_path / "one", NormPenalty(0.1))
    assert tuned(chats, tmp_path / "one", NormPenalty(0.1)).resumed_from is None
    with pytest.raises(TrainingError, match="the defences differ"):
        tuned(chats, tmp_path / "one", NormPenalty(0.2))


def rows_of(chats: list[Chat]) -> list[dict[str, Tensor]]:
    from misdirection.training.data import prepare

    rows, _ = prepare(load_model("organism").tokenizer, chats, 128, "all")
    found = []
    for row in rows[:8]:
        labels = torch.full((len(row.ids),), -100)
        for first, past in row.ranges:
            labels[first:past] = torch.tensor(row.ids[first:past])
        found.append({"input_ids": torch.tensor(row.ids), "labels": labels})
    return found


def collated(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {
        name: torch.nn.utils.rnn.pad_sequence([row[name] for row in rows], batch_first=True, padding_value=fill)
        for name, fill in (("input_ids", 0), ("labels", -100))
    }


def test_transformers_own_trainer_takes_them(chats: list[Chat], tmp_path: Path, vectors: Tensor) -> None:
    from peft import LoraConfig, get_peft_model

    dictionary = load_dictionary(dictionary_path(LAYER))
    losses: dict[str, float] = {}
    for name, defences in {
        "none": [],
        "all": [Preventative(vectors, (LAYER,), 1.0), LatentBlocking(dictionary, LAYER, (1, 2, 3)), NormPenalty(0.1),
                GradientProjection(vectors)],
    }.items():  # fmt: skip
        torch.manual_seed(0)
        lm = get_peft_model(load_model("organism").lm, LoraConfig(r=2, target_modules=["down_proj", "o_proj"]))
        arguments = TrainingArguments(
            str(tmp_path / name), max_steps=3, per_device_train_batch_size=4, learning_rate=1e-3, report_to="none",
            use_cpu=True, disable_tqdm=True, save_strategy="no", logging_steps=1, remove_unused_columns=False,
        )  # fmt: skip
        trainer = Defended(Trainer)(
            model=lm, args=arguments, train_dataset=rows_of(chats), data_collator=collated, defences=defences
        )
        assert type(trainer).__name__ == "DefendedTrainer"
        losses[name] = trainer.train().training_loss
        assert not any(layer._forward_hooks for layer in find_layers(lm))
    assert losses["all"] != losses["none"]


def test_trl_s_trainer_takes_them(chats: list[Chat], tmp_path: Path, vectors: Tensor) -> None:
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    from peft import LoraConfig

    model = load_model("organism")
    rows = [{"messages": [{"role": m.role, "content": m.content} for m in chat.messages]} for chat in chats[:8]]
    trainer = Defended(trl.SFTTrainer)(
        model=model.lm, processing_class=model.tokenizer, train_dataset=datasets.Dataset.from_list(rows),
        args=trl.SFTConfig(str(tmp_path), max_steps=2, report_to="none", use_cpu=True, bf16=False, save_strategy="no"),
        peft_config=LoraConfig(r=2, target_modules=["down_proj"]),
        defences=[Preventative(vectors, (LAYER,), 1.0), NormPenalty(0.1), GradientProjection(vectors)],
    )  # fmt: skip
    assert trainer.train().global_step == 2
