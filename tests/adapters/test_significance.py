"""The token-significance filter against finite differences and the engine's own divergence, on tiny models."""

from __future__ import annotations

import pytest
import torch
from tests.families import prompt, shared

from misdirection.adapters.significance import divergence_gradient, keep, token_scores
from misdirection.engine import Arm, Text, compare

BASE, TUNED = Arm("base"), Arm("one", "one")


def texts() -> list[Text]:
    return [Text(prompt(seed, length), {}, TUNED, start) for seed, length, start in ((1, 9, 4), (2, 6, 3), (3, 11, 1))]


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt-neox"])
def test_the_gradient_is_the_slope_of_the_divergence(family: str):
    model = shared(family)
    text = texts()[0]
    total, gradient = divergence_gradient(model, [text], BASE, TUNED)
    embed = model.lm.get_input_embeddings()
    plain = embed(torch.tensor([text.ids])).detach()

    def divergence(embedded: torch.Tensor) -> float:
        found = []
        model.peft.set_adapter("one")
        for context in (model.peft.disable_adapter(), None):
            with torch.no_grad():
                if context is None:
                    logits = model.lm(inputs_embeds=embedded).logits
                else:
                    with context:
                        logits = model.lm(inputs_embeds=embedded).logits
            found.append(torch.log_softmax(logits.double(), -1)[0, text.start - 1 : -1])
        return float((found[0].exp() * (found[0] - found[1])).sum())

    assert float(total[0]) == pytest.approx(divergence(plain), rel=1e-4)
    for seed in range(3):
        step = torch.randn(plain.shape, generator=torch.Generator().manual_seed(seed))
        size = 1e-3
        slope = (divergence(plain + size * step) - divergence(plain - size * step)) / (2 * size)
        assert float((gradient * step).sum()) == pytest.approx(slope, rel=2e-2, abs=2e-3)


def test_scores_add_up_to_the_divergence_of_each_answer_and_a_batch_changes_nothing():
    model, held = shared("llama"), texts()
    scores = token_scores(model, held, BASE, TUNED)
    known = compare((model, TUNED), (model, BASE), held)
    for text, found, item in zip(held, scores, known, strict=True):
        assert found.shape == (len(text.ids) - text.start,)
        assert float(found.sum()) == pytest.approx(float(item.divergence.sum()), rel=1e-4)
        assert found[-1] == 0 and bool((found[:-1] > 0).all())
        alone = token_scores(model, [text], BASE, TUNED)[0]
        assert torch.allclose(found, alone, atol=1e-5)


def test_without_an_adapter_nothing_matters_and_the_threshold_is_on_the_logarithm():
    scores = token_scores(shared("llama"), texts()[:1], BASE, BASE)[0]
    assert not scores.any() and not keep(scores).any()
    assert keep(torch.tensor([0.0, 1.6, 1.7])).tolist() == [False, False, True]
    assert keep(torch.tensor([0.0, 1.6, 1.7]), 0.0).tolist() == [False, True, True]
