"""The settings of a command: what was typed, and for the rest what the run remembers, or the defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import typer

from misdirection import progress
from misdirection.studies.kit.config import ModelConfig
from misdirection.studies.kit.known_model import known_model, known_of, one_of
from misdirection.studies.kit.recall import RecordedSettings, held_in, recall
from misdirection.studies.kit.recommended import GIVEN

Settings = TypeVar("Settings")


def typed(context: typer.Context, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `values` that the user gave, typed or in the file of --config, be it the default."""
    return {name: value for name, value in values.items() if _given(context, name)}


def own_model(values: Mapping[str, Any], context: typer.Context) -> dict[str, Any]:
    """The setting `model` of what the command names, said in a line; nothing where a model was typed or none is known.

    Args:
        values: Settings, which may name runs, adapters, directions and dictionaries.
        context: Of the command.

    Raises:
        MisdirectionError: Two of them are of different models.
    """
    if "model" in typed(context, values):
        return {}
    known = known_of(values)
    if known is None:
        return {}
    if known.model != values.get("model"):
        progress.say(f"  {replace(known, adapter=None).told}")
    return {"model": known.model}


def read_model(
    values: Mapping[str, Any], context: typer.Context, given: Sequence[str], adapter: str | None, place: Path | None
) -> tuple[dict[str, Any], str | None]:
    """The model that a monitor reads, and its adapter: of the thresholds that hold, else of the runs.

    Args:
        values: Settings.
        context: Of the command.
        given: Directions, as they were typed.
        adapter: The one that was typed, whose base is read.
        place: File of the thresholds that hold; None where they are set anew.

    Raises:
        MisdirectionError: Runs of two models, and no word on which is meant.
    """
    if adapter is not None or "model" in typed(context, values):
        return (own_model({**values, "adapter": adapter}, context) if adapter else {}), None
    held = known_model(str(place)) if place is not None and place.is_file() else None
    known = held or one_of(given)
    if known is None:
        return {}, None
    known = known.as_tuned
    if known.adapter or known.model != values.get("model"):
        progress.say(f"  {known.told}")
    return {"model": known.model}, known.adapter


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def remembered(
    settings: type[Settings],
    values: Mapping[str, Any],
    context: typer.Context,
    out: Path | None,
    *,
    more: Mapping[str, Any] | None = None,
    held: RecordedSettings | None = None,
    beside: Mapping[str, Any] | None = None,
) -> Settings:
    """Settings of a run that is made in `out` or gone on with; what changes is said.

    Args:
        settings: The command's dataclass.
        values: Options by field, defaults included.
        context: Of the command.
        out: Folder of the run.
        more: Settings that have no option of their name; all of them were typed.
        held: Its record, where it does not stand in run.json.
        beside: Further options that name what may know its model (`known_model`).

    Raises:
        MisdirectionError: The run is of another kind, model, adapter or data set.
    """
    held = held or (held_in(out) if out is not None else None)
    given = typed(context, values)
    if held is None:
        whole = {**values, **(more or {})}
        if "model" in whole:
            whole |= own_model({**whole, **(beside or {})}, context)
        if issubclass(settings, ModelConfig):
            whole["origins"] = dict.fromkeys((*given, *(more or ())), GIVEN)
        return settings(**whole)
    if "judge" in given and "panel" in values:
        # Both come from one option.
        given["panel"] = values["panel"]
    config, said = recall(settings, held, {**given, **(more or {})})
    for line in said:
        progress.say(f"  {line}")
    return config
