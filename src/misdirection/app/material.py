"""What a run gives to talk with and to look along: its models, directions and dictionaries, found by their files."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from misdirection.app.opening import OpenRun
from misdirection.errors import MisdirectionError, did_you_mean
from misdirection.studies.kit.config import named

if TYPE_CHECKING:
    from misdirection.directions import Direction
    from misdirection.features import Dictionary
    from misdirection.studies.kit.variants import Variants

OPTIONS = ("chat_template", "date", "dtype", "device", "device_map", "trust_remote_code")
"""Settings that `load_model` takes as they are."""


def variants_of(run: OpenRun) -> Variants:
    """The base model of a run and what was made of it; nothing is loaded yet.

    Raises:
        MisdirectionError: The run is of no model.
    """
    from misdirection.studies.kit.loading import Loading
    from misdirection.studies.kit.variants import Variants
    from misdirection.tokens import THINKING

    values = run.values
    if not values.get("model"):
        raise MisdirectionError(
            f"{run.name} is a run of answers alone and names no model to load",
            "open a run of audit, sample or a study to talk to its models",
        )
    told = {name: values[name] for name in OPTIONS if values.get(name) is not None}
    thinking = THINKING.get(str(values.get("thinking", "auto")))
    return Variants.of(str(values["model"]), fine_tunes(run), Loading(**told, thinking=thinking))


def fine_tunes(run: OpenRun) -> dict[str, str]:
    """Folders or ids of the fine-tunes of a run, by name."""
    values = run.values
    found: dict[str, str] = dict(named(values.get("adapters") or (), "adapter"))
    if one := values.get("adapter") or values.get("tuned"):
        found["tuned"] = str(one)
    made = [place for name in ("adapter", "tuned") if (place := run.path / name).is_dir()]
    if made and not found:
        found["tuned"] = str(made[0])
    for folder in sorted((run.path / "fine-tunes").glob("*")):
        if (folder / "adapter_config.json").is_file() or (folder / "config.json").is_file():
            found.setdefault(folder.name, str(folder))
    return found


def direction_files(run: OpenRun) -> dict[str, Path]:
    """Files of directions by name: those in the run's folder, then those that steps alone hold."""
    held = {path.name.removesuffix(".safetensors"): path for path in sorted(run.path.glob("*.safetensors"))}
    given = dict(run.given.directions)
    known = {path.resolve() for path in held.values()}
    for step in run.steps:
        for path in [step.path / "direction.safetensors", *sorted((step.path / "directions").glob("*.safetensors"))]:
            if path.is_file() and path.resolve() not in known:
                name = step.name if path.stem == "direction" else f"{step.name} {path.stem}"
                held.setdefault(name, path)
    return {name: path for name, path in held.items() if _is_direction(path.resolve())} | given


def direction_called(run: OpenRun, name: str) -> Direction:
    """One of a run's directions.

    Raises:
        MisdirectionError: It has none of this name.
    """
    files = direction_files(run)
    if name not in files:
        raise MisdirectionError(
            f"{run.name} holds no direction called '{name}'", did_you_mean(name, files, "directions") or None
        )
    return _direction(files[name].resolve())


def is_here(dictionary: str) -> bool:
    """Whether a dictionary lies on this machine, so that nothing is fetched to look into it."""
    return dictionary.startswith("organism:") or Path(dictionary).exists()


def dictionary_names(run: OpenRun) -> list[str]:
    """The dictionaries that a run names, that it trained, or that ship for its model."""
    values = run.values
    told = [*run.given.dictionaries, values.get("dictionary"), *(values.get("dictionaries") or ())]
    names = [str(name) for name in told if name]
    names += [str(place) for place in sorted(run.path.glob("dictionary-*")) if place.is_dir()]
    if values.get("model") == "organism":
        names += [f"organism:{layer}" for layer in (3, 6, 9)]
    return list(dict.fromkeys(names))


def dictionary_called(run: OpenRun, name: str) -> Dictionary:
    """One of a run's dictionaries; only those are loaded, never another that an address names.

    Raises:
        MisdirectionError: The run names none of this name, or it cannot be read.
    """
    if name not in (names := dictionary_names(run)):
        raise MisdirectionError(
            f"{run.name} names no dictionary '{name}'", did_you_mean(name, names, "dictionaries") or None
        )
    return _dictionary(name)


@lru_cache(maxsize=64)
def _direction(path: Path) -> Direction:
    from misdirection.directions import read_direction

    return read_direction(path)


@lru_cache(maxsize=4)
def _dictionary(name: str) -> Dictionary:
    from misdirection.studies.kit.inputs import resolve_dictionary

    return resolve_dictionary(name)


@lru_cache(maxsize=512)
def _is_direction(path: Path) -> bool:
    from misdirection.directions import load_direction

    try:
        return bool(load_direction(path).layers)
    except MisdirectionError:
        return False
