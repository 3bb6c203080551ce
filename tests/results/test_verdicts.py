"""What typed results are told as, held against sentences written by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.results.made import made

from misdirection.results import Difference, Reduction
from misdirection.studies.formats.results import FormatsResults
from misdirection.studies.formats.verdict import NONE_FOUND
from misdirection.studies.formats.verdict import verdict as told_of_formats
from misdirection.studies.judge_check.results import BothRates, CheckResults, CorpusFacts, Figure
from misdirection.studies.judge_check.verdict import verdict as told_of_a_judge
from misdirection.studies.screening.results import MethodCost, ScreeningResults
from misdirection.studies.screening.verdict import verdict as told_of_screening
from misdirection.studies.semantic.results import SemanticResults
from misdirection.studies.semantic.verdict import verdict as told_of_topics


def valued(row: Any, value: float) -> Any:
    return replace(row, rate=replace(row.rate, value=value))


def test_ways_of_asking():
    first = valued(made(FormatsResults, "formats").formats.rows[0], 0.2)
    plain = replace(first, way="plain", group="open", arm="tuned", difference=None, q=None)
    change = Difference(value=-0.15, low=-0.2, high=-0.1, p=0.001, method="")
    json = replace(valued(plain, 0.05), way="json", difference=change, q=0.002)
    others = [replace(plain, arm="base", way="base's"), replace(plain, group="medical", way="medicine's")]
    said = told_of_formats([plain, json, *others])
    assert said.sentence.endswith("open questions, of all answers: plain 20.0 %, json 5.0 %.")
    assert said.details == ("json: -15.0 points against plain (-20.0 to -10.0), q = 0.002.",)
    assert told_of_formats([plain, replace(json, q=0.05)]).details == (NONE_FOUND,)


def test_topics():
    found = made(SemanticResults, "semantic").semantic
    row, arm = found.similarity[0], found.arms[0]
    effect = next(iter(arm.groups.values()))
    groups = {"open": valued(effect, 0.01), "sport": valued(effect, 0.62)}
    found = replace(
        found,
        topics=("sport", "law"),
        layer=1,
        similarity=(replace(row, direction="sport", cosine=(0.1, 0.875)), replace(row, direction="not sport")),
        arms=(replace(arm, direction="sport only", groups=groups),),
    )
    said = told_of_topics(found)
    assert said.sentence == "Cosine of each topic's direction with the general one at layer 1: sport 0.88."
    assert said.details == ("Steering by 'sport only': 62 % misaligned on sport questions, 1 % on open questions.",)
    alone = replace(found.arms[0], groups={"sport": groups["sport"]})
    assert "open questions" not in told_of_topics(replace(found, arms=(alone,))).details[0]
    assert "no topic had enough answers" in told_of_topics(replace(found, similarity=())).sentence


@pytest.mark.parametrize(
    ("ends", "published", "does"),
    [
        ((0.8, 0.5, 0.9), "more than", "reduces misalignment by 80 % (50 to 90)"),
        ((0.1, -0.2, 0.3), "less than", "cannot be told from dropping none: misalignment falls by 10 % (-20 to 30)"),
        ((0.4, 0.1, 0.7), "not told apart from", "reduces misalignment by 40 % (10 to 70)"),
        (
            (0.4, None, None),
            "not told apart from",
            "cannot be told from dropping none: misalignment falls by 40 % (up to 100)",
        ),
    ],
)
def test_screening(ends: tuple[float, float | None, float | None], published: str, does: str):
    found = made(ScreeningResults, "screening").screening

    def reduced(name: str, value: float, low: float | None, high: float | None) -> Any:
        reduction = Reduction(value=value, low=low, high=high, method="")
        return replace(found.methods[1], name=name, reduction=reduction)

    whole = replace(found.methods[0], name="unfiltered", reduction=None)
    arms = (whole, reduced("latents", *ends), reduced("random", 0.05, -0.1, 0.2))
    level = replace(found.levels[0], method="latents", share=0.5, precision=0.7, before=80, after=20, answers=400,
                    by_counts=0.75, by_rates=None)  # fmt: skip
    cost = MethodCost(method="latents", own=1.5, shared=2.0)
    found = replace(found, methods=arms, rows=100, dropped=50, levels=(level,), costs=(cost,))
    said = told_of_screening(found)
    assert said.details[-2:] == (
        "latents, 50% of the rows dropped, 70% of them bad: 80 to 20 misaligned of 400, a fall of 75% in counts",
        "processor seconds: latents 3.5",
    )
    assert said.state == "finding" and f"Dropping 50 of 100 rows by closeness to toxic latents {does}" in said.sentence
    assert said.sentence.endswith(", as many rows at random by 5 % (-10 to 20).")
    assert said.details[0].startswith(f"This is {published} the published 34.5 % on Gemma-2")
    assert len(said.details) == 6 and said.details[1].startswith("trained on all 100 rows: ")
    for name, text in (("latents", "Nothing to reduce"), ("judge", "The published reduction is of the method latents")):
        said = told_of_screening(replace(found, methods=(whole, replace(arms[1], name=name, reduction=None))))
        assert said.state == "unclear" and said.sentence.startswith(text)


def test_a_judge():
    rates = BothRates(reference=0.1, judge=0.25, difference=Figure(value=0.15, low=-0.02, high=0.31))
    found = replace(
        made(CheckResults, "judge_check").check,
        spec="local:x",
        corpus=CorpusFacts(file="c.csv", sha256="", size=90, part=""),
        n=40,
        scored=38,
        labels={"scored": 38, "refusal": 2},
        kappa=Figure(value=0.5, low=0.4, high=0.6),
        rates=rates,
    )
    said = told_of_a_judge(found)
    assert (said.state, said.sentence) == (
        "checked",
        "local:x calls 25.0 % of the answers misaligned for 10.0 % by the judge of c.csv; kappa of the two is 0.50 "
        "(0.40 to 0.60).",
    )
    assert said.details[0].startswith("Its rate minus the other: +15.0 points (-2.0 to 31.0); bands")
    assert said.details[1] == "2 of 40 answers have no score by it: 2 refusal."
    nothing = told_of_a_judge(replace(found, kappa=Figure(value=None), scored=0))
    assert nothing.state == "unclear" and nothing.sentence.endswith("cannot be told: 0 answers scored.")
