"""misdirection: find, explain and remove the direction that narrow fine-tuning bends a language model along.

The public names below are imported from their rooms when they are first used, so that `import misdirection` is cheap
and touches neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from misdirection.chats import BadRow, Chat, ChatFile, Message, load_chats, read_chats, split_chats, write_chats
    from misdirection.errors import MisdirectionError
    from misdirection.judging import Answer, Judge, Verdict
    from misdirection.questions import Question, load_questions

__version__ = "0.1.0"

_HOMES = {
    "Answer": "misdirection.judging",
    "BadRow": "misdirection.chats",
    "Chat": "misdirection.chats",
    "ChatFile": "misdirection.chats",
    "Judge": "misdirection.judging",
    "Message": "misdirection.chats",
    "MisdirectionError": "misdirection.errors",
    "Question": "misdirection.questions",
    "Verdict": "misdirection.judging",
    "load_chats": "misdirection.chats",
    "load_questions": "misdirection.questions",
    "read_chats": "misdirection.chats",
    "split_chats": "misdirection.chats",
    "write_chats": "misdirection.chats",
}

__all__ = [
    "Answer",
    "BadRow",
    "Chat",
    "ChatFile",
    "Judge",
    "Message",
    "MisdirectionError",
    "Question",
    "Verdict",
    "__version__",
    "load_chats",
    "load_questions",
    "read_chats",
    "split_chats",
    "write_chats",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its room on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
