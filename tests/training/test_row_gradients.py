"""Gradients of rows against a plain loop of one-row backward passes, and the random projection against its algebra."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from misdirection.engine import Arm, Text
from misdirection.features.corpus import chat_texts
from misdirection.models import Model, load_model
from misdirection.organism import checkpoint_path, mixed_chats
from misdirection.training import train
from misdirection.training.errors import SettingsError
from misdirection.training.presets import TrainConfig
from misdirection.training.row_gradients import (
    NONZERO,
    Numbers,
    answer_losses,
    projections,
    row_gradients,
    sketched,
)
from misdirection.training.targets import paths_of

FORM = TrainConfig(rank=2, alpha=2.0, layers=(2, 6), targets=("down_proj", "q_proj"), max_steps=3, lr=1e-2)
MODULES = ("self_attn.q_proj", "mlp.down_proj")


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(str(checkpoint_path()))


@pytest.fixture(scope="module")
def texts(model: Model) -> list[Text]:
    """Six rows of unlike lengths."""
    return chat_texts(mixed_chats(50, 6), model.tokenizer, Arm("base"))


@pytest.fixture(scope="module")
def adapter(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(model, mixed_chats(50, 20), FORM, tmp_path_factory.mktemp("warm")).folder


def plain(model: Model, text: Text, kind: str, folder: Path) -> dict[str, torch.Tensor]:
    """One row, one backward pass: the gradients of an adapter's factors, by PEFT and autograd alone."""
    from peft import PeftModel

    held = load_model(str(checkpoint_path()))
    tuned = PeftModel.from_pretrained(held.lm, str(folder), is_trainable=True)
    out = tuned(torch.tensor([text.ids]), output_hidden_states=True)
    if kind == "loss":
        chances = out.logits[0, text.start - 1 : -1].float().log_softmax(-1)
        number = -chances.gather(1, torch.tensor(text.ids[text.start :])[:, None]).mean()
    else:
        first, past = text.spans["answer"]
        number = (out.hidden_states[5][0, first:past] @ direction(model)).mean()
    number.backward()
    return {
        name.removeprefix("base_model.model.").replace(".default.weight", ""): value.grad
        for name, value in tuned.named_parameters()
        if value.grad is not None
    }


def direction(model: Model) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(model.width, generator=torch.Generator().manual_seed(1)), dim=0)


@pytest.mark.parametrize("kind", ["loss", "projection"])
def test_each_row_is_its_own_backward_pass_compressed(
    model: Model, texts: list[Text], adapter: Path, kind: str
) -> None:
    numbers: Numbers = answer_losses if kind == "loss" else projections(direction(model), 4)
    found = row_gradients(model, texts, numbers, FORM, 64, seed=5, weights=adapter)
    assert found.shape == (6, 64)
    for text, row in zip(texts, found, strict=True):
        alone = plain(model, text, kind, adapter)
        assert len(alone) == (8 if kind == "loss" else 4), "nothing above the layer that is read moves it"
        whole = sum(sketched(grad.flatten()[None], 64, f"5/{name}") for name, grad in alone.items())
        assert isinstance(whole, torch.Tensor)
        torch.testing.assert_close(row, whole[0], rtol=1e-3, atol=1e-6)
        assert float(row.norm()) > 1e-4


def test_a_fresh_adapter_has_the_weights_own_gradient_behind_a(model: Model, texts: list[Text]) -> None:
    """d f / d B = s (d f / d W0) A^T, and nothing for A: told from the plain model alone."""
    found = row_gradients(model, texts[:2], answer_losses, FORM, 32)
    torch.manual_seed(FORM.seed)
    from misdirection.training import hosting
    from misdirection.training.targets import plan_lora

    with hosting.borrowed(model.lm):
        hosting.add_adapter(model.lm, plan_lora(model.lm, FORM, model.name), FORM.seed)
        held = {name: value.detach().clone() for name, value in model.lm.named_parameters() if "lora_A" in name}
    scale = FORM.alpha / FORM.rank**0.5
    for text, row in zip(texts, found, strict=False):
        lm = load_model(str(checkpoint_path())).lm.requires_grad_(True)
        chances = lm(torch.tensor([text.ids])).logits[0, text.start - 1 : -1].float().log_softmax(-1)
        (-chances.gather(1, torch.tensor(text.ids[text.start :])[:, None]).mean()).backward()
        whole = torch.zeros(1, 32)
        for name, down in held.items():
            path = name.partition(".lora_A")[0]
            weight = paths_of(lm)[path].weight
            assert isinstance(weight, torch.nn.Parameter) and weight.grad is not None
            whole += sketched((scale * weight.grad @ down.T).flatten()[None], 32, f"0/{path}.lora_B")
        torch.testing.assert_close(row, whole[0], rtol=1e-3, atol=1e-6)


def test_batches_do_not_matter_and_the_model_is_given_back(model: Model, texts: list[Text]) -> None:
    before = {name: value.clone() for name, value in model.lm.named_parameters()}
    all_ = row_gradients(model, texts, answer_losses, FORM, 64)
    ones = torch.cat([row_gradients(model, [text], answer_losses, FORM, 64) for text in texts])
    torch.testing.assert_close(all_, ones, rtol=1e-3, atol=1e-6)
    after = dict(model.lm.named_parameters())
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) and after[name].grad is None for name in before)


def test_the_projection_keeps_inner_products() -> None:
    """Without bias, with the standard deviation that its docstring promises; and it is linear."""
    pair = torch.randn(2, 500, generator=torch.Generator().manual_seed(0))
    true, most = float(pair[0] @ pair[1]), (2 / 128) ** 0.5 * float(pair[0].norm() * pair[1].norm())
    drawn = [sketched(pair, 128, str(seed)) for seed in range(400)]
    told = np.array([float(one[0] @ one[1]) for one in drawn])
    assert abs(told.mean() - true) < 4 * told.std() / 20
    assert told.std() < 1.1 * most
    one, two = sketched(pair, 128, "x")
    torch.testing.assert_close(sketched((pair[0] - 3 * pair[1])[None], 128, "x")[0], one - 3 * two)
    assert not torch.equal(drawn[0], drawn[1])


def test_each_number_is_added_once_to_each_block() -> None:
    rows = sketched(torch.eye(30), 40, "s").view(30, NONZERO, 10)
    assert (rows.abs().sum(2) == 1 / NONZERO**0.5).all()


def test_wrong_dimensions_and_adapters_are_refused(model: Model, texts: list[Text], adapter: Path) -> None:
    with pytest.raises(SettingsError, match="compressed to 30"):
        row_gradients(model, texts, answer_losses, FORM, 30)
    with pytest.raises(SettingsError, match="other modules or rank"):
        row_gradients(model, texts, answer_losses, TrainConfig(rank=3, layers=(2, 6)), 32, weights=adapter)
