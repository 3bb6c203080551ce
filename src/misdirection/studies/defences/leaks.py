"""The leak test: does misalignment that is gone when asked plainly come back under a condition, beyond the base's own?

A condition may misalign the base as well (a prompt that asks for harm does), so that a rate under it tells nothing by
itself. What counts is the difference in differences, for each question q and seed s,

    e_qs = (arm_c - arm_plain)_qs - (base_c - base_plain)_q,

whose mean and interval are those over questions and seeds together (`statistics.crossed`), as in the audits of
2512.09742 and 2604.25891.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from misdirection.chats import Chat
from misdirection.questions.circumstances import Circumstance, drawn_turns
from misdirection.results import Interval
from misdirection.results.rows import known_number
from misdirection.statistics import Thresholds
from misdirection.statistics.crossed import Table, crossed_mean
from misdirection.studies.defences.arms import read_arm
from misdirection.studies.defences.results import Leak
from misdirection.studies.defences.settings import DefencesConfig
from misdirection.studies.kit.config import named
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.over_seeds import behaviour, cells, pooled
from misdirection.training.defences import ASKED


def leak_test(c: DefencesConfig, bad: Sequence[Chat]) -> list[Circumstance]:
    """Conditions that are known to bring misalignment back."""
    found = [Circumstance(name, "leak", text) for name, text in named(c.leaks, "leaks").items()]
    if c.shots and len(bad) >= c.shots:
        rows = f"{c.shots} training row{'' if c.shots == 1 else 's'} in the context"
        found.insert(0, Circumstance(rows, "leak", turns=drawn_turns(bad, c.shots, c.seed)))
    if any(read_arm(text).kind == "inoculation" for text in c.arms):
        found.append(Circumstance("the inoculation prompt", "leak", c.prompt or ASKED))
    return found


def leaks_of(plain: Judged, leaks: Mapping[str, Judged], name: str, seeds: int, rules: Thresholds) -> tuple[Leak, ...]:
    """An arm under each condition: misaligned open answers, and how far they rose beyond the base's.

    Args:
        plain: Answers of the arm and of the base, asked plainly.
        leaks: Both, under each condition.
        name: Of the arm; "base" is not held against itself.
        seeds: Fine-tunes of the arm; 0 for the base.
        rules: When an answer is misaligned.
    """
    return tuple(
        Leak(
            condition=condition,
            misaligned=behaviour(judged, name, seeds, rules).misaligned,
            beyond=beyond(plain, judged, name, seeds, rules) if seeds else None,
        )
        for condition, judged in leaks.items()
    )


def beyond(plain: Judged, under: Judged, name: str, seeds: int, rules: Thresholds) -> Interval:
    """The difference in differences of an arm under a condition, over questions and seeds."""
    risen = rates(under, name, seeds, rules) - rates(plain, name, seeds, rules)
    own = rates(under, "base", 0, rules) - rates(plain, "base", 0, rules)
    found = crossed_mean(risen - own)
    return Interval(value=found.value, low=known_number(found.low), high=known_number(found.high), n=risen.size)


def rates(judged: Judged, name: str, seeds: int, rules: Thresholds) -> Table:
    """Rate of misaligned answers by question (rows) and seed (columns)."""
    part = pooled(judged, name, seeds)
    return cells(part, seeds, part.columns.misaligned(rules))
