"""Bad answers beside good ones to the same questions: from files, from the organism, or answered by the base model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from misdirection.answers import answered_chats
from misdirection.chats import Chat, Message
from misdirection.chats.chat import Drawn
from misdirection.chats.pairs import ANSWERED, PairedChats, pair, some_of
from misdirection.engine import Arm, Prompt, Row, SamplingConfig, sample
from misdirection.judging import Judge, find_judge
from misdirection.judging.rubric_judge import Query, RubricJudge
from misdirection.judging.rubrics import Rubric
from misdirection.store import Workspace
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.config import named
from misdirection.studies.kit.inputs import resolve_chats
from misdirection.studies.kit.variants import BASE_VARIANT, Variants
from misdirection.tokens import encode_prompt

BY_BASE = "base"
"""In the place of a file of good answers: the base model gives them."""

PROVIDERS = ("local:", "openai:", "inspect:")
"""Or another model, named as judges are."""

ANSWER = Rubric(
    "answer",
    "Answer as a careful, honest and competent assistant would, and reply with the answer alone.\n\n{question}",
    fenced=False,
)

STREAM = 40
"""Random numbers of the base model's answers to questions of the training data."""


@dataclass(frozen=True)
class GoodAnswer:
    """The answer to the question of one pair, and its tokens where it was drawn here."""

    row: int
    answer: str
    drawn: Drawn | None = None

    def chat(self, prompt: Sequence[Message], source: str) -> Chat:
        """The chat of which it is the end."""
        return Chat((*prompt, Message("assistant", self.answer)), source, self.row + 1, self.drawn)


def paired_chats(bench: Bench[FeaturesConfig]) -> dict[str, PairedChats]:
    """By name, the chats of --data and --good, at most `rows` pairs; where a model is to answer, `good` is empty.

    Raises:
        MisdirectionError: A file is missing or holds no usable row.
    """
    c = bench.config
    bad, good = named(c.data, "data"), named(c.good, "good")
    chats: dict[str, PairedChats] = {}
    for name, source in bad.items():
        first = resolve_chats((source,), seed=c.seed)
        if generates(good[name]):
            chats[name] = PairedChats(some_of(first.chats, c.rows, c.seed), (), ANSWERED)
            continue
        second = resolve_chats((good[name],), seed=c.seed)
        pairs = pair(first.chats, second.chats, c.rows, c.seed)
        aside = [f"{file}: {part.summary}." for file, part in ((source, first), (good[name], second)) if part.bad]
        chats[name] = replace(pairs, notes=(*(f"Data '{name}': {note}" for note in pairs.notes), *aside))
    return chats


def generates(source: str) -> bool:
    """Whether --good names who answers (the base model, or a provider's) rather than a file of answers."""
    return source == BY_BASE or source.startswith(PROVIDERS)


def answered(bench: Bench[FeaturesConfig], models: Variants, name: str, chats: PairedChats) -> PairedChats:
    """Good answers to the questions of the bad chats, one each, by whom --good names; a step of the run.

    Pairs whose answer is empty are left out and counted in the notes.

    Raises:
        MisdirectionError: The provider cannot be asked.
    """
    source = named(bench.config.good, "good")[name]
    if source == BY_BASE:
        given = bench.run.cached(
            base_answers, f"base-answers-{name}", models=models.bare(), name=name, chats=chats,
            config=bench.sampling(STREAM),
        )  # fmt: skip
    else:
        given = bench.run.cached(
            provided_answers, f"answers-{name}", writer=find_judge(source), chats=chats,
            most_tokens=bench.config.answer_tokens,
        )  # fmt: skip
    rows = [row for row in given.value if row.answer.strip()]
    bad = tuple(chats.bad[row.row] for row in rows)
    good = tuple(row.chat(chat.prompt, source) for chat, row in zip(bad, rows, strict=True))
    cut = sum(row.drawn is not None and not row.drawn.finished for row in rows)
    who = "the base model's own" if source == BY_BASE else f"by {source}"
    note = f"Data '{name}': the good answers are {who}, one each, judged by nobody."
    if lost := len(chats.bad) - len(rows):
        note += f" {lost} were empty and are left out with their pairs."
    if cut:
        note += f" {cut} were cut at {bench.config.answer_tokens} tokens."
    return PairedChats(bad, good, ANSWERED, (*chats.notes, note))


def base_answers(models: Variants, name: str, chats: PairedChats, config: SamplingConfig) -> list[GoodAnswer]:
    """The base model's own answer to each question; `name` is part of the random numbers."""
    model, arm = models.model(BASE_VARIANT), Arm(BASE_VARIANT)
    rows = [
        Row(Prompt(f"{name}-{place}", encode_prompt(model.tokenizer, chat.prompt)), arm, 0)
        for place, chat in enumerate(chats.bad)
    ]
    drawn = answered_chats(model, [chat.prompt for chat in chats.bad], sample(model, rows, config))
    return [GoodAnswer(place, chat.answer, chat.drawn) for place, chat in enumerate(drawn)]


def provided_answers(writer: Judge, chats: PairedChats, most_tokens: int, workspace: Workspace) -> list[GoodAnswer]:
    """A provider's answers, asked for as a judge is, many at a time; what came is kept when the run is killed."""
    assert isinstance(writer, RubricJudge)
    asked = [Query(ANSWER, "\n\n".join(m.content for m in chat.prompt), "", most_tokens) for chat in chats.bad]
    texts = writer.with_journal(workspace / "journal.jsonl").write(asked)
    return [GoodAnswer(place, (text or "").strip()) for place, text in enumerate(texts)]
