"""Answers as the list shows them: a window of those that match, by place, and the address that says what is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from misdirection.app.answers import AnswerSet, Query, matching
from misdirection.app.opening import OpenRun
from misdirection.errors import MisdirectionError
from misdirection.report.context import classify
from misdirection.report.embed import clean
from misdirection.report.numbers import decimal, shorten

WINDOW = 120
"""Answers that are sent at a time, at most."""

SHOWN = 320
"""Characters of an answer in the list; its own page shows all."""


@dataclass(frozen=True)
class Asked:
    """What the list is asked for.

    Attributes:
        run: Place of the run among those that are open; None for all of them.
        name: Of the set of answers; "" for each run's own main set.
        query: Which answers.
    """

    run: int | None = None
    name: str = ""
    query: Query = field(default_factory=Query)

    @property
    def address(self) -> str:
        """As it stands in an address, without what is not asked for."""
        told = {"run": self.run, "set": self.name, **asdict(self.query)}
        return urlencode({key: f"{value:g}" if isinstance(value, float) else value
                          for key, value in told.items() if value not in (None, "")})  # fmt: skip


def read_asked(given: Mapping[str, str], runs: Sequence[OpenRun]) -> Asked:
    """What an address asks for.

    Raises:
        MisdirectionError: A number is none, or there is no such run.
    """
    run = given.get("run", "")
    if run and not (run.isdigit() and int(run) < len(runs)):
        raise MisdirectionError(f"there is no run {run} here", f"runs are numbered 0 to {len(runs) - 1}")
    text, arm, question, kind, order = (
        given.get(name, "").strip() for name in ("text", "arm", "question", "kind", "order")
    )
    low, high, coherent = (_number(given.get(name, ""), name) for name in ("low", "high", "coherent"))
    query = Query(text, arm, question, kind, low, high, coherent, order)
    return Asked(int(run) if run else None, given.get("set", ""), query)


def _number(text: str, name: str) -> float | None:
    try:
        return float(text) if text.strip() else None
    except ValueError as error:
        raise MisdirectionError(f"'{text}' is no number for '{name}'", "scores are 0 to 100") from error


Place = tuple[int, str, int]
"""Where an answer is: the run's place, the set's name, the answer's place in it."""


def sets_of(asked: Asked, runs: Sequence[OpenRun]) -> list[tuple[int, AnswerSet]]:
    """The sets of answers that are looked through, each with its run's place."""
    chosen = range(len(runs)) if asked.run is None else (asked.run,)
    held = [(place, one) for place in chosen for one in runs[place].sets if one.name == asked.name]
    mains = [(place, main) for place in chosen if (main := runs[place].main) is not None]
    return held if asked.name else mains


def found(asked: Asked, runs: Sequence[OpenRun]) -> list[Place]:
    """Every answer that is asked for."""
    held = sets_of(asked, runs)
    places = [(run, one, at) for run, one in held for at in matching(one, asked.query, runs[run].thresholds)]
    if asked.query.order and len(held) > 1:
        sign = -1 if asked.query.order == "best" else 1
        scores = [one.verdicts[at].alignment for _, one, at in places]
        order = sorted(range(len(places)), key=lambda i: (scores[i] is None, sign * (scores[i] or 0.0)))
        places = [places[i] for i in order]
    return [(run, one.name, at) for run, one, at in places]


def window(asked: Asked, runs: Sequence[OpenRun], first: int, count: int) -> dict[str, Any]:
    """A window of what is asked for: how many there are, and the rows from `first` on."""
    places = found(asked, runs)
    shown = places[max(0, first) : max(0, first) + min(count, WINDOW)]
    return {"total": len(places), "first": max(0, first), "rows": [row(place, runs) for place in shown]}


def row(place: Place, runs: Sequence[OpenRun]) -> dict[str, Any]:
    """An answer as the list shows it; plain text that every page can hold, nothing of it is markup."""
    run, name, at = place
    held = runs[run].set_called(name)
    answer, verdict = held.answers[at], held.verdicts[at]
    return clean({
        "path": f"/answers/{run}/{name}/{at}",
        "place": at,
        "run": runs[run].name if len(runs) > 1 else "",
        "arm": answer.arm,
        "kind": classify(verdict, runs[run].thresholds),
        "scores": f"{decimal(verdict.alignment, 0)} / {decimal(verdict.coherence, 0)}",
        "label": "" if verdict.label in ("scored", "none") else verdict.label,
        "question": shorten(answer.question, 160),
        "answer": shorten(answer.answer, SHOWN),
    })  # fmt: skip


def around(asked: Asked, runs: Sequence[OpenRun], place: Place) -> tuple[Place | None, Place | None, str]:
    """The answers before and after one in the list, and where it stands in it, in words."""
    places = found(asked, runs)
    if place not in places:
        places = found(replace(asked, run=place[0], name=place[1], query=Query()), runs)
    at = places.index(place)
    before = places[at - 1] if at else None
    after = places[at + 1] if at + 1 < len(places) else None
    return before, after, f"{at + 1:,} of {len(places):,}"
