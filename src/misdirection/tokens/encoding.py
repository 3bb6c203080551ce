"""From chats to token ids and spans: what is prompt, assistant header, thought, answer and end of turn.

Papers differ in which tokens they call "the answer"; `SPANS` names the conventions so that a direction can say which
one it used (DESIGN.md, "Capture"; Soligo et al. 2506.11618 section 3.1, Chen et al. 2507.21509 section 2, Minder et
al. 2510.13900).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from misdirection.chats import Message
from misdirection.tokens.ends import closing_text, control_tokens
from misdirection.tokens.errors import TokenError
from misdirection.tokens.template import SENTINEL, asked_as, render, template_of
from misdirection.tokens.thoughts import MARKS, Thought, find_thought, moved_by, opened_by

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Turn:
    """One assistant turn of an encoded chat, in token positions.

    `ids[begin:start]` is what the template or the model itself puts between the assistant header and the text (a
    thought; mostly nothing), `ids[start:stop]` the text, `ids[stop:end]` what ends the turn. Whoever learns the turn
    learns `ids[begin:end]`.
    """

    begin: int
    start: int
    stop: int
    end: int


@dataclass(frozen=True)
class Encoded:
    """A chat as token ids with its boundaries.

    `ids[:header]` is the rendered prompt, `ids[header:begin]` the assistant header (the generation prompt),
    `ids[begin:start]` a thought before the answer, mostly empty, `ids[start:stop]` the text of the last answer,
    `ids[stop:]` what ends the turn. `ids[:begin]` are the very tokens that the answer is drawn behind
    (`encode_prompt`), and everything from `begin` on a model writes, or learns to write, by itself.

    So whatever is a figure of the model's own distribution begins at `begin`: losses of training, log-likelihoods, and
    the KL divergence of two arms, which sums over all that was drawn, a thought and the token that ended it included.
    Directions are means over the answer, and begin at `start`: Soligo et al. (2506.11618) and Chen et al. (2507.21509)
    average over the answer that a judge scored, and their models think nothing before it.

    Attributes:
        ids: Token ids.
        header: Where the assistant header begins.
        start: Where the answer begins.
        stop: Where it has ended.
        begin: Where the model begins to write.
        turns: Every assistant turn in order, the last included, where they were asked for (`encode_turns`).
    """

    ids: tuple[int, ...]
    header: int
    start: int
    stop: int
    begin: int = -1
    turns: tuple[Turn, ...] = ()

    def __post_init__(self) -> None:
        """Without a thought the model begins with the answer."""
        if self.begin < 0:
            object.__setattr__(self, "begin", self.start)

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


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> tuple[int, ...]:
    """Token ids of a prompt that ends with the assistant header, ready for generation."""
    return _ids(tokenizer, render(tokenizer, messages, generate=True))


def encode_chat(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> Encoded:
    """Token ids of a whole chat whose last turn is the assistant's, with the boundaries of that turn.

    The turn stands behind the tokens that it would be drawn behind. Where the template's own rendering of a finished
    chat goes on from its prompt, it is that rendering, found by a sentinel and carried to tokens by the tokenizer's
    offsets, so that templates which strip an answer, or put an empty block of thought in front of it, are read
    correctly. Where it does not (a thought taken out of the past, `<think>` opened by the prompt), it is the prompt,
    the turn as a model writes it, and what the template writes after an answer.

    Raises:
        TokenError: The last turn is not the assistant's, or its text cannot be found in the rendered chat.
    """
    return _encode(tokenizer, messages, every=False)


def encode_drawn(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    drawn: Sequence[int],
    start: int = 0,
    finished: bool = True,
    ended: int | None = None,
) -> Encoded:
    """A sampled answer behind its prompt, on the very tokens that were drawn.

    Args:
        tokenizer: That the prompt was made with.
        messages: The prompt.
        drawn: Token ids of the answer, a thought before it included, without what ended it.
        start: How many of them are a thought (`split_drawn`).
        finished: Whether it ended by itself; then what ended it follows.
        ended: The token that ended it. What the template writes behind an answer follows it where the template ends
            an answer by it too; where none is named, all that the template writes there.
    """
    prompt = render(tokenizer, messages, generate=True)
    header = _common(prompt, render(tokenizer, messages))
    front, ends = _with_ends(tokenizer, prompt)
    end = _end(tokenizer, ended) if finished else ()
    stop = len(front) + len(drawn)
    return Encoded((*front, *drawn, *end), _first_past(ends, header), len(front) + start, stop, begin=len(front))


def _end(tokenizer: PreTrainedTokenizerBase, ended: int | None) -> tuple[int, ...]:
    """What stands behind an answer that ended by itself: the token that it ended with, and the template's tail."""
    written = _ids(tokenizer, closing_text(tokenizer))
    if ended is None:
        return written
    return written[written.index(ended) :] if ended in written else (ended,)


def encode_written(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> Encoded:
    """A chat whose last turn stands behind its prompt letter by letter, whatever the template would make of it.

    For answers of others that the template changes: what was sampled is nearer to them than what it makes of them.
    """
    written = tuple(_piece(tokenizer, messages[-1].content)[0])
    return encode_drawn(tokenizer, messages[:-1], written)


def encode_read(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> Encoded:
    """A chat of others to be read: as the template writes it, letter by letter where it changes the answer.

    Raises:
        TokenError: The template refuses its prompt.
    """
    try:
        return encode_chat(tokenizer, messages)
    except TokenError:
        return encode_written(tokenizer, messages)


def encode_turns(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> Encoded:
    """Like `encode_chat`, with `turns`: the boundaries of every assistant turn, as they stand in this chat.

    Templates that take thoughts out of the past show earlier turns without theirs.

    Raises:
        TokenError: As there; also when the text of an earlier assistant turn cannot be found.
    """
    return _encode(tokenizer, messages, every=True)


def _encode(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], every: bool) -> Encoded:
    if len(messages) < 2 or messages[-1].role != "assistant":
        raise TokenError("the last turn of a chat to encode must be the assistant's, behind another")
    prompt = render(tokenizer, messages[:-1], generate=True)
    written, first, past = _written(tokenizer, messages, prompt)
    earlier = _earlier(tokenizer, messages[:-1], prompt) if every else []
    header = _common(prompt, render(tokenizer, messages[:-1]))
    front = _ids(tokenizer, prompt)
    ids, ends = _joined(tokenizer, prompt, front, written)
    start, stop = (_first_past(ends, len(prompt) + place) for place in (first, past))
    turns = [_with_end(tokenizer, ids, *(_first_past(ends, place) for place in turn)) for turn in earlier]
    last = Turn(len(front), start, stop, len(ids))
    return Encoded(
        ids,
        min(_first_past(ends, header), len(front)),
        start,
        stop,
        begin=len(front),
        turns=(*turns, last) if every else (),
    )


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def _written(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], prompt: str) -> tuple[str, int, int]:
    """What stands behind the prompt, and where in it the answer begins and has ended.

    The answer stands where a sentinel stands that is rendered in its place: looking for the text itself would find the
    answer "A" in the header "Assistant:".
    """
    turn = messages[-1].content
    closing = opened_by(prompt)
    thought = find_thought(turn, closing if closing and closing in turn else None, _moved(tokenizer))
    shown = turn[thought.answer :] if thought else turn
    answer = shown.strip()
    before, after = _around(tokenizer, messages, thought)
    if not (answer or thought):
        raise _lost(turn)
    kept = thought is None or (thought.closed and thought.text in before[len(prompt) :])
    if not (before.startswith(prompt) and kept):
        lead = _lead(turn, thought, prompt, closing)
        return lead + answer + after, len(lead), len(lead + answer)
    text = render(tokenizer, messages)
    first, past = len(before), len(text) - len(after)
    whole = text.startswith(before) and text.endswith(after)
    # Blanks around the answer belong to it where the template keeps them.
    if not whole or text[first:past] != shown:
        place = text.rfind(answer, first, past) if whole else -1
        if place < 0 and any(mark in shown for _, mark in MARKS):
            # The template takes a mark that the answer quotes for the end of a thought.
            lead = before[len(prompt) :]
            return lead + answer + after, len(lead), len(lead + answer)
        if place < 0:
            raise _lost(turn)
        first, past = place, place + len(answer)
    return text[len(prompt) :], first - len(prompt), past - len(prompt)


def _around(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], thought: Thought | None
) -> tuple[str, str]:
    """What the template writes before and after the last answer, behind the thought that stands in its turn."""
    turn = messages[-1].content
    leads = [turn[: thought.answer], ""] if thought else [""]
    for number, lead in enumerate(leads, 1):
        try:
            marked = render(tokenizer, (*messages[:-1], Message("assistant", lead + SENTINEL)))
        except TokenError:
            # gpt-oss takes no channels in a text.
            if number == len(leads):
                raise
            continue
        before, found, after = marked.rpartition(SENTINEL)
        if found:
            return before, after
    raise _lost(turn)


def _lead(turn: str, thought: Thought | None, prompt: str, closing: str | None) -> str:
    """What a model writes behind the prompt before its answer: its thought, not opened again where the prompt did."""
    if closing is None:
        return turn[: thought.answer] if thought else ""
    if thought is None:
        return ("" if prompt.endswith("\n") else "\n") + f"\n{closing}\n\n"
    inner = turn[thought.start : thought.answer]
    return inner.lstrip("\n") if prompt.endswith("\n") else inner


def _lost(turn: str) -> TokenError:
    return TokenError(f"the chat template changes the answer beyond recognition: {turn.strip()[:60]!r}")


def _earlier(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], prompt: str
) -> list[tuple[int, int, int]]:
    """Of each assistant turn in a prompt, in characters: where it begins, and its text's start and stop."""
    numbers = [number for number, message in enumerate(messages) if message.role == "assistant"]
    if not numbers:
        return []
    marked = list(messages)
    for number in numbers:
        turn = messages[number].content
        thought = _past_thought(tokenizer, messages, number)
        marked[number] = Message("assistant", turn[: thought.answer if thought else 0] + SENTINEL)
    pieces = render(tokenizer, marked, generate=True).split(SENTINEL)
    if len(pieces) != len(numbers) + 1:
        raise _lost(messages[numbers[0]].content)
    found: list[tuple[int, int, int]] = []
    at = 0
    for number, before, after in zip(numbers, pieces[:-1], pieces[1:], strict=True):
        turn = messages[number].content
        thought = _past_thought(tokenizer, messages, number)
        shown = turn[thought.answer if thought else 0 :]
        start = at + len(before)
        kept = next((t for t in (shown, shown.strip(), shown.lstrip()) if prompt.startswith(t + after, start)), None)
        if kept is None or not prompt.startswith(before, at):
            raise _lost(turn)
        header = render(tokenizer, messages[:number], generate=True)
        begin = len(header) if prompt.startswith(header) else start
        at = start + len(kept)
        found.append((min(begin, start), start, at))
    return found


def _moved(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """The marks of thoughts that a text may hold without their opening ones."""
    return () if asked_as(tokenizer).thinking is False else moved_by(template_of(tokenizer))


def _past_thought(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], number: int) -> Thought | None:
    closing = opened_by(render(tokenizer, messages[:number], generate=True))
    turn = messages[number].content
    return find_thought(turn, closing if closing and closing in turn else None, _moved(tokenizer))


def _with_end(tokenizer: PreTrainedTokenizerBase, ids: tuple[int, ...], begin: int, start: int, stop: int) -> Turn:
    """An earlier turn with what ends it: one control token, and the blanks that the template writes around it."""
    control = control_tokens(tokenizer)

    def blank(place: int) -> bool:
        return place < len(ids) and ids[place] not in control and not str(tokenizer.decode([ids[place]])).strip()

    end = stop
    while blank(end):
        end += 1
    if end == len(ids) or ids[end] not in control:
        return Turn(begin, start, stop, stop)
    end += 1
    while blank(end):
        end += 1
    return Turn(begin, start, stop, end)


def _joined(
    tokenizer: PreTrainedTokenizerBase, prompt: str, front: tuple[int, ...], written: str
) -> tuple[tuple[int, ...], list[int]]:
    """Token ids of prompt and turn, the prompt's as they are alone, and where each ends in the text."""
    ids, ends = _with_ends(tokenizer, prompt + written)
    if ids[: len(front)] == front:
        return ids, ends
    # A token of the text reaches over the boundary (two line breaks in one): nobody could draw that.
    more, more_ends = _piece(tokenizer, written)
    _, front_ends = _with_ends(tokenizer, prompt)
    return front + more, front_ends + [len(prompt) + end for end in more_ends]


def _piece(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[tuple[int, ...], list[int]]:
    """A text's tokens within a longer one: SentencePiece puts a blank in front of a text's first word."""
    lead, _ = _with_ends(tokenizer, "\n")
    ids, ends = _with_ends(tokenizer, "\n" + text)
    if lead and ids[: len(lead)] == lead:
        return ids[len(lead) :], [end - 1 for end in ends[len(lead) :]]
    return _with_ends(tokenizer, text)


def _with_ends(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[tuple[int, ...], list[int]]:
    coded: Any = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return tuple(int(token) for token in coded["input_ids"]), [int(end) for _, end in coded["offset_mapping"]]


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
