"""A judge behind any OpenAI-compatible server, asked many questions at a time.

    openai:gpt-4o-2024-08-06                                        OpenAI, key in OPENAI_API_KEY
    openai:meta-llama/llama-3.3-70b-instruct@https://openrouter.ai/api/v1     key in OPENROUTER_API_KEY
    openai:claude-sonnet-4-5@https://api.anthropic.com/v1/          key in ANTHROPIC_API_KEY; gives no probabilities
    openai:Qwen/Qwen2.5-72B-Instruct@http://localhost:8000/v1       vLLM, SGLang, llama.cpp, transformers serve

One answer token at temperature 0 with the twenty likeliest tokens, seed 0 (2506.11618 and its code). A server that
refuses or withholds these is met half way: five tokens, then the written number, whose outcome is "parsed".
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from misdirection.errors import MissingExtraError
from misdirection.judging.options import read_options
from misdirection.judging.replies import Reply, parse_reply
from misdirection.judging.retries import Gate, JudgeError, Patience, is_transient, retry_after
from misdirection.judging.rubric_judge import Query, RubricJudge
from misdirection.judging.scoring import Reading

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

DEFAULT_URL = "https://api.openai.com/v1"
KEYS = {
    "api.openai.com": "OPENAI_API_KEY",
    "openrouter.ai": "OPENROUTER_API_KEY",
    "api.anthropic.com": "ANTHROPIC_API_KEY",
}
"""Where the key for a server is found. A key is never sent to a server that it is not for."""
ANY_KEY = "MISDIRECTION_JUDGE_KEY"
"""Key for a server that has no variable of its own."""

MALFORMED_TRIES = 3
_BLOCKED = ("content_filter", "content_policy", "context_length", "maximum context", "too long", "safety")


@dataclass(frozen=True)
class Manner:
    """How a server is asked; it changes when the server refuses it.

    Attributes:
        top: How many of the likeliest tokens are asked for; 0 reads the written number.
        limit: What the server calls the longest reply.
        seed: Whether a seed is sent.
        tokens: Longest reply; one, unless numbers must be read whole.
        whole_numbers: True once a token of two digits was seen: the tokenizer then does not cut numbers.
    """

    top: int = 20
    limit: str = "max_tokens"
    seed: bool = True
    tokens: int = 1
    whole_numbers: bool = False

    def body(self, model: str, prompt: str) -> dict[str, Any]:
        """The request."""
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": prompt}], "temperature": 0}
        body[self.limit] = self.tokens
        if self.seed:
            body["seed"] = 0
        return body | ({"logprobs": True, "top_logprobs": self.top} if self.top else {})

    def without(self, complaint: str) -> Manner | None:
        """The next manner to try after a complaint; None when the complaint is about something else."""
        if self.top and "logprobs" in complaint:
            return replace(self, top=5) if self.top > 5 else self.written()
        if self.limit == "max_tokens" and "max_tokens" in complaint:
            return replace(self, limit="max_completion_tokens")
        if self.seed and "seed" in complaint:
            return replace(self, seed=False)
        return None

    def written(self) -> Manner:
        """Reading the written number, which may be several tokens long."""
        return replace(self, top=0, tokens=16)


class _Refused(Exception):
    """The server does not take the manner, or will not judge this text."""

    def __init__(self, complaint: str) -> None:
        self.complaint = complaint


class _Failed(Exception):
    """A request failed for good."""


@dataclass
class Provider:
    """Asks a server.

    Attributes:
        model: As the server calls it.
        url: Base URL, such as https://api.openai.com/v1.
        key: API key.
        in_flight: Requests at a time.
        patience: Retries and time-outs.
        manner: How the server is asked at present.
    """

    model: str
    url: str
    key: str = field(repr=False)
    in_flight: int = 64
    patience: Patience = field(default_factory=Patience)
    manner: Manner = field(default_factory=Manner)

    def ask(self, queries: Sequence[Query], keep: Callable[[Query, Reading], None]) -> None:
        """Ask all queries, handing over each reading as it comes.

        Raises:
            JudgeError: The server refuses for good (key, model), or too many requests failed.
        """
        _run(_Session(self, queries, keep).run())


class _Session:
    """One round of asking."""

    def __init__(self, provider: Provider, queries: Sequence[Query], keep: Callable[[Query, Reading], None]) -> None:
        self.provider, self.keep = provider, keep
        self.waiting: Iterator[Query] = iter(queries)
        self.count = len(queries)
        self.failed = 0
        self.heard = False
        self.gate = Gate()

    async def run(self) -> None:
        from openai import AsyncOpenAI, DefaultAioHttpClient

        p = self.provider
        # The client's own transport looks at every open connection for every request: with many in flight, that is
        # most of the time that a request takes here.
        http = DefaultAioHttpClient(timeout=p.patience.timeout)
        client = AsyncOpenAI(api_key=p.key, base_url=p.url, max_retries=0, timeout=p.patience.timeout, http_client=http)
        async with client:
            tasks = [asyncio.ensure_future(self._work(client)) for _ in range(min(p.in_flight, self.count))]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, client: AsyncOpenAI) -> None:
        for query in self.waiting:
            try:
                reading = await self._read(client, query)
            except _Failed as error:
                reading = Reading("failed")
                self._bear(error)
            self.keep(query, reading)

    def _bear(self, error: _Failed) -> None:
        self.failed += 1
        if not self.heard or self.failed > self.provider.patience.tolerated * self.count:
            raise JudgeError(
                f"{self.provider.url} does not answer for {self.provider.model}: {error}",
                "what was judged so far is kept; run the same command again to go on",
            ) from error

    async def _read(self, client: AsyncOpenAI, query: Query) -> Reading:
        prompt = query.rubric.prompt(query.question, query.answer)
        tokens, malformed = 1, 0
        while True:
            manner = self.provider.manner
            used = replace(manner, tokens=max(tokens, manner.tokens))
            try:
                content = await self._post(client, used.body(self.provider.model, prompt))
            except _Refused as refusal:
                if self._adapt(manner, refusal.complaint):
                    continue
                return Reading("blocked")
            reply = parse_reply(content)
            if reply is None:
                malformed += 1
                if malformed == MALFORMED_TRIES:
                    return Reading("malformed")
                await asyncio.sleep(self.provider.patience.wait(malformed))
            elif used.top and reply.top is None and not reply.filtered:
                self._change(manner, manner.written())
            elif used.tokens == 1 and used.top and self._may_cut(reply):
                tokens = 4
            else:
                self._learn(reply)
                return reply.read()

    def _may_cut(self, reply: Reply) -> bool:
        return reply.one_digit_only and not self.provider.manner.whole_numbers

    def _learn(self, reply: Reply) -> None:
        """Remember whether the server's tokenizer cuts numbers, so that later questions need no second look."""
        manner = self.provider.manner
        if reply.cut_number:
            self.provider.manner = replace(manner, tokens=max(4, manner.tokens))
        elif not manner.whole_numbers and any(len(token.strip()) == 2 for token in reply.top or () if token.isdigit()):
            self.provider.manner = replace(manner, whole_numbers=True)

    def _adapt(self, used: Manner, complaint: str) -> bool:
        """Whether there is another manner to try; the server's complaint is final otherwise."""
        if any(sign in complaint.lower() for sign in _BLOCKED):
            return False
        other = used.without(complaint)
        if other is None:
            raise JudgeError(
                f"{self.provider.url} refuses the request for {self.provider.model}: {complaint}",
                "choose a model that takes a plain chat completion at temperature 0",
            )
        self._change(used, other)
        return True

    def _change(self, used: Manner, other: Manner) -> None:
        # Many requests meet the same refusal at a time; the first of them changes the manner.
        if self.provider.manner == used:
            self.provider.manner = other

    async def _post(self, client: AsyncOpenAI, body: dict[str, Any]) -> bytes:
        """The reply's bytes; transient faults are waited out."""
        from openai import APIConnectionError, APIStatusError

        patience = self.provider.patience
        tries = 0
        while True:
            await self.gate.passed()
            tries += 1
            order = 0.0
            try:
                content = await self._send(client, body)
            except APIStatusError as error:
                self.heard = True
                if not is_transient(error.status_code) or _is_quota(error):
                    raise self._final(error) from error
                order, fault = retry_after(error.response.headers), f"status {error.status_code}"
                if order > patience.longest_order:
                    raise JudgeError(f"{self.provider.url} asks to wait {order:.0f} s", "come back later") from error
                self.gate.close(order)
            except APIConnectionError as error:
                fault = f"{type(error.__cause__ or error).__name__}: {error.__cause__ or error}"
            else:
                self.heard = True
                return content
            if tries >= (patience.attempts if self.heard else min(4, patience.attempts)):
                raise _Failed(f"{tries} tries, the last ended with {fault}")
            await asyncio.sleep(max(order, patience.wait(tries)))

    async def _send(self, client: AsyncOpenAI, body: dict[str, Any]) -> bytes:
        import httpx2

        # The bytes as they are: making the client's own objects of twenty log-probabilities costs as much as the rest.
        response = await client.post("/chat/completions", body=body, cast_to=httpx2.Response)
        return response.content

    def _final(self, error: APIStatusError) -> Exception:
        """What a status that does not pass means."""
        where, model, complaint = self.provider.url, self.provider.model, _complaint(error)
        if error.status_code in (400, 413, 422):
            return _Refused(complaint if error.status_code != 413 else "too long")
        hints = {
            401: "check the API key in the environment: " + key_variable(where),
            403: "the key may not use this model",
            404: "check the model's name and the base URL (most end in /v1)",
            429: "the account has no credit left",
        }
        hint = hints.get(error.status_code, "the server will not take it; see its documentation")
        return JudgeError(f"{where} answers {error.status_code} for {model}: {complaint}", hint)


def make_provider(
    model: str, url: str | None = None, key: str | None = None, *, in_flight: int = 64, patience: Patience | None = None
) -> Provider:
    """A server by its URL and key, or by those of the environment.

    Raises:
        MissingExtraError: The client is not installed.
        JudgeError: The URL is no URL or holds a password, or there is no key for OpenAI.
    """
    for package in ("openai", "aiohttp"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "judges")
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
    return RubricJudge(f"openai:{provider.model}@{provider.url}", provider.ask, options.rubrics)


def _split_url(target: str) -> tuple[str, str | None]:
    """Model and base URL; a model's own name may begin with "@"."""
    place = max(target.rfind("@http://"), target.rfind("@https://"))
    return (target, None) if place <= 0 else (target[:place], target[place + 1 :])


def _complaint(error: APIStatusError) -> str:
    return " ".join(f"{error.message} {error.code or ''}".split())[:500]


def _is_quota(error: APIStatusError) -> bool:
    return error.status_code == 429 and "insufficient_quota" in f"{error.code} {error.type}"


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, also where a loop is running already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()
