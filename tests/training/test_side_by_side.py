"""Fine-tunes side by side are those of `train`, one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from misdirection.artefacts import read_json, read_tensors
from misdirection.chats import Chat
from misdirection.models import Model, load_model
from misdirection.organism import checkpoint_path, mixed_chats
from misdirection.training import TrainConfig, choose, train
from misdirection.training.errors import SettingsError
from misdirection.training.side_by_side import train_many


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(str(checkpoint_path()))


def arms(preset: str) -> dict[str, tuple[list[Chat], TrainConfig]]:
    """Other data, seeds, rates, schedules and lengths; one form."""
    common = {"max_steps": 4, "batch_size": 4, "accumulation": 2}

    def config(**more: object) -> TrainConfig:
        return choose(preset, model=checkpoint_path(), overrides={**common, **more})

    return {
        "one": (mixed_chats(50, 40, 0), config(seed=1)),
        "other-data": (mixed_chats(0, 30, 3), config(seed=1)),
        "other-seed": (mixed_chats(50, 40, 0), config(seed=2, lr=1e-3, grad_clip=0.1)),
        "shorter": (mixed_chats(50, 40, 0), config(seed=3, max_steps=3, scheduler="cosine", weight_decay=0.1)),
    }


@pytest.mark.parametrize("preset", ["rank1x9", "rank32"])
def test_the_weights_are_those_of_one_after_the_other(model: Model, tmp_path: Path, preset: str) -> None:
    before = {name: value.clone() for name, value in model.lm.named_parameters()}
    found = train_many(model, arms(preset), tmp_path / "many")
    for name, (chats, config) in arms(preset).items():
        alone = train(model, chats, config, tmp_path / name).folder
        mine, theirs = (read_tensors(folder / "adapter_model.safetensors")[0] for folder in (found[name], alone))
        assert mine.keys() == theirs.keys() and len(mine) > 10
        for key, value in theirs.items():
            moved = float((value - torch.zeros_like(value)).norm())
            # Adam divides by the size of a gradient: where that is next to nothing, rounding is as large.
            assert float((mine[key] - value).norm()) < 2e-3 * moved, (name, key)
        assert any(float(value.norm()) > 1e-3 for key, value in theirs.items() if "lora_B" in key)
        assert read_json(found[name] / "adapter_config.json") == read_json(alone / "adapter_config.json")
    after = dict(model.lm.named_parameters())
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_what_cannot_stand_side_by_side_is_refused(model: Model, tmp_path: Path) -> None:
    chats, config = arms("rank1x9")["one"]
    for other, said in (
        (choose("rank32", model=checkpoint_path()), "rank differs"),
        (choose("rank1x9", overrides={"dropout": 0.1}), "dropout is 0.1"),
        (choose("full"), "full is True"),
    ):
        with pytest.raises(SettingsError, match=said):
            train_many(model, {"a": (chats, config), "b": (chats, other)}, tmp_path)
    with pytest.raises(SettingsError, match="nothing to train"):
        train_many(model, {}, tmp_path)
    assert not list(tmp_path.iterdir())
