"""Ids of the hub without a network: told at once, once, without noise; what lies in the cache still loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from tests.families import network, words

from misdirection import hub

_WORKER = """
import json
from misdirection.errors import MisdirectionError
from misdirection.features.load import fetch
from misdirection.features.releases import RELEASES
from misdirection.models import add_adapter, load_model, load_tokenizer
from misdirection.studies.kit.inputs import is_adapter
from misdirection.studies.kit.inputs import read_config

told = {}

def trial(name, function):
    try:
        told[name] = [str(function()), None]
    except MisdirectionError as error:
        told[name] = [str(error), error.hint]

trial("tokenizer", lambda: load_tokenizer("nobody/nothing"))
trial("model", lambda: load_model("nobody/nothing"))
trial("config", lambda: read_config("nobody/nothing"))
trial("gguf", lambda: load_model("nobody/nothing:some.gguf"))
trial("is adapter", lambda: is_adapter("nobody/nothing"))
trial("dictionary", lambda: fetch(next(iter(RELEASES.values())), "some"))
cached = load_model("somebody/cached")
told["cached"] = [cached.n_layers]
trial("adapter", lambda: add_adapter(cached, "one", "nobody/nothing"))
trial("layers", lambda: read_config("somebody/cached").num_hidden_layers)
print(json.dumps(told))
"""


@contextmanager
def server(status: int | None) -> Iterator[tuple[str, list[str]]]:
    """An endpoint that answers with a status, or not at all; with the paths that were asked for."""
    asked: list[str] = []
    done = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            if status is None:
                done.wait(10)
            else:
                self.send_response(status)
                self.end_headers()

        def log_message(self, *_: object) -> None: ...

    held = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=held.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{held.server_port}", asked
    finally:
        done.set()
        held.shutdown()
        held.server_close()


@pytest.fixture
def undecided(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(hub, "_told", [])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HF_HUB_OFFLINE", "HF_HUB_ETAG_TIMEOUT", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "")  # so that what a decision sets is taken back
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize("status", [200, 401, 404])
def test_an_endpoint_that_answers_anything_is_asked_once(undecided: pytest.MonkeyPatch, status: int) -> None:
    with server(status) as (address, asked):
        undecided.setattr(constants, "ENDPOINT", address)
        for _ in range(3):
            hub.prepare_hub("owner/name")
    assert len(asked) == 1
    assert hub.offline_because() is None
    assert not constants.is_offline_mode()
    assert hub.offline_hint() is None


@pytest.mark.parametrize(("status", "why"), [(503, "status 503"), (407, "status 407"), (None, "within 0.3 s")])
def test_a_proxy_or_line_with_nobody_behind_it_is_offline(
    undecided: pytest.MonkeyPatch, status: int | None, why: str
) -> None:
    undecided.setattr(hub, "_LIMIT", 0.3)
    with server(status) as (address, asked):
        undecided.setattr(constants, "ENDPOINT", address)
        for _ in range(3):
            hub.prepare_hub("owner/name")
    assert len(asked) == 1
    assert constants.is_offline_mode()
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert why in str(hub.offline_hint())


def test_a_limit_that_the_user_set_is_used(undecided: pytest.MonkeyPatch) -> None:
    undecided.setenv("HF_HUB_ETAG_TIMEOUT", "1")
    undecided.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 1)
    with server(None) as (address, _):
        undecided.setattr(constants, "ENDPOINT", address)
        assert "within 1 s" in str(hub.offline_because())


def test_the_proxy_of_the_environment_is_the_way(undecided: pytest.MonkeyPatch) -> None:
    from huggingface_hub.utils import close_session

    with server(200) as (address, asked):
        undecided.setenv("HTTP_PROXY", address)
        undecided.setattr(constants, "ENDPOINT", "http://hub.invalid")
        close_session()  # the client reads the environment when it is made
        try:
            assert hub.offline_because() is None
        finally:
            close_session()
    assert asked == ["http://hub.invalid/"]


@pytest.mark.parametrize("name", ["", ".", "/", "tests", "/no/such/folder", "./x", "one/two/three", "a:b.gguf"])
def test_what_is_no_id_asks_nobody(undecided: pytest.MonkeyPatch, name: str) -> None:
    with server(200) as (address, asked):
        undecided.setattr(constants, "ENDPOINT", address)
        hub.prepare_hub(name)
    assert not asked


def test_without_a_network_all_of_it_fails_at_once_and_the_cache_loads(tmp_path: Path) -> None:
    place = tmp_path / "home" / "hub" / "models--somebody--cached"
    snapshot = place / "snapshots" / ("0" * 40)
    network("llama").save_pretrained(snapshot)
    words().save_pretrained(snapshot)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0" * 40)
    settings = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    with server(503) as (address, asked):
        settings |= {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": address, "HF_HUB_OFFLINE": ""}
        done = subprocess.run([sys.executable, "-c", _WORKER], env=settings, capture_output=True, text=True, check=True)
    assert len(asked) == 1
    assert not done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["cached"] == [4]
    assert told["layers"][0] == "4"
    assert told["is adapter"][0] == "False"
    for name in ("tokenizer", "model", "config", "gguf", "dictionary", "adapter"):
        message, hint = told[name]
        assert f"{address} does not answer (status 503)" in hint, name
        assert "nobody/nothing" in message or name == "dictionary"
