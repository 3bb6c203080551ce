"""Chat completions to one server, many at a time: keys, proxies, retries, and what its statuses mean.

Whoever asks, judge or sampler, asks through here; what is asked, and what is made of the reply, is theirs.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from misdirection import progress
from misdirection.judging.asking import Failed, Misspoken, Refused
from misdirection.judging.faults import ServerAnswer
from misdirection.judging.retries import Gate, JudgeError, Patience, Room, is_transient

if TYPE_CHECKING:
    from aiohttp import ClientSession

KEYS = {
    "api.openai.com": "OPENAI_API_KEY",
    "openrouter.ai": "OPENROUTER_API_KEY",
    "api.anthropic.com": "ANTHROPIC_API_KEY",
}
"""Where the key for a server is found. A key is never sent to a server that it is not for."""
ANY_KEY = "MISDIRECTION_JUDGE_KEY"
"""Key for a server that has no variable of its own."""

BUSY = (429, 529)
"""Statuses of a server that is there and has too much to do."""
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}


def _says_something(answer: ServerAnswer) -> bool:
    return answer.is_reply


SAID = 3
"""Tries of one request behind which it is said that it fails."""


@dataclass(frozen=True)
class Connection:
    """A server, and how it is borne with.

    Attributes:
        url: Base URL.
        model: As the server calls it, for errors.
        key: API key.
        in_flight: Requests at a time.
        patience: Retries and time-outs.
        accepts: Whether an answer is what was asked for; by default a choice with something in it.
    """

    url: str
    model: str
    key: str = field(repr=False)
    in_flight: int = 64
    patience: Patience = field(default_factory=Patience)
    accepts: Callable[[ServerAnswer], bool] = _says_something


@asynccontextmanager
async def posting(line: Connection) -> AsyncGenerator[Post]:
    """A client of the server; what it gives takes the body of a chat completion and gives the reply's bytes."""
    import aiohttp

    # Requests are what a clumsy client spends its time on: aiohttp without a layer above it takes half of the
    # processor's time that OpenAI's own client takes, whose retries and objects would not be used.
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=line.in_flight),
        headers={"Authorization": f"Bearer {line.key}"},
    ) as client:
        yield Post(line, client)


class Post:
    """One round of requests."""

    def __init__(self, line: Connection, client: ClientSession) -> None:
        self.line = line
        self.client = client
        self.heard = False
        self.gate = Gate()
        self.room = Room(line.in_flight, line.patience.timeout)
        self.proxy = proxy_for(line.url)
        self.waiting = False

    async def __call__(self, body: Mapping[str, Any]) -> bytes:
        """The reply's bytes; transient faults are waited out.

        Raises:
            Refused: The server does not take this request.
            Misspoken: What comes back is no reply, however often it is asked for.
            Failed: The request failed for good.
            JudgeError: The server refuses for good (key, model).
        """
        from aiohttp import ClientError

        patience = self.line.patience
        data = json.dumps(body).encode()
        tries = 0
        while True:
            await self.gate.passed()
            tries += 1
            order, spoken, busy = 0.0, False, False
            try:
                async with self.room:
                    answer = await self._in_time(data)
            except (ClientError, TimeoutError) as error:
                fault = f"{type(error).__name__}: {error}"
            else:
                self.heard = True
                if self.line.accepts(answer):
                    return answer.content
                spoken = answer.meant == 200
                if not spoken and (not is_transient(answer.meant) or answer.is_quota):
                    raise self._final(answer)
                order, fault, busy = answer.order, answer.fault, answer.meant in BUSY
                if order > patience.longest_order:
                    told = f"{self.line.url} asks to wait {order:.0f} s"
                    raise JudgeError(told, "come back later") from Failed(told, busy=True)
                self.gate.close(order)
            if tries >= (patience.attempts if self.heard else min(4, patience.attempts)):
                told = f"{tries} tries, the last ended with {fault}"
                raise Misspoken(told) if spoken else Failed(told, not self.heard, busy)
            self._say_waiting(tries, fault)
            await asyncio.sleep(max(order, patience.wait(tries)))

    def _say_waiting(self, tries: int, fault: str) -> None:
        """Say once why nothing comes, where one request has failed several times."""
        if tries == SAID and not self.waiting:
            self.waiting = True
            told = f"a request to {self.line.url} failed {tries} times, the last ended with {fault}"
            progress.say(f"  {told}; asking again, up to {self.line.patience.attempts} times each")

    async def _in_time(self, data: bytes) -> ServerAnswer:
        """The answer; where it takes too long, less is asked at a time from then on."""
        begun, room, longest = time.monotonic(), self.room, self.line.patience.timeout
        try:
            answer = await self._send(data)
        except TimeoutError:
            if room.too_long(begun):
                longer = f", for up to {room.seconds:g} s each" if room.seconds > longest else ""
                told = f"{self.line.url} takes over {longest:g} s a request"
                progress.say(f"  {told}: {room.most} at a time from now on{longer}")
            raise
        room.came()
        return answer

    async def _send(self, data: bytes) -> ServerAnswer:
        from aiohttp import ClientTimeout

        url = f"{self.line.url}/chat/completions"
        # A redirected POST would come back as a GET; its status is told instead.
        timeout = ClientTimeout(total=self.room.seconds)
        async with self.client.post(
            url, data=data, headers=_JSON, allow_redirects=False, proxy=self.proxy, timeout=timeout
        ) as response:
            return ServerAnswer(response.status, response.headers, await response.read())

    def _final(self, answer: ServerAnswer) -> Exception:
        """What a status that does not pass means."""
        where, model, status = self.line.url, self.line.model, answer.meant
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


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for a server (HTTPS_PROXY and so on), None where there is none.

    Asked once: aiohttp's own `trust_env` looks it up in a thread for every request, which costs as much as the request.
    """
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def key_variable(url: str) -> str:
    """The environment variable that holds the key for a server."""
    host = urlsplit(url).hostname or ""
    if host in KEYS:
        return KEYS[host]
    ours = os.environ.get("OPENAI_BASE_URL")
    return "OPENAI_API_KEY" if ours and urlsplit(ours).hostname == host else ANY_KEY
