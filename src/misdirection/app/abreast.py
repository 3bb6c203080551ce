"""Runs beside each other: answers to the same question in columns, and the paired tests of two runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse

from misdirection.app.opening import OpenRun
from misdirection.app.rows import row
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer
from misdirection.report.embed import clean
from misdirection.report.numbers import bounds, decimal, percent, rate_text

DRAWS = 12
"""Answers to a question that stand below each other at a time."""


@dataclass(frozen=True)
class Column:
    """One arm of one run.

    Attributes:
        run: The run's place.
        name: The run's.
        arm: Name of the arm.
    """

    run: int
    name: str
    arm: str


def questions_of(runs: Sequence[OpenRun]) -> dict[str, str]:
    """Texts of the questions in main answers, those that most runs share first; a text is one question."""
    count: dict[str, int] = {}
    for run in runs:
        for text in dict.fromkeys(run.main.questions.values()) if run.main else ():
            count[text] = count.get(text, 0) + 1
    return {text: text for text in sorted(count, key=lambda text: -count[text])}


def arms_of(runs: Sequence[OpenRun]) -> list[str]:
    """Arms of the main answers of all runs."""
    return list(dict.fromkeys(arm for run in runs if run.main for arm in run.main.arms))


def answers_to(runs: Sequence[OpenRun], text: str, arm: str) -> tuple[list[Column], list[list[int | None]]]:
    """Places of the answers to a question under an arm ("" for all), a column a run and arm, a row a draw.

    Draws of the same number stand in one row: where runs share seed and question they share their random numbers.
    """
    columns: list[Column] = []
    held: list[dict[tuple[int, int, int], int]] = []
    for at, run in enumerate(runs):
        for name in run.main.arms if run.main else ():
            if arm in ("", name) and run.main:
                columns.append(Column(at, run.name, name))
                held.append(_draws(run.main.answers, text, name))
    draws = sorted({draw for places in held for draw in places})
    return columns, [[places.get(draw) for places in held] for draw in draws]


def _draws(answers: Sequence[Answer], text: str, arm: str) -> dict[tuple[int, int, int], int]:
    """Places of the answers by wording, number of the draw, and how many of that number came before."""
    found: dict[tuple[int, int, int], int] = {}
    for place, one in enumerate(answers):
        if one.arm == arm and one.question == text:
            before = 0
            while (one.paraphrase, one.sample, before) in found:
                before += 1
            found[one.paraphrase, one.sample, before] = place
    return found


def compared(first: OpenRun, second: OpenRun) -> dict[str, Any]:
    """What differs between the main answers of two runs, by the paired tests of `misdirection compare`.

    Raises:
        MisdirectionError: They have nothing in common that can be compared.
    """
    from misdirection.studies.comparison.study import compare_runs

    found = compare_runs(first.path, second.path)
    return {
        "sentence": found.verdict.sentence,
        "rows": [
            {
                "questions": one.group + (f", {one.format}" if one.format != "plain" else ""), "arm": one.arm,
                "first": rate_text(one.first), "second": rate_text(one.second),
                "change": f"{percent(one.difference.value)} {bounds(one.difference)}",
                "p": decimal(one.difference.p, 3), "q": decimal(one.q, 3), "found": one.found,
                "paired": one.paired,
            }
            for one in found.arms
            if one.asked == "main"
        ],
    }  # fmt: skip


def add(site: FastAPI, runs: Sequence[OpenRun], page: Callable[..., str]) -> None:
    """Add the routes."""
    known: dict[tuple[int, int], dict[str, Any]] = {}

    @site.get("/compare", response_class=HTMLResponse)
    def compare(request: Request) -> str:
        texts, given = questions_of(runs), request.query_params
        text = given.get("question", "") or next(iter(texts), "")
        columns, draws = answers_to(runs, text, given.get("arm", ""))
        first = int(told) if (told := given.get("from", "")).isascii() and told.isdigit() else 0
        shown = [
            [None if at is None else _answer(runs, column, at) for column, at in zip(columns, line, strict=True)]
            for line in draws[first : first + DRAWS]
        ]
        return page(
            "compare", texts=texts, text=text, arm=given.get("arm", ""), arms=arms_of(runs), columns=columns,
            shown=shown, first=first, count=len(draws), step=DRAWS,
        )  # fmt: skip

    @site.get("/api/compared")
    def paired(first: int = 0, second: int = 1) -> dict[str, Any]:
        if not (0 <= first < len(runs) and 0 <= second < len(runs)):
            raise MisdirectionError(f"there are no runs {first} and {second}", f"they are 0 to {len(runs) - 1}")
        if (first, second) not in known:
            known[first, second] = compared(runs[first], runs[second])
        return known[first, second]


def _answer(runs: Sequence[OpenRun], column: Column, at: int) -> dict[str, Any]:
    held = runs[column.run].main
    assert held is not None
    return row((column.run, held.name, at), runs) | {"full": clean(held.answers[at].answer)}
