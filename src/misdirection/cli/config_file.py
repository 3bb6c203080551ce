"""`--config FILE`: options from a YAML file, as if they had been typed; what is typed goes before them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from misdirection import progress
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
    held |= _training(held.pop("training", None), file)
    found: dict[str, Any] = {}
    for name, value in held.items():
        if name in known and value is not None:
            found[name] = [str(one) for one in _several(value)] if known[name].multiple else _joined(value)
        elif name not in known and not (name in quiet and _alike(value, quiet[name])):
            flags = sorted(key.replace("_", "-") for key in known)
            flag = name.replace("_", "-")
            raise MisdirectionError(
                f"--config: {file} sets '{flag}', which is no option here", did_you_mean(flag, flags, "known")
            )
    context.default_map = {**cast(dict[str, Any], context.default_map or {}), **found}
    return file


def _training(held: Any, file: Path) -> Mapping[str, Any]:
    """Settings of fine-tunes, which stand under a name of their own.

    Raises:
        MisdirectionError: They are no names and values.
    """
    if held is None:
        return {}
    if not isinstance(held, Mapping):
        raise MisdirectionError(f"--config: {file}: 'training' holds no names and values", "as training: {lr: 1e-4}")
    parts = {str(name).replace("-", "_"): value for name, value in cast(Mapping[Any, Any], held).items()}
    # Files of older runs had what the model's folder recommends by preset, and it will again.
    if by_preset := [name for name, value in parts.items() if isinstance(value, Mapping)]:
        progress.say(
            f"  --config: {file}: 'training' of a preset ({', '.join(by_preset)}) is passed over; the model's folder "
            "recommends such, and what is to hold stands there without a preset's name"
        )
    return {name: value for name, value in parts.items() if name not in by_preset}


def _alike(value: Any, default: Any) -> bool:
    """Whether a value says no more than the default, which stands there as a run writes it."""
    import yaml

    from misdirection.artefacts import plain
    from misdirection.yaml_text import read_yaml_text

    return value is None or value == read_yaml_text(yaml.safe_dump(plain(default)), as_typed=True)


def _several(value: Any) -> list[Any]:
    """The values of an option that may be repeated."""
    return cast(list[Any], value) if isinstance(value, list) else [value]


def _joined(value: Any) -> str:
    """A value as the command line would hold it."""
    return ",".join(map(str, _several(value)))
