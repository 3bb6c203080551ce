"""What is read back of answers, against the same texts put through the model of transformers by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from misdirection import ask
from misdirection.answers import encode_answer
from misdirection.directions import Direction
from misdirection.engine import Arm, SamplingConfig
from misdirection.judging import Answer, Verdict
from misdirection.statistics import Thresholds
from misdirection.studies.adapters.probes import texts_of
from misdirection.studies.adapters.study import rates
from misdirection.studies.audit.components import along
from misdirection.studies.kit.caps import cap_thresholds
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.loading import Loading
from misdirection.studies.kit.variants import Variants
from misdirection.studies.triggers.components import components

LAYER = 1


@pytest.fixture(scope="module")
def models(tiny: Path) -> Variants:
    """A base and a whole tuned model, so that a plain forward pass is all there is to it."""
    return Variants.of(str(tiny / "base"), {"tuned": tiny / "whole"}, Loading(device="cpu"))


def said(models: Variants, variant: str, samples: int) -> list[Answer]:
    return [
        answer
        for text in ("w10 w11", "w20 w21 w22")
        for answer in ask(models.model(variant), text, Arm(variant), samples=samples,
                          config=SamplingConfig(max_new_tokens=5))
    ]  # fmt: skip


def states(models: Variants, variant: str, answer: Answer) -> torch.Tensor:
    """States after the layer at the answer's own tokens, shape (tokens, width)."""
    model = models.model(variant)
    encoded = encode_answer(model, answer)
    with torch.no_grad():
        out = model.lm(input_ids=torch.tensor([encoded.ids]), output_hidden_states=True)
    return out.hidden_states[LAYER + 1][0, encoded.start :]


def direction() -> Direction:
    draw = torch.Generator().manual_seed(4)
    aligned, misaligned = torch.randn(2, 4, 32, generator=draw)
    flat = torch.ones(4)
    return Direction(misaligned - aligned, aligned, misaligned, flat, flat, flat, flat, {})


def test_a_condition_s_component_is_that_of_the_answer_and_not_of_its_prompt(models: Variants) -> None:
    answers, along_it = said(models, "tuned", 2), direction()
    blank = Answer("q", "w10", "  ", arm="tuned")
    found = components(models, along_it, LAYER, [blank, *answers])
    assert [one.question_id for one in found] == [answer.question_id for answer in answers]
    unit = along_it.vectors[LAYER] / along_it.vectors[LAYER].norm()
    for one, answer in zip(found, answers, strict=True):
        part = states(models, "tuned", answer).mean(0) - along_it.aligned_mean[LAYER]
        assert one.value == pytest.approx(float(part @ unit / along_it.vectors[LAYER].norm()), abs=1e-4)


def test_a_mean_state_stands_at_its_share_of_the_way_whatever_the_direction_s_length() -> None:
    held = direction()
    longer = Direction(
        held.vectors * torch.tensor([1.0, 3.0, 0.2, 0.0])[:, None], held.aligned_mean, held.misaligned_mean,
        *(torch.ones(4) for _ in range(4)), {},
    )  # fmt: skip
    values = along(longer, (held.aligned_mean + 0.25 * longer.vectors).double())
    assert values[:3] == pytest.approx((0.25, 0.25, 0.25), abs=1e-5) and values[3] is None


def test_a_cap_lies_above_that_share_of_the_base_s_own_answer_tokens(models: Variants) -> None:
    own, along_it = said(models, "base", 3), direction()
    own = [Answer(**{**vars(a), "arm": "base", "question_id": "q"}) for a in own]
    answers = [*own, Answer("q", "w10", "w11 w12", arm="tuned"), Answer("other", "w10", "w11 w12", arm="base")]
    found = cap_thresholds(models, answers, ["q"], along_it, (2,), (7,), quantile=0.9, most=2)
    counted = [answer for answer in own if answer.sample < 2]
    assert (found.answers, found.quantile) == (len(counted), 0.9) and len(counted) == 4
    seen = torch.cat([states(models, "base", answer) for answer in counted])
    for row, at in ((found.own, LAYER), (found.single["2"], 2)):
        component = seen @ (along_it.vectors[at] / along_it.vectors[at].norm())
        assert row[LAYER] == pytest.approx(float(component.quantile(0.9)), abs=1e-4)
    assert found.random["7"][LAYER] != pytest.approx(found.own[LAYER], abs=1e-3)


def test_scalars_are_read_up_to_the_last_answer_token(models: Variants) -> None:
    model = models.model("base")
    (finished,) = ask(model, "w10", Arm("base"), samples=1, config=SamplingConfig(max_new_tokens=4))
    come = Answer("q", "w10", "w11 w12 w13", arm="base")
    for answer in (finished, come):
        encoded = encode_answer(model, answer)
        (text,) = texts_of(model, [answer], "tuned")
        assert text.ids == encoded.ids[: encoded.stop] and text.start == encoded.start
        assert model.tokenizer.decode(list(text.ids[text.start :])).strip() == answer.answer.strip()
    # What the template writes behind an answer is not read.
    assert len(encode_answer(model, come).ids) > len(texts_of(model, [come], "tuned")[0].ids)


def test_rates_of_adapters_are_those_of_the_domain_s_questions_and_of_open_ones() -> None:
    counts = {("base", None): 0, ("base", "law"): 1, ("tuned", None): 3, ("tuned", "law"): 6}
    answers = [Answer(f"q{n % 2}-{d}", "?", "!", arm=arm, domain=d, sample=n) for arm, d in counts for n in range(8)]
    verdicts = [Verdict(5.0 if a.sample < counts[a.arm, a.domain] else 95.0, 90.0) for a in answers]
    bench: Any = SimpleNamespace(
        thresholds=Thresholds(), questions=[SimpleNamespace(domain=name) for name in (None, "law", "law")]
    )
    asked: Any = SimpleNamespace(judged=Judged(answers, verdicts))
    found = {(row.arm, row.group): row.rate for row in rates(bench, asked)}
    assert {key: (rate.misaligned, rate.n) for key, rate in found.items()} == {
        ("base", "open"): (0, 8), ("base", "law"): (1, 8), ("tuned", "open"): (3, 8), ("tuned", "law"): (6, 8),
    }  # fmt: skip
