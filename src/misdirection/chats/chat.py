"""What a chat is, and what a file of them held."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from misdirection.errors import MisdirectionError

ROLES = ("system", "user", "assistant")


class ChatError(MisdirectionError):
    """A file of chats cannot be used, or, when strict, a row of it."""


@dataclass(frozen=True)
class Message:
    """One turn.

    Attributes:
        role: "system", "user" or "assistant".
        content: Its text.
        learned: False for an assistant's turn that its file keeps out of the loss (`"weight": 0` and the like).
    """

    role: str
    content: str
    learned: bool = True


@dataclass(frozen=True)
class Drawn:
    """The tokens of an answer that a model drew here, a thought before it included.

    Attributes:
        ids: Token ids, without what ended it.
        finished: Whether it ended by itself.
        end: The token that ended it, None where it was cut.
    """

    ids: tuple[int, ...]
    finished: bool = True
    end: int | None = None


@dataclass(frozen=True)
class Chat:
    """A conversation that ends with the assistant's answer.

    Attributes:
        messages: The turns in order.
        source: File that it came from.
        row: Its place there, from 1: the line of JSON lines, the element of an array, the row of a table.
        drawn: The tokens of the last answer, where a model drew it here: it is read on them by the same model.
    """

    messages: tuple[Message, ...]
    # `store.INCIDENTAL`, which is a room below: a chat is the same wherever its file lies.
    source: str = field(default="", metadata={"incidental": True})
    row: int = 0
    drawn: Drawn | None = None

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

    @property
    def answers(self) -> tuple[Message, ...]:
        """The assistant's turns."""
        return tuple(message for message in self.messages if message.role == "assistant")


@dataclass(frozen=True)
class BadRow:
    r"""A row that was set aside.

    Attributes:
        source: File that it came from.
        row: Its place there, from 1; 0 when the file has no row at all.
        reason: What is wrong, "kind" or "kind: details".
        text: The row as it stood, bytes that are not UTF-8 written as `\xNN`.
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
        sha256: Hash of the usable chats' turns, in order: the same whatever the form that they were written in.
        form: How the files were read, as "ShareGPT conversations"; "" where nothing was read.
        passed_over: Columns, and keys of turns, that were not read.
        notes: What else a reader should know, as which split was taken.
    """

    chats: tuple[Chat, ...]
    bad: tuple[BadRow, ...]
    sha256: str
    form: str = ""
    passed_over: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __canonical__(self) -> Any:
        """What stands for them among the arguments of a measurement: the usable rows, however they were written."""
        return {"chats": self.sha256, "bad": len(self.bad)}

    @property
    def summary(self) -> str:
        """How the rows were read, how many are usable, how many are not and why, in one line."""
        rows = len(self.chats) + len(self.bad)
        told = f"read as {self.form}: " if self.form else ""
        if not self.bad:
            told += f"{rows:,} rows, all usable"
        else:
            kinds = ", ".join(f"{n:,} {kind}" for kind, n in Counter(bad.kind for bad in self.bad).most_common())
            told += f"{rows:,} rows, {len(self.chats):,} usable, {len(self.bad):,} set aside: {kinds}"
            told += f" (first: {self.bad[0]})"
        if self.passed_over:
            more = f" and {len(self.passed_over) - 6} more" if len(self.passed_over) > 6 else ""
            told += f"; passed over: {', '.join(self.passed_over[:6])}{more}"
        return "; ".join([told, *self.notes])
