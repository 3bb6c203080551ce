"""What latents mean: a card each, with its labels and their scores, contexts shaded by activation, promoted tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.report.coloured import STEPS, readable, shade
from misdirection.report.numbers import decimal, known, number, percent
from misdirection.report.parts import Note, Partial, Section
from misdirection.results import TokenScore
from misdirection.studies.features.results import FeaturesResults
from misdirection.studies.features.results.meaning import (
    ContextRow,
    DetectionScore,
    MeantLatent,
    TrueLabel,
)

LEAD = (
    "The latents that the study names, each with the texts in which it is most active. A word is the darker the more "
    "active the latent is there, on a scale of its own; the one that a text stands around is underlined. Hover over a "
    "word, or tap it, for its activation. Promoted words are what the decoder vector makes likelier when it goes "
    "straight to the output."
)
TRUTH = (
    "By ground truth: what the grammar that wrote the texts says of the words at which a latent fires. F1 joins "
    "precision (of the words at which it fires, how many are of that kind) and recall (of the words of that kind, at "
    "how many it fires). {tracked} What the grammar scores when it tells by such a label in which texts the latent "
    "fires is roughly what a label of that kind can reach."
)
LABELLED = (
    "Labels by {labeller}. Their score is the balanced accuracy of the same model when it says, from the label alone, "
    "in which of further texts the latent fires: 50 % is chance. Beside it stands the score of the same texts under "
    "another latent's label."
)
LIMITS = (
    "A look at contexts shows what a latent is most active at, which may be a small part of what it does; what a "
    "vector promotes is read past all later layers. Of a random vector the largest score stays below {chance} in 95 of "
    "100 draws."
)
SHOWN = 8
WORDS = 8


def section(results: FeaturesResults) -> Section | None:
    """A card for each latent."""
    part = results.latent_meaning
    if not part or not part.latents:
        return None
    data = {"cards": [_card(row) for row in part.latents], "steps": list(range(1, STEPS + 1))}
    notes = [Note(LIMITS.format(chance=decimal(part.chance)))]
    if part.labeller:
        notes.insert(0, Note(LABELLED.format(labeller=part.labeller)))
    if part.tracked is not None:
        notes.insert(0, Note(TRUTH.format(tracked=_tracked(part.tracked, len(part.latents), part.clear))))
    facts = (
        ("dictionary", part.dictionary),
        ("layer", number(part.layer)),
        ("texts", number(sum(source.texts for source in part.sources))),
        ("tokens", number(part.tokens)),
        ("from", ", ".join(source.name for source in part.sources)),
    )
    return Section("latent-meaning", "What the latents mean", LEAD, (*notes, Partial("latents.html.j2", data)), facts)


def _tracked(tracked: Mapping[str, int], count: int, clear: float) -> str:
    clear_ones = sum(tracked.values())
    by = ", ".join(f"{name} {number(n)}" for name, n in sorted(tracked.items(), key=lambda item: -item[1]))
    return f"{clear_ones} of {count} have a label with F1 above {number(clear)}" + (f": {by}." if by else ".")


def _card(row: MeantLatent) -> Mapping[str, Any]:
    top = max((v for context in row.contexts for v in context.values if known(v)), default=0.0) or 1.0
    strongest = [context for context in row.contexts if context.top]
    weaker = [context for context in row.contexts if not context.top]
    return {
        "latent": str(row.latent),
        "fires": f"fires in {number(row.firing_texts)} of {number(row.texts)} texts",
        "labels": [label for label in (_model_label(row), _true_label(row)) if label],
        "promoted": _words(row.promoted),
        "suppressed": _words(row.suppressed),
        "top": decimal(top),
        "contexts": [_context(context, top) for context in [*strongest[:SHOWN], *weaker]],
    }


def _model_label(row: MeantLatent) -> Mapping[str, str] | None:
    if not row.label:
        return None
    scores = {"score": row.detection, "another's label": row.control, "the true label": row.truth_detection}
    said = [_detected(name, score) for name, score in scores.items() if score]
    said = said or ["no score: too few texts in which it is active, or silent"]
    return {"by": "label", "text": row.label, "score": "; ".join(said)}


def _detected(name: str, score: DetectionScore) -> str:
    ends = f"[{100 * score.low:.0f}, {100 * score.high:.0f}]"
    n = f"{score.firing} active, {score.silent} silent" + (f", {score.unread} unread" * bool(score.unread))
    return f"{name} {percent(score.accuracy, 0)} {ends} ({n})"


def _true_label(row: MeantLatent) -> Mapping[str, str] | None:
    truth = row.truth
    if not truth:
        return None
    by_grammar = "told by the grammar from this label alone, texts in which it fires"
    alone = [_detected(by_grammar, truth.detection)] if truth.detection else []
    others = [_each(name, one) for name, one in truth.each.items() if one and name != truth.factor]
    return {
        "by": "truth",
        "text": f"{truth.factor}: {truth.value}",
        "score": f"F1 {decimal(truth.f1)}, precision {percent(truth.precision, 0)}, recall "
        f"{percent(truth.recall, 0)}, {percent(truth.share, 0)} of the entropy of firing"
        + (f"; fires counted above {percent(truth.above, 0)} of its peak" if truth.above else ""),
        "more": "; ".join([*alone, *others]),
    }


def _each(name: str, label: TrueLabel) -> str:
    return f"{name} {label.value}: precision {percent(label.precision, 0)}, recall {percent(label.recall, 0)}"


def _words(scores: Sequence[TokenScore]) -> str:
    return ", ".join(f"{one.token.strip() or repr(one.token)} {decimal(one.z, 1)}" for one in scores[:WORDS])


def _context(context: ContextRow, top: float) -> Mapping[str, Any]:
    pieces = [
        # The blank before a word is not shaded: at the end of a line it would be a word of its own.
        {"lead": text[: len(text) - len(text.lstrip())] if text.strip() else "", "text": text.lstrip() or text,
         "shade": shade(value, top), "value": decimal(value), "own": place == context.at}
        for place, (text, value) in enumerate(zip(readable(context.tokens), context.values, strict=True))
    ]  # fmt: skip
    return {
        "source": context.source,
        "weaker": not context.top,
        "quantile": f"{percent(context.quantile, 0)} of the texts in which it fires",
        "pieces": pieces,
    }
