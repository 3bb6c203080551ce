"""Routes of what answers are looked at by: coloured tokens, and a page for every direction and latent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeVar
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse

from misdirection.app import meaning
from misdirection.app.answers import AnswerSet
from misdirection.app.colouring import colour, in_title
from misdirection.app.looking import Look, Seen, layer_of, read_look, see, variant_of
from misdirection.app.material import dictionary_called, dictionary_names, direction_called, direction_files, fine_tunes
from misdirection.app.opening import OpenRun
from misdirection.app.resident import Resident
from misdirection.errors import MisdirectionError
from misdirection.studies.kit.variants import Variants

Found = TypeVar("Found")
PART = 48
"""Answers that are read at a time: between two parts others have their turn."""
REMEMBERED = 64
"""Contexts that are not read again."""


def add(site: FastAPI, runs: Sequence[OpenRun], resident: Resident, page: Callable[..., str]) -> None:
    """Add the routes."""
    known: dict[tuple[Any, ...], dict[str, Any]] = {}

    def run_of(given: Mapping[str, str]) -> tuple[int, OpenRun]:
        told = given.get("run", "0") or "0"
        if not (told.isascii() and told.isdigit() and int(told) < len(runs)):
            raise MisdirectionError(f"there is no run {told} here", f"runs are numbered 0 to {len(runs) - 1}")
        return int(told), runs[int(told)]

    def ask(at: int, work: Callable[[Variants], Found]) -> Found:
        try:
            return resident.call(at, work).result()
        except MisdirectionError:
            raise
        except Exception as error:
            raise MisdirectionError(f"the model could not read this: {type(error).__name__}: {error}") from error

    @site.get("/directions", response_class=HTMLResponse)
    def directions(request: Request) -> str:
        at, run = run_of(request.query_params)
        files = direction_files(run)
        held = {name: direction_called(run, name) for name in files}
        return page("directions", at=at, run=run, held=held, files=files, dictionaries=dictionary_names(run))

    @site.get("/direction", response_class=HTMLResponse)
    def one(request: Request) -> str:
        at, run = run_of(request.query_params)
        look = read_look(request.query_params)
        if look.by == "scalar":
            raise MisdirectionError("the scalars of an adapter have no page", "colour an answer's tokens by them")
        if look.by == "latent" and look.of not in dictionary_names(run):
            dictionary_called(run, look.of)
        held = direction_called(run, look.of) if look.by == "direction" else None
        layer = layer_of(run, look) if held is not None else None
        title = in_title(run, look)
        name = request.query_params.get("set", "") or (run.main.name if run.main else "")
        return page(
            "direction", at=at, run=run, look=replace(look, layer=layer), held=held, set=name, title=title,
            address=urlencode({key: value for key, value in asdict(replace(look, layer=layer)).items()
                               if value not in (None, "")}),
            sets=[one.name for one in run.sets],
        )  # fmt: skip

    @site.get("/api/colours")
    def colours(request: Request) -> dict[str, Any]:
        given = request.query_params
        at, run = run_of(given)
        held, look = run.set_called(given.get("set", "")), read_look(given)
        place = given.get("at", "")
        if not (place.isascii() and place.isdigit() and int(place) < len(held.answers)):
            raise MisdirectionError(f"{held.name} holds no answer {place}", f"answers 0 to {len(held.answers) - 1}")
        return asdict(ask(at, lambda models: colour(run, models, held, int(place), look)))

    @site.get("/api/contexts")
    def contexts(request: Request) -> dict[str, Any]:
        given = request.query_params
        at, run = run_of(given)
        held, look = run.set_called(given.get("set", "")), read_look(given)
        key = (at, held.step.key, look)
        if key not in known:
            known[key] = _contexts(lambda work: ask(at, work), run, held, look)
            while len(known) > REMEMBERED:
                del known[next(iter(known))]
        return known[key]

    @site.get("/api/promoted")
    def promoted(request: Request) -> dict[str, Any]:
        at, run = run_of(request.query_params)
        look = read_look(request.query_params)
        return asdict(ask(at, lambda models: meaning.promotes(run, models, look)))

    @site.get("/api/neighbours")
    def neighbours(request: Request) -> dict[str, Any]:
        _, run = run_of(request.query_params)
        return asdict(meaning.neighbours(run, read_look(request.query_params)))


def _contexts(
    ask: Callable[[Callable[[Variants], Any]], Any], run: OpenRun, held: AnswerSet, look: Look
) -> dict[str, Any]:
    """Where the answers of a set show it most, and, of a direction, least."""
    places = meaning.spread(held)
    seen: list[Seen] = []
    for first in range(0, len(places), PART):
        part = places[first : first + PART]
        asked = [(look.read or variant_of(run, held, held.answers[at]), held.answers[at]) for at in part]
        found, _ = ask(lambda models, asked=asked: see(run, models, look, asked))
        seen += [replace(one, place=part[one.place]) for one in found]
    high, low = meaning.peaks(seen), [] if look.by == "latent" else meaning.peaks(seen, low=True)
    ends = [ask(lambda models, end=end: meaning.windows(models, held, end)) for end in (high, low)]
    values = sorted(value for one in seen for value in one.values)
    return {
        "high": [asdict(one) for one in ends[0]], "low": [asdict(one) for one in ends[1]],
        "answers": len(seen), "of": len(held.answers), "tokens": len(values),
        "fires": sum(any(value > 0 for value in one.values) for one in seen),
        "middle": values[len(values) // 2] if values and look.by == "direction" else 0.0,
    }  # fmt: skip


def choices(run: OpenRun) -> dict[str, Any]:
    """What an answer's tokens can be coloured by; nothing where the run names no model."""
    if not run.values.get("model"):
        return {"directions": {}, "tunes": [], "dictionaries": []}
    held = {name: direction_called(run, name) for name in direction_files(run)}
    return {
        "directions": {name: (one.layers, one.clearest_layer) for name, one in held.items() if one.layers},
        "tunes": list(fine_tunes(run)), "dictionaries": dictionary_names(run),
    }  # fmt: skip
