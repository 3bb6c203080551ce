"""The study of traits of character, whole, on the organism at a small size; its rows against hand-made truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.studies.foreign import of_the_organism, told_of_another
from tests.studies.options import assert_keyed

import misdirection
from misdirection.directions import Direction
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict
from misdirection.results.rows import Interval
from misdirection.runs import read_log
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.loading import Loading
from misdirection.studies.kit.variants import Variants
from misdirection.studies.personas.measures import Projections, separations
from misdirection.studies.personas.results import PersonasResults, TunedRow
from misdirection.studies.personas.rows import (
    LayerChoice,
    dose_rows,
    matrix_rows,
    shift_rows,
    strongest,
    trait_rows,
    tuned_rows,
    watched_rows,
)
from misdirection.studies.personas.settings import PersonasConfig
from misdirection.studies.personas.study import personas
from misdirection.studies.personas.verdict import chance_text, shifted_text
from misdirection.traits import Trait
from misdirection.traits.rollout import roles
from misdirection.traits.steering import dose
from misdirection.traits.trait import SIGNS, Contrast
from misdirection.traits.watching import prompt_projections, watched_prompts

SMALL = PersonasConfig(
    traits=("organism:evil", "organism:sycophancy"),
    data=("medical=organism:bad-medical", "good=organism:good-medical", "flatterer=organism:flatterer-300"),
    training={"max_steps": 8},
    samples=2,
    most_questions=5,
    layers=(5, 8),
    coefficients=(2.0,),
    shots=(1,),
    sweep_samples=2,
    steering_samples=2,
    watch_samples=2,
    tuned_samples=2,
    max_new_tokens=48,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return personas(SMALL, tmp_path_factory.mktemp("personas") / "run").parent


@pytest.fixture(scope="module")
def found(run: Path) -> PersonasResults:
    held = misdirection.load_results(run)
    assert isinstance(held, PersonasResults)
    return held


def test_evil_has_a_direction_goes_up_and_down_and_is_seen_coming(found: PersonasResults):
    part = found.personas
    evil = next(row for row in part.traits if row.trait == "evil")
    assert evil.pairs >= 20 and evil.pairs + sum(evil.fell_away.values()) == evil.tried == 2 * 3 * 5
    assert evil.chosen_by == "steering" and evil.layer in (5, 8) and evil.cosines["evil"] == pytest.approx(1)
    held = {(r.under, r.coefficient, r.control): r for r in part.doses if r.trait == "evil" and not r.sweep}
    plain, up = held["no system prompt", 0, False].score.value, held["no system prompt", 2, False].score.value
    asked, down = held["asked for it", 0, False].score.value, held["asked for it", -2, False].score.value
    assert plain is not None and up is not None and up > plain + 20
    assert asked is not None and down is not None and down < asked - 20
    random = held["no system prompt", 2, True].score.value
    assert random is not None and random < 20
    r = next(r.r for r in part.correlations if (r.trait, r.kinds, r.how) == ("evil", "all", "between"))
    assert r.value is not None and r.value > 0.7


def test_every_fine_tune_is_beside_every_trait(found: PersonasResults):
    rows = found.personas.tuned
    names = ("base", "medical", "good", "flatterer")
    assert {(r.fine_tune, r.trait) for r in rows} == {(n, t) for n in names for t in ("evil", "sycophancy")}
    assert all((r.change is None) == (r.fine_tune == "base") == (r.shift is None) for r in rows)
    assert {r.fine_tunes for r in found.personas.matrix} == {3} and len(found.personas.matrix) == 4


def test_the_report_explains_itself_and_the_vectors_lie_beside_it(run: Path):
    page = (run / "report.html").read_text()
    for heading in ("Traits as directions", "Traits turned up and down", "Before a word is said", "What fine-tuning"):
        assert heading in page
    assert (run / "trait-evil.safetensors").exists()
    assert misdirection.load_direction(run / "trait-evil.safetensors").facts["trait"] == "evil"


def test_a_finished_run_is_gone_on_with_and_says_nothing_of_the_organism(run: Path, tmp_path: Path):
    before = len(read_log(run))
    personas(SMALL, run)
    assert all(line["reused"] for line in read_log(run)[before:])
    assert not of_the_organism(told_of_another("personas", SMALL, run, tmp_path))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "other"}, "a judge that scores traits, and offline, the one in the box, scores none"),
        ({"coefficients": (-1.0,)}, "--coefficients must be above 0"),
        ({"data": ("x.jsonl",)}, "names nothing"),
        ({"check": "exact@10"}, "--check says nothing to this study: it is for rates"),
        ({"shown_above": 120.0}, "--shown-above must be from 0 to 100"),
    ],
)
def test_wrong_settings(settings, said):
    with pytest.raises(MisdirectionError) as error:
        PersonasConfig(**settings).completed()
    assert said in error.value.message


def test_who_has_no_judge_of_traits_is_told_what_goes_without():
    with pytest.raises(MisdirectionError) as error:
        PersonasConfig(model="other").completed()
    assert "--judge none: vectors of all that was played" in (error.value.hint or "")
    assert PersonasConfig(model="other", judge="none").completed().judge == "none"


@pytest.fixture(scope="module")
def unjudged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study without a judge."""
    alone = replace(SMALL, judge="none", traits=("organism:evil",), data=SMALL.data[:1], most_questions=4)
    return personas(alone, tmp_path_factory.mktemp("unjudged") / "run").parent


def test_without_a_judge_what_needs_no_score_is_told_and_no_more(unjudged: Path):
    held = misdirection.load_results(unjudged)
    assert isinstance(held, PersonasResults)
    part = held.personas
    [evil] = part.traits
    assert not part.judged and evil.chosen_by == "separation" and evil.pairs == evil.tried == 2 * 3 * 4
    # Prompts that ask for evil lie further along its direction than those against it, on questions of their own.
    sides = {sign: [row.projection for row in part.watched if f"evil, {sign} " in row.prompt] for sign in SIGNS}
    assert len(sides["positive"]) == len(sides["negative"]) == 3
    assert min(sides["positive"]) > max(sides["negative"]) and {row.score for row in part.watched} == {None}
    assert [(row.fine_tune, row.trait) for row in part.tuned] == [("medical", "evil")]
    shift = part.tuned[0].shift
    assert shift is not None and shift.low is not None and shift.low > 0 and part.tuned[0].change is None
    assert part.doses == part.correlations == part.matrix == ()
    assert (
        "Nobody scored traits" in held.verdict.sentence and "moves the model along evil by" in held.verdict.details[0]
    )
    assert not list((unjudged / "steps").glob("*verdicts*")) and not list((unjudged / "steps").glob("steered*"))
    page = (unjudged / "report.html").read_text()
    assert "Nobody scored these answers" in page and "Where prompts lie along each trait" in page
    assert "a judge kept the answers" not in page


def test_a_direction_no_longer_than_of_shuffled_labels_is_called_chance(found: PersonasResults):
    row = replace(found.personas.traits[0], trait="x", layer=1, norm=(9.0, 2.0), shuffled_norm=(1.0, 1.9))
    sure, chance = (replace(found.personas, traits=(replace(row, norm=(9.0, long)),)) for long in (2.0, 1.9))
    assert chance_text(sure) == "" and chance_text(chance).startswith(
        "No longer than directions of shuffled labels: x."
    )


def test_what_moves_is_the_plain_difference_of_projections():
    along = {
        "base": Projections(("x", "y"), ((1.0, 0.0), (2.0, 5.0))),
        "one": Projections(("x", "y"), ((2.0, 0.0), (5.0, 3.0))),
    }
    held = shift_rows(along, ["a", "b"], 0)
    # A layer before the first adapter does not move, and that is told as well.
    still = replace(held[0], shift=replace(held[0].shift, value=0.0, low=0.0, high=0.0))
    assert "one +0 (+0 to +0)" in shifted_text([still], "x")
    rows = {row.trait: row for row in held}
    assert [rows[name].shift.value for name in "xy"] == [2.0, -1.0] and rows["x"].score.value is None


def test_unknown_layers_and_traits_are_refused(tmp_path: Path):
    with pytest.raises(MisdirectionError, match="the organism has no trait 'kindness'"):
        personas(PersonasConfig(traits=("organism:kindness",)), tmp_path / "a")
    with pytest.raises(MisdirectionError, match="the trait evil stands twice"):
        personas(PersonasConfig(traits=("organism:evil", "organism")), tmp_path / "b")


def scored(answers: list[Answer], scores: list[float], coherence: float = 90.0) -> Judged:
    return Judged(answers, [Verdict(None, coherence, scores=(("trait:x", score),)) for score in scores])


def test_a_multiple_works_where_its_interval_is_above_zero():
    doses = [dose("x", 1, 0.0), dose("x", 1, 1.0), dose("x", 2, 1.0)]
    answers = [Answer(f"q{q}", "?", "a", arm=one.name) for one in doses for q in range(8)]
    flat = scored(answers, [0.0] * 24)
    assert strongest(flat, doses, 0.75, 50)[1] is False
    one = scored(answers, [0.0] * 16 + [80.0] * 8)
    assert strongest(one, doses, 0.75, 50) == (doses[2], True)
    assert strongest(scored(answers, [0.0] * 16 + [80.0] * 8, coherence=10), doses, 0.75, 50)[1] is False
    # One that shows the trait in babble does not work either.
    assert strongest(scored(answers, [0.0] * 8 + [80.0] * 16, coherence=10), doses, 0.75, 50)[1] is False


def test_doses_are_told_with_what_they_keep_and_what_they_were_asked_under():
    doses = [dose("x", 1, 2.0), dose("x", 3, -1.0, under="positive")]
    answers = [Answer(f"q{q}", "?", "a", arm=one.name) for one in doses for q in range(4)]
    low = scored(answers[:1], [60.0], coherence=20).verdicts
    judged = Judged(answers, [*low, *scored(answers[1:], [20.0, 20.0, 20.0, 5.0, 5.0, 5.0, 5.0]).verdicts])
    up, down = dose_rows(judged, doses, 50, sweep=False)
    assert (up.layer, up.coefficient, up.under, up.score.value, up.coherent) == (1, 2.0, "no system prompt", 30, 0.75)
    assert (down.layer, down.coefficient, down.under, down.coherent) == (3, -1.0, "asked for it", 1.0)
    assert down.score.value == 5 and not up.control and not down.sweep


def test_a_trait_is_compared_with_the_others_at_its_own_layer():
    plane = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    facts: dict[str, Any] = {"pairs": 3, "pairs tried": 4, "fell away": {"off": 1}}

    def direction(vectors: torch.Tensor) -> Direction:
        return Direction(vectors, vectors, vectors, *(torch.ones(2) for _ in range(4)), facts)

    found = {"x": direction(plane), "y": direction(torch.tensor([[0.0, 2.0], [0.0, 3.0]]))}
    choices = {"x": LayerChoice(1, 2.0, "steering"), "y": LayerChoice(0, 1.0, "given")}
    known = [Trait(name, contrasts=(), questions=()) for name in found]
    one, other = trait_rows(known, found, choices, {name: (0.5, 0.5) for name in found})
    assert one.cosines == pytest.approx({"x": 1, "y": 1}) and other.cosines == pytest.approx({"x": 0, "y": 1})
    assert (one.layer, other.chosen_by, other.norm, one.pairs, one.tried) == (1, "given", (2.0, 3.0), 3, 4)


def test_the_area_is_that_of_prompts_for_a_trait_above_those_against_it(tiny: Path):
    pairs = (Contrast("w10", "w20"), Contrast("w11", "w21"))
    trait = Trait("x", contrasts=pairs, questions=("w30 w31", "w32", "w33 w34"))
    models = Variants.of(str(tiny / "base"), {}, Loading(device="cpu"))
    model, played = models.base_model, roles([trait], None)
    vectors = torch.randn(model.n_layers, model.width, generator=torch.Generator().manual_seed(0))

    def along(vectors: torch.Tensor) -> Direction:
        return Direction(vectors, vectors, vectors, *(torch.ones(len(vectors)) for _ in range(4)), {})

    def told(vectors: torch.Tensor) -> tuple[float, ...]:
        other = Trait("y", contrasts=(), questions=())  # has no direction
        return separations(models, (trait, other), None, {"x": along(vectors)})["x"]

    found = told(vectors)
    for layer, area in enumerate(found):
        values = prompt_projections(model, [one.question for one in played], {"x": along(vectors)}, {"x": layer})[:, 0]
        asked, against = (
            [value for value, one in zip(values.tolist(), played, strict=True) if one.sign == sign] for sign in SIGNS
        )
        above = [(a > b) + 0.5 * (a == b) for a in asked for b in against]
        assert area == pytest.approx(sum(above) / len(above), abs=1e-6)
    # Turned round it is the rest of 1, also where every prompt is told right.
    assert told(-vectors) == pytest.approx([1 - area for area in found]) and 0.0 in (*found, *told(-vectors))


def test_correlations_and_means_are_those_of_the_points():
    trait = Trait("x", contrasts=(), questions=("a?",))
    held = watched_prompts([trait], ["a?", "b?", "c?"], {}, ())
    other = [type(one)("many-shot", "x, 1 shot", "x", one.text, one.question) for one in held]
    values = [1.0, 2.0, 3.0, 7.0, 8.0, 9.0]
    scores = [0.0, 20.0, 40.0, 60.0, 70.0, 100.0]
    answers = [Answer("q", "?", "a") for _ in range(12)]
    judged = scored(answers, [score + extra for score in scores for extra in (-1.0, 1.0)])
    along = Projections(("x",), tuple((value,) for value in values))
    watched, found = watched_rows({"x": [*held, *other]}, along, judged, 2, 0)
    r = {(row.kinds, row.how): row.r.value for row in found}
    assert r["all", "overall"] == pytest.approx(np.corrcoef(values, scores)[0, 1])
    assert r["system", "overall"] == pytest.approx(1.0)
    assert [(row.prompt, row.projection, row.score) for row in watched] == [
        ("no system prompt", 2.0, 20.0),
        ("x, 1 shot", 8.0, pytest.approx(230 / 3)),
    ]


def test_shift_and_change_are_differences_from_the_base():
    variants = ("base", "one", "two", "three")
    answers = [Answer(f"q{q}", "?", "a", arm=v, sample=s) for v in variants for q in range(3) for s in range(2)]
    level = dict(zip(variants, (10.0, 30.0, 50.0, 20.0), strict=True))
    judged = scored(answers, [level[a.arm] for a in answers])
    along = {v: Projections(("x",), tuple((level[v] / 10 + q,) for q in range(3))) for v in variants}
    rows = tuned_rows(judged, along, ["q0", "q1", "q2"], 0)
    change = {row.fine_tune: row.change.value for row in rows if row.change}
    shift = {row.fine_tune: row.shift.value for row in rows if row.shift}
    assert change == {"one": 20, "two": 40, "three": 10}
    assert shift == pytest.approx({"one": 2, "two": 4, "three": 1})
    (cell,) = matrix_rows(rows, ["x"], 0)
    assert cell.r == pytest.approx(1) and cell.fine_tunes == 3 and cell.p == pytest.approx(1 / 6)
    assert matrix_rows(rows[:3], ["x"], 0) == ()
    assert {row.fine_tune: row.score.value for row in rows} == level


def test_the_matrix_holds_the_shift_along_one_trait_against_the_change_in_another():
    shift, change = {"x": [1.0, 2.0, 4.0], "y": [0.0, 5.0, 1.0]}, {"x": [3.0, 1.0, 2.0], "y": [7.0, 8.0, 0.0]}

    def at(value: float) -> Interval:
        return Interval(value=value, low=None, high=None, n=8)

    rows = [TunedRow(fine_tune=f"{n}", trait=t, score=at(0), change=at(change[t][n]), shift=at(shift[t][n]))
            for n in range(3) for t in "xy"]  # fmt: skip
    found = {(cell.vector, cell.shown): cell.r for cell in matrix_rows(rows, ["x", "y"], 0)}
    assert found == pytest.approx(
        {(a, b): np.corrcoef(shift[a], change[b])[0, 1] for a in "xy" for b in "xy"}, abs=1e-9
    )


def test_a_score_under_steering_is_told_beside_the_random_direction():
    from dataclasses import replace

    from tests.results.made import made

    from misdirection.results.rows import Interval
    from misdirection.studies.personas.verdict import turned_text

    part = made(PersonasResults, "personas").personas
    row = replace(part.doses[0], trait="x", under="asked for it", control=False, sweep=False, coherent=1.0)

    def dose(coefficient: float, value: float, control: bool = False):
        score = Interval(value=value, low=None, high=None, n=8)
        return replace(row, coefficient=coefficient, score=score, control=control)

    doses = (dose(0, 89), dose(-2, 60), dose(-3, 39))
    told = turned_text(replace(part, doses=(*doses, dose(-3, 43, True)), coherent_share=0.75), "x")
    assert told == "x goes down from 89 to 39 where the system prompt asks for it (a random direction: 43)"
    longer = turned_text(replace(part, doses=(*doses[:2], dose(-3, 43, True)), coherent_share=0.75), "x")
    assert longer.endswith("(a random direction, at the multiple -3 instead of -2: 43)")
    alone = turned_text(replace(part, doses=doses, coherent_share=0.75), "x")
    assert alone.endswith("(no random direction was tried)")


def test_each_option_makes_a_step_anew_or_says_why_not(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    others = {
        "convention": "adl2025",
        "layer": 3,
        "layers": (5,),
        "coefficients": (3.0,),
        "shots": (2,),
        "data": ("medical=organism:bad-sport",),
        "fine_tune": (f"other={run / 'fine-tunes' / 'medical'}",),
    }
    assert_keyed("personas", SMALL, run, tmp_path, monkeypatch, others)
