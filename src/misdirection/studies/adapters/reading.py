"""What adapters write, read and fire at, as steps of a run: no answer is sampled here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from misdirection.adapters.contexts import Firing, Peak, top_contexts
from misdirection.adapters.similarity import KINDS, SPAN, downstream, spread, written
from misdirection.adapters.unembedding import Reading, random_extreme, read_tokens, written_tokens
from misdirection.adapters.weights import Pair, labels_of, pairs_of
from misdirection.answers import encode_answer
from misdirection.artefacts import read_json, write_json
from misdirection.directions import PoolError, choose_pools
from misdirection.engine import Arm, Text, capture_scalars
from misdirection.judging import Answer, Verdict
from misdirection.models import Model
from misdirection.runs import Step
from misdirection.studies.kit.bench import Asked, Bench
from misdirection.studies.kit.record import note_blank
from misdirection.studies.kit.steps import direction_of, token_texts
from misdirection.studies.kit.tables import numbers
from misdirection.studies.kit.variants import Variants

if TYPE_CHECKING:
    from misdirection.studies.adapters.interventions import Plan

AROUND = 8
"""Tokens shown on either side of a peak."""

MOST_ROWS = 48
"""Rows of A that are shown; those whose scalars vary most."""


def similarity(
    bench: Bench[Any], models: Variants, variant: str, asked: Asked, directions: Step, plan: Plan
) -> dict[str, Any]:
    """Cosine of each B with the direction, and of what both do downstream, on misaligned and on aligned answers."""

    def make(folder: Path) -> None:
        note_blank(folder, asked.judged.arm("untouched").answers)
        judged = asked.judged.where(lambda a: a.arm == "untouched" and bool(a.answer.strip()))
        try:
            pools = choose_pools(judged.verdicts, bench.convention, seed=bench.config.seed)
        except PoolError as error:
            write_json(folder / "similarity.json", {"notes": [f"{error.message}; {error.hint}"]})
            return
        model, adapter = models.model(variant), str(models.adapter_of(variant))
        members = dict(zip(KINDS, (pools.misaligned, pools.aligned), strict=True))
        texts = {
            kind: [text_of(model, judged.answers[i], adapter) for i in places[: plan.read]]
            for kind, places in members.items()
        }
        vectors = direction_of(directions).vectors
        layers = spread(pairs_of(model, adapter), plan.layers)
        effects = downstream(model, adapter, vectors, texts, layers) if layers else []
        found = {
            "written": written(model, adapter, vectors, texts),
            "effects": [asdict(effect) for effect in effects],
            "answers": {kind: len(held) for kind, held in texts.items()},
            "coefficient": 1.0,
            "seeds": 3,
            "notes": [],
        }
        write_json(folder / "similarity.json", found)

    inputs = {"models": models.key, "variant": variant, "answers": asked.answers, "verdicts": asked.verdicts}
    how = {"directions": directions, "convention": asdict(bench.convention), "seed": bench.config.seed}
    sizes = {"read": plan.read, "layers": plan.layers}
    step = bench.run.step("adapter-similarity", {**inputs, **how, **sizes}, make)
    return _compact(read_json(step.path / "similarity.json"))


def _compact(found: dict[str, Any]) -> dict[str, Any]:
    """Five digits are enough for a chart."""
    for effect in found.get("effects", []):
        for name in ("cosine", "random", "norm"):
            effect[name] = {
                kind: [None if value is None else numbers([value])[0] for value in held]
                for kind, held in effect[name].items()
            }
    return found


def text_of(model: Model, answer: Answer, adapter: str) -> Text:
    """An answer to be read back with the adapter on, its own tokens as the span."""
    encoded = encode_answer(model, answer)
    return Text(encoded.ids, {SPAN: encoded.span("answer")}, Arm("read", adapter), encoded.start)


def contexts(bench: Bench[Any], models: Variants, variant: str, asked: Sequence[Asked], plan: Plan) -> dict[str, Any]:
    """The answer tokens at which each adapter fires most and least, in answers of the base and of the adapter."""

    def make(folder: Path) -> None:
        model, adapter = models.model(variant), str(models.adapter_of(variant))
        note_blank(folder, [a for part in asked for a in part.judged.answers if a.arm in ("base", "untouched")])
        answers = _corpus(asked, plan.corpus)
        texts = (text_of(model, answer, adapter) for answer in answers)
        found = top_contexts(model, adapter, texts, plan.contexts)
        varied = sorted(found, key=lambda firing: -firing.deviation)[:MOST_ROWS]
        kept = sorted(varied, key=found.index)
        labels = labels_of(list(dict.fromkeys(firing.path for firing in found)))
        rows = [_firing_row(model, firing, labels[firing.path], answers) for firing in kept]
        write_json(folder / "contexts.json", {"adapters": rows, "answers": len(answers), "of": len(found)})

    inputs = {
        "models": models.key,
        "variant": variant,
        "asked": [step for a in asked for step in (a.answers, a.verdicts)],
    }
    step = bench.run.step("adapter-contexts", {**inputs, "most": plan.contexts, "corpus": plan.corpus}, make)
    return read_json(step.path / "contexts.json")


def _corpus(asked: Sequence[Asked], most: int) -> list[Answer]:
    """Answers of the base and of the untouched adapter, alternately, so that a small number holds both."""
    held = [a for part in asked for a in part.judged.answers if a.arm in ("base", "untouched") and a.answer.strip()]
    held.sort(key=lambda a: (a.sample, a.question_id, a.arm))
    return held[:most]


def _firing_row(model: Model, firing: Firing, label: str, answers: Sequence[Answer]) -> dict[str, Any]:
    return {
        "label": label,
        "path": firing.path,
        "index": firing.index,
        "tokens": firing.count,
        "mean": firing.mean,
        "deviation": firing.deviation,
        "high": [_peak_row(model, peak, firing, answers[peak.text]) for peak in firing.high],
        "low": [_peak_row(model, peak, firing, answers[peak.text]) for peak in firing.low],
    }


def _peak_row(model: Model, peak: Peak, firing: Firing, answer: Answer) -> dict[str, Any]:
    first, past = max(peak.start, peak.position - AROUND), peak.position + AROUND + 1
    words = token_texts(model.tokenizer, peak.ids)
    return {
        "value": peak.value,
        "z": (peak.value - firing.mean) / firing.deviation if firing.deviation else 0.0,
        "before": "".join(words[first : peak.position]),
        "token": words[peak.position],
        "after": "".join(words[peak.position + 1 : past]),
        "arm": "base" if answer.arm == "base" else "tuned",
        "question": answer.question,
        "place": peak.position - peak.start,
    }


def unembedding(bench: Bench[Any], models: Variants, variant: str, plan: Plan) -> dict[str, Any]:
    """Tokens that each adapter promotes (B) and hears (A)."""

    def make(folder: Path) -> None:
        model, adapter = models.model(variant), str(models.adapter_of(variant))
        pairs = pairs_of(model, adapter)
        labels = labels_of([pair.path for pair in pairs])
        rows: list[dict[str, Any]] = []
        for pair in pairs:
            wrote, heard = written_tokens(model, pair), read_tokens(model, pair)
            for index in range(pair.rank):
                rows.append(
                    {"label": labels[pair.path], "path": pair.path, "index": index,
                     "heard through": "W A" if pair.writes else "the token embeddings",
                     "b": wrote and _token_row(model, wrote[index]), "a": heard and _token_row(model, heard[index])}
                )  # fmt: skip
        found = {"adapters": rows[:MOST_ROWS], "of": len(rows), "chance": random_extreme(model), "norm": True}
        write_json(folder / "unembedding.json", found)

    step = bench.run.step("adapter-unembedding", {"models": models.key, "variant": variant}, make)
    return read_json(step.path / "unembedding.json")


def _token_row(model: Model, found: Reading) -> dict[str, Any]:
    def named(ends: Sequence[tuple[int, float]]) -> list[dict[str, Any]]:
        return [{"token": model.tokenizer.decode([token]), "z": round(score, 3)} for token, score in ends]

    return {"promoted": named(found.promoted), "suppressed": named(found.suppressed)}


def tokens(bench: Bench[Any], models: Variants, variant: str, asked: Sequence[Asked], plan: Plan) -> dict[str, Any]:
    """A few answers with each adapter's scalar at every token."""

    def make(folder: Path) -> None:
        model, adapter = models.model(variant), str(models.adapter_of(variant))
        pairs = pairs_of(model, adapter)
        kept = set(spread(pairs, plan.layers)) or {pair.layer for pair in pairs}
        shown = [pair for pair in pairs if pair.layer in kept and (pair.writes or not any(p.writes for p in pairs))]
        labels = labels_of([pair.path for pair in shown])
        chosen = telling(asked, plan.shown)
        texts = [text_of(model, answer, adapter) for answer, _ in chosen]
        rows: list[dict[str, Any]] = []
        for (answer, verdict), text, held in zip(chosen, texts, capture_scalars(model, texts, adapter), strict=True):
            rows.append(
                {"arm": "base" if answer.arm == "base" else "tuned", "question": answer.question,
                 "group": answer.domain or "open", "alignment": verdict.alignment, "coherence": verdict.coherence,
                 "tokens": token_texts(model.tokenizer, text.ids), "start": text.start,
                 "values": [_scalar(pair, held) for pair in shown]}
            )  # fmt: skip
        adapters = [{"label": labels[pair.path], "rank": pair.rank} for pair in shown]
        write_json(folder / "adapter_tokens.json", {"adapters": adapters, "texts": rows})

    inputs = {
        "models": models.key,
        "variant": variant,
        "asked": [step for a in asked for step in (a.answers, a.verdicts)],
    }
    step = bench.run.step("adapter-tokens", {**inputs, "shown": plan.shown, "layers": plan.layers}, make)
    return read_json(step.path / "adapter_tokens.json")


def _scalar(pair: Pair, held: Mapping[str, Any]) -> tuple[float, ...]:
    """A·x at every token for rank 1; for rank r the length of what is written, |scaling B A x|, as A is not unique."""
    values = held[pair.path]
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
