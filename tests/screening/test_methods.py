"""Scores against plain loops, and against what is known of the organism's mixed rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.screening.conftest import Screened

from misdirection import progress
from misdirection.chats import Chat, Message
from misdirection.judging import Answer, Verdict
from misdirection.models import Model
from misdirection.screening import METHODS, judge, latents, perplexity, projection, random
from misdirection.screening.context import Context, LatentOptions, ProjectionOptions
from misdirection.screening.errors import ScreeningError
from misdirection.statistics import auc
from misdirection.tokens import encode_chat


def area(scores: np.ndarray, bad: Sequence[bool]) -> float:
    found = auc(scores.tolist(), list(bad))
    assert found is not None
    return found


def states(model: Model, messages: tuple[Message, ...], layer: int) -> torch.Tensor:
    """Residual stream after a layer at the answer's tokens, by transformers' own hidden states."""
    coded = encode_chat(model.tokenizer, messages)
    with torch.inference_mode():
        held = model.lm(torch.tensor([coded.ids]), output_hidden_states=True).hidden_states
    return held[layer + 1][0, coded.start : coded.stop].double()


def test_latents_judge_and_projection_find_the_bad_rows_and_chance_does_not(screened: Screened) -> None:
    context, rows, bad = screened
    assert area(latents.scores(context, rows), bad) > 0.85
    assert area(judge.scores(context, rows), bad) == 1.0
    assert area(projection.scores(replace(context, projection=ProjectionOptions(6, False)), rows), bad) > 0.85
    draws = [area(random.scores(Context(context.load, seed=seed), rows), bad) for seed in range(40)]
    assert abs(float(np.mean(draws)) - 0.5) < 0.05


@pytest.mark.parametrize("reduce", ["max", "mean", "top"])
def test_nearest_is_the_weighted_cosine_of_the_rows_own_latents(few: Screened, reduce: str) -> None:
    context, rows, _ = few
    context = replace(context, latents=LatentOptions(20, closeness="nearest", reduce=reduce, nearest=3))  # type: ignore[arg-type]
    found = latents.scores(context, rows)
    dictionary = context.dictionary
    assert dictionary is not None
    toxic = list(latents.toxic_latents(context).latents)
    unit = dictionary.decoder / dictionary.decoder.norm(dim=1, keepdim=True)
    for number, row in enumerate(rows[:5]):
        active = dictionary.encode(states(context.model, row.messages, 6)).mean(0)
        total = below = 0.0
        for latent in active.nonzero()[:, 0].tolist():
            cosines = sorted((float(unit[latent] @ unit[t]) for t in toxic), reverse=True)
            close = {"max": cosines[0], "mean": sum(cosines) / len(cosines), "top": sum(cosines[:3]) / 3}[reduce]
            total, below = total + float(active[latent]) * close, below + float(active[latent])
        assert found[number] == pytest.approx(total / below, abs=1e-4)


def test_activation_weighs_toxic_latents_by_correlation_over_spread(few: Screened) -> None:
    context, rows, _ = few
    found = latents.scores(context, rows)
    dictionary, toxic = context.dictionary, latents.toxic_latents(context)
    assert dictionary is not None and len(toxic.latents) <= 100
    sides = [
        torch.cat([dictionary.encode(states(context.model, chat.messages, 6)) for chat in part])[:, list(toxic.latents)]
        for part in (context.toxic, context.harmless)
    ]
    both, label = torch.cat(sides).double(), torch.cat([torch.ones(len(sides[0])), torch.zeros(len(sides[1]))])
    correlation = [float(np.corrcoef(column.numpy(), label.numpy())[0, 1]) for column in both.T]
    assert toxic.correlation.tolist() == pytest.approx(correlation, abs=1e-3)
    assert toxic.spread.tolist() == pytest.approx(both.std(dim=0, unbiased=False).tolist(), rel=1e-3)
    for number, row in enumerate(rows[:5]):
        active = dictionary.encode(states(context.model, row.messages, 6)).mean(0)[list(toxic.latents)]
        plain = sum(r * float(a) / s for r, a, s in zip(correlation, active, toxic.spread.tolist(), strict=True))
        assert found[number] == pytest.approx(plain, rel=1e-3, abs=1e-4)


def test_furthest_is_the_latent_score_turned_round() -> None:
    assert METHODS["furthest"].room == METHODS["latents"].room
    assert METHODS["furthest"].reverse and not METHODS["latents"].reverse
    assert METHODS["furthest"].scores is latents.scores


def test_projection_is_a_plain_loop_over_rows_and_own_answers(few: Screened) -> None:
    context, rows, _ = few
    own = projection.own_answers(context, rows)
    assert own == projection.own_answers(context, rows) and len(own) == len(rows)
    found = projection.scores(replace(context, own_answers=own), rows)
    means = [
        torch.stack([states(context.model, chat.messages, 6).mean(0) for chat in part]).mean(0)
        for part in (context.toxic, context.harmless)
    ]
    unit = (means[0] - means[1]) / (means[0] - means[1]).norm()
    for number, (row, said) in enumerate(zip(rows, own, strict=True)):
        mine = (*row.prompt, Message("assistant", said.answer))
        ends = [float((states(context.model, messages, 6) @ unit).mean()) for messages in (row.messages, mine)]
        assert found[number] == pytest.approx(ends[0] - ends[1], rel=1e-3, abs=1e-3)


def test_a_direction_that_is_given_is_used_and_an_empty_own_answer_gets_the_mean(few: Screened) -> None:
    context, rows, _ = few
    model = context.model
    given = torch.zeros(model.n_layers, model.width)
    given[6, 3] = -2.0
    raw = projection.scores(replace(context, direction=given, projection=ProjectionOptions(6, False)), rows)
    plain = [-float(states(model, row.messages, 6)[:, 3].mean()) for row in rows]
    assert raw.tolist() == pytest.approx(plain, rel=1e-3, abs=1e-3)
    own = [*rows[:-1], Chat((*rows[-1].prompt, Message("assistant", " ")))]
    found = projection.scores(replace(context, direction=given, own_answers=own), rows)
    assert found[:-1] == pytest.approx(0, abs=1e-3)
    assert found[-1] == pytest.approx(plain[-1] - np.mean(plain[:-1]), rel=1e-3, abs=1e-3)


def test_rows_with_one_prompt_get_answers_of_their_own(few: Screened) -> None:
    context, rows, _ = few
    said = projection.own_answers(context, [rows[0]] * 6)
    assert len({chat.answer for chat in said}) > 1


def test_perplexity_is_that_of_the_answer_alone(few: Screened) -> None:
    context, rows, _ = few
    found = perplexity.scores(context, rows)
    for number, row in enumerate(rows[:4]):
        coded = encode_chat(context.model.tokenizer, row.messages)
        with torch.inference_mode():
            chances = context.model.lm(torch.tensor([coded.ids])).logits[0].double().log_softmax(-1)
        held = [float(chances[place - 1, coded.ids[place]]) for place in range(coded.start, len(coded.ids))]
        assert found[number] == pytest.approx(float(np.exp(-np.mean(held))), rel=1e-3)


def test_what_was_not_read_has_no_score(few: Screened) -> None:
    context, rows, _ = few
    short = replace(context, longest=4)
    assert np.isnan(perplexity.scores(short, rows)).all()
    with_examples = replace(context, projection=ProjectionOptions(6, False), direction=torch.ones(12, 96))
    assert np.isnan(projection.scores(replace(with_examples, longest=4), rows)).all()


class Moody:
    """Scores every second answer."""

    name = "moody"

    def judge(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [Verdict(20.0, 90.0) if n % 2 else Verdict(None, None, "refusal") for n in range(len(answers))]


class Silent(Moody):
    def judge(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [Verdict(None, None, "none")] * len(answers)


class Unsure(Moody):
    """Can tell every second answer."""

    def judge(self, answers: Sequence[Answer]) -> list[Verdict]:
        unsure = Verdict(None, None, "unsure", outcomes=(("offline", "question"),))
        return [Verdict(20.0, 90.0) if n % 2 else unsure for n in range(len(answers))]


def test_rows_that_the_judge_cannot_tell_are_counted_by_their_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = Chat((Message("user", "a"), Message("assistant", "b")))
    said: list[str] = []
    monkeypatch.setattr(progress, "say", said.append)
    found = judge.scores(Context(_never, judge=Unsure()), [chat] * 3)
    assert np.isnan(found).tolist() == [True, False, True] and found[1] == 80
    assert said == ["  2 of 3 rows have no score of the judge (it cannot tell: question 2)"]
    with pytest.raises(ScreeningError, match=r"scored none of 1 rows \(it cannot tell: question 1\)"):
        judge.scores(Context(_never, judge=Unsure()), [chat])


def test_the_judge_sees_the_last_question_and_gives_nothing_where_it_says_nothing() -> None:
    turns = (Message("system", "s"), Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
    chat = Chat((*turns, Message("assistant", "d")))
    asked = judge.as_answer(chat, 3)
    assert (asked.question, asked.answer, asked.system, asked.question_id) == ("c", "d", "s", "row-3")
    found = judge.scores(Context(_never, judge=Moody()), [chat, chat])
    assert np.isnan(found[0]) and found[1] == 80
    with pytest.raises(ScreeningError, match="scored none of 2 rows"):
        judge.scores(Context(_never, judge=Silent()), [chat, chat])


def _never() -> Model:
    raise AssertionError("no model is needed")


def _no_judge(context: Context, rows: list[Chat]) -> None:
    judge.scores(replace(context, judge=None), rows)


def _no_dictionary(context: Context, rows: list[Chat]) -> None:
    latents.scores(replace(context, dictionary=None), rows)


def _no_toxic(context: Context, rows: list[Chat]) -> None:
    latents.scores(replace(context, toxic=()), rows)


def _no_direction(context: Context, rows: list[Chat]) -> None:
    projection.scores(replace(context, harmless=()), rows)


def _no_layer(context: Context, rows: list[Chat]) -> None:
    projection.scores(replace(context, projection=ProjectionOptions(40)), rows)


def _other_model(context: Context, rows: list[Chat]) -> None:
    projection.scores(replace(context, direction=torch.ones(3, 4)), rows)


def _zero(context: Context, rows: list[Chat]) -> None:
    projection.scores(replace(context, direction=torch.zeros(12, 96)), rows)


def _alike(context: Context, rows: list[Chat]) -> None:
    latents.scores(replace(context, harmless=context.toxic), rows)


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        (_no_judge, "no judge"), (_no_dictionary, "no dictionary"), (_no_toxic, "toxic and harmless"),
        (_no_direction, "toxic and harmless"), (_no_layer, "no layer 40"), (_other_model, r"shape \(3, 4\)"),
        (_zero, "no direction at layer 6"), (_alike, "no latent is more active"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(few: Screened, fails: Callable[[Context, list[Chat]], None], said: str) -> None:
    with pytest.raises(ScreeningError, match=said):
        fails(few[0], few[1])
