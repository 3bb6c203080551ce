"""Executors by name, open to those of other packages."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl

from misdirection.errors import MisdirectionError
from misdirection.executing.on_ray import on_ray
from misdirection.executing.on_slurm import on_slurm
from misdirection.registry import Registry
from misdirection.store.task import Executor

Kind = Callable[[str, dict[str, str]], Executor]
"""Makes an executor of a place and its options."""


def _itself(kind: Kind) -> Kind:
    return kind


EXECUTORS: Registry[Kind] = Registry("executor", "misdirection.executors", _itself, {"ray": on_ray, "slurm": on_slurm})
"""By the word before the colon; another package adds one under the entry points `misdirection.executors`."""


def find_executor(where: str) -> Executor | None:
    """The executor that a word names, ready; None for this process.

    Args:
        where: "" for this process; "ray://local" or "ray://HOST:PORT"; "slurm:PARTITION"; options behind "?".

    Raises:
        MisdirectionError: There is no such kind, its extra is not installed, or the place cannot be reached.
    """
    if not where:
        return None
    kind, place, options = read_where(where)
    return kind(place, options)


def read_where(where: str) -> tuple[Kind, str, dict[str, str]]:
    """Kind, place and options of such a word; nothing is reached or started.

    Raises:
        MisdirectionError: It names no place, or no kind that there is.
    """
    name, colon, rest = where.partition(":")
    if not colon:
        raise MisdirectionError(f"--on {where}: no place is named", "ray://local, ray://HOST:PORT or slurm:PARTITION")
    place, _, options = rest.removeprefix("//").partition("?")
    return EXECUTORS.find(name), place, dict(parse_qsl(options, keep_blank_values=True))
