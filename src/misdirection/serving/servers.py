"""Which server serves which arm: base=http://localhost:8000/v1#Qwen/Qwen2.5-7B-Instruct, tuned=...#my-adapter."""

from __future__ import annotations

import importlib.util
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from misdirection.errors import MisdirectionError, MissingExtraError
from misdirection.judging.posting import key_variable, proxy_for

KEY = "MISDIRECTION_SERVE_KEY"
"""Environment variable with the key of the servers; that of a known provider has its own."""
HOW = "write --serve base=http://HOST:PORT/v1#MODEL,tuned=http://HOST:PORT/v1#ADAPTER"


@dataclass(frozen=True)
class Server:
    """A model behind an OpenAI-compatible server.

    Attributes:
        url: Base URL, such as http://localhost:8000/v1.
        model: As the server calls it; "" until it was asked which it has.
    """

    url: str
    model: str = ""

    @property
    def told(self) -> str:
        """As it is typed."""
        return f"{self.url}#{self.model}" if self.model else self.url

    @property
    def key(self) -> str:
        """The API key, from the environment."""
        return os.environ.get(KEY) or os.environ.get(key_variable(self.url)) or "none"


def read_servers(specs: Sequence[str]) -> dict[str, Server]:
    """ARM=URL, with the served model's name behind "#" or as ?model=NAME.

    Raises:
        MisdirectionError: One names no arm or no URL, an arm stands twice, or a URL holds a password.
    """
    found: dict[str, Server] = {}
    for spec in specs:
        arm, sign, url = spec.partition("=")
        if not (arm and sign and url) or "://" in arm:
            raise MisdirectionError(f"--serve: '{spec}' names no arm", HOW)
        if arm in found:
            raise MisdirectionError(f"--serve: the arm '{arm}' is served twice", "give one server an arm")
        found[arm] = _server(url)
    return found


def _server(text: str) -> Server:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise MisdirectionError(f"--serve: '{text}' is no URL", HOW)
    if parts.username or parts.password:
        raise MisdirectionError(
            f"--serve: the URL of {parts.hostname} holds a password", f"put the key into the environment: {KEY}"
        )
    model = parts.fragment or next(iter(parse_qs(parts.query).get("model", [])), "")
    return Server(urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", "")), model)


def reach(servers: Mapping[str, Server], timeout: float = 20.0) -> dict[str, Server]:
    """Ask each server which models it has, before anything is loaded; gives them with the names that they serve.

    Raises:
        MissingExtraError: The client is not installed.
        MisdirectionError: Nobody answers, a model is not served, several are and none is named, or two arms are served
            by one model.
    """
    if servers and importlib.util.find_spec("aiohttp") is None:
        raise MissingExtraError("aiohttp", "judges")
    found: dict[str, Server] = {}
    for arm, server in servers.items():
        found[arm] = _named(arm, server, _models(server, timeout))
        if twin := next((other for other in found if other != arm and found[other] == found[arm]), None):
            raise MisdirectionError(
                f"--serve: {twin} and {arm} are both served by {found[arm].told}, so they would be one model",
                "name the served adapter behind its URL: tuned=URL#NAME (vLLM: --lora-modules NAME=FOLDER)",
            )
    return found


def _named(arm: str, server: Server, models: Sequence[str]) -> Server:
    if server.model and models and server.model not in models:
        raise MisdirectionError(
            f"--serve {arm}: {server.url} serves no model '{server.model}'", f"it serves {', '.join(models[:20])}"
        )
    if not server.model and len(models) != 1:
        raise MisdirectionError(
            f"--serve {arm}: {server.url} serves {len(models)} models, and none is named",
            f"write {server.url}#NAME, one of {', '.join(models[:20])}" if models else f"write {server.url}#NAME",
        )
    return server if server.model else replace(server, model=models[0])


def _models(server: Server, timeout: float) -> list[str]:
    """Names of what is served, by GET /models; empty where the server keeps no such list, and a model is named."""
    request = urllib.request.Request(f"{server.url}/models", headers={"Authorization": f"Bearer {server.key}"})
    proxy = proxy_for(server.url)
    handler = urllib.request.ProxyHandler({urlsplit(server.url).scheme: proxy} if proxy else {})
    try:
        with urllib.request.build_opener(handler).open(request, timeout=timeout) as reply:
            told: Any = json.loads(reply.read())
        return [str(model["id"]) for model in told["data"]]
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            hint = f"check the API key in the environment: {KEY}"
            raise MisdirectionError(f"--serve: {server.url} answers {error.code}", hint) from error
        # transformers serve answers 500 where the hub's cache has no folder yet.
        if server.model and error.code in (404, 405, 500, 501):
            return []
        raise _deaf(server, f"it answers {error.code} for /models") from error
    except (OSError, ValueError) as error:
        raise _deaf(server, str(error)) from error
    except (LookupError, TypeError) as error:
        raise _deaf(server, "what it says of its models is no list of the protocol") from error


def _deaf(server: Server, why: str) -> MisdirectionError:
    hint = "check that the server runs and its base URL (most end in /v1); nothing was loaded or asked yet"
    return MisdirectionError(f"--serve: {server.url} cannot be asked: {why}", hint)
