"""`--config FILE`: options from a YAML file, as if they had been typed; what is typed goes before them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from misdirection.errors import MisdirectionError, did_you_mean

CONFIG = "config"
"""Name of the option."""


def config_option(quiet: Mapping[str, Any]) -> inspect.Parameter:
    """The option, for the signature of a command.

    Args:
        quiet: Defaults of its settings, those that it does not offer among them: a file may hold these as they are.
    """

    def read(context: typer.Context, file: Path | None) -> Path | None:
        return file and _read(quiet, context, file)

    option = typer.Option(
        "--config",
        help="YAML file of options and values, as each run writes it (settings.yaml); what is typed goes before it",
        is_eager=True,
        callback=read,
    )
    return inspect.Parameter(
        CONFIG, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[Path | None, option]
    )


def _read(quiet: Mapping[str, Any], context: typer.Context, file: Path) -> Path:
    """Lay the file's values under what is typed."""
    # YAML and the settings are read where the option is used.
    from misdirection.studies.kit.settings_file import read_settings

    known: dict[str, Any] = {str(one.name): one for one in context.command.params if one.name not in (CONFIG, "help")}
    held = read_settings(file)
    training = held.pop("training", None) or {}
    # Elsewhere they are what the model's folder recommends, and it will again.
    held |= training if known.keys() & training.keys() else {}
    found: dict[str, Any] = {}
    for name, value in held.items():
        if name in known and value is not None:
            found[name] = _as_typed(value, bool(known[name].multiple))
        elif name not in known and not (name in quiet and _alike(value, quiet[name])):
            flags = sorted(key.replace("_", "-") for key in known)
            flag = name.replace("_", "-")
            raise MisdirectionError(
                f"--config: {file} sets '{flag}', which is no option here", did_you_mean(flag, flags, "known")
            )
    context.default_map = {**cast(dict[str, Any], context.default_map or {}), **found}
    return file


def _alike(value: Any, default: Any) -> bool:
    return value is None or value == (list(cast(tuple[Any, ...], default)) if isinstance(default, tuple) else default)


def _as_typed(value: Any, several: bool) -> Any:
    """A value as the command line would hold it."""
    if several:
        values = cast(list[Any], value) if isinstance(value, list) else [value]
        return [str(one) for one in values]
    if isinstance(value, list):
        return ",".join(map(str, cast(list[Any], value)))
    return value if isinstance(value, bool) else str(value)
