"""Thresholds of capping, and the component behind every layer after a removal, on the run of a tiny audit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from misdirection import load_results
from misdirection.conditions import Along, Condition
from misdirection.directions import Direction
from misdirection.directions.levels import QUANTILE
from misdirection.engine import Arm, Text, capture_projections
from misdirection.studies.audit.components import along, components_left
from misdirection.studies.audit.removals import alone_text, lasting_texts
from misdirection.studies.audit.report.left import left_facts, left_parts, most_text
from misdirection.studies.audit.results import AuditResults, ComponentLeft
from misdirection.studies.audit.settings import AuditConfig
from misdirection.studies.audit.workbench import Workbench
from misdirection.studies.kit.conditions import TUNED
from misdirection.studies.kit.own_direction import direction_of, readable


@pytest.fixture(scope="module")
def bench(finished: Path) -> Iterator[Workbench]:
    with Workbench.reopen(finished) as held:
        yield held


def results(run: Path) -> AuditResults:
    found = load_results(run)
    assert isinstance(found, AuditResults)
    return found


def test_the_default_quantile_is_that_of_the_method() -> None:
    assert AuditConfig(adapter="x").cap_quantile == QUANTILE


def test_thresholds_are_the_quantile_of_the_base_model_s_own_answers_to_open_questions(bench: Workbench) -> None:
    caps, direction = bench.caps((1, 2)), direction_of(bench.direction)
    asked = {question.id for question in bench.open_questions}
    own = [a for a in bench.answers.value if a.arm == "base" and a.question_id in asked and a.sample < 2]
    model = bench.models.base_model
    encoded = [one.encoded for one in readable(model, own)[1]]
    assert caps.answers == len(encoded) and set(caps.single) == {"1", "2"} and set(caps.random) == {"1", "2", "3"}
    for layer in range(bench.n_layers):
        for row, unit in ((caps.own, direction.unit[layer]), (caps.single["2"], direction.unit[2])):
            seen = capture_projections(
                model, [Text(e.ids, {}, Arm("base"), e.start) for e in encoded], {layer: unit[None]}
            )
            tokens = torch.cat([s[layer][e.start :, 0] for s, e in zip(seen, encoded, strict=True)])
            assert row[layer] == pytest.approx(float(tokens.quantile(0.75)), rel=1e-5, abs=1e-6)


def left(bench: Workbench, *conditions: Condition) -> list[ComponentLeft]:
    found = components_left(
        bench.models, [TUNED, *conditions], bench.judged, [q.id for q in bench.open_questions],
        direction_of(bench.direction), bench.convention, bench.config.seed,
    )  # fmt: skip
    return list(found)


def test_untouched_answers_stand_at_one_and_what_is_set_at_zero(bench: Workbench) -> None:
    direction = direction_of(bench.direction)
    untouched, cut, zero, same = left(
        bench,
        Condition("project", "", "tuned", (Along("project"),)),
        Condition("set", "", "tuned", (Along("set"),)),
        Condition("capped high", "", "tuned", (Along("cap", thresholds=(1e6,) * bench.n_layers),)),
    )
    assert untouched.values == pytest.approx([1.0] * bench.n_layers, abs=1e-4)
    assert same.values == pytest.approx(untouched.values, abs=1e-6)
    assert zero.values == pytest.approx([0.0] * bench.n_layers, abs=1e-4)
    # A component of zero lies where zero lies between both means.
    aligned, misaligned = direction.aligned_component(), direction.misaligned_component()
    assert cut.values == pytest.approx((-aligned / (misaligned - aligned)).tolist(), abs=1e-4)


def test_later_layers_write_back_what_is_taken_out_at_one_alone(bench: Workbench) -> None:
    (untouched, alone) = left(bench, Condition("set-alone-1", "", "tuned", (Along("set", (1,)),)))
    assert alone.at == 1 and untouched.at is None
    assert alone.values[0] == pytest.approx(1.0, abs=1e-4) and alone.values[1] == pytest.approx(0.0, abs=1e-4)
    assert all(value is not None and abs(value) > 0.05 for value in alone.values[2:])


def test_the_audit_keeps_a_row_for_each_removal_and_for_each_at_one_layer(finished: Path) -> None:
    found = results(finished)
    assert found.components is not None and found.cures is not None
    arms = [one.arm for one in found.components]
    assert arms[: len(found.cures)] == [cure.arm for cure in found.cures]
    assert [arm.rpartition("-")[0] for arm in arms[len(found.cures) :]] == ["project-alone", "set-alone", "cap-alone"]
    no_op = next(one for one in found.components if one.arm == "no-op")
    assert no_op.control and no_op.values == pytest.approx(found.components[0].values, abs=1e-6)
    page = (finished / "report.html").read_text()
    assert 'id="chart-cures-left"' in page and "written back" in page
    best = next(cure for cure in found.cures if cure.best) if any(c.best for c in found.cures) else None
    told = [text for text in found.verdict.details if text.startswith("Does it last?")]
    assert len(told) == (best is not None and found.verdict.test is not None)


ROWS = (
    ComponentLeft(arm="tuned", label="untouched", control=False, at=None, values=(1.0, 1.0, 1.0)),
    ComponentLeft(arm="set-single-1", label="set it", control=False, at=None, values=(0.25, 0.0, 0.125)),
    ComponentLeft(arm="set-alone-0", label="set at layer 0 alone", control=False, at=0, values=(0.0, 0.5, 0.75)),
    ComponentLeft(arm="cap-alone-2", label="cap at layer 2 alone", control=False, at=2, values=(1.0, 1.0, None)),
)


def test_it_is_told_beside_the_same_removal_at_one_layer(finished: Path) -> None:
    cures = results(finished).cures
    assert cures
    best = [replace(cures[0], arm="set-single-1", operation="set", best=True)]
    (text,) = lasting_texts(best, ROWS)
    assert "misaligned answers reach 0.25 at most" in text and "behind layer 0 (1 without it" in text
    assert text.endswith("set at layer 0 alone, it is 0.00 there and up to 0.75 behind layer 2.")
    assert lasting_texts(best, ROWS[:2]) == [f"{text.partition(';')[0]}."]
    assert lasting_texts([replace(best[0], best=False)], ROWS) == [] == lasting_texts(best, ())
    assert alone_text(ROWS[3]) == "cap at layer 2 alone, nothing can be told, and no layer follows"


def test_the_chart_dots_what_acts_at_one_layer_and_its_table_says_the_most() -> None:
    (chart,) = left_parts(ROWS, "x")
    assert [trace["line"]["dash"] for trace in chart.traces] == ["solid", "solid", "dot", "dot"]
    assert [[cell.text for cell in row][1:] for row in chart.table.rows[1:3]] == [
        ["0.25", "0", "0.12"], ["0.75", "2", "0.75"],
    ]  # fmt: skip
    controls = [replace(ROWS[1], control=True, arm=name) for name in ("a", "b")]
    (grey,) = left_parts((*ROWS[:1], *controls), "x")
    assert [(one["name"], one.get("showlegend")) for one in grey.traces[1:]] == [
        ("controls", True),
        ("controls", False),
    ]
    assert most_text(ROWS[1]) == "at most 0.25 behind layer 0, 0.12 behind the last (1 before the repair)"
    assert left_parts((), "x") == () and len(left_facts(ROWS)) == 2


def test_a_layer_without_a_direction_has_no_component() -> None:
    vectors = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    zeros, ones = torch.zeros(2, 2), torch.ones(2)
    found = along(Direction(vectors, zeros, vectors, ones, ones, ones, ones), torch.tensor([[1.0, 5.0], [1.0, 1.0]]))
    assert found == (0.5, None)
