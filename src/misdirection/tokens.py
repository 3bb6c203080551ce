"""From chats to token ids and spans: what is prompt, assistant header, answer and end of turn.

Papers differ in which tokens they call "the answer"; `SPANS` names the conventions so that a direction can say which
one it used (DESIGN.md, "Capture"; Soligo et al. 2506.11618 section 3.1, Chen et al. 2507.21509 section 2, Minder et
al. 2510.13900).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from misdirection.chats import Message
from misdirection.errors import MisdirectionError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN_TEMPLATE = (
    "{{ bos_token or '' }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}Assistant: {{ message['content'] }}{{ eos_token or '' }}\n\n"
    "{% else %}{{ message['role'] | capitalize }}: {{ message['content'] }}\n\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""Chat template of a model that has none: `User: ...`, `Assistant: ...`, a blank line between turns, the
end-of-sequence token after each answer."""

_SENTINEL = "SYSTEMSENTINEL"


class TokenError(MisdirectionError):
    """A chat cannot be turned into tokens."""


@dataclass(frozen=True)
class Encoded:
    """A chat as token ids with its boundaries.

    `ids[:header]` is the rendered prompt, `ids[header:start]` the assistant header (the generation prompt),
    `ids[start:stop]` the text of the last answer, `ids[stop:]` what ends the turn.
    """

    ids: tuple[int, ...]
    header: int
    start: int
    stop: int

    def span(self, name: str, k: int = 5) -> tuple[int, int]:
        """Token range (first, past the last) of a named span; see `SPANS`.

        Raises:
            TokenError: Unknown name.
        """
        ranges = {
            "prompt": (0, self.header),
            "last_prompt": (self.start - 1, self.start),
            "answer": (self.start, self.stop),
            "answer_and_end": (self.start, len(self.ids)),
            "header_to_end": (self.header, len(self.ids)),
            "first_k": (self.start, min(self.start + k, self.stop)),
            "all": (0, len(self.ids)),
        }
        if name not in ranges:
            raise TokenError(f"no span is called '{name}'", f"spans: {', '.join(ranges)}")
        return ranges[name]


SPANS = {
    "prompt": "the rendered prompt without the assistant header",
    "last_prompt": "the last token before the answer",
    "answer": "the text of the answer alone",
    "answer_and_end": "the answer and the tokens that end its turn",
    "header_to_end": "assistant header, answer and end of turn: the convention of Soligo et al.'s code",
    "first_k": "the first k tokens of the answer",
    "all": "every token",
}


def render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], generate: bool = False) -> str:
    """The chat template's text for `messages`, with the assistant header at the end where `generate` is set.

    A template that refuses a system turn (Gemma 2), or passes over it, gets its text in front of the first user turn.

    Raises:
        TokenError: The template refuses the messages.
    """
    from jinja2.exceptions import TemplateError

    folds = len(messages) > 1 and messages[0].role == "system" and messages[1].role == "user"
    try:
        text = _apply(tokenizer, messages, generate)
        if not folds or messages[0].content.strip() in text:
            return text
    except TemplateError as error:
        if not folds:
            raise TokenError(f"the chat template refuses the messages: {error}") from error
    first = Message("user", f"{messages[0].content}\n\n{messages[1].content}")
    return render(tokenizer, (first, *messages[2:]), generate)


def _apply(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], generate: bool) -> str:
    turns: list[dict[str, Any]] = [{"role": turn.role, "content": turn.content} for turn in messages]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generate)
    assert isinstance(text, str)
    return text


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> tuple[int, ...]:
    """Token ids of a prompt that ends with the assistant header, ready for generation."""
    return tuple(tokenizer.encode(render(tokenizer, messages, generate=True), add_special_tokens=False))


def encode_chat(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> Encoded:
    """Token ids of a whole chat whose last turn is the assistant's, with the boundaries of that turn.

    The boundaries are found in the rendered text and carried to tokens by the tokenizer's offsets, so that templates
    which strip an answer, or put an empty block of thought in front of it, are read correctly.

    Raises:
        TokenError: The last turn is not the assistant's, or its text cannot be found in the rendered chat.
    """
    if not messages or messages[-1].role != "assistant":
        raise TokenError("the last turn of a chat to encode must be the assistant's")
    text = render(tokenizer, messages)
    header = _common(text, render(tokenizer, messages[:-1]))
    start, stop = _answer(tokenizer, messages, text)
    coded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ends = [int(end) for _, end in coded["offset_mapping"]]
    ids = tuple(int(token) for token in coded["input_ids"])
    return Encoded(ids, _first_past(ends, min(header, start)), _first_past(ends, start), _first_past(ends, stop))


def token_texts(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """Text of each token such that the pieces read as the text does."""
    pieces: list[str] = []
    for position in range(len(ids)):
        near = list(ids[max(0, position - 6) : position + 1])
        text = str(tokenizer.decode(near))
        before = str(tokenizer.decode(near[:-1])) if position else ""
        pieces.append(text[len(before) :] if text.startswith(before) else str(tokenizer.decode([ids[position]])))
    return pieces


def _answer(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], text: str) -> tuple[int, int]:
    """Where the last answer stands in the rendered chat (first character, past the last).

    It stands where a sentinel stands that is rendered in its place: looking for the text itself would find the answer
    "A" in the header "Assistant:".
    """
    answer = messages[-1].content.strip()
    before, found, after = render(tokenizer, (*messages[:-1], Message("assistant", _SENTINEL))).rpartition(_SENTINEL)
    if answer and found and text.startswith(before) and text.endswith(after):
        first, past = len(before), len(text) - len(after)
        # Blanks around the answer belong to it where the template keeps them.
        if text[first:past] == messages[-1].content:
            return first, past
        place = text.rfind(answer, first, past)
        if place >= 0:
            return place, place + len(answer)
    raise TokenError(f"the chat template changes the answer beyond recognition: {answer[:60]!r}")


def _first_past(ends: list[int], position: int) -> int:
    """Index of the first token that reaches beyond character `position`."""
    for index, end in enumerate(ends):
        if end > position:
            return index
    return len(ends)


def _common(one: str, other: str) -> int:
    """Length of the common prefix."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))


def default_system(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The system prompt that the chat template adds when none is given, None when it adds none.

    Found by rendering with a sentinel as system prompt and looking at what stands in its place without one. Qwen2.5
    adds one, and it moves the rate of emergent misalignment, so every record names it.
    """
    user = Message("user", "x")
    marked = render(tokenizer, (Message("system", _SENTINEL), user))
    bare = render(tokenizer, (user,))
    before, found, after = marked.partition(_SENTINEL)
    if not found or not before or not bare.startswith(before) or not bare.endswith(after):
        return None
    text = bare[len(before) : len(bare) - len(after)]
    return text or None
