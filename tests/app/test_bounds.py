"""How long a live chat may grow and how many may wait: each bound in words, and what is within it goes on."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.app.conftest import client
from tests.app.test_talk import ends, events, talk

from misdirection.app.guard import LARGEST
from misdirection.app.opening import open_run
from misdirection.app.resident import WAITING, Resident
from misdirection.app.talk import AT_ONCE, TURNS, Talk, Talks
from misdirection.errors import MisdirectionError


def told(line: str) -> dict[str, Any]:
    return json.loads(line.removeprefix("data: "))


def chat(turns: int) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[place % 2], "content": "w10"} for place in range(turns)]


def test_a_chat_that_memory_has_no_room_for_is_refused_in_words(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("misdirection.engine.live.default_budget", lambda model: 40)
    with client(finished) as asking:
        failed = events(asking, talk({"variant": "base"}, {"variant": "tuned"}, max_new_tokens=100))[-1]
        assert "memory has room for 40 here" in failed["failed"] and "begin a new chat" in failed["hint"]
        long = talk({"variant": "base"}, turns=chat(61))
        assert "memory has room for 40 here" in events(asking, long)[-1]["failed"]
        assert ends(events(asking, talk({"variant": "base"})))[0]["text"], "a short one is answered as before"


def test_a_chat_of_too_many_turns_and_one_of_too_many_bytes_are_refused_in_words(finished: Path) -> None:
    with client(finished) as asking:
        assert ends(events(asking, talk({"variant": "base"}, turns=chat(TURNS - 1), max_new_tokens=2)))[0]["over"]
        refused = asking.post("/api/live", json=talk({"variant": "base"}, turns=chat(TURNS + 1)))
        assert refused.status_code == 422
        assert refused.json()["error"] == (
            f"sides.0.turns: a chat has at most {TURNS} turns, and this one comes to {TURNS + 1}: begin a new one"
        )
        pasted = asking.post("/api/live", json=talk({}, turns=[{"role": "user", "content": "x" * LARGEST}]))
        assert pasted.status_code == 413 and f"at most {LARGEST:,} bytes" in pasted.text


def test_more_questions_than_may_wait_are_told_so_and_a_closed_tab_makes_room(finished: Path) -> None:
    go_on = threading.Event()
    run = open_run(finished)
    resident = Resident([run], lambda _: go_on.wait(60))
    talks = Talks([run], resident)

    def asked(sample: int) -> Any:
        return talks.stream(Talk(**talk({"variant": "base"}, sample=sample, max_new_tokens=4)))

    async def ask() -> list[list[dict[str, Any]]]:
        tabs = [asked(sample) for sample in range(AT_ONCE)]
        assert all(["talk" in told(await anext(tab)) for tab in tabs])
        refused = [told(line) async for line in asked(99)]
        assert len(refused) == 1 and f"{AT_ONCE} questions" in refused[0]["failed"] and "stop one" in refused[0]["hint"]
        await tabs.pop(0).aclose()
        tabs.append(asked(AT_ONCE))
        assert "talk" in told(await anext(tabs[-1]))
        go_on.set()
        return [[told(line) async for line in tab] for tab in tabs]

    try:
        found = asyncio.run(ask())
    finally:
        resident.close()
    assert len(found) == AT_ONCE and all(one[-1]["over"] and one[-1]["text"] for one in found)


def test_requests_beyond_those_that_may_wait_are_told_so_and_a_stop_is_always_heard(finished: Path) -> None:
    busy, go_on = threading.Event(), threading.Event()
    resident = Resident([open_run(finished)])

    def long(models: Any) -> str:
        busy.set()
        assert go_on.wait(60)
        return "done"

    first = resident.call(0, long)
    assert busy.wait(60)
    waiting = [resident.call(0, lambda models, place=place: place) for place in range(WAITING)]
    with pytest.raises(MisdirectionError, match=f"{WAITING} requests of this and other tabs wait") as refused:
        resident.call(0, lambda models: None)
    assert refused.value.hint
    resident.stop([])
    go_on.set()
    assert first.result(60) == "done"
    assert [one.result(60) for one in waiting] == list(range(WAITING))
    assert resident.call(0, lambda models: "again").result(60) == "again"
    resident.close()


def test_pages_that_need_no_model_have_threads_left() -> None:
    """Starlette answers pages in as many threads as anyio lends; those that wait for the model must leave some."""
    from anyio.to_thread import current_default_thread_limiter

    async def lent() -> float:
        return current_default_thread_limiter().total_tokens

    assert asyncio.run(lent()) > WAITING
