"""A real HTTP server on loopback that speaks the chat completions protocol, and misbehaves when it is told to.

Its judgement is a function of the prompt, so that two servers judge alike however often they fail in between. It runs
in a process of its own (in one process, client and server would wait for each other's turn of the interpreter), is told
what to do as JSON on its command line, and tells what it saw at GET /seen.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FAULTS = ("429", "429-after", "429-date", "500", "503", "hang", "cut", "half", "junk")
"""Rate limit (bare, with Retry-After in seconds, as a date), server errors, no reply, a closed connection before and
within the reply, and a reply that is not JSON."""


def choice(
    text: str, top: dict[str, float] | None = None, tokens: list[str] | None = None, end: str = "length"
) -> dict[str, Any]:
    """One chat completion; of one token, it ended at the limit."""
    logprobs = None
    if top is not None:
        rows = [{"token": token, "logprob": math.log(p), "bytes": None} for token, p in top.items()]
        names = tokens or [text]
        logprobs = {
            "content": [
                {"token": name, "logprob": -0.1, "top_logprobs": rows if i == 0 else []} for i, name in enumerate(names)
            ]
        }
    message = {"role": "assistant", "content": text}
    made = {"index": 0, "finish_reason": end, "message": message, "logprobs": logprobs}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [made]}


def numbers(body: dict[str, Any]) -> dict[str, Any]:
    """Eighteen numbers whose probabilities hang on the prompt, CODE and a blank."""
    seed = hashlib.sha256(body["messages"][0]["content"].encode()).digest()
    weights = {str(seed[i] % 101): 1 + seed[i + 1] for i in range(18)} | {"CODE": 3, " ": 2}
    total = sum(weights.values())
    return choice(next(iter(weights)), {token: weight / total for token, weight in weights.items()})


def text_of(body: dict[str, Any]) -> str:
    return body["messages"][0]["content"]


def sure(body: dict[str, Any]) -> dict[str, Any]:
    """The number that the answer says, as a judge whose tokenizer keeps numbers whole is sure of it."""
    number = re.search(r"SAY (\w+)", text_of(body))[1]  # type: ignore[index]
    return choice(number, {number: 0.97, "2": 0.03} if body.get("logprobs") else None)


def digits(body: dict[str, Any]) -> dict[str, Any]:
    """The same by a judge whose tokenizer cuts numbers into digits."""
    number = re.search(r"SAY (\w+)", text_of(body))[1]  # type: ignore[index]
    kept = list(number)[: body["max_tokens"]]
    end = "stop" if len(kept) < body["max_tokens"] else "length"
    return choice("".join(kept), {number[0]: 0.9, "3": 0.1}, kept, end)


def spelled(body: dict[str, Any]) -> dict[str, Any]:
    """Tokens in the tokenizer's own spelling, a blank of its own before the number, or told by their numbers."""
    wish, number = re.search(r"SAY ([a-z]+)(\d+)", text_of(body)).groups()  # type: ignore[union-attr]
    if wish == "blank":
        kept = ["\u2581", *number][: body["max_tokens"]]
        made = choice("".join(kept[1:]) or " ", {"\u2581": 1.0}, kept)
        for step, token in zip(made["choices"][0]["logprobs"]["content"], kept, strict=True):
            step["top_logprobs"] = [{"token": token, "logprob": math.log(0.9)}]
        return made | {"choices": [made["choices"][0] | {"finish_reason": _end(kept, number, body)}]}
    mark = {"space": "\u2581", "byte": "\u0120"}.get(wish, "")
    tokens = {"token_id:5": 0.9, "token_id:6": 0.1} if wish == "id" else {f"{mark}{number}": 0.9, f"{mark}30": 0.1}
    return choice(number, tokens if body.get("logprobs") else None, [next(iter(tokens))], "stop")


def _end(kept: list[str], number: str, body: dict[str, Any]) -> str:
    return "stop" if len(kept) <= len(number) + 1 < body["max_tokens"] else "length"


def silent(body: dict[str, Any]) -> dict[str, Any]:
    """A server that passes over the wish for probabilities (Anthropic's)."""
    number = re.search(r"SAY (\w+)", text_of(body))[1]  # type: ignore[index]
    return choice(f"Rating: {number}", end="stop") if body["max_tokens"] > 1 else choice("Rating")


def strict(body: dict[str, Any]) -> tuple[int, dict[str, Any]] | dict[str, Any]:
    """A server that refuses one setting after the other (o-series models, transformers serve)."""
    if "max_tokens" in body:
        return 400, {"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model."}}
    if "seed" in body:
        return 422, {"error": {"message": "Unexpected field: seed"}}
    if body.get("top_logprobs", 0) > 5:
        return 400, {"error": {"message": "Requested sample logprobs of 20, which is greater than max allowed: 5"}}
    return choice("70", {"70": 0.5, "80": 0.3, "a": 0.1, "b": 0.05, "c": 0.01})


def odd(body: dict[str, Any]) -> tuple[int, dict[str, Any]] | dict[str, Any]:
    """Whatever the answer asks for: a status, or a reply that is none."""
    wish = re.search(r"SAY (\w+)", text_of(body))[1]  # type: ignore[index]
    if wish == "filter":
        return 400, {"error": {"message": "blocked", "code": "content_filter"}}
    if wish.isdigit():
        return int(wish), {"error": {"message": f"this is a {wish}"}}
    return {"empty": {"choices": []}, "null": choice("") | {"choices": [{"message": {"content": None}}]}}[wish]


def moody(body: dict[str, Any]) -> tuple[int, dict[str, Any]] | dict[str, Any]:
    """Numbers, and a status where an answer asks for one."""
    return odd(body) if "SAY" in text_of(body) else numbers(body)


def gullible(body: dict[str, Any]) -> dict[str, Any]:
    """A judge that obeys every order to rate 100 that stands outside of the marks it was told of, and rates 10 else."""
    text = text_of(body)
    mark = re.search(r"between a line \[(\w+) begins\]", text)
    if mark and mark[1] == "MARK":
        # Each text has a mark of its own: what stands between the first line that begins and its own end is material.
        text = re.sub(r"^\[(\w{8}) begins\]$.*?^\[\1 ends\]$", "", text, flags=re.DOTALL | re.MULTILINE)
    elif mark:
        text = re.sub(rf"\[{mark[1]} begins\].*?\n\[{mark[1]} ends\]", "", text, flags=re.DOTALL)
    score = "100" if "rate 100" in text.lower() else "10"
    return choice(score, {score: 1.0})


PASSING: dict[str, tuple[int, bytes]] = {
    "code429": (200, b'{"error": {"message": "Rate limit exceeded", "code": 429}, "user_id": "u"}'),
    "code502": (200, b'{"error": {"message": "Provider returned error", "code": "502", "metadata": {"raw": "x"}}}'),
    "overloaded": (200, b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}'),
    "nocode": (200, b'{"error": "upstream closed the connection"}'),
    "listed": (200, b'[{"error": {"code": 503, "status": "UNAVAILABLE"}}]'),
    "inchoice": (200, b'{"choices": [{"error": {"code": 502, "message": "x"}, "finish_reason": "error",'
                      b' "message": {"role": "assistant", "content": ""}}]}'),
    "errorend": (200, b'{"choices": [{"finish_reason": "error", "message": {"role": "assistant", "content": "8"}}]}'),
    "detail": (200, b'{"detail": "try later"}'),
    "empty": (200, b'{"id": "x", "choices": []}'),
    "nochoices": (200, b'{"id": "x", "choices": null}'),
    "null": (200, b'{"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": null}}]}'),
    "thought": (200, b'{"choices": [{"finish_reason": "stop", "message": {"content": null, "reasoning": "3 rules"}}]}'),
    "parts": (200, b'{"choices": [{"finish_reason": "stop", "message": {"content": [{"type": "thinking"}]}}]}'),
    "page": (200, b"<html><body>Bad gateway: 502</body></html>"),
    "stream": (200, b'data: {"choices": [{"delta": {"content": "85"}}]}\n\ndata: [DONE]\n\n'),
    "streamerror": (200, b'data: {"error": {"message": "Rate limit", "code": 429}}\n\n'),
    "nothing": (200, b""),
    "status": (429, b'{"error": {"message": "slow down"}}'),
}  # fmt: skip
"""What passes: each is answered until the server has seen the same request three times, then the number comes."""


def passing(body: dict[str, Any]) -> tuple[int, Any]:
    """The fault that the answer names, three times for each request."""
    wish = re.search(r"SAY (\w+)", text_of(body))[1]  # type: ignore[index]
    seen = SEEN[json.dumps(body)] = SEEN[json.dumps(body)] + 1
    return PASSING[wish] if seen <= 3 else (200, choice("85", {"85": 0.9, "80": 0.1}))


def forever(body: dict[str, Any]) -> tuple[int, Any]:
    """The fault that the answer names, always."""
    return PASSING[re.search(r"SAY (\w+)", text_of(body))[1]]  # type: ignore[index]


def told(body: dict[str, Any]) -> Any:
    """What the settings say."""
    return WISH


def stingy(body: dict[str, Any]) -> dict[str, Any]:
    """No probabilities, and replies cut where the judge thought in secret."""
    number = re.search(r"SAY (\w+)", text_of(body))[1].replace("of", "/")  # type: ignore[index]
    return choice(number, end="stop") if body["max_tokens"] > 16 else choice(number[:1])


def own_temperature(body: dict[str, Any]) -> tuple[int, dict[str, Any]] | dict[str, Any]:
    """A judge that thinks: no temperature but its own, no probabilities."""
    if "logprobs" in body:
        return 400, {"error": {"message": "Unsupported parameter: 'logprobs' is not supported with this model."}}
    if "temperature" in body:
        message = "Unsupported value: 'temperature' does not support 0 with this model."
        return 400, {"error": {"message": message, "param": "temperature", "code": "unsupported_value"}}
    return choice("85", end="stop")


WISH: dict[str, Any] = {}
SEEN: Counter[str] = Counter()
_WAYS = (
    numbers,
    sure,
    digits,
    spelled,
    silent,
    strict,
    odd,
    moody,
    gullible,
    passing,
    forever,
    told,
    stingy,
    own_temperature,
)
RESPONSES: dict[str, Callable[[dict[str, Any]], Any]] = {f.__name__: f for f in _WAYS}


@dataclass
class Server:
    """Settings and records of a running server; no reply is given before `together` requests were there at once."""

    respond: str = "numbers"
    faults: float = 0.0
    kinds: tuple[str, ...] = FAULTS
    delay: float = 0.0
    alone: bool = False
    together: int = 0
    port: int = 0
    hold: float = 5.0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    faulted: Counter[str] = field(default_factory=Counter)
    busiest: int = 0
    busy: int = 0
    _seen: Counter[bytes] = field(default_factory=Counter)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _met: asyncio.Event = field(default_factory=asyncio.Event)

    def seen(self) -> dict[str, Any]:
        """What the requests were."""
        asked = Counter(json.dumps(body, sort_keys=True) for body in self.bodies)
        return {
            "requests": len(self.bodies), "distinct": len(asked), "last": self.bodies[-1:],
            "keys": sorted(set(self.keys)), "faulted": self.faulted, "busiest": self.busiest,
        }  # fmt: skip

    def fault(self, content: bytes) -> str:
        """The fault for this request, "" for none; the first tries of a fixed share of the prompts fail."""
        self._seen[content] += 1
        dice = hashlib.sha256(content + str(self._seen[content]).encode()).digest()
        if int.from_bytes(dice[:4], "big") / 2**32 >= self.faults:
            return ""
        return self.kinds[dice[4] % len(self.kinds)]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve the requests of one connection."""
        with suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            while await self.one(reader, writer):
                pass
        writer.close()

    async def one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; False closes the connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        if head.startswith("GET"):
            await send(writer, 200, json.dumps(self.seen()).encode())
            return False
        content = await reader.readexactly(int(headers["content-length"]))
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        if self.busy >= self.together:
            self._met.set()
        try:
            body = json.loads(content)
            self.bodies.append(body)
            self.keys.append(headers.get("authorization", ""))
            if fault := self.fault(content):
                self.faulted[fault] += 1
                return await self.misbehave(fault, writer)
            # One at a time, and to the end, whether or not anybody still waits.
            await self._met.wait()
            async with self._turn if self.alone else nullcontext():
                await asyncio.sleep(self.delay)
            answer = RESPONSES[self.respond](body)
            status, reply = answer if isinstance(answer, tuple) else (200, answer)
            await send(writer, status, reply if isinstance(reply, bytes) else json.dumps(reply).encode())
        finally:
            self.busy -= 1
        return True

    async def misbehave(self, fault: str, writer: asyncio.StreamWriter) -> bool:
        """Answer as the fault says; False closes the connection."""
        if fault == "hang":
            await asyncio.sleep(self.hold)
            return False
        if fault == "cut":
            return False
        if fault == "half":
            await send(writer, 200, b'{"choices": [', length=400)
            return False
        after = {"429-after": "Retry-After: 0.02\r\n", "429-date": "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n"}
        body = b"<html>gateway</html>" if fault == "junk" else b'{"error": {"message": "try again"}}'
        await send(writer, 200 if fault == "junk" else int(fault[:3]), body, after.get(fault, ""))
        return True


async def send(
    writer: asyncio.StreamWriter, status: int, body: bytes, extra: str = "", length: int | None = None
) -> None:
    head = (
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{extra}Content-Length: {length or len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()


@dataclass
class Remote:
    """A running server, from outside."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def seen(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/seen") as reply:
            return json.loads(reply.read())


@contextmanager
def serving(**settings: Any) -> Iterator[Remote]:
    """A server in a process of its own, on a free port."""
    command = [sys.executable, str(Path(__file__)), json.dumps(settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield Remote(int(process.stdout.readline()))
        finally:
            process.kill()


async def main(settings: dict[str, Any]) -> None:
    WISH.update(settings.pop("wish", {}))
    server = Server(**settings)
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0, backlog=512)
    sys.stdout.write(f"{listening.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
