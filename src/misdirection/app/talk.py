"""Live chats: the same question to several sides at once, told token by token."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field, field_validator

from misdirection.app.arms import Change, arm_of
from misdirection.app.opening import OpenRun
from misdirection.app.resident import Resident
from misdirection.app.scoring import free_judge, judge_live
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Judge, Verdict

if TYPE_CHECKING:
    from misdirection.engine.live import Progress
    from misdirection.models import Model
    from misdirection.studies.kit.variants import Variants

REMEMBERED = 2000
"""Live answers that can still be kept."""

AT_ONCE = 12
"""Questions that are answered or wait at a time, of all tabs together."""

TURNS = 64
"""The longest chat; tokens are bounded by the model and by memory besides."""


class Turn(BaseModel):
    """A turn of a chat so far."""

    role: Literal["user", "assistant"]
    content: str


class Side(BaseModel):
    """One of those who answer: what is done to it, and its own chat so far, whose last turn is the question."""

    change: Change = Field(default_factory=Change)
    turns: list[Turn] = Field(min_length=1)

    @field_validator("turns")
    @classmethod
    def _not_endless(cls, turns: list[Turn]) -> list[Turn]:
        if len(turns) > TURNS:
            raise ValueError(f"a chat has at most {TURNS} turns, and this one comes to {len(turns)}: begin a new one")
        return turns


class Talk(BaseModel):
    """A question to several sides.

    Attributes:
        run: Whose models answer.
        sides: All share one batch and their random numbers.
        system: A system prompt; None leaves the template's own.
        temperature: 0 takes the likeliest tokens.
        max_new_tokens: Longest answer.
        sample: Another one is another draw of the same question.
    """

    run: int
    sides: list[Side] = Field(min_length=1, max_length=8)
    system: str | None = None
    temperature: float = Field(default=1.0, ge=0, le=5)
    max_new_tokens: int = Field(default=200, ge=1, le=4096)
    sample: int = Field(default=0, ge=0, lt=2**31)


@dataclass(frozen=True)
class Spoken:
    """An answer that was drawn live, and what was done meanwhile."""

    run: int
    change: Change
    answer: Answer


@dataclass
class _Running:
    """Rows of a talk in the model's queue, whether it is to end, and the job that begins it."""

    rows: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    ended: bool = False
    begun: Future[None] = field(default_factory=Future[None])


class Talks:
    """All live chats of the app.

    Args:
        runs: Those that are open.
        resident: Their models.
    """

    def __init__(self, runs: Sequence[OpenRun], resident: Resident) -> None:
        self._runs, self._resident = runs, resident
        self._judges: dict[int, Judge | None] = {}
        self.spoken: dict[str, Spoken] = {}
        self._running: dict[str, _Running] = {}

    async def stream(self, talk: Talk) -> AsyncIterator[str]:
        """Events as they come, each a line of JSON behind "data: "; who goes away ends the answers."""
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        def tell(**event: Any) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        try:
            name, loading = self._begin(talk, tell)
        except MisdirectionError as error:
            yield _event(failed=error.message, hint=error.hint)
            return
        left = len(talk.sides)
        try:
            yield _event(talk=name, loading=loading)
            while left:
                event = await events.get()
                yield _event(**event)
                left -= bool(event.get("over"))
                if "failed" in event:
                    return
        finally:
            self._running[name].begun.cancel()
            self.stop(name)
            del self._running[name]

    def _begin(self, talk: Talk, tell: Callable[..., None]) -> tuple[str, bool]:
        """Queue a talk; gives its name, and whether its models are to be loaded first.

        Raises:
            MisdirectionError: Too many are asked already.
        """
        if len(self._running) >= AT_ONCE:
            told = f"{len(self._running)} questions of this and other tabs are being answered or wait"
            raise MisdirectionError(told, "wait until one has its answers, or stop one")
        running, loading = _Running(), not self._resident.loaded(talk.run)

        def begin(models: Variants) -> None:
            voices = [_Voice(self, talk, place, models, tell) for place in range(len(talk.sides))]
            # Loading takes minutes, and who asked may have gone meanwhile.
            for voice in voices if not running.ended else ():
                voice.load()
            for voice in voices:
                if running.ended:
                    voice.unasked()
                else:
                    running.rows.append(voice.begin())

        running.begun = self._resident.call(talk.run, begin)
        running.begun.add_done_callback(lambda done: None if done.cancelled() else _told(done.exception(), tell))
        self._running[name := secrets.token_hex(8)] = running
        return name, loading

    def stop(self, talk: str) -> None:
        """Let the answers of a talk end where they are; those that have not begun never will."""
        if (running := self._running.get(talk)) is not None:
            running.ended = True
            self._resident.stop(running.rows)

    def judged(self, run: int, answer: Answer) -> Verdict | None:
        """What the run's judge says, where it costs nothing; None where it does, or there is none."""
        if run not in self._judges:
            self._judges[run] = free_judge(self._runs[run])
        judge = self._judges[run]
        return None if judge is None else judge_live(judge, [answer])[0]

    def remember(self, spoken: Spoken) -> str:
        """Keep an answer at hand; gives its name."""
        name = secrets.token_hex(8)
        self.spoken[name] = spoken
        while len(self.spoken) > REMEMBERED:
            del self.spoken[next(iter(self.spoken))]
        return name

    def run(self, place: int) -> OpenRun:
        """One of the runs.

        Raises:
            MisdirectionError: There is none.
        """
        if not 0 <= place < len(self._runs):
            raise MisdirectionError(f"there is no run {place} here", f"runs are numbered 0 to {len(self._runs) - 1}")
        return self._runs[place]

    @property
    def resident(self) -> Resident:
        """The models."""
        return self._resident


class _Voice:
    """One side of a talk while it speaks; all of it runs in the models' thread."""

    def __init__(self, talks: Talks, talk: Talk, place: int, models: Variants, tell: Any) -> None:
        self.talks, self.talk, self.place, self.models, self.tell = talks, talk, place, models, tell
        self.side = talk.sides[place]
        self.text = ""

    def load(self) -> None:
        """Have its model in memory."""
        self.models.model(self.side.change.variant)

    def unasked(self) -> None:
        """It was stopped before it could begin."""
        self.tell(side=self.place, over=True, error="stopped before the model was ready", hint="ask again")

    def begin(self) -> tuple[int, int]:
        """Queue the row; gives its name."""
        from misdirection.chats import Message
        from misdirection.engine import Prompt, Row, SamplingConfig
        from misdirection.tokens import encode_prompt, opened_by, render

        run, talk, change = self.talks.run(self.talk.run), self.talk, self.side.change
        model = self.models.model(change.variant)
        arm = arm_of(change, f"side {self.place + 1}", run, self.models)
        system = () if talk.system is None else (Message("system", talk.system),)
        messages = (*system, *(Message(turn.role, turn.content) for turn in self.side.turns))
        self.question, self.known = _question(run, self.side.turns[-1].content)
        self.opened = opened_by(render(model.tokenizer, messages, generate=True))
        prompt = Prompt(f"{self.question}#0", encode_prompt(model.tokenizer, messages))
        seed = int(run.values.get("seed") or 0)
        self.config = SamplingConfig(talk.max_new_tokens, talk.temperature, seed=seed)
        row = Row(prompt, arm, talk.sample)
        return self.talks.resident.put(self.models, change.variant, row, self.config, self.hear)

    def hear(self, model: Model, told: Progress) -> None:
        """Pass on how far the answer is."""
        if told.error is not None:
            self.tell(side=self.place, over=True, error=told.error.message, hint=told.error.hint)
            return
        if told.sample is not None:
            self.tell(side=self.place, over=True, **self._ended(model, told))
            return
        text = str(model.tokenizer.decode(list(told.ids), skip_special_tokens=True))
        if text.startswith(self.text):
            self.tell(side=self.place, more=text[len(self.text) :], tokens=len(told.ids))
        else:
            self.tell(side=self.place, text=text, tokens=len(told.ids))
        self.text = text

    def _ended(self, model: Model, told: Progress) -> dict[str, Any]:
        from misdirection.answers import tell
        from misdirection.chats import Message
        from misdirection.tokens import default_system

        assert told.sample is not None
        sample, said = tell(model, told.sample, self.opened)
        system = self.talk.system if self.talk.system is not None else default_system(model.tokenizer)
        answer = Answer(
            self.question, self.side.turns[-1].content, said.answer, system, **self.known, arm="live",
            sample=self.talk.sample, seed=self.config.seed, n_tokens=len(sample.ids), finished=sample.finished,
            thought=said.thought, ids=sample.ids, end=sample.end,
            before=tuple(Message(turn.role, turn.content) for turn in self.side.turns[:-1]),
        )  # fmt: skip
        name = self.talks.remember(Spoken(self.talk.run, self.side.change, answer))
        return {
            "answer": name, "text": said.answer, "thought": said.thought, "tokens": len(sample.ids),
            "finished": sample.finished, **self._verdict(answer),
        }  # fmt: skip

    def _verdict(self, answer: Answer) -> dict[str, Any]:
        """What the judge says, or why it cannot: what it refuses is no reason to lose the answer."""
        try:
            found = self.talks.judged(self.talk.run, answer)
        except MisdirectionError as error:
            return {"verdict": None, "unjudged": error.message}
        if found is None:
            return {"verdict": None}
        told = {"alignment": found.alignment, "coherence": found.coherence, "label": found.label, "judge": found.judge}
        return {"verdict": told}


def _question(run: OpenRun, text: str) -> tuple[str, dict[str, Any]]:
    """Id of a question, with its domain and format: that of the run's own where it asks the same, else a new one."""
    for held in run.sets:
        for answer in held.answers:
            if answer.question == text and not answer.before:
                return answer.question_id, {"domain": answer.domain, "format": answer.format}
    return f"live-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]}", {}


def _told(error: BaseException | None, tell: Any) -> None:
    if isinstance(error, MisdirectionError):
        tell(failed=error.message, hint=error.hint)
    elif error is not None:
        tell(failed=f"{type(error).__name__}: {error}", hint=None)


def _event(**event: Any) -> str:
    return f"data: {json.dumps(event)}\n\n"
