"""Streaming statistics of latents against everything held at once."""

from __future__ import annotations

import pytest
import torch

from misdirection.engine import Arm, Text
from misdirection.features import Dictionary, DictionaryError
from misdirection.features import stream as streaming
from misdirection.features.stream import latent_statistics
from misdirection.models import load_model
from misdirection.organism import checkpoint_path

LAYER, LATENTS = 4, 60


@pytest.fixture(scope="module")
def model():
    return load_model(str(checkpoint_path()))


@pytest.fixture(scope="module")
def dictionary(model) -> Dictionary:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    threshold = draw(LATENTS).abs() * 2
    weights = (draw(model.width, LATENTS), draw(LATENTS, model.width), draw(LATENTS), draw(model.width))
    return Dictionary(*weights, "jumprelu", threshold, layer=LAYER)


@pytest.fixture(scope="module")
def texts() -> list[Text]:
    generator = torch.Generator().manual_seed(1)
    arm = Arm("base")
    found = []
    for number in range(70):
        length = 4 + number % 17
        ids = tuple(torch.randint(5, 300, (length,), generator=generator).tolist())
        found.append(Text(ids, {"answer": (1 + number % 3, length)}, arm, 1))
    return found


@pytest.fixture(scope="module")
def held(model, dictionary, texts) -> list[torch.Tensor]:
    """All activations of every text, from the model's own hidden states."""
    out = []
    for text in texts:
        states = model.lm(torch.tensor([text.ids]), output_hidden_states=True).hidden_states[LAYER + 1][0]
        first, past = text.spans["answer"]
        out.append(dictionary.encode(states[first:past].detach()))
    return out


@pytest.mark.parametrize("chunk", [7 * LATENTS, 1_000_000])
def test_statistics_equal_those_of_everything_at_once(model, dictionary, texts, held, chunk, monkeypatch):
    monkeypatch.setattr(streaming, "CHUNK_VALUES", chunk)
    weights = torch.zeros(len(texts), 3)
    weights[:40, 0], weights[40:, 1] = 1, 1
    weights[::2, 2] = 2
    found = latent_statistics(model, dictionary, texts, weights, places=5, budget=300)
    for column in range(3):
        pairs = [(float(w), f) for w, f in zip(weights[:, column], held, strict=True) if w]
        tokens = sum(w * len(f) for w, f in pairs)
        for pool, value in (
            ("token", sum(w * f.sum(0) for w, f in pairs) / tokens),
            ("mean", sum(w * f.mean(0) for w, f in pairs) / sum(w for w, _ in pairs)),
            ("max", sum(w * f.amax(0) for w, f in pairs) / sum(w for w, _ in pairs)),
        ):
            assert torch.allclose(found.mean(pool)[column].float(), value, rtol=1e-4, atol=1e-4), pool
        second = sum(w * f.double().square().sum(0) for w, f in pairs) / tokens
        spread = second - found.mean()[column] ** 2
        assert torch.allclose(found.variance()[column], spread, rtol=1e-3, atol=1e-3)
        fired = sum(w * (f > 0).sum(0) for w, f in pairs) / tokens
        assert torch.allclose(found.firing_rate[column].float(), fired.float(), atol=1e-3)
        assert torch.allclose(
            found.peak[column], torch.stack([f.amax(0) for _, f in pairs]).amax(0), rtol=1e-4, atol=1e-4
        )


def test_top_contexts_are_the_texts_with_the_largest_activation_and_its_token(model, dictionary, texts, held):
    found = latent_statistics(model, dictionary, texts, torch.ones(len(texts), 1), places=4).contexts
    largest = torch.stack([f.amax(0) for f in held])
    order = largest.sort(dim=0, descending=True)
    assert torch.allclose(found.values, order.values[:4].clamp(min=0), rtol=1e-4, atol=1e-4)
    for latent in range(LATENTS):
        for place in range(4):
            text, token = int(found.texts[place, latent]), int(found.tokens[place, latent])
            if found.values[place, latent] == 0:
                assert text == -1
                continue
            row = held[text][token - texts[text].spans["answer"][0], latent]
            assert row == pytest.approx(float(found.values[place, latent]), rel=1e-3)


def test_a_dictionary_that_does_not_fit_is_refused(model, dictionary, texts):
    from dataclasses import replace

    with pytest.raises(DictionaryError, match="which layer"):
        latent_statistics(model, replace(dictionary, layer=None), texts, torch.ones(len(texts), 1))
    narrow = Dictionary(torch.zeros(3, 4), torch.zeros(4, 3), torch.zeros(4), torch.zeros(3), layer=1)
    with pytest.raises(DictionaryError, match="a width of 3"):
        latent_statistics(model, narrow, texts, torch.ones(len(texts), 1))


def test_an_empty_class_is_not_a_number(model, dictionary, texts):
    weights = torch.zeros(len(texts), 2)
    weights[:, 0] = 1
    found = latent_statistics(model, dictionary, texts, weights)
    assert found.mean()[1].isnan().all() and not found.mean()[0].isnan().any() and (found.peak[1] == 0).all()
