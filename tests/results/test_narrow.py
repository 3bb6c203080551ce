"""What the study of narrow and general solutions says of its results, held against sentences written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.results.made import made

from misdirection.results import Difference, PairedChange
from misdirection.studies.narrow import report
from misdirection.studies.narrow.results import (
    ByLength,
    Ease,
    Lost,
    Mean,
    Narrow,
    NarrowResults,
    SolutionArm,
    SolutionName,
)
from misdirection.studies.narrow.verdict import easier, isolated, verdict

MADE: Narrow = made(NarrowResults, "narrow").narrow


def mean(low: float | None, high: float | None, value: float = 0.5) -> Mean:
    return Mean(value=value, low=low, high=high, n=5)


def by_length(*differences: Mean, general: float = 2.0, narrow: float = 2.5) -> ByLength:
    equal = MADE.ease[0].efficiency.equal[0]
    rows = (replace(equal, difference=apart, general=general, narrow=narrow) for apart in differences)
    return replace(MADE.ease[0].efficiency, equal=tuple(rows))


def ease_of(loss: ByLength, lost: Mean, change: ByLength, kind: str = "rank1") -> Ease:
    stability = replace(MADE.ease[0].stability, difference=lost)
    return replace(MADE.ease[0], kind=kind, efficiency=loss, stability=stability, significance=change)


GENERAL = ease_of(by_length(mean(0.1, 0.9), mean(0.2, 1.0)), mean(1.0, 3.0, 2.0), by_length(mean(-2.0, -1.0)))
OTHER = ease_of(
    by_length(mean(0.1, 0.9), mean(-0.2, 1.0)), mean(None, None), by_length(mean(1.0, 2.0)), kind="vector"
)  # fmt: skip


def arm(kind: str, solution: SolutionName, rates: Mapping[str, tuple[float, float, float]]) -> SolutionArm:
    """An arm with value, low and high of each group."""
    row = MADE.arms[0]
    effect = next(iter(row.groups.values()))
    groups = {
        group: replace(effect, rate=replace(effect.rate, value=value, low=low, high=high))
        for group, (value, low, high) in rates.items()
    }
    return replace(row, arm=f"{kind}-{solution}", kind=kind, solution=solution, groups=groups)


APART = {"medical": (0.4, 0.3, 0.5), "open": (0.1, 0.0, 0.2)}
OVERLAPPING = {"medical": (0.3, 0.1, 0.5), "open": (0.1, 0.0, 0.2)}


def part(*arms: SolutionArm, ease: tuple[Ease, ...] = ()) -> Narrow:
    return replace(MADE, domain="medical", arms=arms, sweep=(), ease=ease)


def test_easier_needs_every_interval_on_one_side():
    assert set(easier(GENERAL).values()) == {"general"}
    assert easier(OTHER) == {"efficiency": "neither", "stability": "neither", "significance": "narrow"}
    narrow = ease_of(by_length(mean(-0.9, -0.1)), mean(-3.0, -1.0), by_length(mean(-1.0, 1.0)))
    assert easier(narrow) == {"efficiency": "narrow", "stability": "narrow", "significance": "neither"}


def test_isolated_is_interval_above_interval():
    assert isolated(part(arm("rank1", "narrow", APART)), "rank1")
    assert not isolated(part(arm("rank1", "narrow", OVERLAPPING)), "rank1")
    assert not isolated(part(arm("rank1", "narrow", {"open": APART["open"]})), "rank1"), "the domain was not asked of"
    assert not isolated(part(arm("rank1", "general", APART)), "rank1"), "that is no narrow solution"
    worst = APART | {"finance": (0.35, 0.31, 0.4)}
    assert not isolated(part(arm("rank1", "narrow", worst)), "rank1"), "every other group counts"


def test_verdict_names_the_kinds_with_a_narrow_solution_and_the_votes():
    arms = arm("rank1", "general", APART), arm("rank1", "narrow", APART), arm("vector", "narrow", OVERLAPPING)
    said = verdict(part(*arms, ease=(GENERAL, OTHER)), {})
    assert said.sentence == (
        "A narrow solution was found with rank1, none with vector. The easier one to learn, rank1: general by "
        "efficiency and stability and significance; vector: narrow by significance, neither by efficiency and "
        "stability."
    )
    assert said.details == (
        "rank1, misaligned answers (medical is the domain): general 10 % open, 40 % medical; narrow 10 % open, 40 % "
        "medical.",
        "rank1, efficiency: loss at the general one's length 2.000 general, 2.500 narrow, nats a token. As in the "
        "paper.",
        "rank1, stability: the narrow one loses +2 points more when moved aside (+1 to +3). As in the paper.",
        "rank1, significance: KL on neutral text at the general one's length 2.000 general, 2.500 narrow, nats a "
        "token. As in the paper.",
        "vector, misaligned answers (medical is the domain): narrow 10 % open, 30 % medical.",
        "vector: no weight isolated the domain, so what is called narrow in its measures is a weakened solution rather "
        "than a narrow one.",
        "vector, efficiency: loss at the general one's length 2.000 general, 2.500 narrow, nats a token. The intervals "
        "do not decide.",
        "vector, stability: the narrow one loses +0 points more when moved aside. The intervals do not decide.",
        "vector, significance: KL on neutral text at the general one's length 2.000 general, 2.500 narrow, nats a "
        "token. Other than in the paper.",
    )
    alone = verdict(part(*arms[2:], ease=(OTHER,)), {"significance": "it is small"})
    assert alone.sentence.startswith("No narrow solution was found. ")
    assert alone.details[-1].endswith("Other than in the paper; a likely reason: it is small.")


def test_groups_are_told_open_first_and_then_the_domain():
    rates = {name: (0.0, 0.0, 0.1) for name in ("finance", "medical", "driving", "open")}
    assert part(arm("", "base", rates)).groups == ["open", "medical", "finance", "driving"]


def test_a_change_has_its_interval_and_its_p():
    difference = Difference(value=0.25, low=0.1, high=0.4, p=0.0001, method="")
    effect = next(iter(MADE.arms[0].groups.values()))
    moved = replace(effect, change=PairedChange(difference=difference, reduction=None))
    row = replace(MADE.arms[0], groups={"open": moved, "medical": replace(effect, change=None)})
    cells = report.changes(part(row)).rows[0]
    assert [cell.text for cell in cells[3:]] == ["+25.0", "\u2013"] and cells[3].sub == "10.0 to 40.0, p < 0.001"
    shown = report.changes(part(replace(row, groups={"open": replace(effect, change=None)}), row))
    assert [cell.text for cell in shown.rows[0]][2:] == ["\u2013"] * 3, "a group that was not asked of has dashes"


def lost(solution: str, epsilon: float, value: float) -> Lost:
    return Lost(solution=solution, epsilon=epsilon, value=value, low=value - 1, high=value + 1, n=3)


def test_curves_of_both_solutions_have_bands_and_random_ones_none():
    curve = MADE.ease[0].efficiency.curves[0]
    curves = tuple(replace(curve, solution=name) for name in ("general", "narrow", "random 1", "random 2"))
    chart = report.by_length("key", "title", "nats", replace(MADE.ease[0].efficiency, curves=curves))
    lines = [trace["name"] for trace in chart.traces if "line" in str(trace.get("mode")) and trace.get("y") == [
        point.value for point in curve.points]]  # fmt: skip
    assert lines == ["general", "narrow", "random", "random"]
    assert sum(trace.get("fill") == "tonexty" for trace in chart.traces) == 2
    assert [row[0].text for row in chart.table.rows] == [name for c in curves for name in [c.solution] * 2]


def test_stability_has_a_line_a_solution_with_student_s_bars():
    rows = lost("general", 0.1, 10.0), lost("general", 0.5, 40.0), lost("narrow", 0.1, 20.0)
    ease = replace(MADE.ease[0], stability=replace(MADE.ease[0].stability, rows=rows))
    chart = report.stability(ease)
    assert [(trace["name"], trace["x"], trace["y"]) for trace in chart.traces] == [
        ("general", [0.1, 0.5], [10.0, 40.0]), ("narrow", [0.1], [20.0])
    ]  # fmt: skip
    assert chart.traces[0]["error_y"]["array"] == [1.0, 1.0]
    assert chart.table.rows[2][2].sub == "[19.0, 21.0], 3 directions"


@pytest.mark.parametrize("name", ["efficiency", "significance"])
def test_differences_at_equal_length_say_at_whose(name: str):
    equal = replace(MADE.ease[0].efficiency.equal[0], length_of="narrow", norm=2.0)
    rows = report.equal(replace(MADE.ease[0], **{name: replace(MADE.ease[0].efficiency, equal=(equal,))})).rows
    assert any(row[0].text == name and row[0].sub == "at the narrow one's length, 2" for row in rows)
    assert rows[-1][0].text == "stability"


def test_the_paper_s_words_stand_beside_what_they_are_of():
    note: Any = report._paper(MADE.paper, "cosine")  # pyright: ignore[reportPrivateUsage]
    assert note.text.endswith(f"cosine: {MADE.paper['cosine']}.")
