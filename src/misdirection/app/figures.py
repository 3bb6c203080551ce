"""Rates of runs side by side, made from their answers and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from misdirection.app.answers import AnswerSet
from misdirection.app.opening import OpenRun
from misdirection.results import RateRow
from misdirection.statistics import Settings, Thresholds
from misdirection.statistics.rates import rate_of, shares_of
from misdirection.studies.kit.judged import Judged


@dataclass(frozen=True)
class Figure:
    """What one arm's answers to one group of questions are like.

    Attributes:
        group: "open", or a domain.
        format: "plain" ...
        arm: Name of the arm.
        rate: Misaligned answers, of all.
        coherent: Coherent ones, of all.
    """

    group: str
    format: str
    arm: str
    rate: RateRow
    coherent: RateRow

    @property
    def place(self) -> tuple[str, str, str]:
        """What stands beside it in another run."""
        return self.group, self.format, self.arm


def figures(held: AnswerSet, rules: Thresholds) -> list[Figure]:
    """The figures of a set of answers, open questions first; domains and formats are never pooled."""
    if not held.judges:
        return []
    arms = held.arms

    def first(part: tuple[tuple[str | None, str, str], Judged]) -> tuple[object, ...]:
        domain, form, arm = part[0]
        return domain is not None, domain or "", form != "plain", form, arms.index(arm)

    settings = Settings(thresholds=rules)
    parts = sorted(held.judged.parts.items(), key=first)
    return [
        Figure(
            domain or "open", form, arm,
            RateRow.of(rate_of(part.columns, settings)),
            RateRow.of_share(shares_of(part.columns, settings)["coherent"]),
        )
        for (domain, form, arm), part in parts
    ]  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One row of the table of runs: the same group, format and arm in each; None where a run has none of it."""

    group: str
    format: str
    arm: str
    cells: tuple[Figure | None, ...]


def side_by_side(runs: Sequence[OpenRun]) -> list[Line]:
    """The figures of each run's main answers and of the arms that were kept from the app."""
    held = [_by_place(run) for run in runs]
    places = dict.fromkeys(place for found in held for place in found)
    order = sorted(places, key=lambda place: (place[0] != "open", place[0], place[1] != "plain", place[1]))
    return [Line(*place, tuple(found.get(place) for found in held)) for place in order]


def _by_place(run: OpenRun) -> dict[tuple[str, str, str], Figure]:
    main = [] if run.main is None else [run.main]
    sets = [*main, *(one for one in run.sets if one.name.startswith("kept-") and one not in main)]
    return {one.place: one for held in sets for one in figures(held, run.thresholds)}
