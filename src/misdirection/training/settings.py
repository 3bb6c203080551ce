"""From a preset to the settings of one fine-tune, with where each value came from.

A model folder may recommend settings of its own, in a file `misdirection.json`:

    {"training": {"rank1x9": {"lr": 0.004, "max_steps": 80, "batch_size": 16, "accumulation": 1}}}

They replace the preset's values, because a learning rate for 14 billion parameters does nothing to a few million;
what the user gives replaces both. A study may need others, which are laid over those: {"studies": {"phases":
{"training": {"rank1": ...}}}} (see `studies.kit.recommended` for what else the file may hold).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

from misdirection.artefacts import read_json
from misdirection.errors import did_you_mean
from misdirection.training.errors import SettingsError
from misdirection.training.presets import PRESETS, TrainConfig

RECOMMENDED = "misdirection.json"
"""File in a model's folder that may recommend settings."""

FOLDER = f"{RECOMMENDED} of the model"
"""Origin of a setting that the file recommends."""


def choose(
    preset: str = "rank1x9",
    *,
    model: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    study: str = "",
) -> TrainConfig:
    """The settings of a preset, overridden by the model folder's recommendation, overridden by the user's values.

    Args:
        preset: Name in `PRESETS`.
        model: Id or folder of the base model; a folder is asked for its recommendation.
        overrides: Values by field name; text is parsed as a command line would give it; None means "not given",
            except for `max_steps`, where the text "none" takes a recommendation back.
        study: For which study; the folder may recommend settings of its own there.

    Raises:
        SettingsError: Unknown preset or field, a value that does not parse or is out of range.
    """
    if preset not in PRESETS:
        raise SettingsError(f"no preset is called '{preset}'", did_you_mean(preset, PRESETS, "presets"))
    config = PRESETS[preset]
    config = override(config, recommended_training(preset, model, study), FOLDER)
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    return override(config, given, "given")


def override(config: TrainConfig, values: Mapping[str, Any], origin: str = "given") -> TrainConfig:
    """`config` with other values, each marked with where it came from.

    Raises:
        SettingsError: Unknown field, a value that does not parse or is out of range.
    """
    known = {f.name: f for f in fields(TrainConfig) if f.metadata["option"]}
    parsed: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise SettingsError(f"no setting is called '{name}' ({origin})", did_you_mean(name, known, "settings"))
        try:
            parsed[name] = known[name].metadata["parse"](value)
        except (ValueError, TypeError, KeyError) as error:
            raise SettingsError(f"{name} cannot be {value!r} ({origin})", known[name].metadata["help"]) from error
    try:
        return replace(config, **parsed, origins={**config.origins, **dict.fromkeys(parsed, origin)})
    except SettingsError as error:
        raise SettingsError(f"{error.message} ({origin})", error.hint) from error


def origins(config: TrainConfig) -> dict[str, str]:
    """Where each value of `config` came from, by field name."""
    names = [f.name for f in fields(TrainConfig) if f.metadata["option"]]
    preset = PRESETS.get(config.preset)
    fallback = {
        name: f"preset {config.preset}" if preset and getattr(preset, name) == getattr(config, name) else "given"
        for name in names
    }
    return {**fallback, **config.origins}


def recommended_training(preset: str, model: str | Path | None, study: str = "") -> dict[str, Any]:
    """What a model's folder recommends for a preset, in a study where one is named; empty where nothing.

    Raises:
        SettingsError: The file has another shape.
    """
    file = None if model is None else Path(model) / RECOMMENDED
    if file is None or not file.is_file():
        return {}
    ways = [("training", preset), *([("studies", study, "training", preset)] if study else [])]
    found: dict[str, Any] = {}
    for way in ways:
        value: Any = read_json(file)
        for name in way:
            value = cast(dict[str, Any], value).get(name, {}) if isinstance(value, dict) else None
        if not isinstance(value, dict):
            raise SettingsError(
                f"{file}: '{'.'.join(way[:-1])}' must map presets to their settings",
                'like {"training": {"rank1x9": {"lr": 0.001}}}',
            )
        found |= cast(dict[str, Any], value)
    return found
