"""What came out, in sentences: is there a correlation, with which sign, how sure."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from misdirection.results import Headline
from misdirection.statistics import is_found
from misdirection.studies.kit.sentences import p_text, upper
from misdirection.studies.scaling.measures import (
    LEAST,
    OUTCOMES,
    PAIRS,
    SAME_DOMAIN,
    SAME_STEPS,
    SPEAKS,
    speaks,
)
from misdirection.studies.scaling.results import CorrelationRow, Scaling, Slope
from misdirection.studies.scaling.table import Point

MAIN = (SAME_STEPS, SAME_DOMAIN)
ABLE = OUTCOMES[4].name
SEEDS = 3
"""Seeds that must agree on a sign."""


def verdict(found: Scaling) -> Headline:
    """The answer for both ways of comparing, then every figure behind it."""
    asked = [name for name in MAIN if chosen(found, name)]
    if not asked:
        few = f"{len(found.points)} checkpoints are too few for a correlation with one thing fixed: {LEAST} needed."
        return Headline.finding(few, map(point_text, found.points))
    details = [row_text(row) for name in (*asked, ABLE) for row in chosen(found, name)]
    details += [slope_text(surface.outcome, slope) for surface in found.surfaces for slope in surface.slopes
                if surface.outcome in MAIN]  # fmt: skip
    details += disagreements(found)
    details += [control_text(row) for row in chosen(found, OUTCOMES[-1].name) if row.p is not None and is_found(row.p)]
    said = [ability(found), *(answer(found, name) for name in (*asked, ABLE) if chosen(found, name))]
    return Headline.finding(" ".join(filter(None, said)), details)


def point_text(point: Point) -> str:
    """What one checkpoint showed, for where there are too few of them to be compared."""
    return (
        f"{point.name} ({point.parameters:,} parameters, {point.tokens:,} tokens): {point.base_misaligned} of "
        f"{point.base_n} open answers misaligned before the lesson, {point.misaligned} of {point.n} after {point.step} "
        f"steps; {point.coherent} of these coherent."
    )


def ability(found: Scaling) -> str:
    """How many bases can speak, where not all do: a rate among the others is one of ability, not of character."""
    able = sum(map(speaks, found.points))
    if able == len(found.points):
        return ""
    few = f"Only {able}" if able else "None"
    return (
        f"{few} of the {len(found.points)} bases give {100 * SPEAKS:.0f} % coherent answers before the lesson. A model "
        "that cannot speak can hardly show misalignment, so that correlations over all of them tell of ability first."
    )


def chosen(found: Scaling, outcome: str) -> list[CorrelationRow]:
    """The rank correlations of an outcome."""
    return [row for row in found.correlations if row.outcome == outcome and row.kind == "rank"]


def sure(row: CorrelationRow) -> bool:
    """Whether a correlation counts as there: q below the level, and one sign in each of three seeds or more."""
    signs = {value > 0 for value in row.by_seed}
    return row.q is not None and is_found(row.q) and len(row.by_seed) >= SEEDS and len(signs) == 1


def answer(found: Scaling, outcome: str) -> str:
    """One sentence on an outcome: what it rises with, what it falls with, and what shows nothing."""
    rows = chosen(found, outcome)
    up = [row.with_ for row in rows if sure(row) and (row.value or 0) > 0]
    down = [row.with_ for row in rows if sure(row) and (row.value or 0) < 0]
    unsure = [row.with_ for row in rows if not sure(row)]
    parts = [f"rises with {listed(up)}"] if up else []
    parts += [f"falls with {listed(down)}"] if down else []
    parts += [f"shows no sure correlation with {listed(unsure)}"] if unsure else []
    return f"{upper(outcome)} {', and '.join(parts)}."


def listed(names: Sequence[str]) -> str:
    """Names in a row, each with what is held fixed."""
    fixed = dict(PAIRS)
    return ", ".join(f"{name} ({fixed[name]} held fixed)" for name in names)


def row_text(row: CorrelationRow) -> str:
    """A correlation with its interval, and how many seeds agree."""
    if row.value is None or row.p is None:
        return f"{upper(row.outcome)}: no correlation with {row.with_} can be computed, since it does not vary."
    ends = (
        "" if row.low is None or row.high is None else f", 95 % interval over seeds {row.low:+.2f} to {row.high:+.2f}"
    )
    agreeing = sum((value > 0) == (row.value > 0) for value in row.by_seed)
    return (
        f"{upper(row.outcome)} and {row.with_}, {row.fixed} held fixed: rank correlation {row.value:+.2f}{ends}, "
        f"{p_text(row.p)}, {p_text(row.q, 'q') if row.q is not None else 'no q'}, "
        f"the same sign in {agreeing} of {len(row.by_seed)} seeds, {row.n} checkpoints."
    )


def slope_text(outcome: str, slope: Slope) -> str:
    """What a doubling does to the odds."""
    ends = "" if slope.low is None or slope.high is None else f" ({exp(slope.low):.2f} to {exp(slope.high):.2f})"
    return f"{upper(outcome)}: with twice the {slope.of} alone the odds are {exp(slope.value):.2f} times as high{ends}."


def disagreements(found: Scaling) -> list[str]:
    """Where the rate among coherent answers tells another story than that of all."""
    said: list[str] = []
    for name, among in zip(MAIN, (OUTCOMES[2].name, OUTCOMES[3].name), strict=True):
        for row, other in zip(chosen(found, name), chosen(found, among), strict=False):
            alike = sure(row) == sure(other) and (not sure(row) or (row.value or 0) * (other.value or 0) > 0)
            if not alike:
                said.append(
                    f"Among coherent answers alone, {row.with_}: {strength(other)}; of all answers "
                    f"{strength(row)}. A model that cannot speak well cannot be misaligned well."
                )
    return said


def control_text(row: CorrelationRow) -> str:
    """A correlation of the untouched base."""
    return (
        f"Control: before any fine-tune the base's own rate goes with {row.with_} ({strength(row)}), "
        f"{row.fixed} held fixed."
    )


def strength(row: CorrelationRow) -> str:
    """A correlation and its p; where one side does not vary there is none, which is not 0."""
    return "none can be computed" if row.value is None or row.p is None else f"{row.value:+.2f}, {p_text(row.p)}"
