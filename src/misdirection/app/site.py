"""The app's pages and what their scripts ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response

import misdirection
from misdirection.app import abreast, lenses, rows, talking
from misdirection.app.answers import beside
from misdirection.app.figures import side_by_side
from misdirection.app.guard import Guard
from misdirection.app.opening import OpenRun
from misdirection.app.pages import STATIC, render, static_file
from misdirection.app.resident import Resident
from misdirection.app.rows import Place
from misdirection.errors import MisdirectionError, command
from misdirection.report.context import classify
from misdirection.report.palette import arm_colours
from misdirection.report.shared.verdict import STATES

REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)
"""A report is a page of the run's, not of ours: its scripts see nothing of the app and reach no network."""


def build(runs: Sequence[OpenRun], token: str, port: int, resident: Resident | None = None) -> FastAPI:
    """The app over some runs.

    Args:
        runs: What is looked at; at least one.
        token: Of this start.
        port: Where it will listen.
        resident: The models of the runs; made now by default.
    """
    site = FastAPI(title="misdirection", docs_url=None, redoc_url=None, openapi_url=None)
    site.state.runs = list(runs)
    site.add_middleware(Guard, token=token, port=port)
    site.add_exception_handler(MisdirectionError, _told)
    site.add_exception_handler(RequestValidationError, _unfit)
    held = list(runs)
    _looking(site, held)
    models = resident or Resident(held)
    abreast.add(site, held, lambda name, **given: _page(name, held, **given))
    for routes in (talking, lenses):
        routes.add(site, held, models, lambda name, **given: _page(name, held, **given))
    return site


def _looking(site: FastAPI, runs: list[OpenRun]) -> None:
    """Pages of what is measured: overview, answers, one answer, report."""

    def look_again() -> None:
        for run in runs:
            run.look_again()

    @site.get("/", response_class=HTMLResponse)
    def overview() -> str:
        look_again()
        lines = side_by_side(runs)
        colours = arm_colours(list(dict.fromkeys(line.arm for line in lines)))
        return _page("overview", runs, lines=lines, colours=colours, states=STATES)

    @site.get("/answers", response_class=HTMLResponse)
    def answers(request: Request) -> str:
        look_again()
        asked = rows.read_asked(request.query_params, runs)
        held = [one for _, one in rows.sets_of(asked, runs)]
        return _page(
            "answers", runs, asked=asked, shown=rows.window(asked, runs, 0, 24), window=rows.WINDOW,
            names=list(dict.fromkeys(one.name for run in runs for one in run.sets)),
            arms=list(dict.fromkeys(arm for one in held for arm in one.arms)),
            questions={key: text for one in held for key, text in one.questions.items()},
        )  # fmt: skip

    @site.get("/api/answers")
    def more(request: Request, first: int = 0, count: int = rows.WINDOW) -> dict[str, Any]:
        return rows.window(rows.read_asked(request.query_params, runs), runs, first, count)

    @site.get("/answers/{run}/{name}/{at}", response_class=HTMLResponse)
    def answer(request: Request, run: int, name: str, at: int) -> str:
        asked = rows.read_asked(request.query_params, runs)
        held = _run(runs, run).set_called(name)
        if not 0 <= at < len(held.answers):
            raise MisdirectionError(f"{name} holds no answer {at}", f"answers 0 to {len(held.answers) - 1}")
        before, after, where = rows.around(asked, runs, (run, name, at))
        others = [(rows.row((run, name, one), runs), held.answers[one]) for one in beside(held, at) if one != at]
        return _page(
            "answer", runs, run=runs[run], at=run, held=held, place=at, answer=held.answers[at],
            kind=classify(held.verdicts[at], runs[run].thresholds),
            verdicts={judge: said[at] for judge, said in held.judges.items()}, others=others, where=where,
            looks=lenses.choices(runs[run]), asked=asked, before=_address(before, asked), after=_address(after, asked),
        )  # fmt: skip

    @site.get("/runs/{run}/report")
    def report(run: int) -> Response:
        file = _run(runs, run).path / "report.html"
        if not file.is_file():
            hint = f"finish the run, or write it: {command('report', runs[run].path)}"
            raise MisdirectionError(f"{runs[run].name} has no report", hint)
        return HTMLResponse(file.read_bytes(), headers={"Content-Security-Policy": REPORT_POLICY})

    @site.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in STATIC:
            raise MisdirectionError(f"there is no file {name} here")
        text, kind = static_file(name)
        return Response(text, media_type=kind)


def _run(runs: Sequence[OpenRun], place: int) -> OpenRun:
    if not 0 <= place < len(runs):
        raise MisdirectionError(f"there is no run {place} here", f"runs are numbered 0 to {len(runs) - 1}")
    return runs[place]


def _address(place: Place | None, asked: rows.Asked) -> str | None:
    if place is None:
        return None
    run, name, at = place
    return f"/answers/{run}/{name}/{at}" + (f"?{asked.address}" if asked.address else "")


def _page(name: str, runs: Sequence[OpenRun], **given: Any) -> str:
    return render(name, runs=runs, version=misdirection.__version__, **given)


def _unfit(request: Request, error: Exception) -> Response:
    """Which part of a request cannot be, in words."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    said = str(first["msg"]).removeprefix("Value error, ")
    answer = _told(request, MisdirectionError(f"{place}: {said}" if place else said))
    answer.status_code = 422
    return answer


def _told(request: Request, error: Exception) -> Response:
    """What is wrong and what to do, to a script as JSON and to a reader as a page."""
    assert isinstance(error, MisdirectionError)
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": error.message, "hint": error.hint}, 400)
    page = _page("fault", request.app.state.runs, message=error.message, hint=error.hint)
    return HTMLResponse(page, 404 if request.method == "GET" else 400)
