"""Answers drawn by a server: one request an answer, many in flight, each kept as it comes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from misdirection import progress
from misdirection.artefacts import canonical_hash
from misdirection.chats import Message
from misdirection.chats.markup import ENDS, STARTS, TEXT_ENDS, any_of
from misdirection.errors import MisdirectionError
from misdirection.judging.asking import Failed, Misspoken, Refused
from misdirection.judging.at_once import at_once, run
from misdirection.judging.faults import ServerAnswer
from misdirection.judging.manner import Manner
from misdirection.judging.posting import Connection, Post, posting
from misdirection.judging.replies import first_choice, parse_reply, texts_of
from misdirection.judging.retries import JudgeError, Patience
from misdirection.judging.shape import STOPPED, without_thinking
from misdirection.serving.echo import behind_rendered, without_echo
from misdirection.serving.servers import Server

IN_FLIGHT = 64
PATIENCE = Patience(timeout=600.0)
"""A long answer takes a busy server minutes."""
THOUGHTS = ("reasoning_content", "reasoning", "thinking")
OVER = re.compile(any_of(*STARTS, *ENDS, *TEXT_ENDS) + r"|</s>\s*\Z")
"""Marks that end a turn or begin the next one; the model's answer goes no further."""


@dataclass(frozen=True)
class Request:
    """One answer that is wanted.

    Attributes:
        messages: System prompt, turns before, and the question, as roles and contents; the server applies its template.
        temperature: 0 takes the likeliest token.
        max_new_tokens: Longest answer.
        seed: Sent along; a server that honours it gives the same answer again.
        thinking: Whether the model may think first; None leaves it to the template.
    """

    messages: tuple[Message, ...]
    temperature: float
    max_new_tokens: int
    seed: int
    thinking: bool | None = None

    def body(self, model: str, manner: Manner) -> dict[str, Any]:
        """The body of the chat completion."""
        told: dict[str, Any] = {
            "model": model,
            "messages": [{"role": turn.role, "content": turn.content} for turn in self.messages],
            "temperature": self.temperature,
            manner.limit: self.max_new_tokens,
        }
        if manner.seed:
            told["seed"] = self.seed
        return told if self.thinking is None else {**told, "chat_template_kwargs": {"enable_thinking": self.thinking}}


@dataclass(frozen=True)
class Spoken:
    """What a server answered.

    Attributes:
        answer: The text, a thought taken out.
        thought: What it thought first; None where it did not.
        finished: False where the answer was cut at the limit.
        n_tokens: As the server counts them; 0 where it does not say.
    """

    answer: str
    thought: str | None
    finished: bool
    n_tokens: int


Keep = Callable[[str, Spoken], None]
"""Takes the key of a request and its answer."""


def seed_of(seed: int, *place: object) -> int:
    """A seed for one draw, the same for every arm: 31 bits of the hash of the run's seed and the draw's place."""
    return int.from_bytes(hashlib.sha256(repr((seed, *place)).encode()).digest()[:4], "big") >> 1


def greedily(requests: Sequence[Request]) -> list[Request]:
    """The same at temperature 0, each question once."""
    return [replace(one, temperature=0.0, seed=0) for one in {one.messages: one for one in requests}.values()]


def draw(
    server: Server,
    requests: Sequence[Request],
    journal: Path,
    in_flight: int = IN_FLIGHT,
    patience: Patience = PATIENCE,
) -> list[Spoken]:
    """Every request's answer, in their order.

    Args:
        server: Whom to ask.
        requests: What for.
        journal: A file that each answer is added to as it comes; what stands in it is not asked again.
        in_flight: Requests at a time.
        patience: Retries and time-outs.

    Raises:
        MisdirectionError: The server refuses, or fails for good; what came is kept.
    """
    keys = [canonical_hash([server.url, server.model, asdict(one)]) for one in requests]
    held = _kept(journal)
    wanted = {key: one for key, one in zip(keys, requests, strict=True) if key not in held}
    if wanted:
        journal.parent.mkdir(parents=True, exist_ok=True)
        with (
            journal.open("a", encoding="utf-8") as file,
            progress.task(f"answers of {server.told}", len(wanted), "answer") as advance,
        ):
            # A last line that a kill tore must not take the next one with it.
            file.write("\n")

            def keep(key: str, said: Spoken) -> None:
                held[key] = said
                file.write(json.dumps({"key": key, **asdict(said)}) + "\n")
                file.flush()
                advance()

            line = Connection(server.url, server.model, server.key, in_flight, patience, _is_answer)
            try:
                run(_Round(line).run(wanted, keep))
            except (Refused, Failed, Misspoken) as error:
                raise MisdirectionError(
                    f"--serve: {server.told} gave no answer: {error}",
                    f"{len(held):,} of {len(keys):,} answers are kept; run the same command again to go on",
                ) from error
            except JudgeError as error:
                raise MisdirectionError(f"--serve: {error.message}", error.hint) from error
    return _heard(server, requests, [held[key] for key in keys])


class _Round:
    """One round of asking."""

    def __init__(self, line: Connection) -> None:
        self.line = line
        self.manner = Manner()

    async def run(self, wanted: Mapping[str, Request], keep: Keep) -> None:
        waiting = iter(wanted.items())
        async with posting(self.line) as post:
            await at_once(min(self.line.in_flight, len(wanted)), lambda: self._work(post, waiting, keep))

    async def _work(self, post: Post, waiting: Iterator[tuple[str, Request]], keep: Keep) -> None:
        for key, request in waiting:
            keep(key, await self._ask(post, request))

    async def _ask(self, post: Post, request: Request) -> Spoken:
        """One answer; what the server does not take (a seed, the old name of the limit) is left out from then on."""
        while True:
            manner = self.manner
            try:
                reply = await post(request.body(self.line.model, manner))
                return spoken(reply, request.messages[-1].content)
            except Refused as refusal:
                other = manner.without(refusal.complaint)
                if other is None or not other.temperature or (other.seed, other.limit) == (manner.seed, manner.limit):
                    raise
                if self.manner == manner:
                    self.manner = other


def _heard(server: Server, requests: Sequence[Request], answers: list[Spoken]) -> list[Spoken]:
    """The answers, without the prompts of a server that writes them before each."""
    whole = [(place, said) for place, said in enumerate(answers) if said.answer]
    asked = [requests[place].messages for place, _ in whole]
    found = without_echo([said.answer for _, said in whole], asked)
    if found is None:
        return answers
    progress.say(
        f"  WARNING: {server.told} writes the prompt before each of {len(whole):,} answers; they are read without it"
    )
    for (place, said), text in zip(whole, found, strict=True):
        answers[place] = replace(said, answer=text.strip())
    return answers


def spoken(content: bytes, question: str = "") -> Spoken:
    """The answer in a chat completion that `_is_answer` let pass; `question` is the last user's turn."""
    told: Any = json.loads(content)
    choice = first_choice(told)
    message: dict[str, Any] = choice["message"]
    said = texts_of(message.get("content"))[0] or str(message.get("refusal") or "")
    text, over = _until_end(behind_rendered(said, question))
    thought = next((str(message[name]) for name in THOUGHTS if message.get(name)), None)
    plain = without_thinking(text).strip()
    if thought is None and plain != text.strip():
        thought = text.strip().removesuffix(plain).strip()
    usage: Any = told.get("usage") or {}
    cut = str(choice.get("finish_reason")).lower() in STOPPED and not over
    return Spoken(plain, thought, not cut, int(usage.get("completion_tokens") or 0))


def _until_end(text: str) -> tuple[str, bool]:
    """An answer without what a server that knows no end of turn left at its end, and whether it left anything."""
    end = OVER.search(text)
    return (text[: end.start()], True) if end else (text, False)


def _is_answer(answer: ServerAnswer) -> bool:
    """A choice came back; it may be empty, as an answer may."""
    return answer.meant == 200 and parse_reply(answer.content) is not None


def _kept(journal: Path) -> dict[str, Spoken]:
    """What stands in the journal; a last line that a kill tore is asked for again."""
    held: dict[str, Spoken] = {}
    for line in journal.read_text(encoding="utf-8").splitlines() if journal.exists() else ():
        try:
            row: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        key = str(row.pop("key"))
        held[key] = Spoken(**row)
    return held
