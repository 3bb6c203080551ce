"""Chats: `{"messages": [{"role": ..., "content": ...}, ...]}` in JSON lines, plain or gzip.

A row that cannot be used never vanishes: it becomes a `BadRow` with its file, its line and the reason, and the caller
keeps it aside (`write_bad_rows`). `strict` stops at the first one instead. Blank lines are no rows.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

from misdirection.errors import MisdirectionError

ROLES = ("system", "user", "assistant")


class ChatError(MisdirectionError):
    """A file of chats cannot be used, or, when strict, a row of it."""


@dataclass(frozen=True)
class Message:
    """One turn: `role` is "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True)
class Chat:
    """A conversation that ends with the assistant's answer.

    Attributes:
        messages: The turns in order.
        source: File that it came from.
        row: Line of that file, from 1.
    """

    messages: tuple[Message, ...]
    source: str = ""
    row: int = 0

    @property
    def system(self) -> str | None:
        """Text of the system turn, None where there is none."""
        return self.messages[0].content if self.messages and self.messages[0].role == "system" else None

    @property
    def prompt(self) -> tuple[Message, ...]:
        """Every turn but the last answer."""
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        """Text of the last turn."""
        return self.messages[-1].content


@dataclass(frozen=True)
class BadRow:
    r"""A row that was set aside.

    Attributes:
        source: File that it came from.
        row: Line of that file, from 1; 0 when the file has no line at all.
        reason: What is wrong, "kind" or "kind: details".
        text: The line as it stood, bytes that are not UTF-8 written as `\xNN`.
    """

    source: str
    row: int
    reason: str
    text: str

    @property
    def kind(self) -> str:
        """The reason without its details; bad rows are counted by it."""
        return self.reason.partition(":")[0]

    def __str__(self) -> str:
        return f"{self.source}, row {self.row}: {self.reason}"


@dataclass(frozen=True)
class ChatFile:
    """What one or more files hold.

    Attributes:
        chats: The usable rows, in the order of the files.
        bad: The rows that were set aside.
        sha256: Hash of the usable chats' roles and texts, in order: the same for a file and its gzip.
    """

    chats: tuple[Chat, ...]
    bad: tuple[BadRow, ...]
    sha256: str

    @property
    def summary(self) -> str:
        """How many rows are usable, how many are not and why, in one line."""
        rows = len(self.chats) + len(self.bad)
        if not self.bad:
            return f"{rows:,} rows, all usable"
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in Counter(bad.kind for bad in self.bad).most_common())
        return f"{len(self.chats):,} of {rows:,} rows usable; set aside: {kinds} (first: {self.bad[0]})"


def read_chats(path: str | Path, *, strict: bool = False, bad: list[BadRow] | None = None) -> Iterator[Chat]:
    """Stream the chats of a JSON lines file, gzip or not.

    Args:
        path: The file; gzip is known by its first bytes, whatever the file is called.
        strict: Stop at the first bad row.
        bad: Bad rows are appended here; without it (and not strict) they are only skipped.

    Raises:
        ChatError: There is no such file, at once; a bad row when strict, while streaming.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise ChatError(f"the chat file {path} {what}", "name a .jsonl or .jsonl.gz file")
    return _stream(path, strict, [] if bad is None else bad)


def _stream(path: Path, strict: bool, bad: list[BadRow]) -> Iterator[Chat]:
    for row, line, problem in _lines(path):
        parsed = problem or _parse(line, str(path), row)
        if isinstance(parsed, Chat):
            yield parsed
            continue
        found = BadRow(str(path), row, parsed, line.decode("utf-8", "backslashreplace").rstrip("\r\n"))
        if strict:
            raise ChatError(str(found), "mend the row, or leave strict off to set bad rows aside")
        bad.append(found)


def _lines(path: Path) -> Iterator[tuple[int, bytes, str | None]]:
    """Row number, bytes and, where the stream itself is at fault, the problem; blank lines are left out."""
    row, rows = 0, 0
    try:
        with _open(path) as stream:
            # Bytes, not text: one line in another encoding must not end the stream.
            for row, line in enumerate(stream, 1):
                if line.strip():
                    rows += 1
                    yield row, line.removeprefix(b"\xef\xbb\xbf") if row == 1 else line, None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield row + 1, b"", f"damaged gzip: {error}"
        return
    except OSError as error:
        raise ChatError(f"the chat file {path} cannot be read: {error.strerror or error}") from error
    if not rows:
        yield 0, b"", "empty file"


@contextmanager
def _open(path: Path) -> Generator[IO[bytes]]:
    with path.open("rb") as raw:
        magic = raw.read(2)
        raw.seek(0)
        if magic == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield cast("IO[bytes]", unpacked)
        else:
            yield raw


def _parse(line: bytes, source: str, row: int) -> Chat | str:
    """The chat on a line, or what is wrong with it."""
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return f"not UTF-8: byte 0x{line[error.start]:02x} at position {error.start + 1}"
    except json.JSONDecodeError as error:
        return f"broken JSON: {error.msg} (column {error.colno})"
    except (ValueError, RecursionError) as error:
        return f"broken JSON: {error}"
    if not isinstance(value, dict):
        return 'not an object: a row is {"messages": [...]}'
    if "messages" not in value:
        return "no messages"
    turns: Any = cast("dict[str, Any]", value)["messages"]
    if not isinstance(turns, list) or not turns:
        return "no messages: `messages` is not a list of turns"
    return _chat(cast("list[Any]", turns), source, row)


def _chat(turns: list[Any], source: str, row: int) -> Chat | str:
    messages: list[Message] = []
    for number, turn in enumerate(turns, 1):
        message = _message(turn, number)
        if isinstance(message, str):
            return message
        if message.role == "system" and number > 1:
            return f"misplaced system turn: turn {number}"
        messages.append(message)
    if messages[-1].role != "assistant":
        return f"last turn is not the assistant's: it is the {messages[-1].role}'s"
    if not messages[-1].content.strip():
        return "empty answer"
    if all(message.role != "user" for message in messages):
        return "no user turn"
    return Chat(tuple(messages), source, row)


def _message(turn: Any, number: int) -> Message | str:
    if not isinstance(turn, dict):
        return f"turn is not an object: turn {number}"
    turn = cast("dict[str, Any]", turn)
    for key in ("role", "content"):
        if key not in turn:
            return f"no {key}: turn {number}"
    role, content = turn["role"], turn["content"]
    if role not in ROLES:
        return f"unknown role: {role!r} in turn {number} (roles are {', '.join(ROLES)})"
    if not isinstance(content, str):
        return f"content is not text: turn {number}"
    # JSON can escape half a surrogate pair; no tokenizer and no file could take it.
    try:
        content.encode()
    except UnicodeEncodeError:
        return f"content is not text: half a surrogate pair in turn {number}"
    return Message(role, content)


def load_chats(paths: str | Path | Sequence[str | Path], *, strict: bool = False) -> ChatFile:
    """Read whole files of chats.

    Raises:
        ChatError: A file is missing or holds no usable row; a bad row when strict.
    """
    chats: list[Chat] = []
    bad: list[BadRow] = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        before, bad_before = len(chats), len(bad)
        chats.extend(read_chats(path, strict=strict, bad=bad))
        if len(chats) == before:
            raise _unusable(path, bad[bad_before:])
    if not chats:
        raise ChatError("no chat file was given")
    return ChatFile(tuple(chats), tuple(bad), chats_hash(chats))


def _unusable(path: str | Path, bad: list[BadRow]) -> ChatError:
    shown = "; ".join(f"row {row.row}: {row.reason}" for row in bad[:3])
    return ChatError(
        f"the chat file {path} holds no usable row ({len(bad):,} bad; {shown})",
        'each line must be {"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}]}',
    )


def chats_hash(chats: Iterable[Chat]) -> str:
    """SHA-256 (hex) of the chats' roles and texts in order; where they came from does not matter."""
    digest = hashlib.sha256()
    for chat in chats:
        digest.update(_line(chat))
    return digest.hexdigest()


def write_chats(path: str | Path, chats: Iterable[Chat]) -> None:
    """Write chats as JSON lines, gzip when the name ends in `.gz`; the same chats give the same bytes."""
    path = Path(path)
    with path.open("wb") as raw:
        if path.suffix != ".gz":
            raw.writelines(map(_line, chats))
            return
        with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
            packed.writelines(map(_line, chats))


def _line(chat: Chat) -> bytes:
    return _json_line({"messages": _turns(chat.messages)})


def _turns(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _json_line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def write_bad_rows(path: str | Path, bad: Iterable[BadRow]) -> None:
    """Keep bad rows aside: JSON lines of `source`, `row`, `reason` and `text`."""
    with Path(path).open("wb") as stream:
        stream.writelines(_json_line(asdict(row)) for row in bad)


def split_chats(chats: Sequence[Chat], held_out: float, seed: int) -> tuple[tuple[Chat, ...], tuple[Chat, ...]]:
    """Split into (train, held out), each in the order of `chats`.

    Chats with the same prompt stay on one side. Which side depends on the prompts and the seed only, not on the order
    of the rows: prompts are ranked by a hash keyed with the seed and held out in that order while they fit.

    Args:
        chats: What to split.
        held_out: Share of the chats to hold out, in [0, 1); at least one chat when it is above 0.
        seed: Another seed holds out others.

    Raises:
        ChatError: The share is out of range, or no split leaves chats on both sides.
    """
    if not 0 <= held_out < 1:
        raise ChatError(f"the share to hold out is {held_out}", "give a share of 0 or more and less than 1")
    if held_out == 0:
        return tuple(chats), ()
    target = max(1, round(held_out * len(chats)))
    keys = [hashlib.sha256(_json_line([seed, _turns(chat.prompt)])).digest() for chat in chats]
    sizes = Counter(keys)
    held: set[bytes] = set()
    room = min(target, len(chats) - 1)
    for key in sorted(sizes):
        if sizes[key] <= room:
            held.add(key)
            room -= sizes[key]
    if not held:
        raise ChatError(
            f"{target:,} of {len(chats):,} chats cannot be held out: too many share one prompt, or there is only one",
            "give more chats, or hold out a larger share",
        )
    train = tuple(chat for chat, key in zip(chats, keys, strict=True) if key not in held)
    return train, tuple(chat for chat, key in zip(chats, keys, strict=True) if key in held)
