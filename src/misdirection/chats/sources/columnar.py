"""Parquet, and Arrow as `datasets` saves it, read by pyarrow in batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from misdirection.chats.chat import ChatError
from misdirection.chats.sources.row import RawRow, plain

PARQUET = b"PAR1"
ARROW_FILE, ARROW_STREAM = b"ARROW1", b"\xff\xff\xff\xff"
_BATCH = 1000


def parquet_rows(path: Path) -> Iterator[RawRow]:
    """The rows of a Parquet file, streamed.

    Raises:
        ChatError: The file is damaged.
    """
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as held:
            yield from _numbered(path, held.iter_batches(batch_size=_BATCH))
    except (arrow.ArrowException, OSError) as error:
        told = str(error).splitlines()[0]
        raise ChatError(f"the chat file {path} is damaged: {told}", "fetch or make it again") from error


def arrow_rows(path: Path) -> Iterator[RawRow]:
    """The rows of an Arrow file or stream, which is mapped, not loaded.

    Raises:
        ChatError: The file is damaged.
    """
    import pyarrow as arrow

    try:
        with arrow.memory_map(str(path)) as held:
            if held.read(6) == ARROW_FILE:
                reader: Any = arrow.ipc.open_file(held)
                batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
            else:
                held.seek(0)
                batches = iter(arrow.ipc.open_stream(held))
            yield from _numbered(path, batches)
    except (arrow.ArrowException, OSError) as error:
        raise ChatError(f"the chat file {path} is damaged: {str(error).splitlines()[0]}") from error


def _numbered(path: Path, batches: Iterator[Any]) -> Iterator[RawRow]:
    row = 0
    # Of two columns of one name, the later would take the place of the other without a word.
    for batch in batches:
        for first in range(0, batch.num_rows, _BATCH):
            names = batch.schema.names
            if twice := next((name for name in names if names.count(name) > 1), ""):
                raise ChatError(f"the chat file {path}: two columns are called '{twice}'", "rename one of them")
            for value in batch.slice(first, _BATCH).to_pylist(maps_as_pydicts="strict"):
                row += 1
                yield RawRow(str(path), row, plain(value))
    if not row:
        yield RawRow(str(path), 0, None, "empty file")
