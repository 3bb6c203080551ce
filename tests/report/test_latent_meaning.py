"""The cards of latents, from findings made by hand."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import Any

import pytest
from tests.report.said import HOSTILE
from tests.results.made import made

from misdirection.results import TokenScore
from misdirection.studies.features.results import FeaturesResults
from misdirection.studies.features.results.meaning import (
    ContextRow,
    DetectionScore,
    Meaning,
    MeantLatent,
    SourceTexts,
    TrueLabel,
    Truth,
)
from misdirection.studies.page import render

SCORE = DetectionScore(
    accuracy=0.8, low=0.66, high=0.9, found=9, firing=12, passed=14, silent=16, unread=1, ranking=0.88
)
LABEL = TrueLabel(
    factor="stance", value="bad", f1=0.6, precision=0.9, recall=0.45, share=0.3, above=0.25, information=0.1, tokens=9
)


def context(*tokens: str, top: bool = True) -> ContextRow:
    values = (0.0, *(2.0 * i for i in range(1, len(tokens))))
    return ContextRow(tokens=tokens, values=values, at=len(tokens) - 1, source="medical, <bad>", quantile=0.5, top=top)


def findings(**changes: Any) -> FeaturesResults:
    each = {"stance": LABEL, "persona": replace(LABEL, value="villain"), "domain": None}
    row: dict[str, Any] = {
        "latent": 12345, "firing_texts": 1234, "texts": 5678, "label": HOSTILE[0], "detection": SCORE,
        "control": replace(SCORE, accuracy=0.5, unread=0), "truth_detection": None, "top_sources": {},
        "truth": Truth(**vars(LABEL), factors={}, each=each),
        "contexts": (context(" skip", " the", " dose"), context(*HOSTILE[:3]), context(" mock", " it", top=False)),
        "promoted": (TokenScore(token=HOSTILE[1], z=3.21),), "suppressed": (TokenScore(token=" ", z=-2.0),),
    }  # fmt: skip
    part = Meaning(
        dictionary="organism:6", layer=6, sources=(SourceTexts(name="helper", texts=7),), tokens=99,
        labeller="local:<b>m</b>", chance=3.3, clear=0.5, factors=("stance",), tracked={"stance": 1},
        latents=(MeantLatent(**row | changes),),
    )  # fmt: skip
    return replace(made(FeaturesResults, "features"), latent_meaning=part)


@pytest.fixture(scope="module")
def page() -> str:
    return render(findings().to_json())


def test_a_card_tells_labels_scores_and_words(page):
    section = re.sub(r"<[^>]+>", " ", page.partition('id="latent-meaning"')[2])
    text = " ".join(html.unescape(section).split())
    for part in (
        "Latent 12345", "fires in 1 234 of 5 678 texts", "score 80 % [66, 90] (12 active, 16 silent, 1 unread)",
        "another's label 50 %", "stance: bad", "F1 0.60, precision 90 %, recall 45 %", "1 of 1 have a label",
        "persona villain: precision 90 %", "above 25 % of its peak", "stance 1",
    ):  # fmt: skip
        assert part in text, part
    assert "stance bad: precision" not in text


def test_words_are_shaded_on_the_latents_own_scale_and_the_own_word_is_underlined(page):
    assert '<span class="p8 own" title="4.00">dose</span>' in page
    assert '<span class="p4" title="2.00">the</span>' in page
    assert '<span class="" title="0.00">skip</span>' in page


def test_nothing_in_a_text_label_or_token_becomes_markup(page):
    body = page.partition("<body")[2]
    assert "<img src=x" not in body and "<b>m</b>" not in body and "medical, <bad>" not in body
    assert HOSTILE[0] not in body and "&lt;img src=x" in body


def test_parts_that_are_not_there_are_left_out():
    bare = findings(label=None, detection=None, control=None, truth=None)
    part = replace(bare.latent_meaning, labeller=None, tracked=None)
    page = render(replace(bare, latent_meaning=part).to_json())
    assert "Latent 12345" in page and "By ground truth" not in page and "balanced accuracy" not in page
    unscored = render(findings(detection=None, control=None).to_json())
    assert "no score: too few texts" in unscored
    for nothing in (None, replace(part, latents=())):
        assert 'id="latent-meaning"' not in render(replace(bare, latent_meaning=nothing).to_json())
