"""Encoding and decoding against the formulas written plainly, and dictionaries that do not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from misdirection.features import Dictionary, DictionaryError, load_dictionary, save_dictionary

WIDTH, LATENTS = 12, 40


def made(activation: str, **rest) -> Dictionary:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    extra = {"threshold": draw(LATENTS).abs()} if activation == "jumprelu" else {}
    extra |= {"k": 5} if activation == "topk" else {}
    return Dictionary(
        draw(WIDTH, LATENTS), draw(LATENTS, WIDTH), draw(LATENTS), draw(WIDTH), activation, **{**extra, **rest}
    )


def plainly(held: Dictionary, x: torch.Tensor) -> torch.Tensor:
    """One token and one latent at a time."""
    out = torch.zeros(len(x), LATENTS)
    for t, token in enumerate(x * held.input_scale):
        token = token - held.decoder_bias if held.subtracts else token
        before = [float(token @ held.encoder[:, j] + held.encoder_bias[j]) for j in range(LATENTS)]
        largest = sorted(range(LATENTS), key=lambda j: -before[j])[: held.k or LATENTS]
        for j in range(LATENTS):
            floor = 0.0 if held.threshold is None else max(0.0, float(held.threshold[j]))
            out[t, j] = before[j] if before[j] > floor and j in largest else 0.0
    return out


@pytest.mark.parametrize("activation", ["relu", "jumprelu", "topk"])
@pytest.mark.parametrize(
    "rest", [{}, {"subtracts": True}, {"input_scale": 0.3}, {"subtracts": True, "input_scale": 2.0}]
)
def test_encode_is_the_formula(activation: str, rest: dict):
    held = made(activation, **rest)
    x = torch.randn(7, WIDTH, generator=torch.Generator().manual_seed(1))
    found = held.encode(x)
    assert torch.allclose(found, plainly(held, x), atol=1e-4)
    assert (found != 0).any() and (found == 0).any()
    back = (found @ held.decoder + held.decoder_bias) / held.input_scale
    assert torch.allclose(held.decode(found), back, atol=1e-6)


def test_any_shape_and_type_of_input():
    held = made("jumprelu")
    x = torch.randn(2, 3, WIDTH)
    assert held.encode(x).shape == (2, 3, LATENTS)
    assert torch.allclose(held.encode(x)[1, 2], held.encode(x[1])[2], atol=1e-5)
    assert held.encode(x.bfloat16()).dtype == torch.float32
    assert held.to(dtype=torch.bfloat16).encode(x).dtype == torch.bfloat16


def test_directions_have_length_one_and_a_missing_one_stays_zero():
    held = made("relu")
    decoder = held.decoder.clone()
    decoder[3] = 0
    norms = replace(held, decoder=decoder).directions.norm(dim=-1)
    assert norms[3] == 0 and torch.allclose(norms[4:], torch.ones(LATENTS - 4))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"decoder": torch.zeros(3, 3)}, "decoder has the shape"),
        ({"encoder_bias": torch.zeros(3)}, "encoder_bias"),
        ({"threshold": None}, "no threshold"),
        ({"threshold": torch.full((LATENTS,), float("nan"))}, "threshold holds NaN"),
        ({"decoder_bias": torch.full((WIDTH,), float("nan"))}, "decoder_bias holds numbers that are none"),
        ({"encoder": torch.full((WIDTH, LATENTS), float("inf"))}, "encoder holds numbers that are none"),
        ({"activation": "topk", "threshold": None}, "its k"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict, said: str):
    with pytest.raises(DictionaryError, match=said):
        replace(made("jumprelu"), **change)


@pytest.mark.parametrize("activation", ["relu", "jumprelu", "topk"])
def test_written_and_read_it_is_the_same(tmp_path, activation: str):
    held = made(activation, subtracts=True, layer=4, facts={"model": "here"})
    save_dictionary(tmp_path, held)
    again = load_dictionary(tmp_path)
    x = torch.randn(5, WIDTH)
    assert torch.equal(again.encode(x), held.encode(x))
    assert (again.layer, again.k, again.facts) == (4, held.k, {"model": "here"})


@pytest.mark.parametrize("tokens", [3, 8])
@pytest.mark.parametrize("cut", [LATENTS, LATENTS - 3])
@pytest.mark.parametrize("activation", ["relu", "jumprelu", "topk"])
def test_what_is_active_is_all_that_is_not_zero(activation: str, cut: int, tokens: int) -> None:
    held = made(activation, subtracts=True, input_scale=0.7)
    held = replace(
        held,
        encoder=held.encoder[:, :cut],
        decoder=held.decoder[:cut],
        encoder_bias=held.encoder_bias[:cut] - 6,
        threshold=None if held.threshold is None else held.threshold[:cut],
    )
    x = 2 * torch.randn(tokens, WIDTH, generator=torch.Generator().manual_seed(2))
    rows, latents, values = held.active(x)
    again = torch.zeros(tokens, cut)
    again[rows, latents] = values
    assert torch.equal(again, held.encode(x)) and (values > 0).all() and rows.tolist() == sorted(rows.tolist())
    assert 0 < len(values) < tokens * cut / 2
