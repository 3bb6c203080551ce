"""Opening what is to be given away: what it is, what it belongs to, its own figures, and the files that go along."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from misdirection.artefacts import read_json
from misdirection.errors import MisdirectionError
from misdirection.organism import checkpoint_path
from misdirection.sharing.tables import CardTable
from misdirection.studies.kit.config import ORGANISM

if TYPE_CHECKING:
    from misdirection.directions import Direction
    from misdirection.features import Dictionary

Kind = Literal["direction", "dictionary", "adapter", "model"]
DIRECTION, DICTIONARY = "direction.safetensors", "dictionary.safetensors"
CARD = "README.md"
PUSHED = (
    "a direction (a file, or a run that holds one), a dictionary's folder, or the folder of an adapter or a whole "
    "model with weights in safetensors can be pushed"
)
_WEIGHTS: Mapping[Kind, str] = {"adapter": "adapter_model*.safetensors", "model": "model*.safetensors"}
_BESIDE = (
    "adapter_config.json", "config.json", "generation_config.json", "tokenizer*", "special_tokens_map.json",
    "added_tokens.json", "vocab.*", "merges.txt", "chat_template*", "*.safetensors.index.json", "misdirection.json",
)  # fmt: skip
"""What may lie beside weights and be sent: nothing of the training, no data, no logs."""


@dataclass(frozen=True)
class Thing:
    """What is to be given away.

    Attributes:
        kind: What it is.
        base: The model that it belongs to, as it was recorded; "" where that is not known.
        facts: How it was made, by name.
        tables: Figures that it holds itself.
        files: Path by the name in the repository.
        left: Names of files that lie beside them and stay here.
        written: README.md that is there, "" without one.
        place: Where it lies; None for what was given as an object.
    """

    kind: Kind
    base: str
    facts: Mapping[str, str]
    tables: tuple[CardTable, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict[str, Path])
    left: tuple[str, ...] = ()
    written: str = ""
    place: Path | None = None


_ABSOLUTE = re.compile(r"((?:[\w.-]+=|[\w.-]{2,}:)*)(?:/(?!/)|[A-Za-z]:[\\/])(?:.*[\\/])?([^\\/]+)[\\/]?\Z", re.DOTALL)
"""An absolute path, of Windows too, maybe behind a label, as in name=/a/b or table:/a/b.csv; an address is none."""


def open_thing(what: str | Path | Direction | Dictionary, workspace: Path) -> Thing:
    """What is to be given away, read and checked as far as its kind allows.

    Args:
        what: A file or folder, or a direction or dictionary in memory.
        workspace: An empty folder, which must stay until all was sent. Directions and dictionaries are written there in
            our layout, without the paths of this machine among their facts.

    Raises:
        MisdirectionError: It is none of the kinds that can be pushed, or holds weights that are no safetensors.
    """
    from misdirection.directions import Direction, read_direction
    from misdirection.features import Dictionary, load_dictionary

    if isinstance(what, Direction):
        return _direction(what, workspace, None)
    if isinstance(what, Dictionary):
        return _dictionary(what, workspace, None)
    place = Path(what)
    kind = _kind(place)
    if kind == "direction":
        return _direction(read_direction(place / DIRECTION if place.is_dir() else place), workspace, place)
    if kind == "dictionary":
        return _dictionary(load_dictionary(place), workspace, place)
    return _weights(kind, place)


def _kind(place: Path) -> Kind:
    from misdirection.features.formats import FORMATS

    if place.is_file():
        return "direction"
    if not place.is_dir():
        raise MisdirectionError(f"{place}: no such file or folder", PUSHED)
    if (place / "adapter_config.json").is_file():
        return "adapter"
    if (place / DICTIONARY).is_file():
        return "dictionary"
    config: Any = read_json(place / "config.json") if (place / "config.json").is_file() else {}
    if isinstance(config, Mapping) and "architectures" in config:
        return "model"
    if (place / DIRECTION).is_file():
        return "direction"
    if any(held.matches(place) for held in FORMATS.values()):
        return "dictionary"
    raise MisdirectionError(f"{place} holds nothing that can be pushed", PUSHED)


def _direction(found: Direction, workspace: Path, place: Path | None) -> Thing:
    from misdirection.directions import save_direction

    facts = {name: value for name, value in without_paths(found.facts).items() if name != "model"}
    save_direction(workspace / DIRECTION, replace(found, facts=without_paths(found.facts)))
    shown = {"layers": f"{len(found.vectors)}, width {found.vectors.shape[1]}"} | _texts(facts)
    tables = () if found.vectors_only else (_by_layer(found),)
    base = _base(str(found.facts.get("model") or ""))
    return Thing("direction", base, shown, tables, {DIRECTION: workspace / DIRECTION}, place=place)


def _by_layer(found: Direction) -> CardTable:
    told = (
        f"By layer, from {found.facts.get('misaligned', '?')} misaligned and {found.facts.get('aligned', '?')} aligned "
        f"answers to {found.facts.get('questions', '?')} questions: the norm with its 95 % interval over resampled "
        "questions, the 95th percentile of the norm over shuffled labels, and the cosine between two halves of the "
        "answers."
    )
    columns = (found.norm, found.norm_low, found.norm_high, found.shuffled_norm, found.stability)
    rows = tuple(
        (str(layer), f"{norm:.4g}", f"{low:.4g} to {high:.4g}", f"{shuffled:.4g}", f"{stable:.3f}")
        for layer, (norm, low, high, shuffled, stable) in enumerate(zip(*(c.tolist() for c in columns), strict=True))
    )
    return CardTable(told, ("after layer", "norm", "95 %", "shuffled", "halves"), rows)


def _dictionary(found: Dictionary, workspace: Path, place: Path | None) -> Thing:
    from misdirection.features import save_dictionary

    save_dictionary(workspace, replace(found, facts=without_paths(found.facts)))
    rule = found.activation + (f", k {found.k}" if found.k else "")
    shown = {
        "latents": f"{found.latents:,}, width {found.width:,}",
        "rule": rule,
        "reads": "a layer that is not known" if found.layer is None else f"after decoder layer {found.layer}",
    }
    shown |= _texts({name: value for name, value in without_paths(found.facts).items() if name != "model"})
    base = _base(str(found.facts.get("model") or ""))
    return Thing("dictionary", base, shown, files={DICTIONARY: workspace / DICTIONARY}, place=place)


def _weights(kind: Kind, place: Path) -> Thing:
    weights = sorted(place.glob(_WEIGHTS[kind]))
    if not weights:
        others = sorted(p.name for p in place.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".gguf"))
        told = f"it holds {others[0]}" if others else "it holds no weights"
        raise MisdirectionError(
            f"{place}: {told}, and only safetensors are pushed", "save it with save_pretrained, which writes them"
        )
    beside = {path for pattern in _BESIDE for path in place.glob(pattern) if path.is_file()}
    files = {path.name: path for path in sorted({*weights, *beside})}
    left = tuple(sorted(p.name for p in place.iterdir() if p.name not in {*files, CARD}))
    written = (place / CARD).read_text(encoding="utf-8") if (place / CARD).is_file() else ""
    base, facts = "", {"weights": f"{sum(path.stat().st_size for path in weights) / 1e6:,.1f} MB"}
    if kind == "adapter":
        config: Any = read_json(place / "adapter_config.json")
        base = _base(str(config.get("base_model_name_or_path") or ""))
        modules: Any = config.get("target_modules") or []
        names = [modules] if isinstance(modules, str) else sorted(map(str, modules))
        facts |= {"rank": str(config.get("r", "?")), "alpha": str(config.get("lora_alpha", "?"))}
        facts |= {"modules": ", ".join(names)}
    return Thing(kind, base, facts, files=files, left=left, written=written, place=place)


def _base(name: str) -> str:
    """The base as it was recorded; the organism by its name, wherever it is installed."""
    ours = Path(name).parts[-3:] == checkpoint_path().parts[-3:]
    return ORGANISM if ours else name


def without_paths(facts: Any) -> Any:
    """Facts without the folders of this machine: of an absolute path the last name is left, behind its label."""
    if isinstance(facts, Mapping):
        return {name: without_paths(value) for name, value in facts.items()}
    if isinstance(facts, list | tuple):
        return [without_paths(value) for value in facts]
    if isinstance(facts, Path | str) and (found := _ABSOLUTE.match(str(facts))):
        return found[1] + found[2]
    return facts


def _texts(facts: Mapping[str, Any]) -> dict[str, str]:
    """Facts as lines of a card; of a mapping its parts, of nothing nothing."""
    return {
        name.replace("_", " "): ", ".join(f"{key} {one}" for key, one in value.items())
        if isinstance(value, Mapping)
        else ", ".join(map(str, value))
        if isinstance(value, list | tuple)
        else str(value)
        for name, value in facts.items()
        if value not in (None, "", [], {})
    }
