"""Alpaca: an instruction, perhaps with an input and earlier turns, and the output.

The question is the instruction, with the input on a line of its own behind it, and none of Alpaca's preamble: the chat
template of the model says who speaks. So does LLaMA-Factory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from misdirection.chats.forms.history import COLUMN, earlier_turns
from misdirection.chats.forms.system import with_system
from misdirection.chats.turns import RowError

INPUTS = ("input", "context")
NO_INPUT = ("", "<noinput>", "<no input>")
"""What stands where there is none; the second is how the data set's own generator wrote it."""
OUTPUTS = ("output", "response", "completion", "answer")


def read(row: Mapping[str, Any]) -> tuple[list[Any], str, set[str]] | None:
    """The turns of the row, the form's name and the columns read; None where it is no Alpaca.

    Raises:
        RowError: The earlier turns are no pairs.
    """
    output = next((name for name in OUTPUTS if name in row), None)
    if "instruction" not in row or output is None:
        return None
    given = next((name for name in INPUTS if name in row), None)
    asked = row["instruction"]
    if given is not None and row[given] not in NO_INPUT:
        if not isinstance(asked, str) or not isinstance(row[given], str):
            raise RowError(f"content is not text: the {given}")
        asked = f"{asked}\n{row[given]}" if asked else row[given]
    turns: list[Any] = [
        *earlier_turns(row),
        {"role": "user", "content": asked},
        {"role": "assistant", "content": row[output]},
    ]
    turns, read = with_system(row, turns)
    return turns, "Alpaca", {"instruction", output, COLUMN, *read, *([given] if given else [])}
