"""Many questions to a judge at a time: the part that every server has in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from misdirection import progress
from misdirection.judging.at_once import at_once
from misdirection.judging.manner import ROOM, Manner
from misdirection.judging.replies import Reply
from misdirection.judging.retries import JudgeError, Patience
from misdirection.judging.rubric_judge import Query
from misdirection.judging.scoring import Reading, number_of
from misdirection.judging.shape import without_thinking

HOPELESS = 4
"""Questions without a reply after which a judge that never said anything is given up."""
_BLOCKED = ("content_filter", "content_policy", "context_length", "maximum context", "too long", "safety")


class Refused(Exception):
    """The judge does not take the manner, or will not judge this text."""

    def __init__(self, complaint: str) -> None:
        super().__init__(complaint)
        self.complaint = complaint


class Misspoken(Exception):
    """What came back is no reply of the protocol, or says nothing, however often it was asked for."""


class Failed(Exception):
    """A request failed for good; `hopeless` where the judge never answered any, `busy` where it has too much to do."""

    def __init__(self, what: str, hopeless: bool = False, busy: bool = False) -> None:
        super().__init__(what)
        self.hopeless = hopeless
        self.busy = busy


Send = Callable[[str, Manner], Awaitable[Reply | None]]
"""Puts one prompt to the judge; None where what came back is no reply, to be asked for again.

Raises `Refused`, `Misspoken`, `Failed`, `JudgeError`.
"""


@dataclass
class Asker:
    """Puts rubrics to one judge.

    Attributes:
        where: Who serves it, for errors.
        model: Its name there, for errors.
        send: The way to it.
        patience: How many failures are borne with, and the wait between malformed replies.
        manner: How it is asked at present.
        heard: Whether it said anything yet.
        misspoken: How many questions ended without a reply of the protocol.
    """

    where: str
    model: str
    send: Send
    patience: Patience = field(default_factory=Patience)
    manner: Manner = field(default_factory=Manner)
    heard: bool = False
    misspoken: int = 0

    async def read_all(
        self, queries: Sequence[Query], keep: Callable[[Query, Reading], None], in_flight: int = 64
    ) -> None:
        """Ask all queries, `in_flight` at a time, handing over each reading as it comes.

        Raises:
            JudgeError: The judge refuses for good (key, model), or too many requests failed.
        """
        waiting, failed = iter(queries), _Tally(self.patience.tolerated * len(queries))
        await at_once(min(in_flight, len(queries)), lambda: self._work(waiting, keep, failed))

    async def read(self, query: Query) -> Reading:
        """Ask one query.

        Raises:
            Failed: The request failed for good.
            JudgeError: The judge refuses for good.
        """
        reading = await self._read(query.rubric.prompt(query.question, query.answer), query.tokens)
        return replace(reading, asked=self.manner.told)

    async def _read(self, prompt: str, wanted: int) -> Reading:
        if wanted:
            return await self._written(prompt, wanted)
        tokens, before = 1, None
        while True:
            longest = tokens
            reply, manner, used = await self._reply(prompt, lambda m, n=longest: replace(m, tokens=max(n, m.tokens)))
            if isinstance(reply, Reading):
                return reply
            reply, thinking = self._honest(reply, before, used), before is not None and before.silent
            before = reply
            if used.top and reply.top is None and not reply.filtered:
                self._change(manner, manner.written())
            elif used.tokens == 1 and used.top and (reply.blank or self._may_go_on(reply)):
                tokens = 4
            elif used.tokens < ROOM and (reply.silent or reply.read().outcome == "cut"):
                tokens = ROOM if reply.silent or used.tokens >= 16 else 16
            else:
                self._learn(reply, used, thinking)
                return reply.read()

    async def _written(self, prompt: str, tokens: int) -> Reading:
        """Ask for a text."""
        reply, _, used = await self._reply(prompt, lambda m: replace(m, top=0, tokens=max(tokens, m.tokens)))
        if isinstance(reply, Reply) and reply.silent and used.tokens < ROOM:
            return await self._written(prompt, ROOM)
        if isinstance(reply, Reading):
            return reply
        if reply.silent:
            return Reading("cut")
        return Reading("blocked") if reply.filtered else Reading("written", text=without_thinking(reply.text).strip())

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
                self.heard = True
                return Reading("blocked"), manner, tried
            except Misspoken as error:
                return self._malformed(error), manner, tried
            if reply is not None and not reply.says_nothing:
                self.heard = True
                return reply, manner, tried
            malformed += 1
            if malformed >= self.patience.attempts:
                return self._malformed("no text in its replies"), manner, tried
            await asyncio.sleep(self.patience.wait(malformed))

    def _malformed(self, what: object) -> Reading:
        """What stands for a reply that never came; a judge that never said anything is given up soon."""
        self.misspoken += 1
        if not self.heard and self.misspoken >= HOPELESS:
            raise JudgeError(
                f"{self.where} answers for {self.model}, but not as a judge: {what}",
                "check the base URL (most end in /v1) and the model",
            )
        return Reading("malformed")

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

    def _honest(self, reply: Reply, before: Reply | None, used: Manner) -> Reply:
        """The reply, not called cut where it plainly is whole: shorter than its limit, or the same with more room."""
        if (
            before is not None
            and reply.cut
            and reply.text.strip()
            and reply.text == before.text
            and used.tokens == ROOM
        ):
            self.manner = replace(self.manner, ends=False)
        short = 0 < len(reply.tokens) < used.tokens
        return replace(reply, cut=reply.cut and self.manner.ends and not short)

    def _may_go_on(self, reply: Reply) -> bool:
        """Whether the number may be the beginning of a longer one, or of something that is no score."""
        return not self.manner.whole_numbers and (reply.open_ended or reply.one_digit_only)

    def _learn(self, reply: Reply, used: Manner, thinking: bool) -> None:
        """Remember whether the judge cuts numbers, or thinks first: later questions then need no second look."""
        manner = self.manner
        if reply.cut_number or (reply.said and len(reply.said) < len(reply.tokens)):
            self.manner = replace(manner, tokens=max(4, manner.tokens))
        elif thinking and used.tokens == ROOM:
            self.manner = replace(manner, tokens=ROOM)
        elif not manner.whole_numbers and any((number_of(token) or 0) > 10 for token in reply.top or ()):
            self.manner = replace(manner, whole_numbers=True)

    def _adapt(self, used: Manner, complaint: str) -> bool:
        """Whether there is another manner to try; the complaint is final otherwise."""
        if any(sign in complaint.lower() for sign in _BLOCKED):
            return False
        other = used.without(complaint)
        if other is None:
            raise JudgeError(
                f"{self.where} refuses the request for {self.model}: {complaint}",
                "choose a model that takes a plain chat completion",
            )
        self._change(used, other)
        return True

    def _change(self, used: Manner, other: Manner) -> None:
        # Many requests meet the same refusal at a time; the first of them changes the manner.
        if self.manner == used:
            self.manner = other
            if other.told and not used.told:
                progress.say(
                    f"  {self.model} takes no temperature 0: it is asked {other.told}, and each verdict says so"
                )


@dataclass
class _Tally:
    """How many requests failed, and how many may."""

    most: float
    count: int = 0
