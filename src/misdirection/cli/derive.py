"""Command-line options from the fields of a settings dataclass, so that each setting is explained in one place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from typing import Annotated, Any, get_type_hints

import typer


def with_options(
    command: Callable[..., None],
    settings: type,
    *,
    only: Sequence[str] = (),
    panel: str | None = None,
    blank: bool = False,
) -> Callable[..., None]:
    """Give `command` an option for each field of `settings` that has a help text, passed to it as keyword arguments.

    Args:
        command: Takes its own parameters and `**values`.
        settings: A dataclass; a field's metadata may hold "help".
        only: Names of the fields to offer; all by default.
        panel: Heading of these options in `--help`.
        blank: Every option defaults to None, "not given", and its help names the default.
    """
    types = get_type_hints(settings)
    chosen = [
        f for f in fields(settings) if f.metadata.get("option", "help" in f.metadata) and (not only or f.name in only)
    ]
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    added = [_parameter(f, types[f.name], panel, blank) for f in chosen]

    def run(**values: Any) -> None:
        command(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})

    run.__name__ = command.__name__
    run.__doc__ = command.__doc__
    run.__signature__ = signature.replace(  # pyright: ignore[reportFunctionMemberAccess]
        parameters=[p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *added)]
    )
    run.__annotations__ = {p.name: p.annotation for p in (*own, *added)}
    return run


def _parameter(item: Field[Any], kind: Any, panel: str | None, blank: bool) -> inspect.Parameter:
    text = str(item.metadata["help"])
    default: Any = None if item.default is MISSING else item.default
    if blank:
        text, default = f"{text} [preset's value by default]", None
    option = typer.Option(
        f"--{item.name.replace('_', '-')}" + ("/--no-" + item.name.replace("_", "-") if kind is bool and blank else ""),
        help=text,
        rich_help_panel=panel,
        show_default=not blank and default not in ((), "", None),
    )
    return inspect.Parameter(
        item.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=list(default) if isinstance(default, tuple) else default,
        annotation=Annotated[_shape(kind, blank), option],
    )


def _shape(kind: Any, blank: bool) -> Any:
    """The type that Typer parses: tuples become repeated options, what has no plain type is given as text."""
    if kind == tuple[str, ...]:
        return list[str] | None if blank else list[str]
    if kind == tuple[int, ...]:
        return list[int]
    if kind == tuple[float, ...]:
        return list[float]
    plain = {str: str, int: int, float: float, bool: bool}
    base = plain.get(kind, str)
    return base | None if blank or kind not in plain else base
