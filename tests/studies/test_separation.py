"""The study of separation, whole, on the organism at a small size; its rows and the causal test against plain truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.studies.foreign import of_the_organism, told_of_another
from tests.studies.options import assert_keyed

import misdirection
from misdirection.chats import Chat
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer
from misdirection.organism import ExactJudge, open_chats, training_chats
from misdirection.organism.build import OrganismSettings
from misdirection.report.parts import Chart
from misdirection.runs import Run, read_log
from misdirection.separation import Concept
from misdirection.studies.separation import rows as tables
from misdirection.studies.separation.measures import TABLES, Space
from misdirection.studies.separation.organisms import (
    CONDITIONS,
    MEASURES,
    SMALL,
    OrganismRow,
    Shares,
    between,
    concepts_of,
    correlations,
    grow,
    passing,
    row_of,
    shares,
)
from misdirection.studies.separation.report import spill
from misdirection.studies.separation.results import LayerRow, SeparationResults
from misdirection.studies.separation.settings import SeparationConfig
from misdirection.studies.separation.study import separation
from misdirection.studies.separation.verdict import few_text, verdict

NAMES = ("medical", "law", "pets")
SMALL_RUN = SeparationConfig(
    concepts=(*(f"{name}=organism:bad-{name}" for name in NAMES), "open=organism:toxic"),
    without=(*(f"{name}=organism:good-{name}" for name in NAMES), "open=organism:harmless"),
    asked=(*(f"{name}=organism:{name}" for name in NAMES), "open=organism:open"),
    data=("medical=organism:bad-medical",),
    training={"max_steps": 24},
    chats=12,
    samples=1,
    dims=(1, 4),
    shuffles=3,
    randoms=1,
    most_questions=6,
    max_new_tokens=48,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return separation(SMALL_RUN, tmp_path_factory.mktemp("separation") / "run").parent


@pytest.fixture(scope="module")
def found(run: Path) -> SeparationResults:
    held = misdirection.load_results(run)
    assert isinstance(held, SeparationResults)
    return held


def test_every_layer_of_both_models_is_told(found: SeparationResults):
    part = found.separation
    assert part.concepts == (*NAMES, "open") and part.layer == 6 and part.chats == 96 and part.unread == 0
    assert [(row.variant, row.layer) for row in part.layers] == [(v, k) for v in ("base", "medical") for k in range(12)]
    for row in part.layers:
        # Four centred means span three dimensions at most, and cannot be farther apart than the corners of a simplex.
        assert 1 <= row.dimensions_of_means <= 3 + 1e-6 and row.means >= 1 / 9 - 1e-6
    table = np.array(part.directions)
    assert np.diag(table) == pytest.approx(1) and table == pytest.approx(table.T)
    assert {(row.variant, row.dims) for row in part.probes} == {(v, k) for v in ("base", "medical") for k in (1, 4)}
    accuracy = {row.dims: row.accuracy for row in part.probes if row.variant == "base"}
    assert accuracy[4] > accuracy[1] and accuracy[4] > 0.6


def test_bad_advice_on_one_domain_spills_over(found: SeparationResults):
    part = found.separation
    assert [row.concept for row in part.pairs] == ["law", "pets", "open"] and len(part.own) == 1
    assert part.own[0].spill > 0.5
    assert max(row.spill for row in part.pairs) > 0.3
    for row in part.pairs:
        assert row.spill == pytest.approx((row.tuned.value or 0) - (row.base.value or 0))
        i, j = part.concepts.index("medical"), part.concepts.index(row.concept)
        assert row.directions == part.directions[i][j] and row.means == part.means[i][j]
        assert row.latents is not None and 0 <= row.latents <= 1 and row.crosstalk is not None


def test_directions_are_added_at_one_length_beside_random_ones(found: SeparationResults):
    part = found.separation
    assert list(dict.fromkeys(row.added for row in part.cross)) == ["as it is", *part.concepts, "random 1"]
    assert len(part.cross) == 6 * 4 and part.norm > 0
    assert all(row.rate.n == 6 for row in part.cross)


def test_tests_stand_beside_their_layers_and_the_report_says_it(found: SeparationResults, run: Path):
    part = found.separation
    assert {row.measure for row in part.tests} == {*TABLES, "latents", "crosstalk"}
    assert [row.layer for row in part.tests if row.measure == "means"] == list(range(12))
    assert all((row.p is None) == (row.layer != 6) for row in part.tests if row.rho is not None)
    page = (run / "report.html").read_text()
    for heading in ("Does what lies close spill over?", "How close the concepts lie", "Causal cross-talk"):
        assert heading in page
    assert "Fine-tuned on medical" in " ".join(found.verdict.details)


def test_few_concepts_are_no_finding_that_closeness_tells_nothing(found: SeparationResults):
    """As on SmolLM2, of three concepts: "none of five measures predicts" was said of two pairs."""
    part = found.separation
    row = part.pairs[0]

    def of(count: int):
        return replace(part, pairs=tuple(replace(row, concept=f"c{i}") for i in range(count)))

    assert few_text(of(5)) == ""
    assert "known of 2 other concepts only, and 5 are the least" in few_text(of(2))
    assert "cannot be told: the spill is known of no other concept" in verdict(of(0)).sentence
    [one] = [text for text in verdict(of(1)).details if text.startswith("Fine-tuned on")]
    assert one.endswith("points on c0.") and "others on average" not in one


def test_a_curve_that_would_be_empty_is_not_drawn(found: SeparationResults):
    keys = lambda held: [block.key for block in spill(held).blocks if isinstance(block, Chart)]  # noqa: E731
    part = found.separation
    silent = replace(part, tests=tuple(replace(row, rho=None, p=None) for row in part.tests))
    assert "separation-tests" in keys(found) and "separation-tests" not in keys(replace(found, separation=silent))


def test_answers_that_the_judge_could_not_tell_are_no_spill(found: SeparationResults):
    rate = replace(found.separation.pairs[0].base, value=0.0, bounded=False)
    assert tables._change(rate, replace(rate, value=0.25)) == 0.25
    open_ended = replace(rate, ceiling=1.0, bounded=True)
    assert np.isnan(tables._change(rate, open_ended)) and np.isnan(tables._change(open_ended, rate))
    told = tables.notes(replace(found.separation, pairs=found.separation.pairs[:1], own=()), True)
    assert any("or the judge could not tell its answers" in text for text in told)


def test_a_finished_run_is_gone_on_with_and_says_nothing_of_the_organism(run: Path, tmp_path: Path):
    before = len(read_log(run))
    separation(SMALL_RUN, run)
    assert all(line["reused"] for line in read_log(run)[before:])
    assert not of_the_organism(told_of_another("separation", SMALL_RUN, run, tmp_path))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"concepts": ("a=organism:bad-law", "b=organism:bad-pets"), "without": (), "asked": ()}, "2 concepts"),
        ({"without": ("cats=organism:good-pets",)}, "no concept 'cats'"),
        ({"asked": ("cats=organism:pets",)}, "no concept 'cats'"),
        ({"data": ("cats=organism:bad-pets",)}, "no concept 'cats'"),
        ({"asked": ("medical",)}, "names nothing"),
        ({"shrinkage": 1.5}, "shrinkage"),
        ({"dims": (0,)}, "dims"),
        ({"judge": "none"}, "judge"),
        ({"layer": 12}, "no layer 12"),
    ],
)
def test_bad_settings_are_told_and_nothing_is_written(changed: dict[str, object], said: str, tmp_path: Path):
    with pytest.raises(MisdirectionError, match=said):
        separation(replace(SMALL_RUN, **changed), tmp_path / "run")
    assert not list((tmp_path / "run").glob("steps/*"))


def test_spill_is_held_against_the_row_of_the_trained_concept():
    table = torch.zeros(1, 4, 5, 5, dtype=torch.float64)
    closeness = torch.tensor([0.9, 0.5, 0.4, 0.2, 0.1], dtype=torch.float64)
    table[0, :, 0], table[0, :, :, 0] = closeness, closeness
    space = Space((), table, torch.zeros(1, 5, 3))
    concepts = [Concept(name, ()) for name in "abcde"]
    rates = dict(zip("bcde", (0.9, 0.6, 0.3, 0.1), strict=True))
    pairs = [type("Pair", (), {"trained": "a", "concept": name, "spill": rate})() for name, rate in rates.items()]
    rows = tables.test_rows(pairs, space, concepts, 0, {}, 0)  # pyright: ignore[reportArgumentType]
    assert [row.rho for row in rows] == [pytest.approx(1)] * 4 and rows[0].pairs == 4
    assert tables.others_of(None, (), concepts) == {}


def test_em_is_read_where_the_in_domain_rate_passes_the_target():
    assert passing((0.0, 0.25, 0.75), 0.5) == pytest.approx(1.5)
    assert passing((0.0, 0.5, 0.9), 0.5) == pytest.approx(1.0)
    assert passing((0.0, 0.2), 0.5) is None and between((1.0, 2.0), None) is None
    assert between((0.0, 0.1, 0.3), 1.5) == pytest.approx(0.2)
    layer = LayerRow(variant="base", layer=0, means=0.1, means_whitened=0.2, directions=0.3, directions_whitened=0.4,
                     floor=0, dimensions_of_means=2, dimensions_of_states=3)  # fmt: skip
    table = torch.zeros(1, 4, 2, 2)
    table[0, TABLES.index("directions"), 0, 1] = 0.75
    course = Shares((0, 4, 8), (0.0, 0.1, 0.3), (0.0, 0.3, 0.7), (0.0, 0.2, 0.6), 0.9)
    row = row_of("as it is", 1, course, Space((layer,), table, torch.zeros(1, 2, 3)), ("medical", "open"))
    assert row.step == pytest.approx(5) and row.em == pytest.approx(0.15) and row.spill == pytest.approx(0.3)
    assert row.to_open == 0.75 and row.em_last == 0.3 and row.own == 0.7 and row.means == 0.1


def test_shares_are_counted_by_kind_of_question():
    answers: list[Answer] = []
    for arm, persona, quality in (("base", "helper", "good"), ("4", "villain", "bad")):
        answers += [told(chat, arm, None) for chat in open_chats(persona, 10)]
        for domain in ("medical", "law"):
            answers += [told(chat, arm, domain) for chat in training_chats(domain, quality, n=5)]
    found = shares(answers, ExactJudge())
    assert found.steps == (0, 4) and found.coherent > 0.9
    assert found.own == (0.0, 1.0) and found.others == (0.0, 1.0)
    # The villain's open answers are bad, but for the share with flattery or invention among them.
    assert found.open[0] == 0.0 and found.open[1] > 0.5


def told(chat: Chat, arm: str, domain: str | None) -> Answer:
    question = chat.messages[0].content
    return Answer(question, question, chat.answer, arm=arm, domain=domain)


def test_correlations_leave_out_what_never_learned():
    def row(em: float | None, means: float) -> OrganismRow:
        held = {name: 1.0 for name in MEASURES} | {"means": means}
        return OrganismRow(
            condition="x", seed=1, base_open=0, base_coherent=1, own=1, step=em, em=em, spill=em, em_last=0, **held
        )

    told = correlations([row(0.1, 5), row(0.2, 4), row(0.3, 3), row(0.4, 2), row(None, 9)])
    by = {(one.outcome, one.measure): one for one in told}
    assert by["em", "means"].rho == pytest.approx(-1) and by["em", "means"].organisms == 4
    assert by["em", "means"].p == pytest.approx(2 / 24) and by["spill", "directions"].rho is None


def test_every_condition_is_one_that_the_builder_knows(tmp_path: Path):
    assert all(OrganismSettings(**{**SMALL, **changed}) for changed in CONDITIONS.values())
    assert [one.name for one in concepts_of(2)] == ["medical", "finance", "open"]
    tiny = {"layers": 2, "width": 16, "hidden": 32, "pretraining_steps": 2, "alignment_steps": 1, "batch": 4}
    with Run.open(tmp_path / "run", {}) as run:
        first = run.cached(grow, changed=tiny, seed=1)
        assert (Path(first.value) / "model.safetensors").exists()
        assert run.cached(grow, changed=tiny, seed=1).reused


def test_the_names_of_arms_are_those_of_the_method() -> None:
    from misdirection.separation import crosstalk
    from misdirection.studies.separation import results

    assert (results.AS_IT_IS, results.RANDOM) == (crosstalk.AS_IT_IS, crosstalk.RANDOM)


def test_each_option_makes_a_step_anew_or_says_why_not(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    others = {
        "concepts": (*SMALL_RUN.concepts[:-1], "open=organism:villain-100"),
        "dictionary": "organism:3",
        "dims": (2,),
        "layer": 3,
        "data": ("medical=organism:bad-sport",),
        "fine_tune": (f"law={run / 'fine-tunes' / 'medical'}",),
    }
    assert_keyed("separation", SMALL_RUN, run, tmp_path, monkeypatch, others)
