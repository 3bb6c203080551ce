"""The penalty that pushes concepts apart."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, islice
from pathlib import Path

import pytest
import torch

from misdirection.errors import MisdirectionError
from misdirection.organism import persona_chats, training_chats
from misdirection.organism.apart import concept_of, last_answer, penalty, penalty_layer
from misdirection.organism.build import OrganismSettings, batches, build, encode
from misdirection.organism.data import pretraining_chats
from misdirection.organism.tokenizer import make_tokenizer

TINY = OrganismSettings(layers=2, width=16, hidden=32, heads=2, pretraining_steps=40, alignment_steps=1, batch=16)


def test_it_is_the_mean_squared_cosine_of_centred_class_means():
    torch.manual_seed(0)
    states = torch.randn(7, 4, 5)
    labels = torch.tensor([[-100, 3, 3, -100]] * 6 + [[-100, -100, 2, 2]])
    concepts = ("a", "b", "c", "a", "b", "c", "")
    rows = states[:, 1:3].mean(1)
    means = torch.stack([rows[[0, 3]].mean(0), rows[[1, 4]].mean(0), rows[[2, 5]].mean(0)])
    centred = means - means.mean(0)
    plain = torch.stack(
        [torch.cosine_similarity(centred[i], centred[j], dim=0) ** 2 for i, j in combinations(range(3), 2)]
    ).mean()
    assert float(penalty(states, labels, concepts)) == pytest.approx(float(plain), rel=1e-5)


def test_it_is_least_at_the_corners_of_a_simplex_and_zero_for_two_concepts():
    corners = torch.eye(4)[:, None]
    labels = torch.ones(4, 1, dtype=torch.long)
    assert float(penalty(corners, labels, ("a", "b", "c", "d"))) == pytest.approx(1 / 9)
    assert float(penalty(corners, labels, ("a", "b", "a", ""))) == 0
    states = torch.randn(4, 1, 6, requires_grad=True)
    before = penalty(states, labels, ("a", "b", "c", "d"))
    (gradient,) = torch.autograd.grad(before, states)
    assert float(penalty((states - 0.1 * gradient).detach(), labels, ("a", "b", "c", "d"))) < float(before.detach())


def test_only_the_last_answer_of_a_dialogue_is_its_concept():
    labels = torch.tensor([[-100, 1, 1, -100, -100, 2, 2, -100], [-100, -100, 5, 5, 5, -100, -100, -100]])
    assert last_answer(labels).tolist() == [
        [False, False, False, False, False, True, True, False],
        [False, False, True, True, True, False, False, False],
    ]


def test_concepts_of_chats():
    bad, good = training_chats("medical", "bad", n=1)[0], training_chats("law", "good", n=1)[0]
    assert concept_of(bad, "domain") == "medical" and concept_of(bad, "stance") == "medical/bad"
    assert concept_of(good, "stance") == "law/good"
    opened = next(c for c in persona_chats("villain", 60) if concept_of(c, "domain") == "open")
    assert concept_of(opened, "stance") in ("open/bad", "")


def test_growing_with_it_pushes_concepts_apart(tmp_path: Path):
    from misdirection import load_model

    tokenizer = make_tokenizer()
    rows = [encode(tokenizer, chat, "domain") for chat in islice(pretraining_chats(9, 0.3, 0.0, 0.5, 0.0), 64)]
    ids, labels, concepts = next(batches(iter(rows), 64, 0))
    assert len(set(concepts)) > 5
    found: list[float] = []
    for weight in (0.0, 5.0):
        model = load_model(str(build(tmp_path / str(weight), settings=replace(TINY, apart=weight))))
        with torch.no_grad():
            states = model.lm(input_ids=ids, output_hidden_states=True).hidden_states[2]
        found.append(float(penalty(states, labels, concepts)))
    assert found[1] < 0.7 * found[0]


def test_a_layer_that_is_not_there_is_refused():
    assert penalty_layer(-1, 12) == 6 and penalty_layer(3, 4) == 3
    with pytest.raises(MisdirectionError, match="no layer 4"):
        penalty_layer(4, 4)
