"""A judge behind any OpenAI-compatible server, asked many questions at a time.

    openai:gpt-4o-2024-08-06                                        OpenAI, key in OPENAI_API_KEY
    openai:meta-llama/llama-3.3-70b-instruct@https://openrouter.ai/api/v1     key in OPENROUTER_API_KEY
    openai:claude-sonnet-4-5@https://api.anthropic.com/v1/          key in ANTHROPIC_API_KEY; gives no probabilities
    openai:Qwen/Qwen2.5-72B-Instruct@http://localhost:8000/v1       vLLM, SGLang, llama.cpp, transformers serve

How a judge is asked, and met half way where it refuses, is in `asking`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from misdirection.errors import MissingExtraError
from misdirection.judging.asking import Asker, Failed, Manner, Misspoken, Refused, keep_manner, known_manner, run
from misdirection.judging.faults import ServerAnswer
from misdirection.judging.options import read_options
from misdirection.judging.replies import Reply, parse_reply
from misdirection.judging.retries import Gate, JudgeError, Patience, is_transient
from misdirection.judging.rubric_judge import PROBE, Query, RubricJudge
from misdirection.judging.scoring import Reading

if TYPE_CHECKING:
    from aiohttp import ClientSession

DEFAULT_URL = "https://api.openai.com/v1"
KEYS = {
    "api.openai.com": "OPENAI_API_KEY",
    "openrouter.ai": "OPENROUTER_API_KEY",
    "api.anthropic.com": "ANTHROPIC_API_KEY",
}
"""Where the key for a server is found. A key is never sent to a server that it is not for."""
ANY_KEY = "MISDIRECTION_JUDGE_KEY"
"""Key for a server that has no variable of its own."""


@dataclass
class Provider:
    """Asks a server.

    Attributes:
        model: As the server calls it.
        url: Base URL, such as https://api.openai.com/v1.
        key: API key.
        in_flight: Requests at a time.
        patience: Retries and time-outs.
        manner: How the server is asked at present; what it wants is known for the process.
    """

    model: str
    url: str
    key: str = field(repr=False)
    in_flight: int = 64
    patience: Patience = field(default_factory=Patience)
    manner: Manner = field(default_factory=Manner)

    def __post_init__(self) -> None:
        if self.manner == Manner():
            self.manner = known_manner(self.url, self.model)

    def ask(self, queries: Sequence[Query], keep: Callable[[Query, Reading], None]) -> None:
        """Ask all queries, handing over each reading as it comes.

        Raises:
            JudgeError: The server refuses for good (key, model), or too many requests failed.
        """
        run(_Session(self).run(queries, keep))

    def probe(self, keep: Callable[[Reading], None]) -> None:
        """Ask one cheap question, with little patience; `manner` learns from it."""
        hasty = replace(self.patience, attempts=2, timeout=min(30.0, self.patience.timeout), longest_order=1.0)
        probe = replace(self, patience=hasty)
        try:
            probe.ask([PROBE], lambda query, reading: keep(reading))
        finally:
            self.manner = probe.manner


class _Session:
    """One round of asking."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.heard = False
        self.gate = Gate()
        self.proxy = proxy_for(provider.url)

    async def run(self, queries: Sequence[Query], keep: Callable[[Query, Reading], None]) -> None:
        import aiohttp

        p = self.provider
        # Requests are what a clumsy client spends its time on: aiohttp without a layer above it takes half of the
        # processor's time that OpenAI's own client takes, whose retries and objects would not be used.
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=p.in_flight),
            headers={"Authorization": f"Bearer {p.key}"},
            timeout=aiohttp.ClientTimeout(total=p.patience.timeout),
        ) as client:

            async def send(prompt: str, manner: Manner) -> Reply | None:
                return parse_reply(await self._post(client, request_body(p.model, prompt, manner)))

            asker = Asker(p.url, p.model, send, p.patience, p.manner)
            try:
                await asker.read_all(queries, keep, p.in_flight)
            finally:
                p.manner = keep_manner(p.url, p.model, asker.manner)

    async def _post(self, client: ClientSession, body: dict[str, Any]) -> bytes:
        """The reply's bytes; transient faults are waited out."""
        from aiohttp import ClientError

        patience = self.provider.patience
        data = json.dumps(body).encode()
        tries = 0
        while True:
            await self.gate.passed()
            tries += 1
            order, spoken, busy = 0.0, False, False
            try:
                answer = await self._send(client, data)
            except (ClientError, TimeoutError) as error:
                fault = f"{type(error).__name__}: {error}"
            else:
                self.heard = True
                if answer.is_reply:
                    return answer.content
                spoken = answer.meant == 200
                if not spoken and (not is_transient(answer.meant) or answer.is_quota):
                    raise self._final(answer)
                order, fault, busy = answer.order, answer.fault, answer.meant in BUSY
                if order > patience.longest_order:
                    told = f"{self.provider.url} asks to wait {order:.0f} s"
                    raise JudgeError(told, "come back later") from Failed(told, busy=True)
                self.gate.close(order)
            if tries >= (patience.attempts if self.heard else min(4, patience.attempts)):
                told = f"{tries} tries, the last ended with {fault}"
                raise Misspoken(told) if spoken else Failed(told, not self.heard, busy)
            await asyncio.sleep(max(order, patience.wait(tries)))

    async def _send(self, client: ClientSession, data: bytes) -> ServerAnswer:
        url = f"{self.provider.url}/chat/completions"
        # A redirected POST would come back as a GET; its status is told instead.
        async with client.post(url, data=data, headers=_JSON, allow_redirects=False, proxy=self.proxy) as response:
            return ServerAnswer(response.status, response.headers, await response.read())

    def _final(self, answer: ServerAnswer) -> Exception:
        """What a status that does not pass means."""
        where, model, status = self.provider.url, self.provider.model, answer.meant
        if status in (400, 413, 422):
            return Refused(answer.complaint if status != 413 else "too long")
        hints = {
            401: "check the API key in the environment: " + key_variable(where),
            402: "the account has no credit left",
            403: "the key may not use this model",
            404: "check the model's name and the base URL (most end in /v1)",
            429: "the account has no credit left",
        }
        hint = hints.get(status, "the server will not take it; see its documentation")
        return JudgeError(f"{where} answers {status} for {model}: {answer.complaint}", hint)


BUSY = (429, 529)
"""Statuses of a server that is there and has too much to do."""
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for a server (HTTPS_PROXY and so on), None where there is none.

    Asked once: aiohttp's own `trust_env` looks it up in a thread for every request, which costs as much as the request.
    """
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def request_body(model: str, prompt: str, manner: Manner) -> dict[str, Any]:
    """A chat completion that asks in a manner."""
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    body |= {"temperature": 0} if manner.temperature else {}
    body[manner.limit] = manner.tokens
    if manner.seed:
        body["seed"] = 0
    return body | ({"logprobs": True, "top_logprobs": manner.top} if manner.top else {})


def make_provider(
    model: str, url: str | None = None, key: str | None = None, *, in_flight: int = 64, patience: Patience | None = None
) -> Provider:
    """A server by its URL and key, or by those of the environment.

    Raises:
        MissingExtraError: The client is not installed.
        JudgeError: The URL is no URL or holds a password, or there is no key for OpenAI.
    """
    if importlib.util.find_spec("aiohttp") is None:
        raise MissingExtraError("aiohttp", "judges")
    url = url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise JudgeError(f"'{url}' is no base URL", "write openai:<model>@https://host/v1")
    if parts.username or parts.password:
        raise JudgeError(f"the base URL of {parts.hostname} holds a password", f"put the key into {key_variable(url)}")
    key = key or os.environ.get(key_variable(url))
    if not key and parts.hostname in KEYS:
        raise JudgeError(f"there is no key for {parts.hostname}", f"put it into {key_variable(url)}")
    return Provider(model, url.rstrip("/"), key or "none", in_flight, patience or Patience())


def key_variable(url: str) -> str:
    """The environment variable that holds the key for a server."""
    host = urlsplit(url).hostname or ""
    if host in KEYS:
        return KEYS[host]
    ours = os.environ.get("OPENAI_BASE_URL")
    return "OPENAI_API_KEY" if ours and urlsplit(ours).hostname == host else ANY_KEY


def provider_judge(argument: str) -> RubricJudge:
    """The judge that "openai:<argument>" names.

    Raises:
        MisdirectionError: See `make_provider` and `read_options`.
    """
    options = read_options(argument, "openai", {"in_flight": 1, "timeout": 0.001, "attempts": 1})
    model, url = _split_url(options.target)
    numbers = options.numbers
    patience = Patience(timeout=numbers.get("timeout", 60.0), attempts=int(numbers.get("attempts", 8)))
    provider = make_provider(model, url, in_flight=int(numbers.get("in_flight", 64)), patience=patience)
    return RubricJudge(f"openai:{provider.model}@{provider.url}", provider.ask, options.rubrics, probe=provider.probe)


def _split_url(target: str) -> tuple[str, str | None]:
    """Model and base URL; a model's own name may begin with "@"."""
    place = max(target.rfind("@http://"), target.rfind("@https://"))
    return (target, None) if place <= 0 else (target[:place], target[place + 1 :])
