"""Many questions to a judge at a time, and how it wants to be asked: the part that every server has in common.

One answer token at temperature 0 with the twenty likeliest tokens, seed 0 (2506.11618 and its code). A judge that
refuses or withholds these is met half way: five tokens, then the written number, whose outcome is "parsed".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from misdirection.judging.replies import Reply
from misdirection.judging.retries import JudgeError, Patience
from misdirection.judging.rubric_judge import Query
from misdirection.judging.scoring import Reading

MALFORMED_TRIES = 3
ROOM = 4096
"""Tokens for a judge that thinks before it writes."""
_BLOCKED = ("content_filter", "content_policy", "context_length", "maximum context", "too long", "safety")


@dataclass(frozen=True)
class Manner:
    """How a judge is asked; it changes when the judge refuses it.

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

    def without(self, complaint: str) -> Manner | None:
        """The next manner to try after a complaint; None when the complaint is about something else."""
        if self.top and "logprobs" in complaint:
            return replace(self, top=5) if self.top > 5 else self.written()
        if self.tokens < 16 and "max_output_tokens" in complaint:
            return replace(self, tokens=16)
        if self.limit == "max_tokens" and "max_tokens" in complaint:
            return replace(self, limit="max_completion_tokens")
        if self.seed and "seed" in complaint:
            return replace(self, seed=False)
        return None

    def written(self) -> Manner:
        """Reading the written number, which may be several tokens long."""
        return replace(self, top=0, tokens=max(16, self.tokens))


class Refused(Exception):
    """The judge does not take the manner, or will not judge this text."""

    def __init__(self, complaint: str) -> None:
        super().__init__(complaint)
        self.complaint = complaint


class Failed(Exception):
    """A request failed for good; `hopeless` where the judge never answered any."""

    def __init__(self, what: str, hopeless: bool = False) -> None:
        super().__init__(what)
        self.hopeless = hopeless


Send = Callable[[str, Manner], Awaitable[Reply | None]]
"""Puts one prompt to the judge; None where what came back is no reply. Raises `Refused`, `Failed`, `JudgeError`."""


@dataclass
class Asker:
    """Puts rubrics to one judge.

    Attributes:
        where: Who serves it, for errors.
        model: Its name there, for errors.
        send: The way to it.
        patience: How many failures are borne with, and the wait between malformed replies.
        manner: How it is asked at present.
    """

    where: str
    model: str
    send: Send
    patience: Patience = field(default_factory=Patience)
    manner: Manner = field(default_factory=Manner)

    async def read_all(
        self, queries: Sequence[Query], keep: Callable[[Query, Reading], None], in_flight: int = 64
    ) -> None:
        """Ask all queries, `in_flight` at a time, handing over each reading as it comes.

        Raises:
            JudgeError: The judge refuses for good (key, model), or too many requests failed.
        """
        waiting, failed = iter(queries), _Tally(self.patience.tolerated * len(queries))
        tasks = [asyncio.ensure_future(self._work(waiting, keep, failed)) for _ in range(min(in_flight, len(queries)))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def read(self, query: Query) -> Reading:
        """Ask one query.

        Raises:
            Failed: The request failed for good.
            JudgeError: The judge refuses for good.
        """
        prompt = query.rubric.prompt(query.question, query.answer)
        if query.tokens:
            return await self._written(prompt, query.tokens)
        tokens = 1
        while True:
            longest = tokens
            reply, manner, used = await self._reply(prompt, lambda m, n=longest: replace(m, tokens=max(n, m.tokens)))
            if isinstance(reply, Reading):
                return reply
            if used.top and reply.top is None and not reply.filtered:
                self._change(manner, manner.written())
            elif used.tokens == 1 and used.top and self._may_cut(reply):
                tokens = 4
            elif reply.silent and used.tokens < ROOM:
                tokens = ROOM
            else:
                self._learn(reply, used)
                return reply.read()

    async def _written(self, prompt: str, tokens: int) -> Reading:
        """Ask for a text."""
        reply, _, used = await self._reply(prompt, lambda m: replace(m, top=0, tokens=max(tokens, m.tokens)))
        if isinstance(reply, Reply) and reply.silent and used.tokens < ROOM:
            return await self._written(prompt, ROOM)
        if isinstance(reply, Reading):
            return reply
        return Reading("blocked") if reply.filtered else Reading("written", text=reply.text.strip())

    async def _reply(self, prompt: str, used: Callable[[Manner], Manner]) -> tuple[Reply | Reading, Manner, Manner]:
        """A reply, or what stands for it where there is none; with the manner that held and the one that was used."""
        malformed = 0
        while True:
            manner = self.manner
            tried = used(manner)
            try:
                reply = await self.send(prompt, tried)
            except Refused as refusal:
                if self._adapt(manner, refusal.complaint):
                    continue
                return Reading("blocked"), manner, tried
            if reply is not None:
                return reply, manner, tried
            malformed += 1
            if malformed == MALFORMED_TRIES:
                return Reading("malformed"), manner, tried
            await asyncio.sleep(self.patience.wait(malformed))

    async def _work(self, waiting: Iterator[Query], keep: Callable[[Query, Reading], None], failed: _Tally) -> None:
        for query in waiting:
            try:
                reading = await self.read(query)
            except Failed as error:
                reading = Reading("failed")
                failed.count += 1
                if error.hopeless or failed.count > failed.most:
                    raise JudgeError(
                        f"{self.where} does not answer for {self.model}: {error}",
                        "what was judged so far is kept; run the same command again to go on",
                    ) from error
            keep(query, reading)

    def _may_cut(self, reply: Reply) -> bool:
        return reply.one_digit_only and not self.manner.whole_numbers

    def _learn(self, reply: Reply, used: Manner) -> None:
        """Remember whether the judge cuts numbers, or thinks first: later questions then need no second look."""
        manner = self.manner
        if reply.cut_number:
            self.manner = replace(manner, tokens=max(4, manner.tokens))
        elif used.tokens == ROOM:
            self.manner = replace(manner, tokens=ROOM)
        elif not manner.whole_numbers and any(len(token.strip()) == 2 for token in reply.top or () if token.isdigit()):
            self.manner = replace(manner, whole_numbers=True)

    def _adapt(self, used: Manner, complaint: str) -> bool:
        """Whether there is another manner to try; the complaint is final otherwise."""
        if any(sign in complaint.lower() for sign in _BLOCKED):
            return False
        other = used.without(complaint)
        if other is None:
            raise JudgeError(
                f"{self.where} refuses the request for {self.model}: {complaint}",
                "choose a model that takes a plain chat completion at temperature 0",
            )
        self._change(used, other)
        return True

    def _change(self, used: Manner, other: Manner) -> None:
        # Many requests meet the same refusal at a time; the first of them changes the manner.
        if self.manner == used:
            self.manner = other


@dataclass
class _Tally:
    """How many requests failed, and how many may."""

    most: float
    count: int = 0


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, also where a loop is running already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()
