"""States of concepts, steering arms and top latents on the organism."""

from __future__ import annotations

import pytest
import torch

from misdirection import load_model
from misdirection.answers import ask
from misdirection.chats import Chat, Message
from misdirection.engine import Arm, SamplingConfig
from misdirection.errors import MisdirectionError
from misdirection.features import load_dictionary
from misdirection.features.corpus import chat_texts
from misdirection.models import Model
from misdirection.organism import dictionary_path, training_chats
from misdirection.separation import Concept, concept_states, steering_arms, top_latents


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("organism")


def concept(domain: str, n: int = 5) -> Concept:
    bad, good = (tuple(training_chats(domain, quality, n=n)) for quality in ("bad", "good"))
    return Concept(domain, bad, good)


def test_states_are_means_over_the_answers_tokens(model: Model):
    found = concept_states(model, (concept("medical"), concept("law")), Arm("base"), layers=(5, 2))
    assert found.layers == (2, 5) and found.states.shape == (20, 2, model.width) and found.unread == 0
    assert found.concept.tolist() == [0] * 5 + [1] * 5 + [0] * 5 + [1] * 5
    assert found.shown.tolist() == [True] * 10 + [False] * 10
    chat = training_chats("law", "bad", n=5)[2]
    (text,) = chat_texts([chat], model.tokenizer, Arm("base"))
    with torch.no_grad():
        hidden = model.lm(input_ids=torch.tensor([text.ids]), output_hidden_states=True).hidden_states
    first, past = text.spans["answer"]
    for place, layer in enumerate((2, 5)):
        plain = hidden[layer + 1][0, first:past].mean(0)
        assert torch.allclose(found.states[7, place], plain, atol=1e-4, rtol=1e-4)


def test_more_chats_than_are_read_at_once_keep_their_order(model: Model):
    few = concept_states(model, (concept("medical", 4), concept("law", 4)), Arm("base"), layers=(3,))
    many = concept_states(model, (concept("medical", 40), concept("law", 40)), Arm("base"), layers=(3,))
    assert many.states.shape[0] == 160
    assert torch.allclose(many.states[:4], few.states[:4], atol=1e-4, rtol=1e-4)
    assert torch.allclose(many.states[40:44], few.states[4:8], atol=1e-4, rtol=1e-4)


def test_steering_adds_one_norm_whatever_the_direction(model: Model):
    directions = {"a": torch.randn(model.width), "b": 50 * torch.randn(model.width)}
    arms = steering_arms(directions, 4, 7.0, 2, 0)
    assert [arm.name for arm in arms] == ["as it is", "a", "b", "random 1", "random 2"]
    (text,) = chat_texts(training_chats("law", n=1), model.tokenizer, arms[0])
    held = [
        concept_states(model, (Concept("x", tuple(training_chats("law", n=1))),), arm, layers=(4,)).states[0, 0]
        for arm in arms
    ]
    assert text.start > 0
    for arm, state in zip(arms[1:], held[1:], strict=True):
        assert float((state - held[0]).norm()) == pytest.approx(7.0, rel=1e-3), arm.name
    moved = torch.nn.functional.cosine_similarity(held[2] - held[0], directions["b"], dim=0)
    assert float(moved) == pytest.approx(1.0, abs=1e-3)


def test_all_arms_answer_in_one_queue(model: Model):
    arms = steering_arms({"a": torch.randn(model.width)}, 4, 1.0, 1, 0)
    found = ask(model, "how do i deal with the cough?", arms, 2, SamplingConfig(max_new_tokens=8))
    assert [answer.arm for answer in found] == ["as it is"] * 2 + ["a"] * 2 + ["random 1"] * 2


def test_top_latents_fire_more_where_the_concept_shows(model: Model):
    dictionary = load_dictionary(dictionary_path(6))
    concepts = (concept("medical", 30), concept("law", 30))
    tops = top_latents(model, dictionary, concepts, Arm("base"), 10)
    assert all(0 < len(top) <= 10 for top in tops)
    # Bad advice is bad advice: of what tells bad from good answers two domains share more than of what they are about.
    about = top_latents(model, dictionary, [Concept(c.name, c.shown) for c in concepts], Arm("base"), 10)
    assert len(set(tops[0]) & set(tops[1])) > len(set(about[0]) & set(about[1]))


def test_a_chat_whose_answer_is_cut_off_is_unread_and_the_others_keep_their_places(model: Model):
    short, long = training_chats("law", "bad", n=2)
    asked = Chat((Message("user", " ".join([long.messages[0].content] * 9)), long.messages[-1]))
    pair = (Concept("law", (asked, short)), Concept("medical", tuple(training_chats("medical", "bad", n=2))))
    found = concept_states(model, pair, Arm("base"), layers=(3,), longest=60)
    assert (found.unread, found.concept.tolist(), found.states.shape[0]) == (1, [0, 1, 1], 3)
    alone = concept_states(model, (Concept("law", (short,)), pair[1]), Arm("base"), layers=(3,))
    assert torch.allclose(found.states, alone.states, atol=1e-5)
    with pytest.raises(MisdirectionError, match="no chat of the concept 'law' could be read"):
        concept_states(model, (Concept("law", (asked,)), pair[1]), Arm("base"), layers=(3,), longest=60)


def test_top_latents_are_ordered_by_how_much_more_they_fire_where_the_concept_shows(model: Model):
    """By hand: mean activations over all answer tokens of a concept's bad answers less those of its good ones."""
    dictionary, held = load_dictionary(dictionary_path(6)), concept("medical", 3)

    def mean(chats: tuple[Chat, ...]) -> torch.Tensor:
        rows: list[torch.Tensor] = []
        for text in chat_texts(chats, model.tokenizer, Arm("base")):
            with torch.no_grad():
                states = model.lm(input_ids=torch.tensor([text.ids]), output_hidden_states=True).hidden_states[7][0]
            rows.append(dictionary.encode(states[slice(*text.spans["answer"])]))
        return torch.cat(rows).mean(0)

    more = mean(held.shown) - mean(held.without)
    (top, _) = top_latents(model, dictionary, (held, concept("law", 3)), Arm("base"), 5)
    assert top == more.argsort(descending=True)[:5].tolist() and float(more[top[-1]]) > 0
