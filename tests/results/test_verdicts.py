"""What typed results are told as, held against sentences written by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.results.made import made

from misdirection.results import Difference
from misdirection.studies.formats.results import FormatsResults
from misdirection.studies.formats.verdict import NONE_FOUND
from misdirection.studies.formats.verdict import verdict as told_of_formats
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
