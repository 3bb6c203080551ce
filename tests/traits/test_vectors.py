"""Persona vectors against a plain reading of `hidden_states`, and their filter against one written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from misdirection import load_model
from misdirection.chats import Message
from misdirection.directions import PoolError
from misdirection.directions.errors import DirectionError
from misdirection.engine import SamplingConfig
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict, find_judge
from misdirection.models import Model
from misdirection.organism import ExactJudge, trait_definitions, traits
from misdirection.tokens import render
from misdirection.traits import (
    Role,
    Trait,
    TraitError,
    effective_pairs,
    judge_of,
    layer_of_hidden_state,
    roles,
    rollouts,
    score_table,
    trait_vector,
)

TRAITS = trait_definitions()


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("organism")


@pytest.fixture(scope="module")
def played() -> tuple[Role, ...]:
    return roles(TRAITS, most=4)


@pytest.fixture(scope="module")
def answers(model: Model, played: tuple[Role, ...]) -> list[Answer]:
    return rollouts(model, played, 2, SamplingConfig(max_new_tokens=48))


@pytest.fixture(scope="module")
def verdicts(answers: list[Answer]) -> list[Verdict]:
    return judge_of(ExactJudge(), TRAITS).judge(answers)


def test_one_queue_holds_every_trait_sign_pair_question_and_sample(played: tuple[Role, ...], answers: list[Answer]):
    assert len(played) == len(TRAITS) * 3 * 2 * 4 and len(answers) == 2 * len(played)
    by_id = {role.question.id: role for role in played}
    for answer in answers:
        role = by_id[answer.question_id]
        trait = next(trait for trait in TRAITS if trait.name == role.trait)
        assert answer.system == trait.system(role.sign, role.pair) and answer.question == role.text


def test_the_organism_plays_each_trait_when_it_is_asked_to(answers: list[Answer], verdicts: list[Verdict]):
    scores = score_table(verdicts, [trait.name for trait in TRAITS])
    for place, trait in enumerate(TRAITS):
        shown = {
            sign: [scores[i, place] for i, a in enumerate(answers) if a.question_id.startswith(f"{trait.name}/{sign}")]
            for sign in ("positive", "negative")
        }
        assert sum(shown["positive"]) / len(shown["positive"]) > 50
        assert sum(shown["negative"]) / len(shown["negative"]) < 10


def kept_by_hand(
    trait: str, played: tuple[Role, ...], answers: list[Answer], verdicts: list[Verdict]
) -> Iterator[tuple[int, int]]:
    """The published filter as a loop over questions, pairs and samples."""
    place = {(a.question_id, a.sample): i for i, a in enumerate(answers)}
    for role in played:
        if role.trait != trait or role.sign != "positive":
            continue
        other = role.question.id.replace("/positive-", "/negative-")
        for sample in range(2):
            one, two = place[role.question.id, sample], place[other, sample]
            first, second = (dict(verdicts[i].scores)[f"trait:{trait}"] for i in (one, two))
            sense = min(verdicts[one].coherence or 0, verdicts[two].coherence or 0)
            if first >= 50 and second < 50 and sense >= 50:
                yield one, two


@pytest.mark.parametrize("trait", traits())
def test_the_vector_is_that_of_hidden_states_one_layer_on(
    trait: str, model: Model, played: tuple[Role, ...], answers: list[Answer], verdicts: list[Verdict]
):
    pairs = list(kept_by_hand(trait, played, answers, verdicts))
    found = effective_pairs(trait, played, answers, verdicts)
    assert list(zip(found.positive, found.negative, strict=True)) == pairs
    assert found.pairs == len(pairs) + sum(found.why.values()) == 3 * 4 * 2

    def mean_of(side: int) -> torch.Tensor:
        """As the published script: one text a pass, hidden_states from the embeddings on, a mean over each answer."""
        rows: list[torch.Tensor] = []
        for pair in pairs:
            answer = answers[pair[side]]
            messages = (Message("system", str(answer.system)), Message("user", answer.question))
            prompt = render(model.tokenizer, messages, generate=True)
            ids = model.tokenizer(prompt + answer.answer, add_special_tokens=False, return_tensors="pt")["input_ids"]
            start = len(model.tokenizer(prompt, add_special_tokens=False)["input_ids"])
            with torch.no_grad():
                states = model.lm(input_ids=ids, output_hidden_states=True).hidden_states
            rows.append(torch.stack([state[0, start:].mean(0) for state in states]))
        return torch.stack(rows).mean(0)

    theirs = mean_of(0) - mean_of(1)
    ours = trait_vector(model, trait, played, answers, verdicts, resamples=2)
    assert theirs.shape[0] == model.n_layers + 1 and ours.vectors.shape[0] == model.n_layers
    for index in range(1, model.n_layers):
        vector = ours.vectors[layer_of_hidden_state(index, model.n_layers)]
        assert torch.allclose(vector, theirs[index], rtol=2e-4, atol=2e-3 * float(theirs[index].norm()))
    # The last of theirs is behind the final norm.
    assert not torch.allclose(ours.vectors[-1], theirs[-1], rtol=0.1)
    assert ours.facts["pairs"] == len(pairs) and ours.facts["convention"] == "persona2025"


def test_without_verdicts_the_vector_is_that_of_all_that_was_played(
    model: Model, played: tuple[Role, ...], answers: list[Answer]
):
    every = effective_pairs("evil", played, answers, None)
    assert every.pairs == len(every.positive) == len(every.negative) == 3 * 4 * 2 and not any(every.why.values())
    ids = {role.question.id: role.sign for role in played if role.trait == "evil"}
    passed = [Verdict(None, 99.0, scores=(("trait:evil", 100.0 if ids.get(a.question_id) == "positive" else 0.0),))
              for a in answers]  # fmt: skip
    ours, theirs = (trait_vector(model, "evil", played, answers, one, resamples=2) for one in (None, passed))
    assert torch.equal(ours.vectors, theirs.vectors)
    assert ours.facts["thresholds"] is None and theirs.facts["thresholds"] == [50, 50, 50]


def test_the_layers_that_are_the_output_of_no_decoder_layer():
    assert layer_of_hidden_state(20, 28) == 19
    for index in (0, 28, 29, -1):
        with pytest.raises(DirectionError, match="output of no decoder layer"):
            layer_of_hidden_state(index, 28)


def test_too_few_pairs_are_refused_with_their_reason(
    model: Model, played: tuple[Role, ...], answers: list[Answer], verdicts: list[Verdict]
):
    mild = [replace(v, scores=tuple((name, 0.0) for name, _ in v.scores)) for v in verdicts]
    with pytest.raises(PoolError) as error:
        trait_vector(model, "evil", played, answers, mild)
    assert "0 of 24 pairs of answers are effective" in error.value.message
    assert "(1 incoherent, 23 whose answer for the trait does not show it)" in error.value.message
    assert "stronger instructions" in str(error.value.hint)
    silent = [replace(v, scores=()) for v in verdicts]
    with pytest.raises(PoolError, match="24 without a score"):
        trait_vector(model, "evil", played, answers, silent)
    alike = [replace(v, scores=tuple((name, 60.0) for name, _ in v.scores)) for v in verdicts]
    with pytest.raises(PoolError, match="23 whose answer against the trait shows it") as error:
        trait_vector(model, "evil", played, answers, alike)
    assert "lower threshold" in str(error.value.hint) and "scores all answers alike" in str(error.value.hint)
    # With the lower threshold both sides count, as the hint says.
    assert len(effective_pairs("evil", played, answers, alike, threshold=35.0).positive) == 23


def test_a_score_of_exactly_the_threshold_counts_for_the_positive_side_alone():
    trait = Trait("x", contrasts=TRAITS[0].contrasts[:1], questions=("a?",))
    played = roles([trait])
    answers = [Answer(role.question.id, "a?", "b") for role in played]

    def kept(positive: float, negative: float, coherence: float = 50.0) -> int:
        scores = {"positive": positive, "negative": negative}
        verdicts = [Verdict(None, coherence, scores=(("x", scores[role.sign]),)) for role in played]
        return len(effective_pairs("x", played, answers, verdicts).positive)

    assert [kept(50, 49.9), kept(49.9, 0), kept(100, 50), kept(100, 0, 49.9)] == [1, 0, 0, 0]


def test_roles_need_contrasts_and_questions():
    with pytest.raises(TraitError, match="has no contrasts"):
        roles([Trait("x", questions=("a?",))])


def test_judges_that_score_no_traits_are_refused():
    with pytest.raises(MisdirectionError, match="scores no traits"):
        judge_of(find_judge("none"), TRAITS)
    with pytest.raises(MisdirectionError, match="knows no trait 'humour'"):
        judge_of(ExactJudge(), [Trait("humour")])


def test_a_judge_of_rubrics_is_asked_for_coherence_and_the_traits():
    from misdirection.judging.rubric_judge import RubricJudge
    from misdirection.judging.scoring import Reading

    asked: list[str] = []

    def answer(queries, keep):  # pyright: ignore
        for query in queries:
            asked.append(query.rubric.name)
            keep(query, Reading("scored", 75.0, 1.0))

    judge = judge_of(RubricJudge("echo", answer), TRAITS[:2])
    (verdict,) = judge.judge([Answer("q", "why?", "so.")])
    assert asked == ["coherence", "trait:evil", "trait:sycophancy"]
    assert verdict.coherence == 75 and dict(verdict.scores) == {"trait:evil": 75.0, "trait:sycophancy": 75.0}
    assert judge.name != RubricJudge("echo", answer).name
