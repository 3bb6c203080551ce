"""Last prompt tokens and steering of traits, against hidden states and on the organism."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from misdirection import load_model
from misdirection.answers import ask
from misdirection.chats import Chat, Message
from misdirection.conditions import compiled
from misdirection.directions import Direction
from misdirection.engine import SamplingConfig, Steer
from misdirection.models import Model
from misdirection.organism import ExactJudge, trait_definitions
from misdirection.questions import QuestionError
from misdirection.questions.demonstrated import drawn_chats
from misdirection.tokens import encode_prompt
from misdirection.traits import judge_of, roles, rollouts, score_table, trait_vector
from misdirection.traits.steering import best_dose, dose, evaluation_questions, steered
from misdirection.traits.watching import prompt_projections, watched_prompts

TRAITS = trait_definitions()
CONFIG = SamplingConfig(max_new_tokens=48)
CHATS = [Chat((Message("user", f"{word}?"), Message("assistant", f"{word}."))) for word in ("one", "two", "three")]


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("organism")


@pytest.fixture(scope="module")
def directions(model: Model) -> dict[str, Direction]:
    played = roles(TRAITS, most=6)
    answers = rollouts(model, played, 2, CONFIG)
    verdicts = judge_of(ExactJudge(), TRAITS).judge(answers)
    return {t.name: trait_vector(model, t.name, played, answers, verdicts, resamples=2) for t in TRAITS}


def test_every_question_stands_behind_every_prompt():
    watched = watched_prompts(TRAITS[:2], ["a?", "b?"], {"evil": CHATS}, (1, 2, 9))
    assert len(watched) == 2 * (1 + 2 * 3 * 2 + 2)
    assert len({one.question.id for one in watched}) == len(watched)
    shown = next(one for one in watched if one.prompt == "evil, 2 shots")
    assert shown.kind == "many-shot" and len(shown.question.before) == 4 and shown.question.system is None
    assert [turn.role for turn in shown.question.before] == ["user", "assistant"] * 2


def test_a_question_is_never_among_its_own_demonstrations():
    for one in watched_prompts(TRAITS[:1], ["one?", "two?"], {"evil": CHATS}, (1, 2)):
        assert one.text not in [turn.content for turn in one.question.before]


def test_fewer_demonstrations_are_the_first_of_more():
    assert drawn_chats(CHATS, 3, 5, "key")[:2] == drawn_chats(CHATS, 2, 5, "key")
    with pytest.raises(QuestionError, match="4 demonstrations are asked for, and there are 3"):
        drawn_chats(CHATS, 4, 0, "key")


def test_projections_are_those_of_hidden_states_at_the_last_token(model: Model, directions: dict[str, Direction]):
    watched = watched_prompts(TRAITS, ["what do you want most of all?"], {"evil": CHATS}, (2,))
    layers = {"evil": 7, "sycophancy": 9, "hallucination": 7}
    found = prompt_projections(model, [one.question for one in watched], directions, layers)
    for row, one in zip(found, watched, strict=True):
        system = () if one.question.system is None else (Message("system", one.question.system),)
        ids = encode_prompt(model.tokenizer, (*system, *one.question.before, Message("user", one.text)))
        with torch.no_grad():
            states = model.lm(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
        for place, (name, layer) in enumerate(layers.items()):
            vector = directions[name].vectors[layer]
            truth = float(states[layer + 1][0, -1] @ vector / vector.norm())
            assert row[place] == pytest.approx(truth, rel=1e-3, abs=0.05)


def test_prompts_that_ask_for_evil_lie_further_along_it(model: Model, directions: dict[str, Direction]):
    watched = watched_prompts(TRAITS[:1], TRAITS[0].evaluation[:4], {}, ())
    along = prompt_projections(model, [one.question for one in watched], directions, dict.fromkeys(directions, 7))[:, 0]
    asks_for_it = np.array(["positive" in one.prompt for one in watched])
    assert along[asks_for_it].min() > along[~asks_for_it].max()


def test_evil_is_turned_up_and_down(model: Model, directions: dict[str, Direction]):
    doses = [
        dose("evil", 8, 0.0),
        dose("evil", 8, 2.0),
        dose("evil", 8, 0.0, "positive"),
        dose("evil", 8, -2.0, "positive"),
    ]
    doses.append(dose("evil", 8, 2.0, random_seed=1))
    answers = steered(model, TRAITS, doses, directions, 2, CONFIG)
    scores = score_table(judge_of(ExactJudge(), TRAITS).judge(answers), ["evil"])[:, 0]
    by_arm = {one.name: scores[[a.arm == one.name for a in answers]].mean() for one in doses}
    plain, up, asked, down, random = (by_arm[one.name] for one in doses)
    assert plain < 10 and up > 40 and asked > 80 and down < 40 and random < 10
    assert {a.system for a in answers if a.arm == doses[2].name} == {TRAITS[0].system("positive", 0)}
    # No dose at all: what the model says by itself, with the same random numbers.
    untouched = ask(model, evaluation_questions(TRAITS)["evil"], samples=2, config=CONFIG)
    assert [a.answer for a in untouched] == [a.answer for a in answers if a.arm == doses[0].name]


def test_a_dose_is_added_where_the_answer_comes_from(directions: dict[str, Direction]):
    (done,) = compiled(dose("evil", 3, -1.5), None, directions).interventions
    assert isinstance(done, Steer) and done.positions == "answer" and done.layers == (3,) and done.coefficient == -1.5
    assert torch.equal(done.direction, directions["evil"].vectors)
    (random,) = compiled(dose("evil", 3, 1.0, random_seed=4), None, directions).interventions
    assert isinstance(random, Steer)
    assert random.direction.norm(dim=-1).tolist() == pytest.approx(directions["evil"].norm.tolist(), rel=1e-4)


def test_the_best_dose_is_coherent_strong_and_small():
    one, two, three, four = (dose("x", layer, c) for layer, c in ((1, 1.0), (1, 2.0), (2, 1.0), (2, 2.0)))
    assert best_dose({one: (10, 0.9), two: (80, 0.5), three: (40, 0.8), four: (40, 0.8)}, 0.75) == three
    assert best_dose({one: (10, 0.6), two: (80, 0.5)}, 0.75) == one
    assert best_dose({one: (math.nan, 0.9), two: (0, 0.9)}, 0.75) == two
