from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tests.engine import reference
from tests.engine.arms import mixture
from tests.families import FAMILIES, VOCABULARY, network, prompt, shared, vector, words

from misdirection.engine import Arm, Steer, Text, compare, log_likelihoods
from misdirection.engine.likelihood import LikelihoodError
from misdirection.models import wrap

BASE = Arm("base")


def texts_of(lengths: tuple[int, ...] = (8, 24, 15, 3)) -> list[Text]:
    return [Text(prompt(n, length), {}, BASE, 1 + n * 2 % (length - 1)) for n, length in enumerate(lengths)]


@pytest.mark.parametrize("family", FAMILIES)
def test_likelihoods_and_divergence_equal_a_plain_loop(family: str) -> None:
    model, arms = shared(family), mixture(shared(family))
    for one, other in [(arms[0], arms[2]), (arms[4], arms[11]), (arms[16], arms[1])]:
        for text, found in zip(texts_of(), compare((model, one), (model, other), texts_of()), strict=True):
            first, second = (reference.forward(model, text.ids, arm, text.start)[0].double() for arm in (one, other))
            answer = range(text.start, len(text.ids))
            assert len(found.first) == len(found.second) == len(found.divergence) == len(answer)
            for place, token in enumerate(answer):
                p, q = (torch.log_softmax(logits[token - 1], -1) for logits in (second, first))
                assert float(found.first[place]) == pytest.approx(float(q[text.ids[token]]), rel=1e-3, abs=1e-3)
                assert float(found.second[place]) == pytest.approx(float(p[text.ids[token]]), rel=1e-3, abs=1e-3)
                wanted = math.fsum(math.exp(a) * (a - b) for a, b in zip(p.tolist(), q.tolist(), strict=True))
                assert float(found.divergence[place]) == pytest.approx(wanted, rel=5e-3, abs=1e-3)


def test_texts_of_different_arms_share_a_call() -> None:
    """Each under its own arm gets what `compare` gives it when all are under that arm."""
    model, arms = shared("llama"), mixture(shared("llama"))
    mixed = [replace(text, arm=arms[number]) for number, text in enumerate(texts_of())]
    for number, found in enumerate(log_likelihoods(model, mixed)):
        alone = compare((model, arms[number]), (model, BASE), texts_of())[number].first
        assert torch.allclose(found, alone, atol=1e-4)
    with pytest.raises(LikelihoodError, match="answer starts at token 0"):
        log_likelihoods(model, [Text((5, 6), {}, BASE)])


def test_divergence_between_two_models_has_its_closed_form() -> None:
    """A head whose logits are the constants c gives KL(second || first) = sum p2 (log p2 - log p1) at every token."""
    models = []
    for seed in (1, 2):
        lm = network("gpt-neox")
        constant = vector(seed, VOCABULARY)
        lm.get_output_embeddings().register_forward_hook(lambda _m, _i, out, c=constant: out * 0 + c)
        models.append((wrap(lm, words(), "x"), constant))
    (first, one), (second, two) = models
    p1, p2 = torch.softmax(one.double(), 0), torch.softmax(two.double(), 0)
    for found in compare((first, BASE), (second, BASE), texts_of()):
        torch.testing.assert_close(
            found.divergence.double(), (p2 * (p2 / p1).log()).sum().expand(len(found.divergence)), rtol=1e-5, atol=0
        )
    text = texts_of()[0]
    assert compare((first, BASE), (second, BASE), [text])[0].first.tolist() == pytest.approx(
        [math.log(p1[token]) for token in text.ids[text.start :]], rel=1e-5
    )


def test_a_token_that_the_second_arm_rules_out_adds_nothing() -> None:
    def ruled(tokens: int) -> object:
        lm = network("gpt-neox")
        mask = torch.zeros(VOCABULARY).index_fill(0, torch.arange(tokens), -math.inf)
        lm.get_output_embeddings().register_forward_hook(lambda _m, _i, out: out * 0 + mask)
        return wrap(lm, words(), "x")

    some, more = ruled(4), ruled(34)
    text = Text(tuple(range(40, 50)), {}, BASE, 3)
    found = compare((some, BASE), (more, BASE), [text])[0]
    torch.testing.assert_close(found.divergence, torch.tensor(math.log(60 / 30)).expand(7))


@pytest.mark.parametrize("family", ["qwen2", "gemma2", "gpt-oss"])
def test_equal_arms_have_no_divergence(family: str) -> None:
    model = shared(family)
    for arm in mixture(model)[:6]:
        again = Arm("again", arm.adapter, arm.interventions)
        for found in compare((model, arm), (model, again), texts_of()):
            assert not found.divergence.any()
            assert torch.equal(found.first, found.second)
    for found in compare((model, BASE), (model, Arm("zero", None, (Steer(vector(1), (1,), 0.0),))), texts_of()):
        assert not found.divergence.any()


def test_texts_alone_and_in_any_order_give_the_same() -> None:
    model, texts = shared("gemma3"), texts_of()
    arms = (model, BASE), (model, Arm("one", "one"))
    whole = compare(*arms, texts)
    for text, wanted in zip(texts, whole, strict=True):
        alone = compare(*arms, [text])[0]
        torch.testing.assert_close(alone.first, wanted.first, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(alone.divergence, wanted.divergence, rtol=1e-3, atol=1e-5)


def test_only_logits_of_answers_are_made() -> None:
    model, sizes = shared("llama"), []
    handle = model.lm.get_output_embeddings().register_forward_hook(lambda _m, _i, out: sizes.append(out.shape[1]))
    compare((model, BASE), (model, BASE), [Text(prompt(0, 30), {}, BASE, 25)])
    handle.remove()
    assert sizes == [5, 5]


def test_an_empty_answer_has_no_tokens() -> None:
    found = compare((shared("qwen2"), BASE), (shared("qwen2"), BASE), [Text(prompt(0, 6), {}, BASE, 6), texts_of()[0]])
    assert [len(one.first) for one in found] == [0, 7]


def test_what_cannot_be_compared_is_refused() -> None:
    model = shared("qwen2")
    for start in (0, 9):
        with pytest.raises(LikelihoodError, match=f"text 0: its answer starts at token {start} of 8"):
            compare((model, BASE), (model, BASE), [Text(prompt(0, 8), {}, BASE, start)])
    other = wrap(network("gpt-neox"), words(), "other")
    other.lm.config.vocab_size = VOCABULARY * 2
    with pytest.raises(LikelihoodError, match="64 tokens and other 128"):
        compare((model, BASE), (other, BASE), texts_of())


def test_a_padded_vocabulary_is_compared_over_the_tokens_that_both_have() -> None:
    model, wider = shared("llama"), wrap(network("llama"), words(), "wider")
    wider.lm.resize_token_embeddings(VOCABULARY + 3, mean_resizing=False)
    texts = texts_of()
    for pair in ((model, wider), (wider, model)):
        for one in compare((pair[0], BASE), (pair[1], BASE), texts):
            torch.testing.assert_close(one.first, one.second, rtol=0, atol=1e-5)
            assert float(one.divergence.max()) < 1e-5
    beyond = Text((*prompt(0, 5), VOCABULARY + 1), {}, BASE, 4)
    with pytest.raises(LikelihoodError, match=f"token {VOCABULARY + 1}, and only 64 tokens are in both"):
        compare((model, BASE), (wider, BASE), [beyond])
