"""What an OpenAI-compatible server says: the first answer token's probabilities, or the text where there are none."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from misdirection.judging.scoring import Reading, number_of, read_probabilities, read_text
from misdirection.judging.shape import without_thinking

_THINKING = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
"""Where servers put what a judge thinks, apart from what it says."""
_THOUGHT = re.compile(r"\s*(?:<\s*\Z|<(?:think|thinking|thought|reasoning)\b|<\|channel\|>)")
_SPELLED = re.compile("[\u2581\u0120\u010a]")
"""A blank as SentencePiece writes it, a blank and a line end as byte-level tokenizers do."""
_BYTES = re.compile(r"(?s)bytes:(?=.*\\x)((?:\\x[0-9a-fA-F]{2}|[^\\])+)|<0x([0-9a-fA-F]{2})>")
"""A token told by its bytes, as OpenAI's servers have it ("bytes:\\x38"), or SentencePiece ("<0x38>")."""
_NUMBERED = re.compile(r"token_id:\d+\Z")
"""A token told by its number (vLLM's --return-tokens-as-token-ids): its text is not known, the reply's is."""


@dataclass(frozen=True)
class Reply:
    """One choice of a chat completion.

    Attributes:
        text: What was written.
        tokens: The answer's tokens where the server gives log-probabilities, else empty.
        top: Probabilities of the likeliest first tokens, None where the server gives none.
        filtered: True when the server's content filter cut the reply, or the judge declines in a field of its own.
        cut: True when the reply ended at the limit of its tokens.
    """

    text: str
    tokens: tuple[str, ...] = ()
    top: dict[str, float] | None = None
    filtered: bool = False
    cut: bool = False

    @property
    def said(self) -> tuple[str, ...]:
        """The tokens from the first that is not blank on; some tokenizers put a blank of its own before a number."""
        return self.tokens[_blanks(self.tokens) :]

    @property
    def blank(self) -> bool:
        """Whether blanks are all that there was room for."""
        return bool(self.tokens) and not self.said

    @property
    def silent(self) -> bool:
        """Whether the limit was reached before anything but thoughts was written."""
        return self.cut and self.top is None and not without_thinking(self.text).strip("< \n\t")

    @property
    def open_ended(self) -> bool:
        """Whether the one token that was read is a small number, which may open a list or a scale of its own.

        "1" is the beginning of "1. The answer is polite", and "8" that of "8/10".
        """
        numbers = [(n, p) for token, p in (self.top or {}).items() if (n := number_of(token)) is not None]
        return 2 * sum(p for n, p in numbers if n <= 10) > sum(p for _, p in numbers)

    @property
    def says_nothing(self) -> bool:
        """Whether the judge ended its reply and nothing but thoughts is in it."""
        return not (self.filtered or self.cut or self.top) and not without_thinking(self.text).strip()

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
        said = self.said
        first = said[0].strip() if said else ""
        if not (len(said) > 1 and _digits(first) and _digits(said[1])):
            return ""
        count = next((i for i, token in enumerate(said[1:], 1) if not _digits(token)), len(said))
        return first + "".join(said[1:count])

    def read(self) -> Reading:
        """The verdict in it."""
        if self.filtered:
            return Reading("blocked")
        if self.top is None:
            return read_text(self.text, self.cut)
        found = read_probabilities(self.top)
        if found.outcome != "scored" or len(self.said) < 2 or number_of(self.said[0]) is None:
            return found
        return self._whole(found)

    def _whole(self, found: Reading) -> Reading:
        """What the tokens after the first one make of its number: a longer number, or none at all."""
        text = self.text.strip()
        line = text.partition("\n")[0]
        # A number on a line of its own is whole, whatever stands below it; one at the very end of a cut reply is not.
        written = read_text(line, self.cut and line == text)
        if written.outcome != "parsed":
            return Reading(written.outcome, None, found.mass)
        return Reading("parsed", written.score, found.mass) if self.cut_number else found


def parse_reply(content: bytes) -> Reply | None:
    """The first choice of a chat completion, None when the bytes are no such thing."""
    try:
        choice = first_choice(json.loads(content))
        message = choice["message"]
        text, thought = texts_of(message.get("content"))
        end = choice.get("finish_reason")
        declined = bool(message.get("refusal")) and not text
        steps: Any = (choice.get("logprobs") or {}).get("content") or []
        steps = [] if any(_NUMBERED.match(str(step["token"])) for step in steps) else steps
        tokens = tuple(plain_token(step["token"]) for step in steps)
        first = min(_blanks(tokens), len(tokens) - 1)
        top = probabilities(_pairs(steps[first].get("top_logprobs"))) if steps else None
        thought = thought or any(message.get(name) for name in _THINKING) or thinks(text)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
        return None
    filtered, cut = end == "content_filter" or declined, end in ("length", "max_tokens")
    # The first token of a judge that thinks belongs to its thoughts.
    return Reply(text, filtered=filtered, cut=cut) if thought else Reply(text, tokens, top, filtered, cut)


def first_choice(told: Any) -> Any:
    """The choice of index 0 among those of a chat completion, which may stand in any order; else the one in front.

    Raises:
        LookupError: There is none.
    """
    choices: list[Any] = told["choices"]
    numbers: list[Any] = [choice.get("index") if isinstance(choice, dict) else None for choice in choices]
    return choices[numbers.index(0) if 0 in numbers else 0]


def thinks(text: str) -> bool:
    """Whether a reply, or its first token, begins a thought."""
    return _THOUGHT.match(text) is not None


def texts_of(content: Any) -> tuple[str, bool]:
    """The text of a message, and whether parts of it are thoughts; a list of parts is joined.

    Raises:
        TypeError: It is neither text nor parts.
    """
    if content is None or isinstance(content, str):
        return content or "", False
    if not isinstance(content, list):
        raise TypeError(content)
    parts = [{"type": "text", "text": p} if isinstance(p, str) else p for p in cast("list[Any]", content)]
    said = [str(p.get("text") or "") for p in parts if p.get("type") in ("text", "output_text", None)]
    return "".join(said), len(said) < len(parts)


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
        yield plain_token(item["token"]), float(item["logprob"])


def plain_token(token: Any) -> str:
    """A token's text, where a server gives its bytes, or the tokenizer's own spelling of blanks."""
    text = str(token)
    if spelled := _BYTES.fullmatch(text):
        return _of_bytes(spelled[1] or f"\\x{spelled[2]}") or text
    return _SPELLED.sub(lambda blank: "\n" if blank[0] == "\u010a" else " ", text)


def _of_bytes(spelled: str) -> str:
    r"""The text of bytes written as \x38, other characters standing for themselves; "" where they are no whole text."""
    parts = re.findall(r"(?s)\\x([0-9a-fA-F]{2})|(.)", spelled)
    held = b"".join(bytes.fromhex(code) if code else char.encode() for code, char in parts)
    try:
        return held.decode()
    except UnicodeDecodeError:
        return ""


def _blanks(tokens: tuple[str, ...]) -> int:
    """How many blank tokens stand before the first that is none."""
    return next((i for i, token in enumerate(tokens) if token.strip()), len(tokens))


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()
