"""Data sets of the hub, through the `datasets` package where it is installed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from misdirection.chats.chat import ChatError
from misdirection.chats.sources.row import READ, RawRow, Source, plain
from misdirection.hub import prepare_hub

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(:[\w.-]+)?")
_FILES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".gz", ".txt", ".yaml", ".yml", ".arrow", ".ndjson")


def is_hub_id(spec: str) -> bool:
    """Whether a name has the shape of a data set of the hub: owner/name, or owner/name:split."""
    return _ID.fullmatch(spec) is not None and not spec.lower().endswith(_FILES)


def hub_rows(spec: str) -> Source:
    """The rows of "owner/name" or "owner/name:split"; the split is train where none is named.

    Raises:
        ChatError: `datasets` is not installed, or cannot load it.
    """
    if find_spec("datasets") is None:
        raise ChatError(
            f"{spec} does not exist here, and to read it from the hub the package `datasets` is needed",
            "pip install 'misdirection[datasets]'; or give a file",
        )
    import datasets  # pyright: ignore[reportMissingImports]

    name, _, split = spec.partition(":")
    prepare_hub(name)
    try:
        held: Any = datasets.load_dataset(name, split=split or "train")
    except Exception as error:  # the hub's errors are many
        raise ChatError(
            f"{name} does not exist here, and the hub gives no split '{split or 'train'}' of it: "
            f"{str(error).splitlines()[0][:200]}",
            f"chats are read from {READ}",
        ) from error
    return Source("the hub", _rows(spec, held), (), (f"split '{split or 'train'}' of {name}",))


def _rows(spec: str, held: Any) -> Iterator[RawRow]:
    row = 0
    for row, value in enumerate(held, 1):
        yield RawRow(spec, row, plain(value))
    if not row:
        yield RawRow(spec, 0, None, "empty file")
