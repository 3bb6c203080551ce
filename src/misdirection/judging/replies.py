"""What an OpenAI-compatible server says: the first answer token's probabilities, or the text where there are none."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from misdirection.judging.scoring import Reading, number_of, read_probabilities, read_text


@dataclass(frozen=True)
class Reply:
    """One choice of a chat completion.

    Attributes:
        text: What was written.
        tokens: The answer's tokens where the server gives log-probabilities, else empty.
        top: Probabilities of the likeliest first tokens, None where the server gives none.
        filtered: True when the server's content filter cut the reply.
        cut: True when the reply ended at the limit of its tokens.
    """

    text: str
    tokens: tuple[str, ...] = ()
    top: dict[str, float] | None = None
    filtered: bool = False
    cut: bool = False

    @property
    def silent(self) -> bool:
        """Whether the limit was reached before anything was written: the judge was thinking."""
        return self.cut and self.top is None and not self.text.strip()

    @property
    def one_digit_only(self) -> bool:
        """Whether numbers are likely and none of them has two digits: then the tokenizer may cut numbers into digits.

        A score made of the first digits would be wrong by a factor of ten.
        """
        numbers = [token for token in self.top or () if number_of(token) is not None]
        return bool(numbers) and all(len(token.strip()) == 1 for token in numbers)

    @property
    def cut_number(self) -> str:
        """The number that the reply spreads over several tokens; empty when its first token is the whole of it."""
        first = self.tokens[0].strip() if self.tokens else ""
        if not (len(self.tokens) > 1 and _digits(first) and _digits(self.tokens[1])):
            return ""
        count = next((i for i, token in enumerate(self.tokens[1:], 1) if not _digits(token)), len(self.tokens))
        return first + "".join(self.tokens[1:count])

    def read(self) -> Reading:
        """The verdict in it."""
        if self.filtered:
            return Reading("blocked")
        if self.top is None:
            return read_text(self.text)
        found = read_probabilities(self.top)
        if found.outcome == "scored" and (number := self.cut_number):
            written = read_text(number)
            return Reading(written.outcome, written.score, found.mass)
        return found


def parse_reply(content: bytes) -> Reply | None:
    """The first choice of a chat completion, None when the bytes are no such thing."""
    try:
        choice: Any = json.loads(content)["choices"][0]
        text = choice["message"].get("content")
        end = choice.get("finish_reason")
        filtered = end == "content_filter"
        steps: Any = (choice.get("logprobs") or {}).get("content") or []
        tokens = tuple(str(step["token"]) for step in steps)
        top = probabilities(_pairs(steps[0].get("top_logprobs"))) if steps else None
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    if not isinstance(text, str | None) or (text is None and top is None and not filtered):
        return None
    return Reply(text or "", tokens, top, filtered, end == "length")


def probabilities(log: Iterable[tuple[str, float]]) -> dict[str, float] | None:
    """From log-probabilities by token text; two tokens of one text (bytes that are no text alone) are added up.

    Returns:
        None when there are none.

    Raises:
        ValueError: One is no log-probability.
    """
    found: dict[str, float] = {}
    for token, value in log:
        chance = math.exp(value)
        if not 0 <= chance <= 1.000001:
            raise ValueError(value)
        found[token] = found.get(token, 0.0) + chance
    return found or None


def _pairs(given: Any) -> Iterator[tuple[str, float]]:
    for item in cast(list[Any], given or []):
        yield str(item["token"]), float(item["logprob"])


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()
