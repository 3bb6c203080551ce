"""The settings of a run as one YAML file, to read and to make the run again from: `--config FILE`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

from misdirection.artefacts import atomic_path, plain
from misdirection.errors import MisdirectionError, command
from misdirection.runs import Run
from misdirection.studies.kit.recall import PATHS, facts_of

_BEFORE = re.compile(r"^\S+(\s+(--threads[=\s]+\d+|-q|--quiet))*\s*")
"""The program's name and what stands in front of a command's."""

NAME = "settings.yaml"
"""Of the file in a run's folder."""


def open_run(out: str | Path, config: Any, typed: str, *, guest: bool = False, **more: Any) -> Run:
    """Open the run of these settings, and write them into it.

    Args:
        out: The run's folder.
        config: The settings, completed: a dataclass.
        typed: The command line.
        guest: See `Run.open`.
        more: Further facts of the run.
    """
    run = Run.open(out, facts_of(config, typed) | more, guest=guest)
    write_settings(run.path, config, str(run.facts.get("command") or ""))
    return run


def write_settings(run: Path, config: Any, typed: str) -> Path:
    """Write every setting of a run that has a value, by the name of its option; paths are absolute.

    Args:
        run: The run's folder.
        config: The settings, completed: a dataclass.
        typed: The command line that made the run; "" for none.
    """
    import yaml

    words = takewhile(lambda word: not word.startswith("-"), _BEFORE.sub("", typed).split())
    head = (
        f"# {command(*words, '--config', NAME, '--out', 'runs/again')}\n# What is typed goes before what stands here.\n"
    )
    place = run / NAME
    with atomic_path(place) as file:
        file.write_text(head + yaml.safe_dump(settings_of(config), sort_keys=False, allow_unicode=True), "utf-8")
    return place


def settings_of(config: Any) -> dict[str, Any]:
    """The settings that have a value, by the names of their options."""
    told: dict[str, Any] = {}
    for item in fields(config):
        value = getattr(config, item.name)
        if item.name == "training" and isinstance(value, Mapping):
            told[item.name] = {
                key: plain(one) for key, one in cast(Mapping[str, Any], value).items() if one is not None
            }
        elif item.name in getattr(config, "unfollowed", ()):
            continue
        elif item.metadata.get("option", "help" in item.metadata) and value not in (None, "", ()):
            told[item.name] = _from_anywhere(item.name, plain(value))
    if panel := told.pop("panel", None):
        told["judge"] = [told["judge"], *panel]
    return {name.replace("_", "-"): value for name, value in told.items() if value != {}}


def read_settings(file: str | Path) -> dict[str, Any]:
    """What stands in a file of settings, by the names of fields; values as texts, as they would be typed.

    Raises:
        MisdirectionError: There is no such file, or it is no YAML mapping of option names.
    """
    import yaml

    from misdirection.yaml_text import read_yaml_text

    hint = "a YAML file of option names and values, as settings.yaml in each run's folder"
    try:
        held: Any = read_yaml_text(Path(file).read_text(encoding="utf-8-sig"), as_typed=True)
    except (OSError, UnicodeDecodeError) as error:
        raise MisdirectionError(f"--config: {file} cannot be read: {error}", hint) from error
    except yaml.YAMLError as error:
        mark: Any = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise MisdirectionError(
            f"--config: {file}{place} is no YAML: {getattr(error, 'problem', error)}", hint
        ) from error
    if not isinstance(held, dict):
        raise MisdirectionError(f"--config: {file} holds no names and values", hint)
    found: dict[str, Any] = {}
    for key, value in cast(dict[Any, Any], held).items():
        name = str(key).lstrip("-").replace("-", "_")
        if name in found:
            raise MisdirectionError(f"--config: {file} sets '{key}' twice", hint)
        found[name] = value
    return found


def _from_anywhere(name: str, value: Any) -> Any:
    """A path that is there, whole, so that it is found from another folder too."""
    if isinstance(value, list):
        return [_from_anywhere(name, part) for part in cast(list[Any], value)]
    if name not in (*PATHS, "chat_template") or not isinstance(value, str):
        return value
    label, sign, path = value.rpartition("=")
    return f"{label}{sign}{Path(path).resolve()}" if path and Path(path).exists() else value
