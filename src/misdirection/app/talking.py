"""Routes of the live page: questions to several sides, stop, keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel, Field

from misdirection.app.keeping import keep
from misdirection.app.material import dictionary_names, direction_called, direction_files, fine_tunes
from misdirection.app.opening import OpenRun
from misdirection.app.resident import Resident
from misdirection.app.scoring import free_judge
from misdirection.app.talk import Talk, Talks
from misdirection.errors import MisdirectionError


class Stop(BaseModel):
    """Which talk ends."""

    talk: str


class Keep(BaseModel):
    """Which answers become which arm."""

    name: str
    answers: list[str] = Field(min_length=1)


def add(site: FastAPI, runs: Sequence[OpenRun], resident: Resident, page: Callable[..., str]) -> None:
    """Add the routes."""
    talks = Talks(runs, resident)

    @site.get("/live", response_class=HTMLResponse)
    def live(run: int = 0) -> str:
        held = talks.run(run)
        return page("live", at=run, run=held, **_choices(held))

    @site.post("/api/live")
    async def ask(talk: Talk) -> StreamingResponse:
        talks.run(talk.run)
        return StreamingResponse(talks.stream(talk), media_type="text/event-stream")

    @site.post("/api/stop")
    def stop(told: Stop) -> dict[str, Any]:
        talks.stop(told.talk)
        return {}

    @site.post("/api/keep")
    def keeping(told: Keep) -> dict[str, Any]:
        spoken = [talks.spoken[name] for name in told.answers if name in talks.spoken]
        if len(spoken) < len(told.answers):
            raise MisdirectionError(
                f"{len(told.answers) - len(spoken)} of {len(told.answers)} answers are not known here any more",
                "the app was started again since, or they are too many: ask again, and keep sooner",
            )
        if len({one.run for one in spoken}) > 1:
            raise MisdirectionError("these answers are of several runs", "keep those of one at a time")
        run = talks.run(spoken[0].run)
        place = keep(run, told.name, spoken, free_judge(run))
        run.refresh()
        return {"kept": len(spoken), "path": str(place), "arm": told.name, "set": f"kept-{told.name}-answers"}


def _choices(run: OpenRun) -> dict[str, Any]:
    """What the controls offer."""
    names = list(direction_files(run)) if run.values.get("model") else []
    layers = len(direction_called(run, names[0]).vectors) if names else 0
    told = run.findings.get("direction")
    chosen = told.get("layer") if isinstance(told, dict) else None
    return {
        "tunes": list(fine_tunes(run)), "directions": names, "dictionaries": dictionary_names(run), "layers": layers,
        "layer": chosen if isinstance(chosen, int) else layers // 2, "judge": free_judge(run) is not None,
        "questions": list(dict.fromkeys(run.main.questions.values()))[:60] if run.main else [],
    }  # fmt: skip
