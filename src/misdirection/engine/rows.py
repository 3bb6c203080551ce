"""What is sampled: prompts, rows, how answers are drawn, and answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from misdirection.engine.interventions import Arm


@dataclass(frozen=True)
class Prompt:
    """A prompt ready for generation.

    Attributes:
        key: Identity of the question and paraphrase; keys the random stream.
        ids: Token ids that end with the assistant header.
    """

    key: str
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One answer to sample."""

    prompt: Prompt
    arm: Arm
    sample: int = 0

    @property
    def group(self) -> tuple[tuple[int, ...], int]:
        """The same for rows that one prefill serves."""
        return self.prompt.ids, id(self.arm)


@dataclass(frozen=True)
class SamplingConfig:
    """How answers are drawn.

    Attributes:
        max_new_tokens: Longest answer (600 in 2506.11618).
        temperature: 0 takes the likeliest token.
        top_p: Nucleus; 1 keeps all tokens.
        seed: Of all streams.
        budget: Tokens a batch may hold, None measures the free memory; no answer depends on it.
    """

    max_new_tokens: int = 600
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    budget: int | None = field(default=None, metadata={"incidental": True})


@dataclass(frozen=True)
class Sample:
    """A sampled answer.

    Attributes:
        ids: Its token ids, without the token that ended it.
        finished: Whether it ended by itself.
        end: The token that ended it, None where it was cut.
    """

    ids: tuple[int, ...]
    finished: bool
    end: int | None = None
