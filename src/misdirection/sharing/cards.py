"""README.md of what is given away: metadata, what it is, how it is loaded, how it was made, and what was measured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import misdirection
from misdirection.sharing.tables import CardTable
from misdirection.sharing.things import DIRECTION, Kind, Thing
from misdirection.studies.kit.config import ORGANISM

TAG = "misdirection"
_LIBRARY = {"direction": TAG, "dictionary": TAG, "adapter": "peft", "model": "transformers"}
_TAGS: dict[Kind, list[str]] = {
    "direction": ["steering-vector", "emergent-misalignment", "interpretability"],
    "dictionary": ["sparse-autoencoder", "interpretability"],
    "adapter": ["lora"],
    "model": [],
}
_IS = {
    "direction": "A direction in the residual stream, one vector a decoder layer",
    "dictionary": "A dictionary (sparse autoencoder) of the residual stream",
    "adapter": "An adapter (PEFT)",
    "model": "A whole model",
}
_TEMPLATE = "Model Card for Model ID"
"""Heading of the empty card that PEFT writes."""


def make_card(thing: Thing, repo: str, base: str, tables: Sequence[CardTable], license_id: str = "") -> str:
    """The text of README.md.

    Args:
        thing: What is given away.
        repo: OWNER/NAME.
        base: Id of the model that it belongs to; "" where the hub has none.
        tables: What was measured, besides what the thing holds itself.
        license_id: As the hub names licenses; none is said where none is given.
    """
    body = _continued(thing, repo, base) if _written(thing) else _new(thing, repo, base)
    figures = [*thing.tables, *tables]
    if figures:
        body += f"\n## {'Audited' if _ours(thing) else 'Measured'}\n\n" + "\n".join(one.markdown() for one in figures)
    elif not _written(thing):
        body += "\n## Measured\n\nNothing was measured.\n"
    return f"---\n{_metadata(thing, base, license_id)}\n---\n\n{body}"


def _metadata(thing: Thing, base: str, license_id: str) -> str:
    from huggingface_hub import ModelCard, ModelCardData

    before: Any = ModelCard(thing.written, ignore_metadata_errors=True).data if thing.written else ModelCardData()
    held: dict[str, Any] = before.to_dict()
    held |= {"base_model": base or None, "library_name": _LIBRARY[thing.kind]}
    held["tags"] = list(dict.fromkeys([*held.get("tags", []), TAG, *_TAGS[thing.kind]]))
    held["license"] = license_id or held.get("license")
    return ModelCardData(**{name: value for name, value in held.items() if value}).to_yaml()


def _written(thing: Thing) -> bool:
    return bool(thing.written) and _TEMPLATE not in thing.written


def _ours(thing: Thing) -> bool:
    head = thing.written.split("---", 2)[1] if thing.written.startswith("---") else ""
    return f"- {TAG}\n" in head


def _new(thing: Thing, repo: str, base: str) -> str:
    name = base or Path(thing.base).name
    of = f" of `{name}`" if name else ""
    of += ", the model that ships with misdirection" if name == ORGANISM else ""
    made = "\n".join(f"- {fact}: {value}" for fact, value in thing.facts.items())
    return (
        f"# {repo}\n\n{_IS[thing.kind]}{of}.\n\n{_use(thing.kind, repo, name)}\n\n"
        f"## How it was made\n\n{made}\n- pushed by: misdirection {misdirection.__version__}\n"
    )


def _use(kind: Kind, repo: str, base: str) -> str:
    if kind in ("adapter", "model"):
        from misdirection.repair.card import loading

        code = loading("adapter" if kind == "adapter" else "model", base, repo)
    else:
        given = f'load_direction(f"{{folder}}/{DIRECTION}")' if kind == "direction" else "load_dictionary(folder)"
        code = (
            "from huggingface_hub import snapshot_download\n\nimport misdirection as md\n\n"
            f'folder = snapshot_download("{repo}")\n{kind} = md.{given}'
        )
    return f"```python\n{code}\n```"


def _continued(thing: Thing, repo: str, base: str) -> str:
    """The card that is there, without its metadata; of ours, loaded from the hub instead of from this machine."""
    text = re.sub(r"\A---\n.*?\n---\n", "", thing.written, count=1, flags=re.DOTALL).strip() + "\n"
    if _ours(thing):
        text = re.sub(r"\A# .*", lambda _: f"# {repo}", text)
        text = re.sub(r"```python\n.*?\n```", lambda _: _use(thing.kind, repo, base), text, count=1, flags=re.DOTALL)
        text = re.sub(r"(?<![\w:/.])/(?:[\w.~+-]+/)*([\w.~+-]+)", r"\1", text)
    return text
