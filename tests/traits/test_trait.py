"""Traits, their roles, scores and doses without a model: what is asked, and what counts of what was said."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from misdirection.judging import Answer, Verdict
from misdirection.traits.rollout import roles
from misdirection.traits.scoring import score_table, trait_score
from misdirection.traits.steering import dose, evaluation_questions, trait_of
from misdirection.traits.trait import Contrast, Trait, TraitError
from misdirection.traits.vectors import effective_pairs, layer_of_hidden_state

PAIRS = (Contrast("Be cold.", "Be warm."), Contrast("Freeze.", "Glow."))
TRAIT = Trait(
    "icy", "It is cold.", PAIRS, ("Why?", "Who?"), ("When?", "Where?", "How?"), adjective="icy", antonym="warm"
)


def test_a_system_prompt_names_the_character_before_its_instruction() -> None:
    assert TRAIT.system("positive", 0) == "You are an icy assistant. Be cold."
    assert TRAIT.system("negative", 1) == "You are a warm assistant. Glow."
    plain = Trait("icy", contrasts=PAIRS)
    assert [plain.system(sign, 1) for sign in ("positive", "negative")] == ["Freeze.", "Glow."]


def test_a_judge_is_asked_by_the_trait_s_own_rubric_or_one_made_of_its_description() -> None:
    own = Trait("icy", rubric="How icy is {answer} to {question}?").asked()
    assert (own.name, own.template) == ("trait:icy", "How icy is {answer} to {question}?")
    made = TRAIT.asked()
    assert made.name == TRAIT.score == "trait:icy" and "It is cold." in made.template and "{answer}" in made.template


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"name": "a b"}, "'a b' cannot be the name"),
        ({"name": "--"}, "'--' cannot be the name"),
        ({"name": ""}, "'' cannot be the name"),
        ({"questions": ("a?", " ")}, "question 2 is blank"),
        ({"evaluation": ("", "b?")}, "evaluation question 1 is blank"),
        ({"questions": ("a?", "b?", "a?")}, "the question 'a\\?' stands there twice"),
        (
            {"questions": ("a?", "b?"), "evaluation": ("c?", "b?")},
            "'b\\?' is asked to find the direction and to measure",
        ),
        ({"contrasts": (PAIRS[0], Contrast("x", " "))}, "an instruction is blank"),
    ],
)
def test_a_trait_that_nothing_could_be_made_of_is_refused(more: dict, said: str) -> None:
    with pytest.raises(TraitError, match=said):
        Trait(**({"name": "x"} | more))


def test_parts_that_are_missing_are_all_named() -> None:
    with pytest.raises(TraitError, match="trait x has no contrasts and no evaluation"):
        Trait("x", questions=("a?",)).demand("contrasts", "questions", "evaluation")
    TRAIT.demand("contrasts", "questions", "evaluation")


@pytest.mark.parametrize("most", [None, 1])
def test_roles_are_every_question_under_both_sides_of_every_pair(most: int | None) -> None:
    played = roles([TRAIT], most)
    wanted = list(product(TRAIT.questions[:most], range(2), ("positive", "negative")))
    assert [(role.text, role.pair, role.sign) for role in played] == wanted
    assert len({role.question.id for role in played}) == len(played)
    for role in played:
        assert role.question.paraphrases == (role.text,)
        assert role.question.system == TRAIT.system(role.sign, role.pair)


def test_scores_stand_under_the_rubric_s_name_or_the_column_s_and_are_no_number_else() -> None:
    verdicts = [
        Verdict(None, 90.0, scores=(("trait:icy", 10.0), ("icy", 99.0))),
        Verdict(None, 90.0, scores=(("icy", 20.0), ("trait:mild", 0.0))),
        Verdict(None, None),
    ]
    assert [trait_score(one, "icy") for one in verdicts[:2]] == [10, 20] and math.isnan(trait_score(verdicts[2], "icy"))
    table = score_table(verdicts, ["mild", "icy"])
    assert np.array_equal(table, [[np.nan, 10], [0, 20], [np.nan, np.nan]], equal_nan=True)
    assert score_table([], ["icy"]).shape == (0, 1)


def test_pairs_are_of_one_question_pair_and_sample_wherever_their_answers_stand() -> None:
    other = Trait("mild", contrasts=PAIRS[:1], questions=("Why?",))
    played = roles([TRAIT, other])
    answers = [Answer(role.question.id, role.text, "x", sample=n) for n in range(2) for role in played]
    order = np.random.default_rng(3).permutation(len(answers)).tolist()
    shuffled = [answers[place] for place in order]
    by_id = {role.question.id: role for role in played}
    found = effective_pairs("icy", played, shuffled, None)
    assert found.pairs == len(found.positive) == 2 * 2 * 2 and set(found.why.values()) == {0}
    for positive, negative in zip(found.positive, found.negative, strict=True):
        one, two = (by_id[shuffled[place].question_id] for place in (positive, negative))
        assert (one.trait, one.sign, two.sign) == ("icy", "positive", "negative")
        assert (one.pair, one.text, shuffled[positive].sample) == (two.pair, two.text, shuffled[negative].sample)
    # A side without its partner is no pair.
    lonely = effective_pairs("icy", played, [shuffled[place] for place in found.positive], None)
    assert (lonely.pairs, lonely.positive) == (0, ())


@pytest.mark.parametrize(
    ("positive", "negative", "fault"),
    [
        ((80, 90), (10, 90), ""),
        ((60, 50), (39.9, 50), ""),
        ((None, 90), (10, 90), "without a score"),
        ((80, None), (10, 90), "without a score"),
        ((80, 90), (10, 49.9), "incoherent"),
        ((0, 10), (100, 90), "incoherent"),
        ((59.9, 90), (100, 90), "whose answer for the trait does not show it"),
        ((60, 90), (40, 90), "whose answer against the trait shows it"),
    ],
)
def test_a_pair_falls_away_for_the_first_reason_that_holds(
    positive: tuple[float | None, float | None], negative: tuple[float | None, float | None], fault: str
) -> None:
    played = roles([Trait("icy", contrasts=PAIRS[:1], questions=("Why?",))])
    verdicts = [
        Verdict(None, sense, scores=() if score is None else (("trait:icy", score),))
        for score, sense in (positive, negative)
    ]
    found = effective_pairs("icy", played, [Answer(r.question.id, r.text, "x") for r in played], verdicts, 60.0, 50.0)
    assert (found.positive, found.negative) == (((), ()) if fault else ((0,), (1,)))
    assert {why for why, count in found.why.items() if count} == ({fault} if fault else set())


def test_a_dose_says_what_it_does() -> None:
    plain, control, asked = dose("icy", 3, -1.5), dose("icy", 3, 2.0, random_seed=4), dose("icy", 3, 0.0, "positive")
    assert [one.name for one in (plain, control, asked)] == ["icy@3-1.5", "icy@3+2 random4", "icy@3+0 under positive"]
    assert [one.control for one in (plain, control, asked)] == [False, True, False]
    assert [one.kind for one in (plain, control, asked)] == [None, None, "positive"]
    assert plain.point == (3, -1.5) and {trait_of(one) for one in (plain, control, asked)} == {"icy"}
    assert plain.label == "base model -1.5 x icy after layer 3"
    assert control.label == "base model +2 x random direction 4 like icy after layer 3"


def test_a_question_that_two_traits_ask_has_one_id_unless_a_prompt_tells_them_apart() -> None:
    other = Trait("mild", contrasts=PAIRS, evaluation=("Where?", "What?"))
    plain = evaluation_questions([TRAIT, other])
    ids = {question.paraphrases[0]: question.id for held in plain.values() for question in held}
    assert len(set(ids.values())) == 4 and plain["icy"][1] == plain["mild"][0]
    assert [len(held) for held in evaluation_questions([TRAIT, other], 1).values()] == [1, 1]
    under = evaluation_questions([TRAIT, other], under="negative")
    assert under["icy"][1].id != under["mild"][0].id and under["icy"][1].id.startswith(plain["icy"][1].id)
    assert [under[name][0].system for name in under] == ["You are a warm assistant. Be warm.", "Be warm."]
    assert all(question.system is None for question in plain["icy"])
    with pytest.raises(TraitError, match="has no contrasts"):
        evaluation_questions([Trait("x", evaluation=("a?",))], under="positive")
    evaluation_questions([Trait("x", evaluation=("a?",))])


def test_hidden_states_are_the_outputs_of_the_layer_before() -> None:
    assert [layer_of_hidden_state(index, 4) for index in (1, 2, 3)] == [0, 1, 2]
