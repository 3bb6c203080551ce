"""What is prompt, assistant header, thought, answer and end of turn among the tokens of a chat.

Papers differ in which tokens they call "the answer"; `SPANS` names the conventions so that a direction can say which
one it used (DESIGN.md, "Capture"; Soligo et al. 2506.11618 section 3.1, Chen et al. 2507.21509 section 2, Minder et
al. 2510.13900).
"""

from __future__ import annotations

from dataclasses import dataclass

from misdirection.tokens.errors import TokenError


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
            "thought": (self.begin, self.start),
            "written": (self.begin, self.stop),
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
    "thought": "the thought before the answer, its marks included; nothing where nothing was thought",
    "written": "thought and answer: all that the model wrote, without what ends its turn",
    "answer": "the text of the answer alone",
    "answer_and_end": "the answer and the tokens that end its turn",
    "header_to_end": "assistant header, answer and end of turn: the convention of Soligo et al.'s code",
    "first_k": "the first k tokens of the answer",
    "all": "every token",
}
