"""Contexts of latents, and the tokens that they promote, against everything held at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from misdirection.engine import Arm, Text
from misdirection.features import Dictionary, DictionaryError
from misdirection.features import chosen as reading
from misdirection.features.contexts import draw_contexts, read_windows, text_peaks
from misdirection.features.promoted import promoted_tokens
from misdirection.features.stream import latent_statistics
from misdirection.models import load_model
from misdirection.organism import checkpoint_path

LAYER, LATENTS, CHOSEN = 4, 40, [5, 17, 33]


@pytest.fixture(scope="module")
def model():
    return load_model(str(checkpoint_path()))


@pytest.fixture(scope="module", params=["jumprelu", "topk", "relu"])
def dictionary(request, model) -> Dictionary:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    weights = (draw(model.width, LATENTS), draw(LATENTS, model.width), draw(LATENTS), draw(model.width))
    # High enough a threshold that most windows are silent.
    threshold = 2500 + draw(LATENTS).abs() if request.param == "jumprelu" else None
    return Dictionary(*weights, request.param, threshold, k=4, subtracts=True, layer=LAYER)


@pytest.fixture(scope="module")
def texts() -> list[Text]:
    generator = torch.Generator().manual_seed(1)
    arm = Arm("base")
    found = []
    for number in range(50):
        length = 6 + number % 17
        ids = tuple(torch.randint(5, 300, (length,), generator=generator).tolist())
        found.append(Text(ids, {"answer": (2 + number % 3, length)}, arm, 1))
    return [*found, replace(found[0])]


@pytest.fixture(scope="module")
def held(model, dictionary, texts) -> list[torch.Tensor]:
    """Activations of the chosen latents at all tokens of every text."""
    out = []
    for text in texts:
        states = model.lm(torch.tensor([text.ids]), output_hidden_states=True).hidden_states[LAYER + 1][0]
        out.append(dictionary.encode(states.detach())[:, CHOSEN])
    return out


@pytest.mark.parametrize("chunk", [11 * LATENTS, 1_000_000])
def test_peaks_are_the_largest_of_each_text(model, dictionary, texts, held, chunk, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK_VALUES", chunk)
    peaks = text_peaks(model, dictionary, texts, CHOSEN)
    for number, (text, values) in enumerate(zip(texts, held, strict=True)):
        first = text.spans["answer"][0]
        largest = values[first:].max(0)
        assert torch.allclose(peaks.values[number], largest.values.clamp(min=0), atol=1e-3)
        fires = largest.values > 1e-3
        assert torch.equal(peaks.tokens[number][fires], largest.indices[fires] + first)
    places = peaks.places(0)
    assert [peaks.values[text, 0] for text, _ in places] == sorted(
        (v for v in peaks.values[:, 0] if v > 0), reverse=True
    )


def test_top_places_of_the_stream_are_those_of_the_peaks(model, dictionary, texts):
    tally = latent_statistics(model, dictionary, texts, torch.ones(len(texts), 1), places=4)
    peaks = text_peaks(model, dictionary, texts, CHOSEN)
    for column, latent in enumerate(CHOSEN):
        held = zip(tally.contexts.texts[:, latent].tolist(), tally.contexts.tokens[:, latent].tolist(), strict=True)
        places = [(text, token) for text, token in held if text >= 0]
        slow = peaks.places(column)[:4]
        assert [float(peaks.values[text, column]) for text, _ in places] == pytest.approx(
            [float(peaks.values[text, column]) for text, _ in slow], rel=1e-4
        )
        assert all(int(peaks.tokens[text, column]) == token for text, token in places)


def test_windows_hold_the_activation_of_every_token(model, dictionary, texts, held):
    wanted = [(3, 5), (7, 2), (20, 8)]
    found = read_windows(model, dictionary, texts, CHOSEN, {1: wanted, -1: wanted[:1]}, around=(3, 2))
    assert [len(rows) for rows in found[1]] == [0, 3, 0] and [len(rows) for rows in found[-1]] == [1, 1, 1]
    for column, contexts in [(1, found[1][1]), *((c, found[-1][c]) for c in range(3))]:
        for context, (text, token) in zip(contexts, wanted, strict=False):
            assert (context.text, context.token, context.first) == (text, token, max(1, token - 3))
            past = context.first + len(context.ids)
            assert past == min(len(texts[text].ids), token + 3)
            assert context.ids == texts[text].ids[context.first : past]
            slow = held[text][context.first : past, column].clamp(min=0)
            assert context.values == pytest.approx(slow.tolist(), rel=1e-3, abs=1e-3)


def test_contexts_are_drawn_over_the_whole_range_and_silent_ones_are_silent(model, dictionary, texts, held):
    found = draw_contexts(model, dictionary, texts, CHOSEN, top=4, lower=5, silent=6, around=(2, 1))
    for column, drawn in enumerate(found):
        assert drawn.latent == CHOSEN[column]
        peaks = [float(v[t.spans["answer"][0] :, column].max()) for t, v in zip(texts, held, strict=True)]
        assert drawn.firing_texts == sum(peak > 0 for peak in peaks)
        firing = [*drawn.top, *drawn.lower]
        assert [c.values[c.token - c.first] for c in firing] == pytest.approx([peaks[c.text] for c in firing], rel=1e-3)
        assert [c.values[c.token - c.first] for c in drawn.top] == pytest.approx(
            sorted(set(peaks), reverse=True)[: len(drawn.top)], rel=1e-3
        )
        ranks = [c.quantile for c in firing]
        assert ranks == sorted(ranks) and all(0 <= rank < 1 for rank in ranks)
        if drawn.firing_texts > 20:
            assert ranks[-1] > 0.7
        # The last text is the first one again: equal words are shown once.
        assert not {0, len(texts) - 1} <= {c.text for c in firing}
        for context in drawn.silent:
            past = context.first + len(context.ids)
            assert context.peak == 0 and context.quantile is None
            assert float(held[context.text][context.first : past, column].max()) <= 1e-3
    if dictionary.activation == "jumprelu":
        assert all(len(drawn.silent) == 6 and drawn.firing_texts > 5 for drawn in found)
    again = draw_contexts(model, dictionary, texts, CHOSEN, top=4, lower=5, silent=6, around=(2, 1))
    assert again == found


def test_promoted_tokens_are_those_whose_logit_a_step_along_the_vector_raises(model, dictionary):
    found = promoted_tokens(model, dictionary, CHOSEN, most=5)
    for latent, ends in zip(CHOSEN, found, strict=True):
        vector = dictionary.decoder[latent]
        with torch.no_grad():
            # RMSNorm: a vector alone, scaled to the usual length, times the norm's weight.
            normed = vector / vector.pow(2).mean().sqrt() * model.decoder.norm.weight
            logits = model.lm.lm_head(normed[None])[0]
        z = (logits - logits.mean()) / logits.std()
        order = z.argsort(descending=True).tolist()
        assert [token for token, _ in ends.promoted] == order[:5]
        assert [token for token, _ in ends.suppressed] == order[::-1][:5]
        assert [score for _, score in ends.promoted] == pytest.approx(z[order[:5]].tolist(), rel=1e-3)
    with pytest.raises(DictionaryError, match="width"):
        promoted_tokens(model, Dictionary(torch.ones(3, 2), torch.ones(2, 3), torch.zeros(2), torch.zeros(3)), [0])
