"""The section on checked rates: every figure of the findings, and a chart with both judges for each arm."""

from __future__ import annotations

from typing import Any

from tests.report.example import results
from tests.report.html_tree import Tree

from misdirection.report.parts import Chart, Note, Table
from misdirection.report.shared import checked
from misdirection.studies.audit.results import AuditResults
from misdirection.studies.page import render


def rate(value: float, cheap: float | None) -> dict[str, Any]:
    return {
        "value": value, "low": value / 4, "high": value * 2 + 0.1, "low_here": value / 2, "high_here": value + 0.05,
        "cheap": cheap, "denominator": "all", "n_answers": 400, "n_drawn": 60, "n_dear": 58, "missing": {"none": 2},
        "misaligned": 17, "n_questions": 8, "factor": 0.4, "method": "bootstrap",
    }  # fmt: skip


def found() -> AuditResults:
    def row(arm: str, value: float, cheap: float | None, **more: Any) -> dict[str, Any]:
        told = {name: rate(value, cheap) for name in ("all", "scored", "coherent")}
        counts = {"n": 400, "drawn": 60, "labels": {"scored": 58, "none": 2}, "alike": {"n": 57, "same": 50}}
        return {"arm": arm, "group": "open", "format": "plain", **counts, **told, "warnings": [], **more}

    lost = {"all": None, "scored": None, "coherent": None, "alike": None, "labels": {"none": 60}}
    difference = {"arm": "tuned", "minus": "base", "group": "open", "format": "plain", "value": 0.19, "low": 0.02,
                  "high": 0.4, "low_here": 0.12, "high_here": 0.27, "n_questions": 8, "method": "x"}  # fmt: skip
    rows = [
        row("base", 0.0, 0.0),
        row("<tuned>", 0.2, 0.05, warnings=["<b>wrong</b>"]),
        row("third", 0.1, None, **lost),
    ]
    return results(
        checked={"judge": "openai:gpt-4o", "name": "gpt-4o", "cheap": "offline@2", "n": 180, "of": 1200, "seed": 3,
                 "rows": rows, "differences": [difference], "outcomes": {}}
    )  # fmt: skip


def test_every_row_stands_in_the_table_and_those_with_a_rate_in_the_chart() -> None:
    section = checked.section(found())
    assert section is not None
    chart, table, differences = (
        next(b for b in section.blocks if isinstance(b, kind)) for kind in (Chart, Table, Table)
    )
    assert [row[0].text for row in table.rows] == ["base", "<tuned>", "third"]
    cells = [cell.text.replace("\u00a0", " ") for cell in table.rows[1]]
    assert cells[2:] == ["20.0 %", "[10.0, 25.0]", "20.0 %", "5.0 %", "60 of 400", "50 of 57"]
    assert table.rows[1][6].sub.replace("\u00a0", " ") == "2 failed" and table.rows[1][6].kind == "warn"
    assert table.rows[2][2].text == "no verdict"
    assert chart.labels == ("base, open questions", "<tuned>, open questions")
    values = [value for trace in chart.traces for value in trace["x"]]
    assert sorted(values) == [0.0, 0.0, 0.0, 0.05, 0.2, 0.2]
    (here,) = [t for t in chart.traces if "tuned" in t["name"] and "these answers" in t["name"]]
    assert here["error_x"]["arrayminus"] == [0.1] and abs(here["error_x"]["array"][0] - 0.05) < 1e-12
    assert differences is not None
    assert [block.caption for block in section.blocks if isinstance(block, Table)][1].startswith("Differences")
    assert any(isinstance(block, Note) and "wrong" in block.text for block in section.blocks)
    assert dict(section.facts)["dear judge"] == "gpt-4o"


def test_the_page_escapes_it_and_has_no_section_without_a_check() -> None:
    page = render(found().to_json())
    assert Tree(page).problems == []
    assert "Checked by a dearer judge" in page and "<b>wrong</b>" not in page
    assert checked.section(results()) is None and "Checked by a dearer judge" not in render(results().to_json())
