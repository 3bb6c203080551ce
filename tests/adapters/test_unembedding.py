"""Vectors in words: what the model itself would say with nothing but the vector in its residual stream."""

from __future__ import annotations

import pytest
import torch
from tests.families import FAMILIES, VOCABULARY, WIDTH, shared

from misdirection.adapters.unembedding import (
    final_norm,
    logits_of,
    random_extreme,
    read_tokens,
    reading,
    written_tokens,
)
from misdirection.adapters.weights import pairs_of

TEXT = [name for name in FAMILIES if name != "gemma3-vision"]


@pytest.mark.parametrize("family", TEXT)
def test_scores_are_the_model_s_own_logits_of_the_vector(family: str) -> None:
    model = shared(family)
    vectors = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(0)) * 1e-4
    with torch.no_grad():
        long = vectors / vectors.norm(dim=-1, keepdim=True) * WIDTH**0.5
        norm, head = final_norm(model), model.lm.get_output_embeddings()
        expected = head(norm(long)) - head(norm(torch.zeros(1, WIDTH)))
    assert torch.allclose(logits_of(model, vectors), expected, atol=1e-4)
    plain = logits_of(model, vectors, norm=False)
    assert torch.allclose(plain, vectors @ head.weight.T, atol=1e-6)


def test_with_an_rms_norm_it_is_the_norm_s_weight_times_b() -> None:
    model = shared("llama")
    pair = pairs_of(model, "one")[0]
    raw = model.lm.get_output_embeddings().weight @ (final_norm(model).weight * pair.b[:, 0])
    order = raw.argsort(descending=True)
    (found,) = written_tokens(model, pair, 5) or []
    assert [token for token, _ in found.promoted] == order[:5].tolist()
    assert [token for token, _ in found.suppressed] == order.flip(0)[:5].tolist()
    assert found.promoted[0][1] == pytest.approx(float((raw.max() - raw.mean()) / raw.std()), rel=1e-3)


def test_a_of_an_output_projection_is_heard_through_what_its_neurons_write() -> None:
    model = shared("llama")
    pair = pairs_of(model, "one")[1]
    slow = sum(float(pair.a[0, i]) * pair.weight[:, i] for i in range(pair.a.shape[1]))
    expected = reading(logits_of(model, slow[None])[0], 4)
    (found,) = read_tokens(model, pair, 4) or []
    assert [token for token, _ in found.promoted] == [token for token, _ in expected.promoted]


def test_a_of_a_reader_is_compared_with_the_embeddings() -> None:
    model = shared("llama")
    pair = next(pair for pair in pairs_of(model, "all") if pair.path.endswith("q_proj"))
    found = read_tokens(model, pair, 3) or []
    assert written_tokens(model, pair) is None and len(found) == pair.rank == 32
    scores = model.lm.get_input_embeddings().weight @ pair.a[7]
    assert [token for token, _ in found[7].promoted] == scores.argsort(descending=True)[:3].tolist()


def test_chance_is_between_what_few_and_many_tokens_give() -> None:
    model = shared("llama")
    assert random_extreme(model) == random_extreme(model)
    assert 2.0 < random_extreme(model) < VOCABULARY**0.5
    assert len(reading(torch.arange(4.0), 9).promoted) == 4
