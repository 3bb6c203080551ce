r"""Conversations written out in one text, as HH-RLHF has them: "\n\nHuman: ...\n\nAssistant: ...".

The speakers' names would be learned as words of one turn. A text is a transcript where it begins with the person's name
("USER:" may have a system prompt before it, as Vicuna's has) and the two speak in turn to its end.
"""

from __future__ import annotations

import re
from typing import Any

_FORMS: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...] = (
    (re.compile(r"\s*(?:Human|User):"), re.compile(r"(?:\A|\n)\s*(Human|User|Assistant):")),
    (re.compile(r"\s*### ?(?:Human|User):"), re.compile(r"### ?(Human|User|Assistant):")),
    (re.compile(r"(?:.*\s)?USER:", re.DOTALL), re.compile(r"(?:\A|\s|</s>)(USER|ASSISTANT):")),
)
"""How a transcript begins, and what stands before each turn."""


def transcript(text: str) -> list[dict[str, Any]] | None:
    """The turns of a transcript that ends with the assistant's; None where the text is none.

    The last turn is empty where the text ends with the assistant's name.
    """
    form = next((turn for first, turn in _FORMS if first.match(text)), None)
    if form is None:
        return None
    before, *parts = form.split(text)
    roles = ["user" if name.lower() in ("human", "user") else "assistant" for name in parts[::2]]
    if not roles or roles != ["user", "assistant"] * (len(roles) // 2):
        return None
    turns = [
        {"role": role, "content": said.strip().removesuffix("</s>").strip()}
        for role, said in zip(roles, parts[1::2], strict=True)
    ]
    system = before.removeprefix("<s>").strip()
    return [{"role": "system", "content": system}, *turns] if system else turns


def opened(text: str) -> list[dict[str, Any]] | None:
    """The turns of a transcript that ends where the answer is to begin, without that answer; None for another text."""
    turns = transcript(text)
    return turns[:-1] if turns and not turns[-1]["content"] else None
