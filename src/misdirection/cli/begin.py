"""The first line of a command, before anything heavy is imported: what will be done, with what, and where it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from misdirection import progress
from misdirection.cli.stopping import works_in
from misdirection.errors import MisdirectionError
from misdirection.runs import list_steps
from misdirection.studies.kit.config import ORGANISM
from misdirection.studies.kit.preflight import check
from misdirection.studies.kit.recall import held_in

SUBJECTS = ("adapter", "adapters", "tuned", "checkpoints", "data", "fine_tune")


def begin(config: Any, out: Path | None, **more: Any) -> None:
    """Say what will be done, and refuse what cannot be.

    Args:
        config: Settings, completed: a dataclass.
        out: Folder of the run.
        more: Settings that stand elsewhere, to be told too.

    Raises:
        MisdirectionError: See `preflight.check`.
    """
    tell({**asdict(config), **more}, out)
    check(config, out)


def begin_again(run: Path) -> None:
    """Say what the command does to a run that is there."""
    held = held_in(run)
    if held is not None:
        tell(held.values, run)


def tell(settings: Mapping[str, Any], out: Path | None) -> None:
    """Say what will be done, in one line.

    Args:
        settings: By the names of their options.
        out: Folder that is worked in.
    """
    works_in(out)
    parts = [part for part in (_subject(settings), _asked(settings), _method(settings)) if part]
    if judge := settings.get("judge"):
        parts.append("no judge" if judge == "none" else f"judge {judge}")
        if others := _several(settings.get("panel")):
            parts.append(f"beside it {_some(others)}")
    if checker := settings.get("check"):
        parts.append(f"checked by {checker}")
    if out is not None:
        parts.append(f"in {out}" + _there(out))
    progress.say(f"{progress.name()}: {'; '.join(parts)}")


def _subject(settings: Mapping[str, Any]) -> str:
    """The model, and what was or will be made of it."""
    several = {name: _several(settings.get(name)) for name in SUBJECTS}
    told = str(settings.get("model") or "")
    if adapters := [*several["adapter"], *several["adapters"]]:
        told += f" with {'adapter' if len(adapters) == 1 else 'adapters'} {_some(adapters)}"
    if other := [*several["tuned"], *several["checkpoints"]]:
        told += f" and {_some(other)}"
    if several["data"]:
        preset = settings.get("preset")
        told += f", fine-tuned ({preset}) on " if preset else ", data "
        told += _some(several["data"])
    if several["fine_tune"]:
        told += f", fine-tunes {_some(several['fine_tune'])}"
    tables = [*_several(settings.get("tables")), *_several(settings.get("arm")), *_several(settings.get("steering"))]
    return told or (f"{_some(tables)}" if tables else "")


def _asked(settings: Mapping[str, Any]) -> str:
    questions = _several(settings.get("questions"))
    if not questions:
        return ""
    count, samples, most = _count(questions), settings.get("samples"), settings.get("max_new_tokens")
    told = f"{count} questions" if count else f"questions {_some(questions)}"
    told += f" x {samples} samples" if samples else ""
    return told + (f" x at most {most} tokens" if most else "")


def _count(names: Sequence[str]) -> int:
    """Questions of the sets that come along; 0 where a file is among them, which is read in its turn."""
    from misdirection.questions import question_sets
    from misdirection.studies.kit.inputs import resolve_questions

    known = question_sets()
    if not all(name in known or name.partition(":")[0] == ORGANISM for name in names):
        return 0
    try:
        return len(resolve_questions(names))
    except MisdirectionError:
        return 0


def _method(settings: Mapping[str, Any]) -> str:
    told = [f"by {_some(methods)}"] if (methods := _several(settings.get("methods"))) else []
    if tokens := settings.get("tokens"):
        layers = _several(settings.get("layers"))
        told.append(f"{f'layers {_some(layers)}' if layers else 'the middle layer'}, {tokens:,} tokens each")
    return ", ".join(told)


def _there(out: Path) -> str:
    if not (out / "run.json").is_file():
        return ""
    count = len(list_steps(out))
    return f", where {count} {'step is' if count == 1 else 'steps are'} done" if count else ""


def _several(value: Any) -> list[str]:
    if isinstance(value, list | tuple):
        return [str(part) for part in cast(list[Any], value)]
    return [str(value)] if value else []


def _some(values: Sequence[str], most: int = 3) -> str:
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(values[:most]) + more
