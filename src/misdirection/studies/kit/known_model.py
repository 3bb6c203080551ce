"""The model that a run, an adapter, a direction or a dictionary was made of, where nobody names one.

What stands first wins: what was tuned, else directions, else dictionaries. Things that know different models are
refused, for none of them is meant more than the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from misdirection.artefacts import read_json
from misdirection.errors import MisdirectionError
from misdirection.studies.kit.names import ORGANISM
from misdirection.studies.kit.preflight_training import RECORD
from misdirection.studies.kit.recall import held_in

TUNES = ("adapter", "adapters", "tuned", "fine_tune", "checkpoints")
DIRECTIONS = ("direction", "directions", "watch")
DICTIONARIES = ("dictionary", "dictionaries")
GROUPS = (TUNES, DIRECTIONS, DICTIONARIES)
"""Settings that name things which may know their model."""

UP = 3
"""Folders above a thing in which its run may be: RUN/adapter, RUN/steps/NAME/FILE."""


@dataclass(frozen=True)
class Known:
    """The model that something was made of.

    Attributes:
        model: Id, folder, or "organism".
        source: What says so, as it was named.
        adapter: Of the tuned model, where a run has one.
        tuned: The tuned model, where it is a whole one.
    """

    model: str
    source: str
    adapter: str | None = None
    tuned: str | None = None

    @property
    def as_tuned(self) -> Known:
        """The tuned model: a whole one, or the base with its adapter; the base where nothing was tuned."""
        return Known(self.tuned, self.source) if self.tuned and not self.adapter else self

    @property
    def told(self) -> str:
        """One line for who reads along."""
        more = f" with adapter {self.adapter}" if self.adapter else ""
        return f"model {self.model}{more}, as {self.source} says; --model names another"


def known_of(values: Mapping[str, Any]) -> Known | None:
    """The model of what the settings name; None where none of it knows one.

    Args:
        values: Settings by name; those in `GROUPS` are read, as a text or a list of texts, with or without NAME=.

    Raises:
        MisdirectionError: Two know different models.
    """
    for group in GROUPS:
        named = [text for name in group for text in _texts(values.get(name))]
        if found := one_of(named):
            return found
    return None


def one_of(named: Iterable[str]) -> Known | None:
    """The model that things know, which must be one; its adapter only where all know the same.

    Raises:
        MisdirectionError: They know different ones.
    """
    held = [found for text in named if (found := known_model(text)) is not None]
    if not held:
        return None
    first = held[0]
    if others := [one for one in held if one.model != first.model]:
        raise MisdirectionError(
            f"{first.source} is of {first.model}, and {others[0].source} of {others[0].model}",
            "say which model is meant: --model",
        )
    alike = all((one.adapter, one.tuned) == (first.adapter, first.tuned) for one in held)
    return first if alike else Known(first.model, first.source)


def known_model(text: str) -> Known | None:
    """The model that one thing was made of: a run, what lies in one, a direction, calibration or adapter.

    Args:
        text: A path, or the id of an adapter, also as NAME=PATH or PATH@LAYER.
    """
    if text.partition(":")[0] == ORGANISM:
        return Known(ORGANISM, text)
    place = _place(text)
    if place is None:
        return _of_adapter(text, text)
    name = str(place)
    return _of_adapter(name, name) or _of_run(place, name) or _of_file(place, name)


def _of_run(place: Path, source: str) -> Known | None:
    folder = place.resolve() if place.is_symlink() else place
    above = [folder, *list(folder.absolute().parents)[:UP]]
    for run in [one for one in above if one.is_dir()]:
        held = held_in(run) or held_in(run, RECORD)
        model = str(held.values.get("model") or "") if held else ""
        if held and model:
            tuned = held.values.get("tuned") or next((run / n for n in ("tuned", "model") if (run / n).is_dir()), None)
            adapter = held.values.get("adapter") or ((run / "adapter") if (run / "adapter").is_dir() else None)
            return Known(model, source, *(None if one is None else str(one) for one in (adapter, tuned)))
    return None


def _of_file(place: Path, source: str) -> Known | None:
    """What a direction of ours, or a calibration, says of itself."""
    if not place.is_file() or place.suffix not in (".safetensors", ".json"):
        return None
    try:
        if place.suffix == ".json":
            held: Any = read_json(place)
            facts: Any = held.get("model") if isinstance(held, dict) else None
            if not isinstance(facts, dict):
                return None
            facts = cast(dict[str, Any], facts)
            return _usable(str(facts.get("name") or ""), source, facts.get("adapter"))
        with place.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        facts = json.loads(header.get("__metadata__", {}).get("misdirection", "{}"))
        return _usable(str(facts.get("model") or ""), source)
    except (MisdirectionError, ValueError, AttributeError, OSError, MemoryError, OverflowError):
        # Whoever reads the file says what is wrong with it.
        return None


def _of_adapter(name: str, source: str) -> Known | None:
    """The base that an adapter names, or the first of a folder of checkpoints."""
    place = Path(name)
    files = [place / "adapter_config.json", *sorted(place.glob("*-*/adapter_config.json"))] if place.is_dir() else []
    if not place.exists() and place.suffix == "" and name.count("/") == 1 and not name.startswith((".", "~", "/")):
        files = _of_hub(name)
    for file in files:
        if file.is_file():
            try:
                held: Any = json.loads(file.read_text(encoding="utf-8"))
            except ValueError:
                return None
            facts = cast(dict[str, Any], held) if isinstance(held, dict) else {}
            return _usable(str(facts.get("base_model_name_or_path") or facts.get("model") or ""), source)
    return None


def _of_hub(name: str) -> list[Path]:
    from huggingface_hub import hf_hub_download

    from misdirection.hub import prepare_hub

    prepare_hub(name)
    try:
        return [Path(hf_hub_download(name, "adapter_config.json"))]
    except Exception:  # the hub's errors are many; who loads it says which
        return []


def _usable(model: str, source: str, adapter: object = None) -> Known | None:
    """A name that can be loaded here: the organism wherever it was installed, a folder that is there, an id."""
    if not model:
        return None
    from misdirection.organism import checkpoint_path

    if model == ORGANISM or Path(model).parts[-3:] == checkpoint_path().parts[-3:]:
        return Known(ORGANISM, source, None if adapter is None else str(adapter))
    if Path(model).exists() or (model.count("/") == 1 and not model.startswith((".", "~", "/"))):
        return Known(model, source, None if adapter is None else str(adapter))
    return None


def _place(text: str) -> Path | None:
    """Where a thing lies, whether a name stands before it or a layer behind it; None where nothing does."""
    rest = text.partition("=")[2]
    for part in (text, rest, text.rpartition("@")[0], rest.rpartition("@")[0]):
        try:
            if part and Path(part).exists():
                return Path(part)
        except OSError:
            continue
    return None


def _texts(value: Any) -> list[str]:
    if isinstance(value, list | tuple):
        return [str(part) for part in cast(list[Any], value) if part]
    return [str(value)] if value else []
