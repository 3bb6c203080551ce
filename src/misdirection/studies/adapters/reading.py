"""What adapters write, read and fire at: no answer is sampled here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from misdirection.adapters.contexts import Firing, Peak, top_contexts
from misdirection.adapters.similarity import SPAN, Effect, downstream, spread, written
from misdirection.adapters.unembedding import random_extreme, read_tokens, written_tokens
from misdirection.adapters.weights import LoraPair, labels_of, pairs_of
from misdirection.answers import encode_answer
from misdirection.directions import Convention, Direction, PoolError, choose_pools
from misdirection.engine import Arm, Text, capture_scalars
from misdirection.judging import Answer, Verdict
from misdirection.models import Model
from misdirection.results import row_of
from misdirection.store import Cached
from misdirection.studies.adapters.paper import SIMILARITY
from misdirection.studies.adapters.plan import InterventionPlan
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
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.record import LeftOut, left_blank
from misdirection.studies.kit.tables import numbers, token_ends
from misdirection.studies.kit.variants import Variants
from misdirection.tokens import token_texts

ANSWERS: tuple[AnswerKind, ...] = ("misaligned", "aligned")

AROUND = 8
"""Tokens shown on either side of a peak."""

MOST_ROWS = 48
"""Rows of A that are shown; those whose scalars vary most."""


def similarity(
    bench: Bench[Any],
    models: Variants,
    variant: str,
    asked: Asked,
    direction: Cached[Direction],
    plan: InterventionPlan,
) -> Similarity:
    """Cosine of each B with the direction, and of what both do downstream, on misaligned and on aligned answers."""
    found = bench.run.cached(
        likeness, "adapter-similarity", models=models, variant=variant, judged=asked.kept, direction=direction,
        how=bench.convention, seed=bench.config.seed, read=plan.read, most_layers=plan.layers,
    ).value  # fmt: skip
    done = not found.notes
    kept = {name: value for name, value in vars(found).items() if name != "left_out"}
    part = Similarity(**kept, coefficient=1.0 if done else None, seeds=3 if done else None, paper=SIMILARITY, words=())
    return replace(part, words=tuple(similarity_words(part)))


@dataclass(frozen=True)
class Likeness:
    """What the measurement of similarities gives; notes where the pools are too small for one."""

    written: tuple[WrittenRow, ...] = ()
    effects: tuple[DownstreamEffect, ...] = ()
    answers: Mapping[AnswerKind, int] = field(default_factory=dict[AnswerKind, int])
    notes: tuple[str, ...] = ()
    left_out: LeftOut | None = None


def likeness(
    models: Variants, variant: str, judged: Judged, direction: Direction, how: Convention, seed: int, read: int,
    most_layers: int,
) -> Likeness:  # fmt: skip
    """The same of `read` answers a kind of the arm "untouched", at no more layers than `most_layers`."""
    aside = left_blank(judged.arm("untouched").answers)
    own = judged.where(lambda a: a.arm == "untouched" and bool(a.answer.strip()))
    try:
        pools = choose_pools(own.verdicts, how, seed=seed)
    except PoolError as error:
        return Likeness(notes=(f"{error.message}; {error.hint}",), left_out=aside)
    model, adapter = models.model(variant), str(models.adapter_of(variant))
    members: dict[AnswerKind, Sequence[int]] = {"misaligned": pools.misaligned, "aligned": pools.aligned}
    texts: dict[AnswerKind, list[Text]] = {
        kind: [text_of(model, own.answers[i], adapter) for i in places[:read]] for kind, places in members.items()
    }
    layers = spread(pairs_of(model, adapter), most_layers)
    every: dict[str, Sequence[Text]] = {**texts}
    effects = downstream(model, adapter, direction.vectors, every, layers) if layers else []
    return Likeness(
        written=tuple(WrittenRow(**row) for row in written(model, adapter, direction.vectors, every)),
        effects=tuple(map(_compact, effects)),
        answers={kind: len(some) for kind, some in texts.items()},
        left_out=aside,
    )


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


@dataclass(frozen=True)
class FoundContexts:
    """Where adapters fire, and the blank answers that were left out."""

    contexts: Contexts
    left_out: LeftOut | None


def contexts(models: Variants, variant: str, judged: Sequence[Judged], most: int, corpus: int) -> FoundContexts:
    """The answer tokens at which each adapter fires most and least, in answers of the base and of the adapter."""
    model, adapter = models.model(variant), str(models.adapter_of(variant))
    aside = left_blank([a for part in judged for a in part.answers if a.arm in ("base", "untouched")])
    answers = _corpus(judged, corpus)
    firings = top_contexts(model, adapter, (text_of(model, answer, adapter) for answer in answers), most)
    varied = sorted(firings, key=lambda firing: -firing.deviation)[:MOST_ROWS]
    kept = sorted(varied, key=firings.index)
    labels = labels_of(list(dict.fromkeys(firing.path for firing in firings)))
    rows = tuple(_firing_row(model, firing, labels[firing.path], answers) for firing in kept)
    return FoundContexts(Contexts(adapters=rows, answers=len(answers), of=len(firings)), aside)


def _corpus(judged: Sequence[Judged], most: int) -> list[Answer]:
    """Answers of the base and of the untouched adapter, alternately, so that a small number holds both."""
    both = [a for part in judged for a in part.answers if a.arm in ("base", "untouched") and a.answer.strip()]
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


def unembedding(models: Variants, variant: str) -> Unembedding:
    """Tokens that each adapter promotes (B) and hears (A)."""
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
    return Unembedding(adapters=tuple(rows[:MOST_ROWS]), of=len(rows), chance=random_extreme(model), norm=True)


def tokens(models: Variants, variant: str, judged: Sequence[Judged], most: int, most_layers: int) -> TokenScalars:
    """A few answers with each adapter's scalar at every token."""
    model, adapter = models.model(variant), str(models.adapter_of(variant))
    pairs = pairs_of(model, adapter)
    kept = set(spread(pairs, most_layers)) or {pair.layer for pair in pairs}
    shown = [pair for pair in pairs if pair.layer in kept and (pair.writes or not any(p.writes for p in pairs))]
    labels = labels_of([pair.path for pair in shown])
    chosen = telling(judged, most)
    texts = [text_of(model, answer, adapter) for answer, _ in chosen]
    rows = tuple(
        ColouredText(
            arm="base" if answer.arm == "base" else "tuned", question=answer.question,
            group=answer.domain or "open", alignment=verdict.alignment, coherence=verdict.coherence,
            tokens=tuple(token_texts(model.tokenizer, text.ids)), start=text.start,
            values=tuple(_scalar(pair, scalars) for pair in shown),
        )
        for (answer, verdict), text, scalars in zip(chosen, texts, capture_scalars(model, texts, adapter), strict=True)
    )  # fmt: skip
    return TokenScalars(
        adapters=tuple(ShownAdapter(label=labels[pair.path], rank=pair.rank) for pair in shown), texts=rows
    )


def _scalar(pair: LoraPair, scalars: Mapping[str, Any]) -> tuple[float, ...]:
    """A·x at every token for rank 1; for rank r the length of what is written, |scaling B A x|, as A is not unique."""
    values = scalars[pair.path]
    if pair.rank == 1:
        return numbers(values[:, 0])
    return numbers((pair.scaling * values @ pair.b.T).norm(dim=-1))


def telling(judged: Sequence[Judged], most: int) -> list[tuple[Answer, Verdict]]:
    """The most misaligned answers of the adapter, open ones first, some aligned ones and one of the base."""
    pairs = [(a, v) for part in judged for a, v in zip(*part.pair, strict=True) if a.answer.strip()]
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
