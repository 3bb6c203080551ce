"""A judge behind any OpenAI-compatible server, asked many questions at a time.

    openai:gpt-4o-2024-08-06                                        OpenAI, key in OPENAI_API_KEY
    openai:meta-llama/llama-3.3-70b-instruct@https://openrouter.ai/api/v1     key in OPENROUTER_API_KEY
    openai:claude-sonnet-4-5@https://api.anthropic.com/v1/          key in ANTHROPIC_API_KEY; gives no probabilities
    openai:Qwen/Qwen2.5-72B-Instruct@http://localhost:8000/v1       vLLM, SGLang, llama.cpp, transformers serve

How a judge is asked is in `asking`, how it is met half way where it refuses in `manner`.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from misdirection.errors import MissingExtraError
from misdirection.judging.asking import Asker
from misdirection.judging.at_once import run
from misdirection.judging.manner import Manner
from misdirection.judging.options import read_options
from misdirection.judging.posting import KEYS, Connection, key_variable, posting
from misdirection.judging.replies import Reply, parse_reply
from misdirection.judging.retries import JudgeError, Patience
from misdirection.judging.rubric_judge import PROBE, Query, RubricJudge
from misdirection.judging.scoring import Reading

DEFAULT_URL = "https://api.openai.com/v1"
_KNOWN: dict[tuple[str, str], Manner] = {}
"""How servers want to be asked, as far as this process has learned it: by URL and model."""


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
            self.manner = _KNOWN.get((self.url, self.model), Manner())

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

    async def run(self, queries: Sequence[Query], keep: Callable[[Query, Reading], None]) -> None:
        p = self.provider
        async with posting(Connection(p.url, p.model, p.key, p.in_flight, p.patience)) as post:

            async def send(prompt: str, manner: Manner) -> Reply | None:
                return parse_reply(await post(request_body(p.model, prompt, manner)))

            asker = Asker(p.url, p.model, send, p.patience, p.manner)
            try:
                await asker.read_all(queries, keep, p.in_flight)
            finally:
                p.manner = _KNOWN[p.url, p.model] = asker.manner


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


def provider_judge(argument: str) -> RubricJudge:
    """The judge that "openai:<argument>" names.

    Raises:
        MisdirectionError: See `make_provider` and `read_options`.
    """
    options = read_options(argument, "openai", {"in_flight": 1, "timeout": 0.001, "attempts": 1})
    model, url = _split_url(options.target)
    provider = make_provider(model, url, in_flight=options.in_flight, patience=options.patience)
    return RubricJudge(f"openai:{provider.model}@{provider.url}", provider.ask, options.rubrics, probe=provider.probe)


def _split_url(target: str) -> tuple[str, str | None]:
    """Model and base URL; a model's own name may begin with "@"."""
    place = max(target.rfind("@http://"), target.rfind("@https://"))
    return (target, None) if place <= 0 else (target[:place], target[place + 1 :])
