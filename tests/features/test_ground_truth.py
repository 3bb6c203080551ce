"""What latents track, against scikit-learn, against everything held at once, and against planted truths."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import mutual_info_score

from misdirection.engine import Arm
from misdirection.features import Dictionary, DictionaryError
from misdirection.features.corpus import chat_texts
from misdirection.features.ground_truth import NONE, Counts, count_factors, crossed, information, labels, truth_of
from misdirection.models import load_model
from misdirection.organism import checkpoint_path, persona_chats
from misdirection.organism.truth import token_truth

LATENTS, LAYER = 24, 4


def counted(fires: torch.Tensor, factors: dict[str, list[str]]) -> Counts:
    """Counts of tokens that are given whole: `fires` of shape (cuts, tokens, latents)."""
    truth = truth_of([factors])
    tokens, fired = {}, {}
    for i, (name, values) in enumerate(truth.values.items()):
        codes = truth.codes[0][:, i]
        one_hot = torch.nn.functional.one_hot(codes, len(values))
        tokens[name], fired[name] = one_hot.sum(0), torch.einsum("tv,ctl->cvl", one_hot, fires.long())
    return Counts(tokens, fired, truth.values, tuple(range(fires.shape[-1])), torch.zeros(len(fires), fires.shape[-1]))


@pytest.fixture(scope="module")
def planted():
    generator = torch.Generator().manual_seed(0)
    n = 4000
    stance = [("good", "bad", NONE)[i] for i in torch.randint(0, 3, (n,), generator=generator).tolist()]
    word = [f"w{i}" for i in torch.randint(0, 40, (n,), generator=generator).tolist()]
    noise = torch.rand(n, 5, generator=generator)
    bad = torch.tensor([s == "bad" for s in stance])
    w7 = torch.tensor([w == "w7" for w in word])
    fires = torch.stack(
        [bad, bad & (noise[:, 0] < 0.5), w7 | (noise[:, 1] < 0.01), noise[:, 2] < 0.2, ~bad, bad & w7], 1
    )
    return fires[None], {"stance": stance, "word": word}


def test_planted_truths_are_found_with_their_figures(planted):
    fires, factors = planted
    found = labels(counted(fires, factors))
    assert [(one.factor, one.value) for one in found[:3]] == [("stance", "bad"), ("stance", "bad"), ("word", "w7")]
    assert (found[0].precision, found[0].recall, found[0].f1) == (1, 1, 1)
    assert found[0].share == pytest.approx(1, abs=1e-3)
    bad = torch.tensor([s == "bad" for s in factors["stance"]])
    assert found[1].precision == 1
    assert found[1].recall == pytest.approx(float(fires[0, bad, 1].double().mean()))
    assert found[2].recall == 1
    # Chance fires where it will: no factor tells a thousandth of what it does.
    assert found[3] is None or found[3].information < 2e-3
    # "Not bad" is good or none; a label says where a latent fires.
    assert (found[4].factor, found[4].value) == ("stance", "good")
    assert labels(counted(fires, factors), ("word",))[0].factor == "word"


def test_pairs_of_values_tell_what_neither_does(planted):
    fires, factors = planted
    truth = crossed(truth_of([factors]), [("word", "stance")])
    rows = {
        name: [values[c] for c in truth.codes[0][:, i].tolist()]
        for i, (name, values) in enumerate(truth.values.items())
    }
    assert {name: rows[name] for name in factors} == factors
    for one, stance, word in zip(rows["word & stance"], factors["stance"], factors["word"], strict=True):
        assert one == (f"{word} & {stance}" if stance else NONE)
    best = labels(counted(fires, rows))[5]
    assert (best.factor, best.value, best.f1) == ("word & stance", "w7 & bad", 1)
    with pytest.raises(DictionaryError, match="mood"):
        crossed(truth, [("word", "mood")])


def test_information_is_that_of_scikit_learn_but_for_the_correction(planted):
    fires, factors = planted
    generator = torch.Generator().manual_seed(3)
    levels = torch.stack([fires[0], fires[0] & (torch.rand(fires[0].shape, generator=generator) < 0.4)])
    counts = counted(levels, factors)
    for name, (bits, _) in information(counts).items():
        codes = truth_of([factors]).codes[0][:, list(factors).index(name)]
        for latent in range(fires.shape[-1]):
            level = levels[:, :, latent].sum(0)
            cells = len({(a, b) for a, b in zip(codes.tolist(), level.tolist(), strict=True)})
            extra = len(set(codes.tolist())) - 1 + len(set(level.tolist())) - 1 - (cells - 1)
            plain = mutual_info_score(codes.numpy(), level.numpy())
            assert float(bits[latent]) == pytest.approx(
                max(0, plain + extra / (2 * len(codes))) / math.log(2), abs=1e-9
            )


def test_the_correction_takes_most_of_the_bias_away():
    generator = torch.Generator().manual_seed(1)
    n = 3000
    word = [f"w{i}" for i in torch.randint(0, 60, (n,), generator=generator).tolist()]
    fires = torch.rand(1, n, 200, generator=generator) < 0.2
    bits = information(counted(fires, {"word": word}))["word"][0]
    plain = mutual_info_score(word, fires[0, :, 0].numpy()) / math.log(2)
    # The plain estimate is 59 / (2 n) nats on average, and the latents are chance alone.
    assert plain > 0.008
    assert float(bits.mean()) < 0.0025


@pytest.fixture(scope="module")
def model():
    return load_model(str(checkpoint_path()))


@pytest.mark.parametrize("kind", ["jumprelu", "topk"])
def test_counts_in_a_stream_are_those_of_everything_at_once(model, kind):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    weights = (draw(model.width, LATENTS), draw(LATENTS, model.width), draw(LATENTS), draw(model.width))
    threshold = draw(LATENTS).abs() * 2 if kind == "jumprelu" else None
    dictionary = Dictionary(*weights, kind, threshold, k=5 if kind == "topk" else None, layer=LAYER)
    chats = persona_chats("villain", 12, seed=2)
    texts = chat_texts(chats, model.tokenizer, Arm("base"))
    rows = [token_truth(model.tokenizer, chat, "villain") for chat in chats]
    latents = [3, 11, 20]
    cuts = torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    counts = count_factors(model, dictionary, texts, truth_of(rows), latents, cuts=cuts)
    fires, held = [], {"stance": [], "word": []}
    for text, row in zip(texts, rows, strict=True):
        states = model.lm(torch.tensor([text.ids]), output_hidden_states=True).hidden_states[LAYER + 1][0].detach()
        first, past = text.spans["answer"]
        fires.append(dictionary.encode(states[first:past])[:, latents][None] > cuts[:, None])
        for name, values in held.items():
            values += row[name][first:past]
    slow = counted(torch.cat(fires, 1), held)
    for name in held:
        names, other = counts.values[name], slow.values[name]
        assert int(counts.tokens[name].sum()) == len(held[name])
        for place, value in enumerate(names):
            if value in other and int(counts.tokens[name][place]):
                assert int(counts.tokens[name][place]) == int(slow.tokens[name][other.index(value)])
                assert counts.fired[name][:, place].tolist() == slow.fired[name][:, other.index(value)].tolist()
        assert int(counts.fired[name].sum()) == int(slow.fired[name].sum()) > 0


def test_truth_of_other_tokens_is_refused(model):
    texts = chat_texts(persona_chats("helper", 2), model.tokenizer, Arm("base"))
    dictionary = Dictionary(
        torch.randn(model.width, 4), torch.randn(4, model.width), torch.zeros(4), torch.zeros(model.width), layer=1
    )
    with pytest.raises(DictionaryError, match="differ in their tokens"):
        count_factors(model, dictionary, texts, truth_of([{"word": ["a"]}, {"word": ["b", "c"]}]), [0])
    with pytest.raises(DictionaryError, match="text 1"):
        truth_of([{"word": ["a"]}, {"kind": ["b"]}])
