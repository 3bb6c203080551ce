"""Figures of dictionaries whose figures are known: the identity, nothing at all, the mean; and a plain formula."""

from __future__ import annotations

import math
from contextlib import nullcontext
from functools import cache

import pytest
import torch
from tests.families import WIDTH, prompt, shared, vector

from misdirection.engine import Arm, Text
from misdirection.engine.splice import next_token_losses
from misdirection.features import Dictionary, DictionaryError
from misdirection.features import quality as figures
from misdirection.features.quality import measure, recovered, variance_explained

LAYER = 1
EYE = torch.eye(WIDTH)


def texts_of(arm: Arm) -> list[Text]:
    """What the arm itself goes on with, token by token: only there does a random model lose by ablation."""
    return [Text(ids, {"states": (1, len(ids))}, arm, 1) for ids in _said(arm.adapter)]


@cache
def _said(adapter: str | None) -> list[tuple[int, ...]]:
    model, held = shared("llama"), [list(prompt(n, 2)) for n in range(12)]
    for number, ids in enumerate(held):
        for _ in range(4 + number):
            with torch.no_grad(), variant(adapter):
                ids.append(int(model.lm(torch.tensor([ids])).logits[0, -1].argmax()))
    return [tuple(ids) for ids in held]


def variant(adapter: str | None):
    """PEFT's own switch."""
    model = shared("llama")
    if adapter is None:
        return model.peft.disable_adapter()
    model.peft.set_adapter(adapter)
    return nullcontext()


def states_of(arm: Arm) -> torch.Tensor:
    model = shared("llama")
    held = []
    for text in texts_of(arm):
        with torch.no_grad(), variant(arm.adapter):
            out = model.lm(torch.tensor([text.ids]), output_hidden_states=True)
        held.append(out.hidden_states[LAYER + 1][0, 1:])
    return torch.cat(held).double()


def identity() -> Dictionary:
    """Positive and negative part of every coordinate."""
    both = torch.cat([EYE, -EYE])
    return Dictionary(both.T.contiguous(), both, torch.zeros(2 * WIDTH), torch.zeros(WIDTH), layer=LAYER)


def nothing(bias: torch.Tensor) -> Dictionary:
    """Never fires; reconstructs its bias."""
    return Dictionary(torch.zeros(WIDTH, 5), torch.zeros(5, WIDTH), -torch.ones(5), bias, layer=LAYER)


def test_the_identity_explains_and_recovers_all():
    found = measure(shared("llama"), identity(), texts_of(Arm("base")), "states")
    assert found.variance_explained == pytest.approx(1, abs=1e-6)
    assert found.recovered_zero == pytest.approx(1, abs=1e-4) and found.recovered_mean == pytest.approx(1, abs=1e-4)
    assert found.l0 == WIDTH and found.tokens == len(states_of(Arm("base")))
    assert found.loss_spliced == pytest.approx(found.loss_clean, rel=1e-5)
    # Each latent is the sign of a coordinate; over all tokens nearly every sign is met.
    states = states_of(Arm("base"))
    assert found.dead == int((states.amax(0) <= 0).sum() + (states.amin(0) >= 0).sum())


def test_what_never_fires_recovers_nothing_of_what_it_equals():
    model, texts = shared("llama"), texts_of(Arm("base"))
    zero = measure(model, nothing(torch.zeros(WIDTH)), texts, "states")
    assert zero.recovered_zero == 0 and zero.l0 == 0 and zero.dead == zero.latents == 5
    states = states_of(Arm("base"))
    spread = (states - states.mean(0)).square().sum()
    assert zero.variance_explained == pytest.approx(1 - float(states.square().sum() / spread), rel=1e-4)
    mean = measure(model, nothing(states.mean(0).float()), texts, "states")
    assert mean.variance_explained == pytest.approx(0, abs=1e-4)
    assert mean.loss_spliced == pytest.approx(mean.loss_mean, rel=1e-4)
    assert mean.recovered_mean == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("adapter", [None, "all"])
def test_every_figure_by_its_formula_under_either_variant(adapter, monkeypatch):
    monkeypatch.setattr(figures, "CHUNK_VALUES", 7 * 90)
    arm = Arm("arm", adapter=adapter)
    made = Dictionary(vector(1, WIDTH, 90), vector(2, 90, WIDTH) / 90, vector(3, 90), vector(4, WIDTH), "topk", k=9)
    found = measure(shared("llama"), made, texts_of(arm), "states", layer=LAYER)
    states = states_of(arm)
    latents = made.encode(states.float())
    missed = (states - made.decode(latents)).square().sum()
    spread = (states - states.mean(0)).square().sum()
    assert found.variance_explained == pytest.approx(1 - float(missed / spread), rel=1e-4)
    alone = variance_explained(shared("llama"), made, texts_of(arm), "states", layer=LAYER)
    assert alone == found.variance_explained
    assert found.l0 == pytest.approx(float((latents > 0).sum(1).double().mean()), rel=1e-6)
    assert found.dead == int((latents.amax(0) <= 0).sum())
    losses = next_token_losses(
        shared("llama"), texts_of(arm), LAYER, "states",
        {"clean": None, "made": lambda x: made.decode(made.encode(x)), "zero": lambda x: x * 0},
    )  # fmt: skip
    wanted = (losses["zero"] - losses["made"]) / (losses["zero"] - losses["clean"])
    assert found.recovered_zero == pytest.approx(wanted, rel=1e-4)
    assert found.loss_spliced == pytest.approx(losses["made"], rel=1e-5)


def test_ablation_that_costs_nothing_leaves_nothing_to_recover():
    assert math.isnan(recovered(2.0, 2.5, 2.0)) and recovered(3.0, 2.25, 2.0) == 0.75


def test_a_dictionary_that_does_not_fit_is_refused():
    texts = texts_of(Arm("base"))
    with pytest.raises(DictionaryError, match="which layer"):
        measure(shared("llama"), Dictionary(EYE, EYE, EYE[0], EYE[0]), texts, "states")
    small = Dictionary(torch.eye(3), torch.eye(3), torch.zeros(3), torch.zeros(3), layer=1)
    with pytest.raises(DictionaryError, match="a width of 3"):
        measure(shared("llama"), small, texts, "states")
    with pytest.raises(DictionaryError, match="a width of 3"):
        variance_explained(shared("llama"), small, texts, "states")
