"""What comes in: the rows of a file, of a folder, of a log of Inspect, or of standard input as they arrive."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import IO, Any, cast

from misdirection.chats import BadRow, Chat, ChatError
from misdirection.chats.forms import apart, read_row
from misdirection.chats.sources import RawRow, open_source
from misdirection.chats.sources.json_lines import parse
from misdirection.chats.sources.opening import BOM, beginning
from misdirection.chats.turns import RowError, read_turns
from misdirection.judging.inspect import need_inspect

STDIN = "-"
"""Stands for standard input."""

ZIP = b"PK\x03\x04"
"""How a log of Inspect (.eval) begins."""

IDS = ("custom_id", "request_id", "trace_id", "uuid", "id")
"""Columns that name a row, which its result repeats; the first that there is."""


@dataclass(frozen=True)
class Incoming:
    """One chat, or one row that is none.

    Attributes:
        n: Place of its row in the whole stream, from 1; the choices of a logged response share it.
        chat: What is to be read, None for a bad row.
        bad: What is wrong, None for a chat.
        choice: Which choice of the response, from 0.
        id: What the row calls itself, None where it does not.
        unfinished: It is the end of a file that may still be written: half a line, or nothing yet. It is no row so far.
    """

    n: int
    chat: Chat | None
    bad: BadRow | None = None
    choice: int = 0
    id: str | int | None = None
    unfinished: bool = False


def incoming(source: str | Path | Iterable[Chat]) -> Iterator[Incoming]:
    """The chats of a source, streamed, bad rows among them in their places.

    Args:
        source: A file or folder in any form of `misdirection.chats`, a server's log or a log of Inspect among them;
            "-" for standard input, a JSON value a line; or chats.

    Raises:
        ChatError: There is no such file, or it is none that is read.
        MissingExtraError: It is a log of Inspect, which is not installed.
    """
    if not isinstance(source, str | Path):
        return (Incoming(n, chat) for n, chat in enumerate(source, 1))
    if str(source) == STDIN:
        return _numbered(_lines_of(sys.stdin.buffer))
    path = Path(source)
    if path.is_file() and _is_inspect(path):
        return _of_inspect(path)
    return _numbered(open_source(source).rows, growing=True)


def arrived(items: Iterator[Incoming], most: int, wait: float | None = None) -> Generator[list[Incoming]]:
    """Batches of what has come: of `most` rows where the source is faster than the reader, else of what is there.

    Args:
        items: What comes.
        most: Rows of a batch.
        wait: Seconds after the first row of a batch that another is waited for; None reads on until it is full, as
            suits a file.
    """
    if wait is None:
        batch: list[Incoming] = []
        for item in items:
            batch.append(item)
            if len(batch) == most:
                yield batch
                batch = []
        if batch:
            yield batch
        return
    held: queue.Queue[Incoming | BaseException | None] = queue.Queue(maxsize=2 * most)

    def fill() -> None:
        try:
            for item in items:
                held.put(item)
            held.put(None)
        except BaseException as error:  # it is raised where the stream is read
            held.put(error)

    threading.Thread(target=fill, name="misdirection-incoming", daemon=True).start()
    over = False
    while not over:
        batch, timeout = [], None
        while len(batch) < most and not over:
            try:
                item = held.get(timeout=timeout)
            except queue.Empty:
                break
            if isinstance(item, BaseException):
                if batch:
                    yield batch
                raise item
            over = item is None
            batch += [item] if item is not None else []
            timeout = wait
        if batch:
            yield batch


def _numbered(rows: Iterable[RawRow], growing: bool = False) -> Iterator[Incoming]:
    # What arrives live is not held back to see whether more comes.
    pairs = _and_whether_last(rows) if growing else ((raw, False) for raw in rows)
    for n, (raw, last) in enumerate(pairs, 1):
        found = apart(raw.value)
        if last and _is_unfinished(raw):
            yield Incoming(n, None, BadRow(raw.source, raw.row, raw.problem, raw.text), unfinished=True)
            return
        for choice, value in enumerate(found):
            named = _id(raw.value)
            try:
                if raw.problem:
                    raise RowError(raw.problem)
                yield Incoming(n, Chat(read_row(value).messages, raw.source, raw.row), None, choice, named)
            except RowError as error:
                yield Incoming(n, None, BadRow(raw.source, raw.row, str(error), raw.text), choice, named)


def _and_whether_last(rows: Iterable[RawRow]) -> Iterator[tuple[RawRow, bool]]:
    held: RawRow | None = None
    for raw in rows:
        if held is not None:
            yield held, False
        held = raw
    if held is not None:
        yield held, True


def _is_unfinished(raw: RawRow) -> bool:
    """Whether a last row is the beginning of one: a broken line without an end, or that of an empty file."""
    return raw.row == 0 or bool(raw.problem and raw.line and not raw.line.endswith(b"\n"))


def _id(value: Any) -> str | int | None:
    row = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
    return next((row[key] for key in IDS if isinstance(row.get(key), str | int)), None)


def _lines_of(stream: IO[bytes]) -> Iterator[RawRow]:
    for row, line in enumerate(stream, 1):
        if line.strip():
            value, wrong = parse(line.removeprefix(BOM) if row == 1 else line)
            yield RawRow(STDIN, row, value, wrong, line)


def _is_inspect(path: Path) -> bool:
    """Whether a file is a log of Inspect: its packed form, or JSON whose head tells of an evaluation.

    Its JSON is never read as rows: long texts stand apart from their messages there.
    """
    head = beginning(path, 4096)
    return head.startswith(ZIP) or (path.suffix.lower() == ".json" and b'"eval"' in head and b'"version"' in head)


def _of_inspect(path: Path) -> Iterator[Incoming]:
    """The samples of a log one by one, by sample and epoch; the whole of it is never held."""
    need_inspect()
    from inspect_ai.log import read_eval_log_samples

    try:
        samples = read_eval_log_samples(str(path), all_samples_required=False, resolve_attachments=True)
        for n, sample in enumerate(samples, 1):
            named = f"{sample.id}/{sample.epoch}"
            try:
                yield Incoming(n, Chat(_turns(sample), str(path), n), None, 0, named)
            except RowError as error:
                yield Incoming(n, None, BadRow(str(path), n, str(error), named), 0, named)
    except (OSError, ValueError, KeyError) as error:
        hint = "give a .eval file that Inspect wrote"
        raise ChatError(f"{path}: cannot be read as a log of Inspect ({type(error).__name__})", hint) from error


def _turns(sample: Any) -> Any:
    """The sample's messages; its output behind them where a solver did not put it there.

    Raises:
        RowError: They are no chat.
    """
    if sample.error is not None and not sample.output.choices:
        raise RowError("no answer: the sample ended in an error")
    turns = [message.model_dump(exclude_none=True) for message in sample.messages]
    if turns and turns[-1].get("role") != "assistant" and sample.output.choices:
        turns.append(sample.output.choices[0].message.model_dump(exclude_none=True))
    kept = ("role", "content", "tool_calls")
    held = [{key: turn[key] for key in kept if turn.get(key)} for turn in turns]
    # Solvers put system prompts one behind the other; they are sent as one.
    system = list(takewhile(lambda turn: turn.get("role") == "system", held))
    if len(system) > 1 and all(isinstance(turn.get("content"), str) for turn in system):
        joined = "\n\n".join(turn["content"] for turn in system)
        held = [{"role": "system", "content": joined}, *held[len(system) :]]
    return read_turns(held)
