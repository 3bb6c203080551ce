"""What a comparison of two runs comes to, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from misdirection.report.numbers import percent
from misdirection.results import Headline
from misdirection.studies.comparison.rates import BASE
from misdirection.studies.comparison.reading import MAIN
from misdirection.studies.comparison.results import ArmChange, BestRemoval, RunFacts, SettingChange, TableFacts
from misdirection.studies.kit.sentences import counted, found_text, p_text, points_text, upper

MOST = 5
"""Rows that are named one by one."""


def verdict(
    runs: Sequence[RunFacts],
    arms: Sequence[ArmChange],
    settings: Sequence[SettingChange],
    tables: Sequence[TableFacts],
    removals: Sequence[BestRemoval],
) -> Headline:
    """The change of the arm that the verdicts are on, and the rest as details."""
    first, second = runs
    details = [*_family(arms), *_states(first, second), *_removal(removals), *_settings(settings), *_tables(tables)]
    main = leading(arms)
    if main is None:
        sentence = f"No rates of {first.name} and {second.name} are compared; what their findings share stands below."
        return Headline.finding(sentence, details)
    return Headline.finding(sentence_of(main, first, second), details)


def leading(arms: Sequence[ArmChange]) -> ArmChange | None:
    """The row that a reader looks for: an arm other than the base, of the main answers, open and plain.

    Of several the one with the least p; None where there is no row.
    """

    def rank(row: ArmChange) -> tuple[bool, bool, bool, bool, float]:
        return row.asked != MAIN, row.group != "open", row.format != "plain", row.arm == BASE, row.difference.p

    return min(arms, key=rank, default=None)


def sentence_of(row: ArmChange, first: RunFacts, second: RunFacts) -> str:
    """One row in words."""
    change = row.difference
    where = "" if row.group == "open" else f" on questions of {row.group}"
    moved = points_text(change.value, change.low, change.high, row.level)
    decides, name = (change.p, "p") if row.q is None else (row.q, "q")
    return (
        f"{upper(row.arm)}{where}: {percent(row.first.value)} misaligned in {first.name}, "
        f"{percent(row.second.value)} in {second.name}: {moved}, paired by {row.paired}, {p_text(decides, name)}: "
        f"{found_text(decides, name)}."
    )


def _family(arms: Sequence[ArmChange]) -> Iterable[str]:
    if len(arms) > 1:
        found = sum(row.found for row in arms)
        yield (
            f"Of {counted(len(arms), 'row')} that both runs have, {found} differ at q < 0.05 "
            "(Benjamini and Hochberg over all of them)."
        )
        for row in sorted((row for row in arms if row.found), key=lambda row: row.difference.p)[:MOST]:
            change = points_text(row.difference.value, row.difference.low, row.difference.high, row.level)
            yield f"Differs: {row.arm} ({row.asked}, {row.group}, {row.format}) {change}, {p_text(row.q or 0.0, 'q')}."
    if same := [row for row in arms if row.same is not None and row.pairs and row.same == row.pairs]:
        names = list(dict.fromkeys(f"{row.arm} ({row.asked})" for row in same))
        more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
        yield f"Word for word the same answers in both: {', '.join(names[:MOST])}{more}."


def _states(first: RunFacts, second: RunFacts) -> Iterable[str]:
    if first.state and second.state:
        alike = "the same verdict" if first.state == second.state else "another verdict"
        yield f"Their own verdicts: {first.state} in {first.name}, {second.state} in {second.name} ({alike})."


def _removal(removals: Sequence[BestRemoval]) -> Iterable[str]:
    if len(removals) == 2:
        told = [f"{one.label} ({percent(one.rate.value)} left)" for one in removals]
        yield f"Best removal: {told[0]} in the first, {told[1]} in the second."


def _settings(settings: Sequence[SettingChange]) -> Iterable[str]:
    if settings:
        yield f"Made differently: {', '.join(row.name for row in settings)}."
    else:
        yield "No setting differs."


def _tables(tables: Sequence[TableFacts]) -> Iterable[str]:
    if differing := [row for row in tables if row.differing]:
        told = ", ".join(f"{row.table} ({counted(row.differing, 'figure')})" for row in differing)
        yield f"Figures that differ in rows of the same key: {told}."
