"""The settings of a command: what was typed, and for the rest what the run remembers, or the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import typer

from misdirection import progress
from misdirection.studies.kit.config import ModelConfig
from misdirection.studies.kit.recall import Held, held_in, recall
from misdirection.studies.kit.recommended import GIVEN

Settings = TypeVar("Settings")


def typed(context: typer.Context, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `values` that the user gave, typed or in the file of --config, be it the default."""
    return {name: value for name, value in values.items() if _given(context, name)}


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
    held: Held | None = None,
) -> Settings:
    """Settings of a run that is made in `out` or gone on with; what changes is said.

    Args:
        settings: The command's dataclass.
        values: Options by field, defaults included.
        context: Of the command.
        out: Folder of the run.
        more: Settings that have no option of their name; all of them were typed.
        held: Its record, where it does not stand in run.json.

    Raises:
        MisdirectionError: The run is of another kind, model, adapter or data set.
    """
    held = held or (held_in(out) if out is not None else None)
    given = typed(context, values)
    if held is None:
        whole = {**values, **(more or {})}
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
