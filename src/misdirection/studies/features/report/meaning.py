"""What latents mean: a card each, with its labels and their scores, contexts shaded by activation, promoted tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.report.coloured import STEPS, readable, shade
from misdirection.report.context import Row
from misdirection.report.numbers import decimal, known, number, percent
from misdirection.report.parts import Findings, Note, Partial, Section

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


def section(findings: Findings) -> Section | None:
    """A card for each latent."""
    part: Row | None = findings.get("latent_meaning")
    if not part or not part.get("latents"):
        return None
    latents: Sequence[Row] = part["latents"]
    data = {"cards": [_card(row) for row in latents], "steps": list(range(1, STEPS + 1))}
    notes = [Note(LIMITS.format(chance=decimal(part.get("chance"))))]
    if part.get("labeller"):
        notes.insert(0, Note(LABELLED.format(labeller=part["labeller"])))
    if part.get("tracked") is not None:
        notes.insert(0, Note(TRUTH.format(tracked=_tracked(part["tracked"], len(latents), part.get("clear")))))
    sources: Sequence[Row] = part.get("sources") or []
    told = (
        ("dictionary", str(part.get("dictionary"))),
        ("layer", number(part.get("layer"))),
        ("texts", number(sum(int(row["texts"]) for row in sources))),
        ("tokens", number(part.get("tokens"))),
        ("from", ", ".join(str(row["name"]) for row in sources)),
    )
    return Section("latent-meaning", "What the latents mean", LEAD, (*notes, Partial("latents.html.j2", data)), told)


def _tracked(tracked: Mapping[str, int], count: int, clear: Any) -> str:
    clear_ones = sum(tracked.values())
    by = ", ".join(f"{name} {number(n)}" for name, n in sorted(tracked.items(), key=lambda item: -item[1]))
    return f"{clear_ones} of {count} have a label with F1 above {number(clear)}" + (f": {by}." if by else ".")


def _card(row: Row) -> dict[str, Any]:
    contexts: Sequence[Row] = row.get("contexts") or []
    top = max((v for context in contexts for v in context["values"] if known(v)), default=0.0) or 1.0
    strongest = [context for context in contexts if context.get("top")]
    weaker = [context for context in contexts if not context.get("top")]
    return {
        "latent": number(row.get("latent")).replace("\u00a0", ""),
        "fires": f"fires in {number(row.get('firing_texts'))} of {number(row.get('texts'))} texts",
        "labels": [label for label in (_model_label(row), _true_label(row)) if label],
        "promoted": _words(row.get("promoted")),
        "suppressed": _words(row.get("suppressed")),
        "top": decimal(top),
        "contexts": [_context(context, top) for context in [*strongest[:SHOWN], *weaker]],
    }


def _model_label(row: Row) -> dict[str, str] | None:
    if not row.get("label"):
        return None
    told = [_detected("score", row.get("detection")), _detected("another's label", row.get("control"))]
    told.append(_detected("the true label", row.get("truth_detection")))
    told = [text for text in told if text] or ["no score: too few texts in which it is active, or silent"]
    return {"by": "label", "text": str(row["label"]), "score": "; ".join(told)}


def _detected(name: str, found: Row | None) -> str:
    if not found:
        return ""
    ends = f"[{100 * found['low']:.0f}, {100 * found['high']:.0f}]"
    n = f"{found['firing']} active, {found['silent']} silent" + (f", {found['unread']} unread" * bool(found["unread"]))
    return f"{name} {percent(found['accuracy'], 0)} {ends} ({n})"


def _true_label(row: Row) -> dict[str, str] | None:
    truth: Row | None = row.get("truth")
    if not truth:
        return None
    alone = _detected("told by the grammar from this label alone, texts in which it fires", truth.get("detection"))
    others = [_each(name, held) for name, held in (truth.get("each") or {}).items() if held and name != truth["factor"]]
    return {
        "by": "truth",
        "text": f"{truth['factor']}: {truth['value']}",
        "score": f"F1 {decimal(truth['f1'])}, precision {percent(truth['precision'], 0)}, recall "
        f"{percent(truth['recall'], 0)}, {percent(truth['share'], 0)} of the entropy of firing"
        + (f"; fires counted above {percent(truth['above'], 0)} of its peak" if truth.get("above") else ""),
        "more": "; ".join([*([alone] if alone else []), *others]),
    }


def _each(name: str, held: Row) -> str:
    return f"{name} {held['value']}: precision {percent(held['precision'], 0)}, recall {percent(held['recall'], 0)}"


def _words(found: Sequence[Row] | None) -> str:
    told = [f"{str(item['token']).strip() or repr(item['token'])} {decimal(item['z'], 1)}" for item in found or []]
    return ", ".join(told[:WORDS])


def _context(context: Row, top: float) -> dict[str, Any]:
    at = int(context["at"])
    pieces = [
        # The blank before a word is not shaded: at the end of a line it would be a word of its own.
        {"lead": text[: len(text) - len(text.lstrip())] if text.strip() else "", "text": text.lstrip() or text,
         "shade": shade(value, top), "value": decimal(value), "own": place == at}
        for place, (text, value) in enumerate(zip(readable(context["tokens"]), context["values"], strict=True))
    ]  # fmt: skip
    quantile = f"{percent(context.get('quantile'), 0)} of the texts in which it fires"
    return {
        "source": str(context.get("source") or ""),
        "weaker": not context.get("top"),
        "quantile": quantile,
        "pieces": pieces,
    }
