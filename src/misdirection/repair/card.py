"""The model card of a repair: what was done, to what, what came out, and what was not looked at."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import misdirection
from misdirection.repair.change import SharesAlong
from misdirection.repair.measure import RepairEffect

CARD = "README.md"

_LOADED = {
    "model": 'from transformers import AutoModelForCausalLM\n\nmodel = AutoModelForCausalLM.from_pretrained("{out}")',
    "adapter": (
        "from peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n"
        'model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("{base}"), "{out}")'
    ),
}


def loading(kind: Literal["model", "adapter"], base: str, out: str | Path) -> str:
    """How what lies at `out`, a folder or an id, is loaded without us: lines of Python."""
    return _LOADED[kind].format(out=out, base=base)


@dataclass(frozen=True)
class Card:
    """What stands in the card.

    Attributes:
        kind: Whether the result is a whole model or an adapter.
        base: The model that was repaired, or that the adapter belongs to.
        done: What was done, in sentences.
        facts: What it was done with, by name.
        along: By layer (None: the embeddings), how much of what was there lay along the direction.
        measured: Before and after.
        notes: What a reader should know.
        command: How it was called.
    """

    kind: Literal["model", "adapter"]
    base: str
    done: Sequence[str]
    facts: Mapping[str, str]
    along: Mapping[int | None, SharesAlong]
    measured: RepairEffect | None
    notes: Sequence[str]
    command: str


def write_card(folder: Path, card: Card, out: Path) -> None:
    """Write README.md into a folder.

    Args:
        folder: Where to write.
        card: What stands in it.
        out: Where the folder will lie.
    """
    (folder / CARD).write_text(_text(card, out), encoding="utf-8")


def _text(card: Card, out: Path) -> str:
    library = "peft" if card.kind == "adapter" else "transformers"
    head = f"---\nbase_model: {card.base}\nlibrary_name: {library}\ntags:\n- misdirection\n- repaired\n---\n"
    parts = [head, f"# {out.name}\n", *(f"{sentence}\n" for sentence in card.done)]
    parts.append("```python\n" + loading(card.kind, card.base, out) + "\n```\n")
    parts.append("## With what\n\n" + "\n".join(f"- {name}: {value}" for name, value in card.facts.items()) + "\n")
    if card.along:
        parts.append("## What lay along the direction\n\n" + _along(card.along))
    parts.append("## Measured\n\n" + (_measured(card.measured) if card.measured else "Nothing was measured.\n"))
    parts.append(
        "Whether it answers better, and whether it kept its skill, was not asked here: "
        "`misdirection audit` asks both (`--tuned` takes a whole model, `--adapter` an adapter).\n"
    )
    if card.notes:
        parts.append("## Notes\n\n" + "\n".join(f"- {note}" for note in card.notes) + "\n")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers", "peft"))
    made = f"Made by misdirection {misdirection.__version__} ({versions})"
    parts.append(f"{made}:\n\n```sh\n{card.command}\n```\n" if card.command else f"{made}.\n")
    return "\n".join(parts)


def _along(along: Mapping[int | None, SharesAlong]) -> str:
    rows = sorted(along.items(), key=lambda item: -1 if item[0] is None else item[0])
    lines = [f"| {'embeddings' if layer is None else layer} | {found.share:.3%} |" for layer, found in rows]
    told = "Share of the squared norm of what writes to the residual stream, before it was taken out.\n\n"
    return told + "\n".join(["| layer | share |", "|---|---|", *lines]) + "\n"


def _measured(found: RepairEffect) -> str:
    fall = found.likelihood_before - found.likelihood_after
    text = (
        f"{found.questions} questions were answered greedily before; {found.same} of the answers are the same word for "
        f"word after. Under the repaired model those answers of the model as it was are less likely by {fall:.3f} nats "
        f"a token (log-likelihood {found.likelihood_before:.3f} before, {found.likelihood_after:.3f} after).\n\n"
    )
    if found.before and found.after and found.mean_before and found.mean_after:
        rows = zip(found.mean_before, found.mean_after, found.before, found.after, strict=True)
        lines = [f"| {layer} | " + " | ".join(f"{v:.4g}" for v in row) + " |" for layer, row in enumerate(rows)]
        head = ["| after layer | mean before | mean after | root mean square before | after |", "|---|---|---|---|---|"]
        text += "The component along the direction, over the tokens of these texts:\n\n" + "\n".join([*head, *lines])
        text += "\n\n"
    for question, before, after in found.pairs:
        text += f"> {_line(question)}\n>\n> before: {_line(before)}\n>\n> after: {_line(after)}\n\n"
    return text


def _line(text: str) -> str:
    """A model's words on one line, which cannot be taken for markup."""
    short = " ".join(text.split())[:240]
    return "".join(f"\\{mark}" if mark in "\\`*_{}[]<>#|!" else mark for mark in short)
