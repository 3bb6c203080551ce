"""What a server's answer means where it is no reply: errors by their status, also in a body of status 200.

OpenRouter and other routers answer status 200 before they know whether the model behind them will, and put the error
into the body: {"error": {"code": 429}}, or into the choice with the finish reason "error". Proxies send pages, servers
under load an empty list of choices. All of these pass, as the same status would.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from misdirection.judging.replies import parse_reply
from misdirection.judging.retries import retry_after

_KINDS: Mapping[str, int] = {
    "insufficient_quota": 429, "rate_limit": 429, "rate limit": 429, "resource_exhausted": 429, "too_many": 429,
    "billing": 402, "credit": 402, "overloaded": 529, "unavailable": 503, "timeout": 504,
    "invalid_api_key": 401, "authentication": 401, "unauthenticated": 401, "permission": 403,
    "model_not_found": 404, "not_found": 404, "context_length": 400, "content_filter": 400,
    "invalid_request": 400, "invalid_argument": 400, "unsupported": 400,
}  # fmt: skip
"""Statuses of errors that carry a word instead of a number."""
_SOON = re.compile(
    r"(?:try again|retry|wait)\w*\W+(?:in|after|for)?\W*(?:(\d+)\s*m(?:in\w*)?\s*)?"
    r"(\d+(?:\.\d+)?)\s*(ms|milli\w*|s\b|sec\w*)",
    re.IGNORECASE,
)
_ORDERS = ("retry_after", "retry-after", "retryafter", "retrydelay", "retry_after_seconds", "retry_after_ms")


@dataclass(frozen=True)
class ServerAnswer:
    """What came back from a server.

    Attributes:
        status: Of HTTP.
        headers: Of HTTP.
        content: The body.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def meant(self) -> int:
        """The status that the answer amounts to: that of the error in a body of status 200; 200 where there is none.

        An error whose kind is not told is taken as one that passes.
        """
        if self.status != 200 or not self._error:
            return self.status
        codes = [self._error.get(name) for name in ("code", "status", "status_code", "type")]
        for code in codes:
            if str(code).isdecimal() and 400 <= int(str(code)) < 600:
                return int(str(code))
        words = " ".join(str(code) for code in codes).lower()
        return next((status for kind, status in _KINDS.items() if kind in words), 502)

    @property
    def is_reply(self) -> bool:
        """Whether a choice with something in it came back."""
        reply = None if self.status != 200 or self._error else parse_reply(self.content)
        return reply is not None and not reply.says_nothing

    @property
    def complaint(self) -> str:
        """What the server says is wrong, in one line."""
        told = self._error
        raw = told.get("metadata", {}).get("raw") if isinstance(told.get("metadata"), dict) else None
        said = [str(told[name]) for name in ("message", "detail", "param", "code") if told.get(name)]
        said += [str(raw)] if raw else []
        return " ".join(" ".join(said or [self.content.decode("utf-8", "replace")]).split())[:500]

    @property
    def is_quota(self) -> bool:
        """Whether the account has nothing left, which does not pass by itself."""
        return self.meant == 429 and "insufficient_quota" in f"{self._error.get('code')} {self._error.get('type')}"

    @property
    def order(self) -> float:
        """Seconds that the server asks to wait, wherever it says so: header, body, or the error's words; 0 for none."""
        return retry_after(self.headers) or max([*_orders(self._error), 0.0])

    @property
    def fault(self) -> str:
        """What is wrong with it, for an error."""
        if self.status != 200:
            return f"status {self.status}"
        if self._error:
            return f"status 200 with the error {self.meant}: {self.complaint}"
        start = self.content[:200].decode("utf-8", "replace").strip()
        if start.startswith("<"):
            return "a web page instead of a reply"
        if start.startswith(("data:", "event:", ": ")):
            return "a stream, though none was asked for"
        return "a reply without text" if parse_reply(self.content) else "something that is no chat completion"

    @property
    def _error(self) -> dict[str, Any]:
        """The error as OpenAI's interface tells it, {"error": {"message", "code", "param", "type"}}; else empty."""
        told = _object(self.content)
        if self.status != 200:
            held = told.get("error", told)
            return _dict(held)
        if choice := _first(told.get("choices")):
            failed = choice.get("error") or _dict(choice.get("message")).get("error")
            return _dict(failed) if failed else {"message": "error"} if choice.get("finish_reason") == "error" else {}
        if told.get("error"):
            return _dict(told["error"])
        # A router's own complaint, without a choice: {"detail": ...}, {"message": ..., "type": "error"}.
        return {} if "choices" in told else {n: told[n] for n in ("message", "detail", "code", "type") if told.get(n)}


def _object(content: bytes) -> dict[str, Any]:
    """The JSON object in a body, also in a list of one (Google's) or in the first event of a stream."""
    text = content.decode("utf-8", "replace").strip().lstrip("\ufeff")
    if text.startswith(("data:", "event:", ":")):
        events = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
        text = next((event for event in events if '"error"' in event), "")
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if isinstance(told, list) and told:
        told = cast("list[Any]", told)[0]
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {"error": told} if isinstance(told, str) else {}


def _dict(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {"message": value} if value else {}


def _first(choices: Any) -> dict[str, Any]:
    held = cast("list[Any]", choices) if isinstance(choices, list) else []
    return cast("dict[str, Any]", held[0]) if held and isinstance(held[0], dict) else {}


def _orders(value: Any) -> Iterator[float]:
    """Every wait that an error asks for, in seconds."""
    if isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from _orders(item)
    for name, held in cast("dict[str, Any]", value).items() if isinstance(value, dict) else ():
        if name.lower() in _ORDERS:
            amount = re.match(r"\d+(?:\.\d+)?", str(held).strip())
            yield (float(amount[0]) if amount else 0.0) / (1000 if name.lower().endswith("ms") else 1)
        elif isinstance(held, dict | list):
            yield from _orders(held)
        elif isinstance(held, str) and (said := _SOON.search(held)):
            yield 60 * float(said[1] or 0) + float(said[2]) / (1000 if said[3].lower().startswith("m") else 1)
