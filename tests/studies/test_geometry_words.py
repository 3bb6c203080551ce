"""What the geometry of features is told as: its sentences, tables and charts, from results made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.results.made import made

from misdirection.report.parts import Chart
from misdirection.results import Interval, ListOverlap
from misdirection.studies.geometry.report import course as course_section
from misdirection.studies.geometry.report import distances, law
from misdirection.studies.geometry.results import Geometry, GeometryResults
from misdirection.studies.geometry.results.course import FineTuneCourse, RankCorrelation, Ranks
from misdirection.studies.geometry.results.law import Line
from misdirection.studies.geometry.results.similarity import Exchanged, SetSimilarity, Sharing
from misdirection.studies.geometry.sets import corrected
from misdirection.studies.geometry.track import Moved, Near, layer_course, rank_correlation
from misdirection.studies.geometry.verdict import by_layer, by_reduction, course_details, law_details, shared, verdict


@pytest.fixture
def results() -> GeometryResults:
    return made(GeometryResults, "geometry")


@pytest.fixture
def bare(results: GeometryResults) -> Geometry:
    """Three layers and nothing that was measured."""
    return replace(results.geometry, layers=(3, 6, 9), top=5, rows=(), lists=(), law=None, course=None)


def row(layer: int, difference: float, p: float | None, **changes: Any) -> SetSimilarity:
    test = Exchanged(
        first=difference, second=0.0, difference=difference, low=-0.1, high=0.1, p=p or 0, n_first=5, n_second=4,
        unmatched=1,
    )  # fmt: skip
    place = {"layer": layer, "domain": "d", "target": "toxic", "control": "good", "reduction": "mean"}
    return SetSimilarity(**place | changes, shared_inducing=1, shared_control=0, test=None if p is None else test)  # pyright: ignore[reportArgumentType]


def test_the_verdict_counts_what_survives_correction(bare: Geometry):
    rows = corrected([row(3, 0.3, 0.001), row(6, 0.2, 0.02), row(9, -0.3, 0.04), row(9, 0.1, 0.9), row(1, 1, None)])
    assert [r.q for r in rows] == [pytest.approx(v) for v in (0.004, 0.04, 0.16 / 3, 0.9)] + [None]
    said = verdict(part := replace(bare, rows=rows))
    assert said.state == "finding" and "farther" not in said.sentence
    assert said.sentence == (
        "Inducing latents lie nearer to toxic ones than latents that good data raises in 2 of 4 layers and domains "
        "(false discovery rate 5 %; mean similarity 0.075 against 0.000, difference above zero in 3)."
    )
    assert by_layer(part) == (
        "The difference in standard deviations of its null, mean over domains: layer 3: +5.9, layer 6: +3.9, "
        "layer 9: -2.0; largest at layer 3 (the paper: closest in earlier layers)."
    )
    away = verdict(replace(bare, rows=corrected([row(3, -0.3, 0.001)])))
    assert "in 0 of 1" in away.sentence and "farther in 1" in away.sentence
    assert verdict(bare).state == "unclear" and verdict(bare).details == ()


def test_each_family_is_corrected_by_itself():
    rows = corrected(
        [row(1, 1, 0.01), row(2, 1, 0.02), row(1, 1, 0.04, target="beside"), row(1, 1, 0.03, control="random")]
    )
    assert [r.q for r in rows] == pytest.approx([0.03, 0.03, 0.04, 0.03])
    alone = corrected([row(1, 1, 0.04, reduction="max"), row(1, 1, 0.02)])
    assert [r.q for r in alone] == pytest.approx([0.04, 0.02])


def test_controls_the_other_readings_and_what_is_beside(bare: Geometry):
    rows = corrected([
        row(3, 0.3, 0.001), row(3, 0.2, 0.5, control="random"), row(3, -0.2, 0.001, target="beside"),
        row(3, 0.1, 0.001, reduction="max"), row(3, -0.1, 0.001, reduction="nearest"),
    ])  # fmt: skip
    said = verdict(part := replace(bare, rows=rows))
    assert said.sentence.endswith("and in 0 of 1 once the direction in which toxic texts differ is taken out.")
    assert said.details[0].startswith("Inducing latents lie nearer to toxic ones than random latents of like firing")
    assert "are nearer in 0 and farther in 1 of 1 (-0.200 against 0.000)." in said.details[1]
    assert by_reduction(part) == (
        "Against good data's latents, by 'max' nearer in 1 and farther in 0 of 1; "
        "by 'nearest' nearer in 0 and farther in 1 of 1."
    )


def test_what_lists_share(bare: Geometry, results: GeometryResults):
    lists = tuple(
        replace(one, inducing=ListOverlap(shared=4, expected=1.25, odds_ratio=None, p=0.01),
                good=ListOverlap(shared=1, expected=1.25, odds_ratio=0.5, p=0.8))
        for one in results.geometry.lists
    )  # fmt: skip
    part = replace(bare, lists=lists, shared="keep")
    assert shared(part) == (
        "Over all layers and domains 8 of 10 inducing latents are toxic ones themselves, 2 of the good data's; chance "
        "would give 2. Only their pair with itself is left out."
    )
    table = distances.sharing(part)
    assert table.rows[0][2].text == f"4 of {lists[0].top}" and table.rows[0][2].sub == "chance 1.2, p 0.010"
    assert isinstance(lists[0], Sharing) and shared(bare) == ""


def test_dots_show_what_could_be_tested_by_the_reading_of_the_verdict(bare: Geometry, results: GeometryResults):
    rows = corrected(
        [
            row(3, 0.3, 0.001),
            row(3, 0.2, 0.5, control="random"),
            row(6, 0.1, 0.2),
            row(6, 9, 0.1, reduction="max"),
            row(9, 1, None),
        ]
    )
    part = replace(bare, rows=rows)
    section = distances.section(replace(results, geometry=part))
    dots = section.blocks[0]
    assert isinstance(dots, Chart)
    assert dots.labels == ("layer 3, d", "layer 6, d") and len(dots.table.rows) == 3
    assert [trace["x"] for trace in dots.traces if trace["mode"] == "markers"] == [[0.0, 0.0], [0.3, 0.1], [0.0], [0.2]]
    assert dots.traces[0]["x"] == [-0.1, 0.1, None, -0.1, 0.1, None]
    every = distances.families(part)
    assert [[cell.text for cell in line[2:]] for line in every.rows] == [
        ["raised by good data", "0.200", "0.000", "1 of 2", "0 of 2"],
        ["random, of like firing rate", "0.200", "0.000", "0 of 1", "0 of 1"],
        ["raised by good data", "9.000", "0.000", "0 of 1", "0 of 1"],
    ]
    nothing = distances.section(replace(results, geometry=bare))
    assert not any(isinstance(block, Chart) for block in nothing.blocks)


def test_the_law_names_what_each_update_explains(results: GeometryResults):
    part = results.geometry
    assert part.law is not None
    steer, tune = part.law.kinds
    line = steer.groups["all"].fits["steady cosine"]
    r2 = Interval(value=0.75, low=0.5, high=0.875, n=4)
    groups = {
        name: replace(one, gap=0.002, fits={**one.fits, "steady cosine": replace(line, r2=r2)})
        for name, one in steer.groups.items()
    }
    known = replace(part.law, kinds=(replace(steer, groups=groups), tune))
    said = verdict(replace(part, rows=(), law=known))
    assert said.sentence == (
        "the cosine with a raised latent explains of the others' change R² = 0.75 (0.50 to 0.88) after steering "
        "along it."
    )
    nothing = Interval(value=None, low=None, high=None, n=0)
    unknown = {name: replace(one, along=nothing) for name, one in groups.items()}
    assert len(law_details(known)) == len(law_details(replace(known, kinds=(replace(steer, groups=unknown), tune)))) + 1
    chart = law.scatter(replace(steer, points=replace(steer.points, steady=(None, 0.5))))
    assert chart.traces[0]["y"] == [0.5] and len(chart.traces[0]["text"]) == 1
    assert "of like" not in law.reading(known).text
    assert law.section(replace(results, geometry=replace(part, law=None))) is None
    assert law.section(replace(results, geometry=replace(part, law=replace(known, kinds=())))) is None


def moved(step: int, first: float | None) -> Moved:
    near = Near(drift=step / 10, among=0.5, first=first, second=0.1, low=-0.2, high=0.3, p=0.04)
    line = Line(slope=1.0, intercept=0.0, r2=0.25, n=9)
    return Moved(3, step, 1.0, (1, 2), {"inducing": near, "good": near, "toxic": near}, line)


def test_a_course_is_in_the_order_of_its_steps(results: GeometryResults):
    layer = layer_course(3, [moved(4, 0.5), moved(2, 0.3)], [])
    toxic = layer.sets["toxic"]
    assert layer.steps == (2, 4) and toxic.similarity == (0.3, 0.5) and toxic.drift == (0.2, 0.4)
    assert toxic.low == pytest.approx((-0.1, -0.1)) and toxic.high == pytest.approx((0.4, 0.4))
    assert toxic.ranks == Ranks(similarity=None, drift=None, among=None)
    course = results.geometry.course
    assert course is not None
    ranked = replace(toxic, ranks=Ranks(similarity=RankCorrelation(value=0.8, p=0.2, n=4), drift=None, among=None))
    part = replace(course, risen=20, layers=(replace(layer, sets={**layer.sets, "toxic": ranked}),))
    assert course_details(part) == [
        "Layer 3, last checkpoint: similarity of the 20 latents that rose most 0.500 to inducing, 0.500 to toxic, "
        "0.500 to good data's latents; mean cosine of the drift 0.400 to inducing, 0.400 to toxic, 0.400 to good "
        "data's latents (to toxic ones 0.200 already at step 2). The change of latents in no inducing list against "
        "their cosine with the mean inducing vector has R² 0.25. Rank correlation with the misaligned rate over 4 "
        "checkpoints, toxic latents: 0.80 (similarity of risen latents)."
    ]
    assert [cell.text for cell in course_section.agreement(part).rows[1]] == ["3", "toxic", "0.80", "–", "–"]
    quiet = layer_course(3, [moved(2, None)], [])
    assert quiet.sets["good"].similarity == (None,)
    assert course_details(replace(part, layers=(quiet,))) == ["Layer 3: no latent rises enough to be compared."]
    unjudged = course_section.section(with_course(results, replace(part, rates=())))
    assert unjudged is not None
    assert [block.title for block in unjudged.blocks if isinstance(block, Chart)] == [
        "Risen latents at layer 3: similarity to the lists", "Drift at layer 3: its direction and the lists",
    ]  # fmt: skip
    assert course_section.section(with_course(results, None)) is None


def with_course(results: GeometryResults, course: FineTuneCourse | None) -> GeometryResults:
    return replace(results, geometry=replace(results.geometry, course=course))


def test_ranks_want_four_checkpoints_that_differ():
    assert rank_correlation([0.1, 0.2, 0.3], [1.0, 2.0, 3.0]) is None
    assert rank_correlation([0.1, 0.2, 0.3, None], [1.0, 2.0, 3.0, 4.0]) is None
    assert rank_correlation([0.1, 0.1, 0.1, 0.1], [1.0, 2.0, 3.0, 4.0]) is None
    found = rank_correlation([0.1, 0.2, 0.3, 0.5], [1.0, 2.0, 4.0, 3.0])
    assert found is not None and found.n == 4 and found.value == pytest.approx(0.8)
