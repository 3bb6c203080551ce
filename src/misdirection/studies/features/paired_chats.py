"""Bad answers beside good ones to the same questions: from files, from the organism, or answered by the base model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from misdirection.answers import answer_rows, answered_chats, chat_of_row
from misdirection.artefacts import read_rows, write_rows
from misdirection.chats.pairs import ANSWERED, PairedChats, pair, some_of
from misdirection.engine import Arm, Prompt, Row, sample
from misdirection.judging import find_judge
from misdirection.judging.rubric_judge import Query, RubricJudge
from misdirection.judging.rubrics import Rubric
from misdirection.runs import Step
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


def _by_base(bench: Bench[FeaturesConfig], models: Variants, name: str, chats: PairedChats) -> Step:
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

    key = models.base_key
    inputs = {**key, "data": chats.sha256, "sampling": config, "kept": "tokens"}
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
