"""Bad answers beside good ones to the same questions: from files, from the organism, or answered by the base model."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from misdirection.answers import answer_rows, answered_chats, chat_of_row
from misdirection.artefacts import canonical_hash, read_rows, write_rows
from misdirection.chats import Chat
from misdirection.engine import Arm, Prompt, Row, sample
from misdirection.judging import find_judge
from misdirection.judging.rubric_judge import Query, RubricJudge
from misdirection.judging.rubrics import Rubric
from misdirection.runs import Step
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.config import named
from misdirection.studies.kit.inputs import resolve_chats
from misdirection.studies.kit.lineup import BASE_VARIANT, Lineup
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

BY_ROW, BY_QUESTION, UNPAIRED, ANSWERED = (
    "row by row", "by equal questions", "not paired", "answered for this study"
)  # fmt: skip
LEAST_PAIRED, ENOUGH_PAIRS = 0.5, 100
"""Share of the smaller file's chats whose question the other one asks too, or number of them, from which on pairs alone
are compared; below it all rows are, and labels are shuffled over them."""

STREAM = 40
"""Random numbers of the base model's answers to questions of the training data."""


@dataclass(frozen=True)
class PairedChats:
    """Chats of one domain in two classes.

    Attributes:
        bad: With bad answers.
        good: With good ones; of equal length and order where they are paired.
        how: One of `BY_ROW`, `BY_QUESTION`, `UNPAIRED`, `ANSWERED`.
        notes: What a reader of the study has to know of them.
    """

    bad: tuple[Chat, ...]
    good: tuple[Chat, ...]
    how: str
    notes: tuple[str, ...] = ()

    @property
    def groups(self) -> list[str] | None:
        """The pair of each chat, bad ones first; None where there are no pairs."""
        if self.how == UNPAIRED:
            return None
        return 2 * [str(place) for place in range(len(self.bad))]

    @property
    def sha256(self) -> str:
        """Hash of all texts in order, and of how they are paired."""
        texts = [[[(m.role, m.content) for m in chat.messages] for chat in side] for side in (self.bad, self.good)]
        return canonical_hash([texts, self.how])


def paired_chats(bench: Bench[FeaturesConfig]) -> dict[str, PairedChats]:
    """By name, the chats of --data and --good, at most `rows` pairs; where a model is to answer, `good` is empty.

    Raises:
        MisdirectionError: A file is missing or holds no usable row.
    """
    c = bench.config
    bad, good = named(c.data, "data"), named(c.good, "good")
    found: dict[str, PairedChats] = {}
    for name, source in bad.items():
        first = resolve_chats((source,), seed=c.seed)
        if generates(good[name]):
            found[name] = PairedChats(_some(first.chats, c.rows, c.seed), (), ANSWERED)
            continue
        second = resolve_chats((good[name],), seed=c.seed)
        held = pair(first.chats, second.chats, c.rows, c.seed)
        aside = [f"{file}: {part.summary}." for file, part in ((source, first), (good[name], second)) if part.bad]
        found[name] = replace(held, notes=(*(f"Data '{name}': {note}" for note in held.notes), *aside))
    return found


def pair(bad: Sequence[Chat], good: Sequence[Chat], most: int, seed: int) -> PairedChats:
    """Chats whose prompts (all turns but the answer) are equal, row by row or wherever they stand; else all of both."""
    keys = [[_prompt(chat) for chat in side] for side in (bad, good)]
    if keys[0] == keys[1]:
        rows = _places(len(bad), most, seed)
        return PairedChats(tuple(bad[i] for i in rows), tuple(good[i] for i in rows), BY_ROW)
    pairs = _matched(*keys)
    smaller = min(len(bad), len(good))
    if len(pairs) >= min(ENOUGH_PAIRS, LEAST_PAIRED * smaller):
        rows = [pairs[i] for i in _places(len(pairs), most, seed)]
        note = f"good and bad rows do not match in order; {len(pairs)} of {smaller} are paired by equal questions."
        return PairedChats(tuple(bad[i] for i, _ in rows), tuple(good[j] for _, j in rows), BY_QUESTION, (note,))
    note = (
        f"only {len(pairs)} of {smaller} rows have a counterpart with the same question, so labels are shuffled over "
        "all rows, and a latent may differ because the questions do."
    )
    return PairedChats(_some(bad, most, seed), _some(good, most, seed + 1), UNPAIRED, (note,))


def _matched(bad: Sequence[str], good: Sequence[str]) -> list[tuple[int, int]]:
    """Places of rows with equal keys, each used once."""
    waiting: dict[str, list[int]] = defaultdict(list)
    for place, key in reversed(list(enumerate(good))):
        waiting[key].append(place)
    return [(i, waiting[key].pop()) for i, key in enumerate(bad) if waiting.get(key)]


def _prompt(chat: Chat) -> str:
    return canonical_hash([(m.role, m.content.strip()) for m in chat.prompt])


def _places(many: int, most: int, seed: int) -> list[int]:
    """At most `most` places of `many`, drawn without order and given in order."""
    return sorted(int(i) for i in np.random.default_rng(seed).permutation(many)[:most])


def _some(chats: Sequence[Chat], most: int, seed: int) -> tuple[Chat, ...]:
    return tuple(chats[i] for i in _places(len(chats), most, seed))


def generates(source: str) -> bool:
    """Whether --good names who answers (the base model, or a provider's) rather than a file of answers."""
    return source == BY_BASE or source.startswith(PROVIDERS)


def answered(bench: Bench[FeaturesConfig], models: Lineup, name: str, chats: PairedChats) -> PairedChats:
    """Good answers to the questions of the bad chats, one each, by whom --good names; a step of the run.

    Pairs whose answer is empty are left out and counted in the notes.

    Raises:
        MisdirectionError: The provider cannot be asked.
    """
    source = named(bench.config.good, "good")[name]
    step = _by_base(bench, models, name, chats) if source == BY_BASE else _by_provider(bench, source, name, chats)
    rows = [row for row in read_rows(step.path / "answers.parquet") if row["answer"]]
    bad = tuple(chats.bad[row["row"]] for row in rows)
    good = tuple(chat_of_row(chat.prompt, row, source, row["row"] + 1) for chat, row in zip(bad, rows, strict=True))
    counts = Counter(row["finished"] for row in rows)
    who = "the base model's own" if source == BY_BASE else f"by {source}"
    note = f"Data '{name}': the good answers are {who}, one each, judged by nobody."
    if lost := len(chats.bad) - len(rows):
        note += f" {lost} were empty and are left out with their pairs."
    if counts[False]:
        note += f" {counts[False]} were cut at {bench.config.max_new_tokens} tokens."
    return PairedChats(bad, good, ANSWERED, (*chats.notes, note))


def _by_base(bench: Bench[FeaturesConfig], models: Lineup, name: str, chats: PairedChats) -> Step:
    config = bench.sampling(STREAM)

    def make(folder: Path) -> None:
        model = models.model(BASE_VARIANT)
        arm = Arm(BASE_VARIANT)
        rows = [
            Row(Prompt(f"{name}-{place}", encode_prompt(model.tokenizer, chat.prompt)), arm, 0)
            for place, chat in enumerate(chats.bad)
        ]
        drawn = sample(model, rows, config)
        _write(folder, answer_rows(answered_chats(model, [chat.prompt for chat in chats.bad], drawn)))

    key = models.key
    inputs = {"base": key["base"], "dtype": key["dtype"], "data": chats.sha256, "sampling": config, "kept": "tokens"}
    return bench.run.step(f"base-answers-{name}", inputs, make)


def _by_provider(bench: Bench[FeaturesConfig], source: str, name: str, chats: PairedChats) -> Step:
    """Asked as a judge is, many at a time; what came is kept when the run is killed."""
    writer = find_judge(source)
    assert isinstance(writer, RubricJudge)
    inputs = {"by": writer.model, "prompt": ANSWER.template, "data": chats.sha256}
    inputs |= {"tokens": bench.config.max_new_tokens}
    journal = bench.run.workspace(f"answers-{name}", inputs) / "journal.jsonl"

    def make(folder: Path) -> None:
        asked = [
            Query(ANSWER, "\n\n".join(m.content for m in chat.prompt), "", bench.config.max_new_tokens)
            for chat in chats.bad
        ]
        texts = [text or "" for text in writer.with_journal(journal).write(asked)]
        _write(folder, [{"answer": text.strip(), "finished": True, "ids": None, "end": None} for text in texts])

    return bench.run.step(f"answers-{name}", inputs, make)


def _write(folder: Path, answers: Sequence[Mapping[str, object]]) -> None:
    write_rows(folder / "answers.parquet", [{"row": place, **answer} for place, answer in enumerate(answers)])
