"""What the study of convergence says of its results, held against sentences written by hand, and its sections."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.results.made import made

from misdirection.report.shared.fine_tunes import table
from misdirection.results import Difference, FineTunes, Reduction
from misdirection.studies.convergence.paper import REMOVALS
from misdirection.studies.convergence.report import similarity, transfer
from misdirection.studies.convergence.results import Convergence, ConvergenceResults, PooledRemoval, Transfer
from misdirection.studies.convergence.verdict import verdict

MADE: ConvergenceResults = made(ConvergenceResults, "convergence")


def similar(**changes: Any) -> Convergence:
    """Three directions of two layers, of which the second is told of."""
    assert MADE.convergence is not None and MADE.convergence.null and MADE.convergence.matched
    null = replace(MADE.convergence.null.free, high=(0.0, 0.25))
    figures: dict[str, Any] = {
        "layer": 1, "mean": (0.1, 0.9), "lowest": (0.0, 0.85), "highest": (0.2, 0.95), "high": 0.8,
        "above": (0.0, 1.0), "ceiling": (None, 0.97),
        "null": replace(MADE.convergence.null, free=null, within=replace(null, high=(0.0, 0.5))),
        "matched": replace(MADE.convergence.matched, mean=(0.0, 0.7), lowest=(0.0, 0.6), highest=(0.0, 0.8), null=null),
    }  # fmt: skip
    return replace(MADE.convergence, **figures | changes)


def pooled(how: Any, relation: Any, before: float, after: float, operation: Any = "project") -> PooledRemoval:
    assert MADE.transfer is not None
    row = MADE.transfer.pooled[0]
    rates = [replace(row.rate, value=value) for value in (before, after)]
    fall = Reduction(value=1 - after / before, low=0.0, high=1.0, method="") if before else None
    return replace(row, how=how, relation=relation, operation=operation, before=rates[0], rate=rates[1], reduction=fall)


def removed(*rows: PooledRemoval, **changes: Any) -> Transfer:
    assert MADE.transfer is not None
    moved = [(-0.2, 0.01, "single"), (0.1, 0.04, "single"), (-0.2, 0.05, "single"), (-0.3, 0.001, "random")]
    single = tuple(
        replace(MADE.transfer.rows[0], how=how, relation="other data and preset", q=q,
                difference=Difference(value=value, low=value, high=value, p=q, method=""))
        for value, q, how in moved
    )  # fmt: skip
    return replace(MADE.transfer, pooled=rows, rows=single, layers={"project": 1}, **changes)


def fine_tunes(*zero: float | None) -> FineTunes:
    assert MADE.fine_tunes is not None
    row = MADE.fine_tunes.rows[0]
    assert row.direction is not None
    rows = [replace(row, direction=None if z is None else replace(row.direction, zero=(0.0, z))) for z in zero]
    return replace(MADE.fine_tunes, rows=tuple(rows))


def test_cosines_are_told_beside_chance_and_noise() -> None:
    said = verdict(similar())
    assert said.sentence == "Directions of 2 fine-tunes have a mean cosine of 0.90 at layer 1 (0.85 to 0.95)."
    assert said.details == (
        "Every pair lies above 0.8 at 1 of 2 layers, 100 % of the pairs at layer 1; in the paper all three pairs at 44 "
        "of 48 layers.",
        "Shuffled labels reach 0.25 at layer 1 (97.5 %), and 0.50 when shuffled within questions: what the mix of "
        "questions alone gives.",
        "With the same questions in both pools the mean cosine at layer 1 is 0.70 (0.60 to 0.80); its shuffled labels "
        "reach 0.25.",
        "Equal directions would be measured at 0.97 on average at layer 1, for each is the mean of a finite number of "
        "answers.",
    )
    assert len(verdict(similar(null=None, matched=None, ceiling=None)).details) == 1
    assert len(verdict(similar(layer=0)).details) == 3, "a ceiling that is not known is not told"


def test_removals_are_told_beside_the_paper_s() -> None:
    rows = (
        pooled("single", "all others", 0.2, 0.1),
        pooled("single", "own", 0.2, 0.05),
        pooled("random", "own", 0.2, 0.19),
    )
    said = verdict(None, fine_tunes(None, 0.25, 0.5, 0.75), removed(*rows))
    assert said.sentence == "one's removed from another takes 20.0 % misaligned to 10.0 % projected out."
    assert said.details == (
        "Of 3 removals of another's direction 1 lower the rate and 1 raise it (q < 0.05).",
        "Random directions, projected out: 20.0 % to 19.0 %.",
        "Falls of the rate under the paper's operation, projecting out: another's single direction 50 % (paper 78 and "
        "90 %), its own single direction 75 % (paper 91 %).",
        "Where that is less than in the paper, a likely reason: projecting puts the component at zero, and zero lies "
        "50 % of the way from the aligned mean to the misaligned one at layer 1 (median over fine-tunes, 25 to 75 %): "
        "not the aligned place in each.",
    )
    both = verdict(similar(), fine_tunes(0.5), removed(*rows, pooled("single", "all others", 0.2, 0.02, "set")))
    assert (
        "; one's removed from another takes 20.0 % misaligned to 10.0 % projected out or 2.0 % set to" in both.sentence
    )


def test_no_reason_is_given_where_removal_does_as_much_as_in_the_paper() -> None:
    rows = pooled("single", "all others", 0.2, 0.05), pooled("one layer", "own", 0.2, 0.05)
    details = verdict(None, fine_tunes(0.5), removed(*rows)).details
    assert details[-1].endswith("its own at one layer alone 75 % (paper 76 %).")
    assert not any("likely reason" in text for text in details)
    nothing = verdict(None, fine_tunes(0.5), removed(pooled("single", "own", 0.0, 0.0))).details
    assert not any(text.startswith("Falls") for text in nothing), "nothing to reduce has no fall"


def test_where_nothing_can_be_compared_that_is_said() -> None:
    said = verdict(None, fine_tunes(None))
    assert (said.state, said.sentence) == ("unclear", "Too few directions could be made to compare any.")


def test_matrices_are_symmetric_with_each_direction_itself_on_the_diagonal() -> None:
    assert MADE.convergence is not None
    pair = replace(MADE.convergence.pairs[0], cosine=(0.1, 0.75), difference=(None, 0.5))
    part = similar(pairs=(pair,))
    for what, itself, value in (("cosine", 1.0, 0.75), ("difference", 0.0, 0.5)):
        chart = similarity.matrix(part, what, "", itself)  # pyright: ignore[reportArgumentType]
        assert chart.traces[0]["z"] == [[itself, value], [value, itself]]
        assert chart.labels == ("sport", "medical")
    unknown = similarity.matrix(replace(part, layer=0), "difference", "", 0.0)
    assert unknown.traces[0]["z"] == [[0.0, None], [None, 0.0]]


def test_a_removal_stands_beside_the_published_figure_of_its_kind() -> None:
    shown = transfer.table([pooled("single", "own", 0.2, 0.1), pooled("no-op", "own", 0.2, 0.2, "none")], REMOVALS)
    names = [row[0].text for row in shown.rows]
    assert names == ["projected out: own direction, one layer's at every layer", "no-op"]
    assert [row[-1].text for row in shown.rows] == ["11.25 to 1 % (the same)", "\u2013"]
    assert [row[5].text.replace("\u00a0", " ") for row in shown.rows] == ["50 %", "0 %"]


def test_the_matrix_of_removals_has_the_rate_before_on_top() -> None:
    assert MADE.transfer is not None
    row = replace(MADE.transfer.rows[0], how="single", operation="project", source="a", target="b")
    other = replace(MADE.transfer.rows[1], how="single", operation="project", source="b", target="b")
    chart = transfer.matrix([row, other], "project", 3)
    assert chart.labels == ("before", "direction of a", "direction of b")
    assert chart.traces[0]["z"] == [[other.before.value], [row.rate.value], [other.rate.value]]
    assert "(layer 3)" in chart.title


@pytest.mark.parametrize(("domain", "columns"), [("open", 6), ("elsewhere", 5)])
def test_the_own_domain_has_a_column_where_its_questions_were_asked(domain: str, columns: int) -> None:
    assert MADE.fine_tunes is not None
    row = replace(MADE.fine_tunes.rows[0], domain=domain, preset="rank32")
    row = replace(row, groups={"open": next(iter(row.groups.values()))})
    shown = table([row], {"rank32": "18.8 %"})
    assert len(shown.columns) == columns == len(shown.rows[0]) and shown.rows[0][-1].text == "18.8 %"
    assert ("Misaligned, own domain" in shown.columns) == (columns == 6)
