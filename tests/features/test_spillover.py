"""The spillover law against its own derivation: exact under steering, a straight line for a linear model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from misdirection import organism
from misdirection.engine import Arm, Steer, Text
from misdirection.errors import MisdirectionError
from misdirection.features import Dictionary
from misdirection.features.corpus import chat_texts
from misdirection.features.spillover import change_of, fit_line, mean_over, read_states, spill_of
from misdirection.features.updates import (
    data_losses,
    gradients,
    latent_losses,
    moved_along,
    rate_for,
    stepped,
    trainable,
    tune_along,
)
from misdirection.models import Model, load_model
from misdirection.studies.kit.inputs import resolve_dictionary

LAYER = 6


def tied(width: int, latents: int, bias: float) -> Dictionary:
    decoder = nn.functional.normalize(torch.randn(latents, width, generator=torch.Generator().manual_seed(1)), dim=1)
    return Dictionary(decoder.T.contiguous(), decoder, torch.full((latents,), bias), torch.zeros(width), layer=0)


def test_one_gradient_step_of_a_linear_model_is_the_line_of_the_derivation():
    """x = W u with one input u: raising f_i moves W by rate d_i u^T and so x by rate |u|^2 d_i."""
    held = tied(12, 40, 9.0)
    weight = nn.Parameter(torch.zeros(12, 5))
    u = torch.tensor([1.0, -2.0, 0.5, 0.0, 1.0])

    def states() -> torch.Tensor:
        return (weight @ u).expand(7, 12)

    before = states().detach().clone()
    slope = gradients([weight], iter([-held.encode(states())[:, 3].mean()]))
    with stepped([weight], slope, 0.01):
        change = change_of(held, before, states().detach())
    found = spill_of(held, 3, change, least=7)
    assert change.size == pytest.approx(0.01 * float(u @ u), rel=1e-5)
    for name in ("steady cosine", "steady encoder", "mean cosine", "mean predicted"):
        fit = found.fits[name]
        assert (fit.slope, fit.r2) == pytest.approx((1, 1), abs=1e-4) and fit.n == 39, name
        assert fit.intercept == pytest.approx(0, abs=1e-4)
    assert (found.own, found.along, found.share) == pytest.approx((1, 1, 1), abs=1e-4)
    assert torch.equal(weight, torch.zeros(12, 5))


def test_changes_in_chunks_are_the_plain_formulas(monkeypatch: pytest.MonkeyPatch):
    held = tied(6, 30, -0.2)
    generator = torch.Generator().manual_seed(4)
    before, after = torch.randn(2, 25, 6, generator=generator)
    f, g = held.encode(before), held.encode(after)
    both = (f > 0) & (g > 0)
    monkeypatch.setattr("misdirection.features.spillover.CHUNK_VALUES", 120)
    found = change_of(held, before, after)
    assert torch.allclose(found.mean, (g - f).double().mean(0), atol=1e-6)
    steady = ((g - f) * both).double().sum(0) / both.sum(0)
    assert torch.allclose(found.steady, steady, atol=1e-5, equal_nan=True)
    assert torch.allclose(found.linear, found.steady, atol=1e-5, equal_nan=True)
    assert torch.equal(found.fired.long(), (f > 0).sum(0))
    with pytest.raises(MisdirectionError, match="cannot be compared"):
        change_of(held, before, after[:3])
    with pytest.raises(MisdirectionError, match="moves nothing"):
        spill_of(held, 0, change_of(held, before, before))


@pytest.mark.parametrize("factor", [1.0, 0.25, 3.0])
def test_a_dictionary_that_scales_its_input_reads_the_update_as_much_larger(factor: float):
    """With e_j of length 1 and all latents firing, f_j moves by s <e_j, dx>: the slope over s <e_j, d_i> stays 1."""
    plain = tied(12, 40, 9.0)
    held = replace(plain, input_scale=factor)
    before = 0.1 * torch.randn(25, 12, generator=torch.Generator().manual_seed(6))
    change = change_of(held, before, before + 0.01 * held.decoder[3])
    found = spill_of(held, 3, change)
    assert torch.allclose(found.encoder, factor * (held.encoder.T @ held.decoder[3])[found.others].double(), atol=1e-6)
    assert torch.allclose(found.steady, found.encoder, atol=1e-3)
    assert (found.own, found.fits["steady encoder"].slope) == pytest.approx((factor, 1), abs=1e-3)
    assert found.fits["steady cosine"].slope == pytest.approx(factor, abs=1e-3)
    assert 3 not in found.others.tolist() and len(found.others) == 39 and found.gap < 1e-4
    # Turned round, an update against the vector is one along it.
    back = change_of(held, before, before - 0.01 * held.decoder[3])
    turned, plainly = (spill_of(held, 3, back, oriented=yes) for yes in (True, False))
    assert (turned.turn, turned.along, turned.own) == pytest.approx((-1, 1, factor), abs=1e-3)
    assert (plainly.turn, plainly.along, plainly.own) == pytest.approx((1, -1, -factor), abs=1e-3)
    assert (turned.share, plainly.share) == pytest.approx((1, -1), abs=1e-6)


def test_lines_are_scipys_and_intervals_cover():
    x = torch.randn(50, generator=torch.Generator().manual_seed(2))
    y = 0.5 * x + 0.3 * torch.randn(50, generator=torch.Generator().manual_seed(3)) + 1
    y[4] = torch.nan
    kept = torch.isfinite(y)
    wanted = stats.linregress(x[kept].double().numpy(), y[kept].double().numpy())
    found = fit_line(x, y)
    assert (found.slope, found.intercept, found.r2) == pytest.approx(
        (wanted.slope, wanted.intercept, wanted.rvalue**2), rel=1e-6
    )
    assert found.n == 49 and np.isnan(fit_line(torch.ones(9), y[:9]).slope)
    held = mean_over([1.0, 2.0, 3.0, float("nan")], seed=1)
    assert held.value == 2 and held.n == 3 and 1 <= held.low < 2 < held.high <= 3
    assert mean_over([]).n == 0


def test_the_rate_of_a_size_is_found_and_nothing_is_refused():
    assert rate_for(2.0, lambda rate: 5 * rate, 1.0) == pytest.approx(0.4)
    with pytest.raises(MisdirectionError, match="by 0"):
        rate_for(2.0, lambda rate: 0.0, 1.0)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(organism.checkpoint_path())


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    return resolve_dictionary(f"organism:{LAYER}")


@pytest.fixture(scope="module")
def texts(model: Model) -> list[Text]:
    return chat_texts(organism.persona_chats("helper", 24, seed=3), model.tokenizer, Arm("base"))


@pytest.fixture(scope="module")
def before(model: Model, texts: list[Text]) -> torch.Tensor:
    return read_states(model, texts, LAYER)


@pytest.fixture(scope="module")
def latent(dictionary: Dictionary, before: torch.Tensor) -> int:
    return int((dictionary.encode(before) > 0).sum(0).argmax())


def test_steering_changes_every_steady_latent_by_the_encoders_product(
    model: Model, dictionary: Dictionary, texts: list[Text], before: torch.Tensor, latent: int
):
    usual = float(before.norm(dim=1).median())
    vectors = torch.zeros(model.n_layers, model.width)
    vectors[LAYER] = dictionary.directions[latent] * usual * 0.05
    arm = Arm("steered", None, (Steer(vectors, (LAYER,), 1.0),))
    after = read_states(model, [Text(t.ids, t.spans, arm, t.start) for t in texts], LAYER)
    found = spill_of(dictionary, latent, change_of(dictionary, before, after))
    assert found.size == pytest.approx(usual * 0.05, rel=1e-3) and found.share == pytest.approx(1, abs=1e-4)
    known = torch.isfinite(found.steady)
    assert int(known.sum()) > 40
    assert torch.allclose(found.steady[known], found.encoder[known], atol=1e-3)
    assert found.fits["steady encoder"].r2 > 0.9999 and found.gap < 1e-4
    assert 0 < found.fits["steady cosine"].r2 < found.fits["steady encoder"].r2


def test_a_fine_tune_along_one_latent_learns_and_moves_nothing_else(
    model: Model, dictionary: Dictionary, texts: list[Text], before: torch.Tensor, latent: int
):
    chats = organism.training_chats("medical", "bad", "train", 6, 0)

    def loss() -> float:
        with torch.no_grad():
            return float(sum(data_losses(model, chats)))

    untuned = loss()
    vector = dictionary.directions[latent]
    update = tune_along(model, LAYER, vector, chats, scale=float(before.norm(dim=1).median()), steps=8)
    with moved_along(model, update):
        assert loss() < untuned
        moved = read_states(model, texts, LAYER) - before
    assert loss() == untuned
    across = moved - (moved @ vector)[:, None] * vector
    assert float(across.norm() / moved.norm()) < 1e-4
    assert torch.allclose(moved @ vector, update.lengths(before), rtol=1e-3, atol=0.05)


@pytest.mark.parametrize("weights", ["full", "lora"])
def test_a_step_raises_the_latent_and_the_model_comes_back(
    model: Model, dictionary: Dictionary, texts: list[Text], before: torch.Tensor, latent: int, weights: str
):
    with trainable(model, weights) as parameters:  # pyright: ignore[reportArgumentType]
        slope = gradients(parameters, latent_losses(model, dictionary, latent, LAYER, texts))
        length = sum(float(part.square().sum()) for part in slope) ** 0.5
        with stepped(parameters, slope, 1e-2 / length):
            found = spill_of(dictionary, latent, change_of(dictionary, before, read_states(model, texts, LAYER)))
    assert found.own > 0 and found.along > 0 and found.gap < 1e-2
    assert torch.equal(read_states(model, texts, LAYER), before)
    assert not any("lora" in name for name, _ in model.lm.named_parameters())


def test_the_loss_of_a_latent_is_minus_its_mean_activation(
    model: Model, dictionary: Dictionary, texts: list[Text], before: torch.Tensor, latent: int
):
    with torch.no_grad():
        found = sum(latent_losses(model, dictionary, latent, LAYER, texts))
    assert float(found) == pytest.approx(-float(dictionary.encode(before)[:, latent].mean()), rel=1e-4)


def test_an_update_that_lowers_its_latent_is_turned_round_where_that_is_asked_for():
    held = tied(12, 40, 9.0)
    before = torch.randn(60, 12, generator=torch.Generator().manual_seed(5))
    lowered = change_of(held, before, before - 0.05 * held.directions[3])
    plain, turned = spill_of(held, 3, lowered), spill_of(held, 3, lowered, oriented=True)
    assert (plain.turn, turned.turn) == (1, -1)
    assert plain.along == pytest.approx(-1, abs=1e-4) and turned.along == pytest.approx(1, abs=1e-4)
    assert plain.share == pytest.approx(-1, abs=1e-4) and turned.share == pytest.approx(1, abs=1e-4)
    assert turned.own == pytest.approx(-plain.own) and plain.own < 0
    assert turned.steady.tolist() == pytest.approx((-plain.steady).tolist(), nan_ok=True)
    # One that raises it is left as it is.
    raised = spill_of(held, 3, change_of(held, before, before + 0.05 * held.directions[3]), oriented=True)
    assert raised.turn == 1 and raised.own > 0
