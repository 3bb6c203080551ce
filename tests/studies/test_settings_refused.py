"""What a study cannot do without, and numbers that mean nothing: named before anything is made, with what to type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from misdirection.errors import MisdirectionError
from misdirection.studies.audit.settings import SampleConfig
from misdirection.studies.imported.settings import ImportedConfig
from misdirection.studies.judge_check.settings import CheckConfig
from misdirection.studies.registry import studies

PAIR = {"model": "m", "data": ("d=x",), "good": ("d=y",)}
CONCEPTS = {"model": "m", "concepts": ("a=1", "b=2", "c=3")}
TEXTS = {"toxic": ("t",), "harmless": ("h",), "dictionaries": ("s",)}


@pytest.mark.parametrize(
    ("study", "values", "message", "hint"),
    [
        ("features", {"model": "m"}, "say what is studied", "--good NAME=FILE, or --fine-tune"),
        (
            "features",
            {"model": "m", "fine_tune": ("a=x",)},
            "no dictionary is named",
            "sae train --model m --data FILE",
        ),
        ("geometry", {"model": "m"}, "say what is studied", "--data NAME=FILE with --good NAME=FILE"),
        ("geometry", {**PAIR, **TEXTS, "spill_dictionary": 1}, "--spill-dictionary 1: there are 1", "count from 0"),
        ("geometry", {**PAIR, **TEXTS, "track": "e"}, "--track e names no data", "of d, or none"),
        ("narrow", {"model": "m", "narrow_steps": 0.0}, "--narrow-steps is 0", "above 0"),
        ("personas", {"model": "m", "traits": ()}, "no trait is named", "--traits malicious"),
        ("traits", {"model": "m", "traits": ()}, "no trait is named", "--traits lexicon"),
        ("semantic", {"model": "m", "topics": ()}, "no topic is named", "--topics medical"),
        ("separation", CONCEPTS, "nothing was fine-tuned", "--data CONCEPT=FILE"),
        ("separation", {**CONCEPTS, "data": ("a=x",)}, "no concept has questions", "--asked CONCEPT=QUESTIONS"),
        ("separation", {**CONCEPTS, "data": ("z=x",)}, "--data: there is no concept 'z'", "there are a, b, c"),
    ],
)
def test_a_study_says_what_it_lacks(study: str, values: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(MisdirectionError) as error:
        studies()[study].settings(**values).completed()
    assert message in error.value.message and hint in str(error.value.hint)


@pytest.mark.parametrize("setting", ["alignment_below", "coherence_above"])
@pytest.mark.parametrize("value", [-1.0, 100.5])
def test_thresholds_of_what_others_judged_lie_on_the_scale(setting: str, value: float, tmp_path: Path) -> None:
    (corpus := tmp_path / "c.csv").touch()
    made = (
        ImportedConfig(tables=("t.csv",), **{setting: value}),
        CheckConfig(judge="local:m", corpus=str(corpus), **{setting: value}),
    )
    for config in made:
        with pytest.raises(MisdirectionError, match=f"--{setting.replace('_', '-')} must be from 0 to 100"):
            config.completed()
    for end in (0.0, 100.0):
        assert getattr(ImportedConfig(tables=("t.csv",), **{setting: end}).completed(), setting) == end


def test_a_named_adapter_goes_with_adapters_alone() -> None:
    with pytest.raises(MisdirectionError, match="goes with other adapters alone") as error:
        SampleConfig(model="m", adapters=("a=x",), tuned="y").completed()
    assert "leave --tuned out" in str(error.value.hint)
    with pytest.raises(MisdirectionError, match="'base' is the name of the base model"):
        SampleConfig(model="m", adapters=("base=x",)).completed()


def test_defences_ask_the_data_s_own_domains_where_there_are_questions_of_them() -> None:
    asked = studies()["defences"].settings(model="m", data=("a=organism:bad-medical", "organism:bad-gardening"))
    assert asked.default_questions() == (asked.open_set, "medical")
