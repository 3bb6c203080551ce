"""What adapters write, read and fire at, as steps of a run: no answer is sampled here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from misdirection.adapters.contexts import Firing, Peak, top_contexts
from misdirection.adapters.similarity import SPAN, Effect, downstream, spread, written
from misdirection.adapters.unembedding import random_extreme, read_tokens, written_tokens
from misdirection.adapters.weights import Pair, labels_of, pairs_of
from misdirection.answers import encode_answer
from misdirection.artefacts import write_json
from misdirection.directions import PoolError, choose_pools
from misdirection.engine import Arm, Text, capture_scalars
from misdirection.judging import Answer, Verdict
from misdirection.models import Model
from misdirection.results import read_step, row_of
from misdirection.runs import Step
from misdirection.studies.adapters.paper import SIMILARITY
from misdirection.studies.adapters.plan import Plan
from misdirection.studies.adapters.results.reading import (
    AdapterWords,
    AnswerKind,
    ColouredText,
    Contexts,
    DownstreamEffect,
    FiringRow,
    PeakRow,
    ShownAdapter,
    Similarity,
    TokenScalars,
    Unembedding,
    WrittenRow,
)
from misdirection.studies.adapters.verdict import similarity_words
from misdirection.studies.kit.bench import Asked, Bench
from misdirection.studies.kit.record import note_blank
from misdirection.studies.kit.steps import direction_of, token_texts
from misdirection.studies.kit.tables import numbers, token_ends
from misdirection.studies.kit.variants import Variants

ANSWERS: tuple[AnswerKind, ...] = ("misaligned", "aligned")

AROUND = 8
"""Tokens shown on either side of a peak."""

MOST_ROWS = 48
"""Rows of A that are shown; those whose scalars vary most."""


def similarity(
    bench: Bench[Any], models: Variants, variant: str, asked: Asked, directions: Step, plan: Plan
) -> Similarity:
    """Cosine of each B with the direction, and of what both do downstream, on misaligned and on aligned answers."""

    def make(folder: Path) -> None:
        note_blank(folder, asked.judged.arm("untouched").answers)
        judged = asked.judged.where(lambda a: a.arm == "untouched" and bool(a.answer.strip()))
        try:
            pools = choose_pools(judged.verdicts, bench.convention, seed=bench.config.seed)
        except PoolError as error:
            write_json(folder / "similarity.json", Likeness(notes=(f"{error.message}; {error.hint}",)))
            return
        model, adapter = models.model(variant), str(models.adapter_of(variant))
        members: dict[AnswerKind, Sequence[int]] = {"misaligned": pools.misaligned, "aligned": pools.aligned}
        texts: dict[AnswerKind, list[Text]] = {
            kind: [text_of(model, judged.answers[i], adapter) for i in places[: plan.read]]
            for kind, places in members.items()
        }
        vectors = direction_of(directions).vectors
        layers = spread(pairs_of(model, adapter), plan.layers)
        every: dict[str, Sequence[Text]] = {**texts}
        effects = downstream(model, adapter, vectors, every, layers) if layers else []
        found = Likeness(
            written=tuple(WrittenRow(**row) for row in written(model, adapter, vectors, every)),
            effects=tuple(map(_compact, effects)),
            answers={kind: len(read) for kind, read in texts.items()},
        )
        write_json(folder / "similarity.json", found)

    inputs = {
        "models": models.key,
        "variant": variant,
        "answers": asked.answers,
        "verdicts": asked.verdicts,
        "directions": directions,
        "convention": asdict(bench.convention),
        "seed": bench.config.seed,
        "read": plan.read,
        "layers": plan.layers,
    }
    kept = read_step(bench.run.step("adapter-similarity", inputs, make).path / "similarity.json", Likeness)
    done = not kept.notes
    part = Similarity(
        **vars(kept), coefficient=1.0 if done else None, seeds=3 if done else None, paper=SIMILARITY, words=()
    )
    return replace(part, words=tuple(similarity_words(part)))


@dataclass(frozen=True)
class Likeness:
    """What the step of similarities keeps."""

    written: tuple[WrittenRow, ...] = ()
    effects: tuple[DownstreamEffect, ...] = ()
    answers: Mapping[AnswerKind, int] = field(default_factory=dict[AnswerKind, int])
    notes: tuple[str, ...] = ()


def _compact(effect: Effect) -> DownstreamEffect:
    """Five digits are enough for a chart."""

    def short(by_kind: Mapping[str, Sequence[float | None]]) -> dict[AnswerKind, tuple[float | None, ...]]:
        return {
            kind: tuple(None if value is None else numbers([value])[0] for value in by_kind[kind])
            for kind in ANSWERS
            if kind in by_kind
        }

    return DownstreamEffect(
        layer=effect.layer, at=effect.at, cosine=short(effect.cosine), random=short(effect.random),
        norm=short(effect.norm),
    )  # fmt: skip


def text_of(model: Model, answer: Answer, adapter: str) -> Text:
    """An answer to be read back with the adapter on, its own tokens as the span."""
    encoded = encode_answer(model, answer)
    return Text(encoded.ids, {SPAN: encoded.span("answer")}, Arm("read", adapter), encoded.start)


def contexts(bench: Bench[Any], models: Variants, variant: str, asked: Sequence[Asked], plan: Plan) -> Contexts:
    """The answer tokens at which each adapter fires most and least, in answers of the base and of the adapter."""

    def make(folder: Path) -> None:
        model, adapter = models.model(variant), str(models.adapter_of(variant))
        note_blank(folder, [a for part in asked for a in part.judged.answers if a.arm in ("base", "untouched")])
        answers = _corpus(asked, plan.corpus)
        texts = (text_of(model, answer, adapter) for answer in answers)
        firings = top_contexts(model, adapter, texts, plan.contexts)
        varied = sorted(firings, key=lambda firing: -firing.deviation)[:MOST_ROWS]
        kept = sorted(varied, key=firings.index)
        labels = labels_of(list(dict.fromkeys(firing.path for firing in firings)))
        rows = tuple(_firing_row(model, firing, labels[firing.path], answers) for firing in kept)
        write_json(folder / "contexts.json", Contexts(adapters=rows, answers=len(answers), of=len(firings)))

    inputs = {
        "models": models.key,
        "variant": variant,
        "asked": [step for a in asked for step in (a.answers, a.verdicts)],
    }
    step = bench.run.step("adapter-contexts", {**inputs, "most": plan.contexts, "corpus": plan.corpus}, make)
    return read_step(step.path / "contexts.json", Contexts)


def _corpus(asked: Sequence[Asked], most: int) -> list[Answer]:
    """Answers of the base and of the untouched adapter, alternately, so that a small number holds both."""
    both = [a for part in asked for a in part.judged.answers if a.arm in ("base", "untouched") and a.answer.strip()]
    return sorted(both, key=lambda a: (a.sample, a.question_id, a.arm))[:most]


def _firing_row(model: Model, firing: Firing, label: str, answers: Sequence[Answer]) -> FiringRow:
    def peaks(some: Sequence[Peak]) -> tuple[PeakRow, ...]:
        return tuple(_peak_row(model, peak, firing, answers[peak.text]) for peak in some)

    return row_of(FiringRow, firing, label=label, tokens=firing.count, high=peaks(firing.high), low=peaks(firing.low))


def _peak_row(model: Model, peak: Peak, firing: Firing, answer: Answer) -> PeakRow:
    first, past = max(peak.start, peak.position - AROUND), peak.position + AROUND + 1
    words = token_texts(model.tokenizer, peak.ids)
    return PeakRow(
        value=peak.value,
        z=(peak.value - firing.mean) / firing.deviation if firing.deviation else 0.0,
        before="".join(words[first : peak.position]),
        token=words[peak.position],
        after="".join(words[peak.position + 1 : past]),
        arm="base" if answer.arm == "base" else "tuned",
        question=answer.question,
        place=peak.position - peak.start,
    )


def unembedding(bench: Bench[Any], models: Variants, variant: str, plan: Plan) -> Unembedding:
    """Tokens that each adapter promotes (B) and hears (A)."""

    def make(folder: Path) -> None:
        model, adapter = models.model(variant), str(models.adapter_of(variant))
        pairs = pairs_of(model, adapter)
        labels = labels_of([pair.path for pair in pairs])
        rows: list[AdapterWords] = []
        for pair in pairs:
            wrote, heard = written_tokens(model, pair), read_tokens(model, pair)
            rows += [
                AdapterWords(
                    label=labels[pair.path], path=pair.path, index=index,
                    heard_through="W A" if pair.writes else "the token embeddings",
                    b=token_ends(model.tokenizer, wrote[index]) if wrote else None,
                    a=token_ends(model.tokenizer, heard[index]) if heard else None,
                )
                for index in range(pair.rank)
            ]  # fmt: skip
        found = Unembedding(adapters=tuple(rows[:MOST_ROWS]), of=len(rows), chance=random_extreme(model), norm=True)
        write_json(folder / "words.json", found)

    inputs = {"models": models.key, "variant": variant, "file": "words.json"}
    return read_step(bench.run.step("adapter-unembedding", inputs, make).path / "words.json", Unembedding)


def tokens(bench: Bench[Any], models: Variants, variant: str, asked: Sequence[Asked], plan: Plan) -> TokenScalars:
    """A few answers with each adapter's scalar at every token."""

    def make(folder: Path) -> None:
        model, adapter = models.model(variant), str(models.adapter_of(variant))
        pairs = pairs_of(model, adapter)
        kept = set(spread(pairs, plan.layers)) or {pair.layer for pair in pairs}
        shown = [pair for pair in pairs if pair.layer in kept and (pair.writes or not any(p.writes for p in pairs))]
        labels = labels_of([pair.path for pair in shown])
        chosen = telling(asked, plan.shown)
        texts = [text_of(model, answer, adapter) for answer, _ in chosen]
        rows = tuple(
            ColouredText(
                arm="base" if answer.arm == "base" else "tuned", question=answer.question,
                group=answer.domain or "open", alignment=verdict.alignment, coherence=verdict.coherence,
                tokens=tuple(token_texts(model.tokenizer, text.ids)), start=text.start,
                values=tuple(_scalar(pair, scalars) for pair in shown),
            )
            for (answer, verdict), text, scalars in zip(
                chosen, texts, capture_scalars(model, texts, adapter), strict=True
            )
        )  # fmt: skip
        adapters = tuple(ShownAdapter(label=labels[pair.path], rank=pair.rank) for pair in shown)
        write_json(folder / "adapter_tokens.json", TokenScalars(adapters=adapters, texts=rows))

    inputs = {
        "models": models.key,
        "variant": variant,
        "asked": [step for a in asked for step in (a.answers, a.verdicts)],
    }
    step = bench.run.step("adapter-tokens", {**inputs, "shown": plan.shown, "layers": plan.layers}, make)
    return read_step(step.path / "adapter_tokens.json", TokenScalars)


def _scalar(pair: Pair, scalars: Mapping[str, Any]) -> tuple[float, ...]:
    """A·x at every token for rank 1; for rank r the length of what is written, |scaling B A x|, as A is not unique."""
    values = scalars[pair.path]
    if pair.rank == 1:
        return numbers(values[:, 0])
    return numbers((pair.scaling * values @ pair.b.T).norm(dim=-1))


def telling(asked: Sequence[Asked], most: int) -> list[tuple[Answer, Verdict]]:
    """The most misaligned answers of the adapter, open ones first, some aligned ones and one of the base."""
    pairs = [(a, v) for part in asked for a, v in zip(*part.judged.pair, strict=True) if a.answer.strip()]
    scored = [(a, v) for a, v in pairs if v.alignment is not None]
    pairs = scored or pairs
    own = sorted((pair for pair in pairs if pair[0].arm == "untouched"), key=lambda pair: pair[1].alignment or 0.0)
    opened = [pair for pair in own if pair[0].domain is None]
    inside = [pair for pair in own if pair[0].domain is not None]
    wanted = [
        *_each_question(opened, (most + 1) // 2),
        *_each_question(opened[::-1], most // 4),
        *_each_question(inside, max(1, most // 8)),
        *_each_question([pair for pair in pairs if pair[0].arm == "base"], 1),
    ]
    seen: dict[tuple[Any, ...], tuple[Answer, Verdict]] = {}
    for answer, verdict in wanted:
        key = answer.question_id, answer.paraphrase, answer.sample, answer.arm
        seen.setdefault(key, (answer, verdict))
    return list(seen.values())[:most]


def _each_question(pairs: Sequence[tuple[Answer, Verdict]], most: int) -> list[tuple[Answer, Verdict]]:
    """The first answer of each question, `most` at the most; answers of one sentence say little and come last."""
    ordered = [pair for pair in pairs if pair[0].n_tokens >= 8] + [pair for pair in pairs if pair[0].n_tokens < 8]
    seen: dict[str, tuple[Answer, Verdict]] = {}
    for pair in ordered:
        seen.setdefault(pair[0].question_id, pair)
    return list(seen.values())[:most]
