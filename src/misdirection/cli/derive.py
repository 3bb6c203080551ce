"""Command-line options from the fields of a settings dataclass, so that each setting is explained in one place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from misdirection.cli.config_file import CONFIG, config_option
from misdirection.errors import MisdirectionError
from misdirection.errors import command as command_text
from misdirection.studies.kit.recommended import advised

LISTS: dict[Any, Callable[[str], Any]] = {tuple[str, ...]: str, tuple[int, ...]: int, tuple[float, ...]: float}
"""Settings that hold several values: their option is repeated, or its values stand with commas between them."""


QUIET = "_quiet"
"""Attribute of a command: the defaults of its settings."""


def with_options(
    command: Callable[..., None],
    settings: type,
    *,
    only: Sequence[str] | None = None,
    panel: str | None = None,
    blank: bool = False,
) -> Callable[..., None]:
    """Give `command` an option for each field of `settings` that has a help text, passed to it as keyword arguments.

    Args:
        command: Takes its own parameters and `**values`.
        settings: A dataclass; a field's metadata may hold "help".
        only: Names of the fields to offer; all by default.
        panel: Heading of these options in `--help`; a field's metadata may hold its own as "panel".
        blank: Every option defaults to None, "not given", and its help names the default.
    """
    types = get_type_hints(settings)
    idle: Collection[str] = getattr(settings, "unfollowed", ())
    offered = [f for f in fields(settings) if f.metadata.get("option", "help" in f.metadata) and f.name not in idle]
    chosen = [f for f in offered if only is None or f.name in only]
    signature = inspect.signature(command, eval_str=True)
    named = (p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD)
    own = [p for p in named if p.name != CONFIG]
    known = {f.name for f in fields(settings)}
    model, values = advised(settings)
    brought = {name: f"; for the {model}: {words}" for name, words in values.items()}
    added = [_parameter(f, types[f.name], panel, blank, known, brought.get(f.name, "")) for f in chosen]
    quiet: dict[str, Any] = getattr(command, QUIET, {}) | {f.name: f.default for f in fields(settings)}
    added.append(config_option(quiet))
    lists = {f.name: LISTS[types[f.name]] for f in chosen if types[f.name] in LISTS}

    repeats = {f.name: str(f.metadata["repeated"]) for f in chosen if f.metadata.get("repeated")}

    def run(**values: Any) -> None:
        values.pop(CONFIG, None)
        for name, rest in repeats.items():
            values |= first_of(values[name], name, rest if rest in known else "")
        read = {name: several(values[name], kind, f"--{name}") for name, kind in lists.items()}
        command(**values | ({name: value or None for name, value in read.items()} if blank else read))

    run.__name__ = command.__name__
    run.__doc__ = command.__doc__
    run.__signature__ = signature.replace(  # pyright: ignore[reportFunctionMemberAccess]
        parameters=[p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *added)]
    )
    setattr(run, QUIET, quiet)
    run.__annotations__ = {p.name: p.annotation for p in (*own, *added)}
    return run


def first_of(given: Sequence[str] | None, name: str, rest: str) -> dict[str, Any]:
    """The first value of an option that was repeated as the setting `name`, the others as the setting `rest`.

    Raises:
        MisdirectionError: There are others, and no setting for them.
    """
    first, *others = given or [""]
    if others and not rest:
        raise MisdirectionError(
            f"--{name} is given {len(others) + 1} times, and this command takes one",
            f"a panel of judges: {command_text('judge', 'RUN', '--judge', first, '--judge', others[0])}",
        )
    return {name: first, **({rest: tuple(others)} if rest else {})}


def _is_there(text: str) -> bool:
    """Whether a text is the path of something; one that is too long for a path is none."""
    try:
        return Path(text).exists()
    except OSError:
        return False


def several(given: Iterable[Any] | None, kind: Callable[[str], Any], option: str) -> tuple[Any, ...]:
    """The values of an option that was repeated ("--layers 3 --layers 5") or holds commas ("--layers 3,5").

    A text that names a file is one value, whatever it holds.

    Raises:
        typer.BadParameter: A part is not of its kind.
    """
    found: list[Any] = []
    for text in map(str, given or ()):
        parts = [text] if kind is str and _is_there(text) else text.split(",")
        for part in (part.strip() for part in parts):
            try:
                found += [kind(part)] if part else []
            except ValueError as error:
                wanted = "whole number" if kind is int else "number"
                raise typer.BadParameter(f"'{part}' is no {wanted}", param_hint=option) from error
    return tuple(found)


def _parameter(
    item: Field[Any], kind: Any, panel: str | None, blank: bool, known: Collection[str], more: str
) -> inspect.Parameter:
    text, number = str(item.metadata["help"]) + more, _number(item, kind)
    default: Any = None if item.default is MISSING else item.default
    if kind in LISTS:
        # No square brackets in help texts: they are markup to rich, and vanish.
        text += "; repeat it, or separate by commas"
        default = [f"{v:g}" if isinstance(v, float) else str(v) for v in default]
    if blank:
        text, default = f"{text} (by default the preset's)", None
    if repeated := item.metadata.get("repeated", ""):
        default = None
        text += f"; repeat it for a {repeated}, whose first one leads" if repeated in known else ""
    option = typer.Option(
        f"--{item.name.replace('_', '-')}" + ("/--no-" + item.name.replace("_", "-") if kind is bool and blank else ""),
        help=text,
        metavar=f"<{LISTS[kind].__name__},...>" if kind in LISTS else None,
        rich_help_panel=item.metadata.get("panel") or panel,
        show_default=not blank and default not in ([], "", None),
    )
    return inspect.Parameter(
        item.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[list[str] | None if repeated else _shape(number or kind, blank or bool(number)), option],
    )


def _shape(kind: Any, blank: bool) -> Any:
    """The type that Typer parses: tuples become repeated options of text, what has no plain type is given as text."""
    if kind in LISTS:
        return list[str] | None if blank else list[str]
    plain = {str: str, int: int, float: float, bool: bool}
    base = plain.get(kind, str)
    return base | None if blank or kind not in plain else base


def _number(item: Field[Any], kind: Any) -> Any:
    """The number of an option whose default is None in place of one that stood for it (`was`), else None."""
    return {int | None: int, float | None: float}.get(kind) if item.metadata.get("was") is not None else None
