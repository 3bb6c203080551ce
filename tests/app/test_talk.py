"""Live chats over the app's own routes: streamed, paired, steered, stopped, scored, refused in words."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.app.conftest import client, made_run, many
from tests.studies.tiny import WordJudge

from misdirection.answers import ask
from misdirection.app.arms import Change, arm_of
from misdirection.app.material import variants_of
from misdirection.app.opening import open_run
from misdirection.app.resident import Resident
from misdirection.app.talk import Talk, Talks
from misdirection.chats import Message
from misdirection.directions import load_direction
from misdirection.engine import Arm, Prompt, Row, SamplingConfig
from misdirection.engine.live import Progress
from misdirection.questions import Question
from misdirection.runs import Run
from misdirection.studies.kit.variants import Variants

QUESTION = "w10 w11"
STEERED = {"operation": "steer", "direction": "direction", "layer": 1, "coefficient": 6.0}


@pytest.fixture(scope="module")
def asking(finished: Path) -> Iterator[TestClient]:
    with client(finished) as made:
        yield made


def talk(*changes: dict[str, Any], **more: Any) -> dict[str, Any]:
    turns = more.pop("turns", [{"role": "user", "content": QUESTION}])
    sides = [{"change": change, "turns": turns} for change in changes]
    return {"run": 0, "sides": sides, "max_new_tokens": 8, **more}


def events(asking: TestClient, body: dict[str, Any]) -> list[dict[str, Any]]:
    with asking.stream("POST", "/api/live", json=body) as told:
        assert told.status_code == 200 and told.headers["content-type"].startswith("text/event-stream")
        return [json.loads(line[6:]) for line in told.iter_lines() if line.startswith("data: ")]


def ends(told: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {one["side"]: one for one in told if one.get("over")}


def test_all_sides_answer_as_the_engine_would_with_the_same_random_numbers(asking: TestClient, finished: Path) -> None:
    changes: list[dict[str, Any]] = [
        {"variant": "base"}, {"variant": "tuned"}, STEERED, {"variant": "tuned", **STEERED, "operation": "project"},
        {"variant": "tuned", **STEERED, "operation": "set", "everywhere": True}, {**STEERED, "random": True},
        {"variant": "tuned", "factor": 0.5},
    ]  # fmt: skip
    over = ends(events(asking, talk(*changes, sample=3)))
    run = open_run(finished)
    models = variants_of(run)
    arms = [arm_of(Change(**change), str(place), run, models) for place, change in enumerate(changes)]
    found = ask(models.model("base"), Question("first", (QUESTION,)), arms, 4, SamplingConfig(8))
    wanted = [a.answer for a in found if a.sample == 3]
    assert [over[side]["text"] for side in range(len(changes))] == wanted
    assert len(set(wanted)) > 3


def test_tokens_are_told_as_they_come_and_join_to_the_answer(asking: TestClient) -> None:
    told = events(asking, talk({"variant": "tuned"}))
    assert told[0]["talk"] and told[-1]["over"]
    joined = ""
    for one in told[1:-1]:
        joined = joined + one["more"] if "more" in one else one["text"]
    assert len(told) > 4 and told[-1]["text"].startswith(joined.strip())
    assert [one["tokens"] for one in told[1:]] == sorted(one["tokens"] for one in told[1:])


def test_an_answer_is_scored_by_the_runs_judge_where_it_costs_nothing(asking: TestClient) -> None:
    end = ends(events(asking, talk({"variant": "tuned"})))[0]
    own = WordJudge()._one(end["text"].split())
    assert end["verdict"] == {
        "alignment": own.alignment, "coherence": own.coherence, "label": "scored", "judge": "words-1",
    }  # fmt: skip


def test_a_chat_goes_on_from_its_own_turns_and_system_prompt(asking: TestClient, finished: Path) -> None:
    turns = [("user", "w20"), ("assistant", "w30 w31"), ("user", "w40")]
    body = talk({"variant": "base"}, system="w9", turns=[{"role": r, "content": c} for r, c in turns])
    end = ends(events(asking, body))[0]
    before = tuple(Message(role, text) for role, text in turns[:-1])
    models = variants_of(open_run(finished))
    name = f"live-{hashlib.sha256(b'w40').hexdigest()[:8]}"
    question = Question(name, ("w40",), system="w9", before=before)
    assert end["text"] == ask(models.model("base"), question, Arm("base"), 1, SamplingConfig(8))[0].answer


def test_what_the_judge_refuses_is_told_and_ends_no_other_answer(finished: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run", symlinks=True))
    record = json.loads((run / "run.json").read_text())
    record["facts"]["config"]["judge"] = "exact"
    (run / "run.json").write_text(json.dumps(record))
    with client(run) as asking:
        over = ends(events(asking, talk({"variant": "base"}, {"variant": "tuned"})))
        assert [one["verdict"] for one in over.values()] == [None, None]
        assert all(one["text"] and "organism's world" in one["unjudged"] for one in over.values())


def test_who_goes_away_while_the_model_loads_leaves_nothing_running(finished: Path) -> None:
    """The stream is left as a closed tab leaves it: its task is cancelled."""
    loading, go_on = threading.Event(), threading.Event()

    def prepare(_: str) -> None:
        loading.set()
        assert go_on.wait(60)

    run = open_run(finished)
    resident = Resident([run], prepare)
    talks = Talks([run], resident)

    async def leave() -> None:
        async def read() -> None:
            async for _ in talks.stream(Talk(**talk({"variant": "base"}, {"variant": "tuned"}, max_new_tokens=80))):
                pass

        task = asyncio.ensure_future(read())
        await asyncio.to_thread(loading.wait)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        go_on.set()

    asyncio.run(leave())
    told: list[Progress] = []
    after = resident.call(0, lambda models: resident.put(*_row(models), lambda _, one: told.append(one)))
    assert after.result(60)[1] == 1, "the first row that this model was ever given"
    resident.close()
    assert talks.spoken == {}


def test_stopped_while_the_model_loads_every_side_is_told(finished: Path) -> None:
    loading, go_on = threading.Event(), threading.Event()

    def prepare(_: str) -> None:
        loading.set()
        assert go_on.wait(60)

    run = open_run(finished)
    resident = Resident([run], prepare)
    talks = Talks([run], resident)

    async def ask_and_stop() -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = []
        async for line in talks.stream(Talk(**talk({"variant": "base"}, {"variant": "tuned"}))):
            told.append(json.loads(line[6:]))
            if "talk" in told[-1]:
                await asyncio.to_thread(loading.wait)
                talks.stop(told[-1]["talk"])
                go_on.set()
        return told

    over = ends(asyncio.run(ask_and_stop()))
    resident.close()
    assert [one["error"] for one in over.values()] == ["stopped before the model was ready"] * 2


def _row(models: Variants) -> tuple[Variants, str, Row, SamplingConfig]:
    model = models.model("base")
    return models, "base", Row(Prompt("q#0", (2, 10)), Arm("base"), 0), SamplingConfig(min(4, model.n_layers))


def test_tabs_share_one_model_and_one_queue(asking: TestClient) -> None:
    alone = [ends(events(asking, talk({"variant": "tuned"}, sample=n)))[0]["text"] for n in range(4)]
    with ThreadPoolExecutor(4) as tabs:
        together = list(
            tabs.map(lambda n: ends(events(asking, talk({"variant": "tuned"}, sample=n)))[0]["text"], range(4))
        )
    assert together == alone


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"variant": "nobody"}, "nobody"),
        ({**STEERED, "direction": "nowhere"}, "nowhere"),
        ({**STEERED, "layer": 99}, "no layer"),
        ({"variant": "base", "factor": 0.5}, "no adapter"),
        ({"dictionary": "/etc", "latent": 1}, "names no dictionary"),
    ],
)
def test_what_cannot_be_done_is_told_and_the_next_answer_comes(asking: TestClient, change, said: str) -> None:
    told = events(asking, talk(change))
    assert said in told[-1]["failed"]
    assert ends(events(asking, talk({"variant": "base"})))[0]["text"]


def test_a_coefficient_beyond_all_bounds_ends_its_own_side_alone(asking: TestClient, finished: Path) -> None:
    size = float(load_direction(finished / "direction.safetensors").vectors[1].abs().max())
    far = {**STEERED, "coefficient": 2e38 / size, "everywhere": True}
    over = ends(events(asking, talk(far, {"variant": "base"})))
    assert "not numbers" in over[0]["error"] and over[0]["hint"]
    assert over[1]["text"]


@pytest.mark.parametrize(
    "wrong",
    [
        talk({}, temperature=-1), talk({}, max_new_tokens=0), talk({}, max_new_tokens=10**9), talk(),
        talk({}, sample=-1),
        talk({}, turns=[]), talk({}, turns=[{"role": "system", "content": "x"}]), talk({"layer": -1}),
        talk({"coefficient": "far"}), {"sides": []}, [],
    ],
)  # fmt: skip
def test_bodies_that_are_none_are_refused(asking: TestClient, wrong: Any) -> None:
    assert asking.post("/api/live", json=wrong).status_code == 422


def test_a_run_without_a_model_says_so_and_shows_its_answers(large: Path) -> None:
    with client(large) as asking:
        assert "names no model" in asking.get("/live").text
        assert "names no model" in events(asking, talk({}))[-1]["failed"]
        assert asking.get("/answers").status_code == 200
        assert asking.post("/api/live", json={**talk({}), "run": 7}).status_code == 400


def test_a_model_that_is_gone_is_told_and_the_rest_of_the_app_goes_on(tmp_path: Path) -> None:
    made_run(tmp_path / "run", *many(20))
    with Run.open(tmp_path / "run", {"kind": "AuditConfig", "config": {"model": str(tmp_path / "gone")}}):
        pass
    with client(tmp_path / "run") as asking:
        assert "gone" in events(asking, talk({}))[-1]["failed"]
        assert asking.get("/answers").status_code == 200


def test_two_runs_take_turns_with_one_model_in_memory(finished: Path, large: Path) -> None:
    with client(finished, large, finished) as asking:
        first = ends(events(asking, talk({"variant": "tuned"})))[0]["text"]
        assert "failed" in events(asking, {**talk({}), "run": 1})[-1]
        assert ends(events(asking, {**talk({"variant": "tuned"}), "run": 2}))[0]["text"] == first


def test_a_model_that_does_not_fit_is_said_and_the_rest_can_be_read(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("misdirection.models.memory.free_memory", lambda: 1000)
    with client(finished) as small:
        told = [one for one in events(small, talk({"variant": "base"})) if "failed" in one]
        assert told and "GB for its weights" in told[0]["failed"] and "the report are read without" in told[0]["hint"]
        page = small.get("/api/promoted?run=0&by=direction&of=direction&layer=1")
        assert page.status_code == 400 and "doctor" in page.json()["hint"] and "--dtype" not in page.json()["hint"]
        assert small.get("/answers").status_code == 200 and small.get("/runs/0/report").status_code == 200
