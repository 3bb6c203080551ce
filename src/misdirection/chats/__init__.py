"""Chats in every form that people have them, read into one.

Where they stand (`sources`): JSON lines, a JSON array or object, Parquet, CSV and TSV, each plain or gzip; a folder of
such files, a saved `datasets` folder, a data set of the hub. What a row is (`forms`): `messages`, ShareGPT
conversations, Alpaca, prompt and completion. A row that cannot be used never vanishes: it becomes a `BadRow` with its
file, its place and the reason, and the caller keeps it aside (`write_bad_rows`). No pickle is read.
"""

from misdirection.chats.chat import ROLES, BadRow, Chat, ChatError, ChatFile, Drawn, Message
from misdirection.chats.forms import is_chat
from misdirection.chats.reading import load_chats, raw_rows, read_chats
from misdirection.chats.sources import RawRow
from misdirection.chats.splitting import split_chats
from misdirection.chats.writing import chats_hash, write_bad_rows, write_chats

__all__ = [
    "ROLES",
    "BadRow",
    "Chat",
    "ChatError",
    "ChatFile",
    "Drawn",
    "Message",
    "RawRow",
    "chats_hash",
    "is_chat",
    "load_chats",
    "raw_rows",
    "read_chats",
    "split_chats",
    "write_bad_rows",
    "write_chats",
]
