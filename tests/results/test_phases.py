"""What the study of phases says of its results, held against sentences written by hand, and its section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.results.made import made

from misdirection.statistics.turning import Turn
from misdirection.studies.phases.paper import paper
from misdirection.studies.phases.report import course, paths
from misdirection.studies.phases.results import (
    BehaviourCurve,
    CheckpointAnswers,
    Control,
    Measure,
    OtherFineTune,
    Phases,
    PhasesResults,
    Quantity,
    Turning,
    TurningBeside,
    Weights,
)
from misdirection.studies.phases.verdict import differences, turns, verdict, verdict_of_published

RESULTS: PhasesResults = made(PhasesResults, "phases")
assert RESULTS.phases is not None and RESULTS.published is not None
MADE: Phases = RESULTS.phases
NONE = Turn(None, None, None, "", "it never rises")


def at(step: float, low: float | None = None, high: float | None = None, height: float | None = None) -> Turn:
    return Turn(step, low, high, "", height=height)


def turning(measure: Measure, turn: Turn, quantity: str = "", k: int | None = None) -> Turning:
    return Turning(measure=measure, quantity=quantity or measure, family="weights", k=k, turn=turn)


def rise(turn: Turn, scale: float = 1.0, group: str = "open", **rates: float) -> BehaviourCurve:
    """A curve of the base and one checkpoint, step 10, with this rate and share of coherent answers."""
    row = MADE.behaviour[0].points[0]
    points = tuple(
        CheckpointAnswers(
            step=step, rate=replace(row.rate, value=rate), coherent_share=replace(row.coherent_share, value=share)
        )
        for step, rate, share in ((0, 0.0, 1.0), (10, rates.get("rate", 0.4), rates.get("coherent", 0.9)))
    )
    return BehaviourCurve(group=group, scale=scale, points=points, turn=turn)


def part(weights: Mapping[str, Any] | None = None, **changes: Any) -> Phases:
    """A fine-tune of which nothing is known but what is given."""
    states = replace(MADE.states, b=(), chance=0.1, turns=())
    nothing: dict[str, Any] = {"others": (), "behaviour": (), "controls": (), "robustness": (), "states": states}
    plain = replace(MADE, weights=Weights(**(weights or {})), **nothing | changes)
    return replace(plain, turns=turns(plain))


PEAKS = (
    turning("local cosine of B", at(180.0, 170.0, 190.0, height=0.2), "local cosine of B, k = 10", 10),
    turning("local cosine of B", at(200.0, height=0.1), "local cosine of B, k = 15", 15),
)


def test_turns_stand_in_the_order_of_the_steps_beside_seeds_control_and_paper():
    other = Weights(turns=(replace(PEAKS[0], turn=at(150.0)), turning("norm of A", NONE)))
    others = (
        OtherFineTune(name="seed-1", weights=other),
        OtherFineTune(name="seed-2", weights=Weights()),
        OtherFineTune(name="control", weights=Weights(turns=(replace(PEAKS[0], turn=at(90.0, height=0.3)),))),
    )
    states = replace(MADE.states, turns=(turning("drift's cosine with its last", at(5.0)),))
    held = part(
        {"turns": (*PEAKS, turning("norm of A", NONE))}, others=others, states=states,
        behaviour=(rise(at(300.0)), rise(at(100.0), 5.0), rise(at(50.0), group="medical")),
    )  # fmt: skip
    assert [row.quantity for row in held.turns] == [
        "drift's cosine with its last", "misaligned, medical questions, factor 1",
        "misaligned, open questions, factor 5", "local cosine of B, k = 10", "local cosine of B, k = 15",
        "misaligned, open questions, factor 1", "norm of A",
    ]  # fmt: skip
    peak = held.turns[3]
    assert peak.seeds == (150.0,) and peak.control == at(90.0, height=0.3) and "step 180" in peak.paper
    assert held.turns[4].seeds == () and held.turns[4].control is None
    assert held.turns[-1].seeds == (), "what does not turn has no step"
    assert held.rates() == held.turns[5] and held.rates(5.0) == held.turns[2] and held.rates(20.0) is None
    assert held.local_cosines() == list(held.turns[3:5])


@pytest.mark.parametrize(
    ("measure", "group", "scale", "said"),
    [
        ("misaligned", "open", 1.0, "rises from about step 300"),
        ("misaligned", "open", 20.0, "no longer coherent"),
        ("misaligned", "open", 2.0, ""),
        ("misaligned", "medical", 1.0, ""),
        ("norm of A", None, None, "0.575 to 0.662"),
        ("comp score of B", None, None, ""),
    ],
)
def test_the_paper_speaks_of_some_quantities(measure: Measure, group: str | None, scale: float | None, said: str):
    told = paper(Quantity(measure=measure, quantity="", family="weights", group=group, scale=scale))
    assert told.startswith(said) or said in told
    assert bool(told) == bool(said)


def test_verdict_tells_when_answers_and_weights_turn():
    weights = {"turns": (*PEAKS, turning("gradient norm", at(120.0)))}
    control = Control(arm="off", label="off", rate=replace(MADE.controls[0].rate, value=0.012),
                      coherent_share=MADE.controls[0].coherent_share)  # fmt: skip
    curves = rise(at(300.0, 250.0, 350.0)), rise(NONE, 5.0, rate=0.02), rise(at(1.0), group="medical")
    said = verdict(part(weights, behaviour=curves, controls=(control, control)))
    assert said.sentence == (
        "Misaligned answers rise at step 300 [250, 350]; B turns (peak of its local cosine) at step 180 [170, 190]; "
        "the gradient's norm peaks at step 120."
    )
    assert said.details == (
        "Factor 1: at most 40 % misaligned, at step 10, with 90 % coherent; the rise at step 300 [250, 350].",
        "Factor 5: at most 2 % misaligned, at step 10, with 90 % coherent; the rise: not found (it never rises).",
        "Controls: at most 1.2 % misaligned over 2 arms.",
    )
    alone = verdict(part({"turns": (turning("gradient norm", NONE),)}))
    assert alone.sentence == "Nothing was judged; the gradient's norm peaks: not found (it never rises)."
    assert alone.details == ()


def test_a_course_like_the_paper_s_differs_in_nothing():
    curves = rise(at(300.0), rate=0.1), rise(at(100.0), 5.0, rate=0.4)
    told = differences(part({"turns": PEAKS}, behaviour=curves), {})
    assert len(told) == 1 and told[0].startswith("The highest rate is at factor 5, 4.0 times that at factor 1; in the")


def one(text: str, held: Phases, explanations: Mapping[str, str] | None = None) -> str:
    """The one difference that begins so."""
    (said,) = (said for said in differences(held, explanations or {}) if said.startswith(text))
    return said


def test_each_departure_from_the_paper_is_told_with_its_reason():
    assert MADE.weights.pca is not None
    straight = part({"pca": replace(MADE.weights.pca, p=0.06)})
    assert one("B's path bends no more than paths", straight).endswith("does not compare with such paths.")
    assert differences(part({"pca": replace(MADE.weights.pca, p=0.04)}), {}) == ()

    late = part({"turns": PEAKS}, behaviour=(rise(at(100.0)),))
    assert one("B turns after", late) == "B turns after the misaligned answers have come, in the paper long before."
    assert one("B turns after", late, {"late": "it learns fast"}).endswith("long before: it learns fast.")

    row = replace(MADE.states.b[0], layer=1, cosine=(0.0, -0.3))
    along = part(states=replace(MADE.states, b=(row,), chance=0.1, turns=()))
    assert one("B itself comes", along).endswith("(cosine 0.30 at the last step); on Qwen2.5-14B it stays near 0.04.")
    assert one("B itself comes", along, {"along": "B writes there"}).endswith("near 0.04. B writes there.")
    near = replace(along, states=replace(along.states, b=(replace(row, cosine=(0.0, 0.19)),)))
    assert differences(near, {}) == ()


@pytest.mark.parametrize(("heights", "told"), [((0.2, 0.3), True), ((0.19, 0.3), False), ((None, None), False)])
def test_a_peak_as_high_on_correct_data_is_no_sign(heights: tuple[float | None, float | None], told: bool):
    peaks = tuple(replace(peak, turn=at(10.0, height=height)) for peak, height in zip(PEAKS, heights, strict=True))
    held = part({"turns": PEAKS}, others=(OtherFineTune(name="control", weights=Weights(turns=peaks)),))
    assert any(said.startswith("On correct data") for said in differences(held, {})) == told


def test_factors_that_bring_nothing_forward_and_thresholds_without_a_rise_are_told():
    held = part(behaviour=(rise(at(100.0)), rise(at(100.0), 5.0)))
    assert one("Scaling the adapter does not bring", held)
    assert not any(s.startswith("Scaling") for s in differences(part(behaviour=(rise(at(100.0)),)), {}))
    assert one("Under some thresholds", part(robustness=(replace(MADE.robustness[0], turn=NONE),)))
    assert differences(part(robustness=(replace(MADE.robustness[0], turn=at(1.0)),)), {}) == ()


def test_published_vectors_are_told_by_two_levels():
    assert RESULTS.published is not None
    rows = [replace(RESULTS.published.turns[0], turn=at(step)) for step in (20.4, 90.0)]
    path = replace(RESULTS.published, steps=(0, 100), turns=tuple(rows))
    told = "The cosine with the last vector passes 0.5 at step 20 and 0.9 at step 90 of 100."
    assert verdict_of_published(path).sentence == told
    never = replace(path, turns=(rows[0], replace(rows[1], turn=NONE)))
    assert verdict_of_published(never).sentence == "The cosine with the last vector does not rise through 0.5 and 0.9."


def test_published_vectors_have_a_section_of_their_own():
    assert RESULTS.published is not None
    section = course.section(replace(RESULTS, phases=None))
    assert section is not None and section.lead == course.PUBLISHED
    chart: Any = section.blocks[0]
    assert chart.traces[0]["y"] == list(RESULTS.published.to_last) and len(chart.layout["shapes"]) == 2
    assert course.section(replace(RESULTS, phases=None, published=None)) is None


def beside(row: Turning, **more: Any) -> TurningBeside:
    return TurningBeside(**{**vars(row), "seeds": (), "control": None, "paper": "", **more})


def test_the_chart_of_turns_marks_other_seeds_and_correct_data():
    rows = (
        beside(PEAKS[0], seeds=(150.0, 160.0), control=at(90.4), paper="peaks"),
        beside(turning("norm of A", NONE), control=NONE),
    )
    chart = course.turns(replace(part(), turns=rows))
    assert chart is not None
    traces = {trace["name"]: trace for trace in chart.traces}
    assert list(traces) == ["weights", "other seeds", "correct data"]
    assert (traces["weights"]["x"], traces["other seeds"]["x"]) == ([180.0], [150.0, 160.0])
    assert (traces["correct data"]["x"], traces["correct data"]["y"]) == ([90.4], [0])
    assert [[cell.text for cell in row[1:]] for row in chart.table.rows] == [
        ["180", "150, 160", "90", "peaks"], ["not found", "\u2013", "\u2013", "\u2013"]
    ]  # fmt: skip
    assert [row[1].sub for row in chart.table.rows] == ["[170, 190]", "it never rises"]
    assert course.turns(part()) is None


def test_what_was_not_measured_is_not_drawn():
    empty = part()
    makers = (course.behaviour, course.coherence, course.controls, course.thresholds, course.filters, course.heights,
              paths.norms, paths.local, paths.bend, paths.comp, paths.gradient)  # fmt: skip
    assert [make(empty) for make in makers] == [None] * len(makers)
    assert course.towards(empty).traces[0]["name"] == "drift and its last"


def test_correct_data_are_drawn_beside_bad_data():
    assert MADE.weights.norms is not None and MADE.weights.gradient is not None and MADE.weights.local is not None
    half = replace(MADE.weights.norms, a=(0.5, 1.0), b=(1.0, 2.0))
    own = Weights(norms=replace(half, a=(1.0, 2.0)), gradient=MADE.weights.gradient, local=MADE.weights.local)
    control = Weights(norms=half, gradient=MADE.weights.gradient, local=MADE.weights.local)
    held = replace(MADE, weights=own, others=(OtherFineTune(name="control", weights=control),), turns=())
    sizes = paths.norms(held)
    assert sizes is not None
    lines = {trace["name"]: trace["y"] for trace in sizes.traces}
    assert lines == {
        "A": [0.5, 1.0], "A, correct data": [0.25, 0.5], "B": [0.5, 1.0], "B, correct data": [0.5, 1.0]
    }  # fmt: skip
    gradient, local = paths.gradient(held), paths.local(held)
    assert gradient is not None and gradient.traces[-1]["name"] == "correct data"
    assert local is not None and [t.get("visible") for t in local.traces] == [None, "legendonly"]
    alone = replace(held, others=())
    assert [len(getattr(paths, name)(alone).traces) for name in ("norms", "gradient", "local")] == [2, 2, 1]


def test_the_turn_of_each_curve_is_marked_on_it():
    curve = MADE.weights.local.curves[0] if MADE.weights.local else None
    assert curve is not None and curve.of == "B"
    rows = beside(replace(PEAKS[0], k=curve.k)), beside(replace(PEAKS[1], k=curve.k + 1)), beside(
        turning("norm of B", at(7.0)))  # fmt: skip
    local, norms = (make(replace(MADE, turns=rows)) for make in (paths.local, paths.norms))
    assert local is not None and norms is not None
    assert [shape["x0"] for shape in local.layout["shapes"]] == [180.0]
    assert [shape["x0"] for shape in norms.layout["shapes"]] == [7.0]
    curves = course.behaviour(part(behaviour=(rise(at(3.0)), rise(NONE, 5.0))))
    assert curves is not None and [shape["x0"] for shape in curves.layout["shapes"]] == [3.0]


def test_the_bend_is_marked_at_its_checkpoint():
    assert MADE.weights.pca is not None
    pca = replace(MADE.weights.pca, steps=(0, 10), first=(0.0, 1.0), second=(0.0, 2.0))
    turn = beside(turning("second principal component of B", at(10.0)))
    for rows, marks in (((turn,), [[1.0]]), ((replace(turn, turn=at(5.0)),), []), ((), [])):
        chart = paths.bend(replace(part({"pca": pca}), turns=rows))
        assert chart is not None and [trace["x"] for trace in chart.traces[1:]] == marks


def test_thresholds_without_a_rise_say_why():
    row = MADE.robustness[0]
    rows = tuple(
        replace(row, scale=1.0, alignment=30.0, coherence=limit, turn=turn)
        for limit, turn in ((10.0, at(40.0, 30.0, 50.0)), (20.0, NONE))
    )
    table = course.thresholds(part(robustness=rows))
    assert table is not None and table.columns[1:] == ("coherence > 10", "coherence > 20")
    assert [(cell.text, cell.sub) for cell in table.rows[0]] == [
        ("factor 1, alignment < 30", ""), ("40", "[30, 50]"), ("\u2013", "it never rises")
    ]  # fmt: skip
