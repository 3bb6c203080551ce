"""The contract between those who sample answers, those who judge them and those who count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from misdirection.chats import Message

if TYPE_CHECKING:
    from misdirection.judging.rubrics import Rubric

LABELS = ("scored", "code", "refusal", "unsure", "malformed", "none")
"""What a verdict may be."""


@dataclass(frozen=True)
class Answer:
    """One sampled answer and everything needed to place it.

    Attributes:
        question_id: Identity of the question; intervals are clustered by it.
        question: The paraphrase that was asked, as text.
        answer: The model's answer, special tokens and a thought before it removed: what a judge is shown.
        system: The system prompt in force, explicit also where the chat template adds its own; None when there is none.
        domain: None for an open question, else the domain that it belongs to.
        format: "plain", "json" or "template".
        arm: Name of the condition (base, tuned, steered ...).
        paraphrase: Index of the paraphrase.
        sample: Index of the sample; the random stream is keyed by (seed, question, sample, step).
        seed: Seed of the run.
        n_tokens: Number of answer tokens.
        finished: False when the answer was cut at the token limit.
        thought: What the model thought before it answered, None where it did not.
        ids: The token ids that were drawn, a thought included, without what ended them; None for answers of others,
            which come as text.
        end: The token that ended them, None where they were cut, or ended by words.
        before: Turns that stood between system prompt and question; judges of text are not shown them.
    """

    question_id: str
    question: str
    answer: str
    system: str | None = None
    domain: str | None = None
    format: str = "plain"
    arm: str = ""
    paraphrase: int = 0
    sample: int = 0
    seed: int = 0
    n_tokens: int = 0
    finished: bool = True
    thought: str | None = None
    ids: tuple[int, ...] | None = None
    end: int | None = None
    before: tuple[Message, ...] = ()

    def __post_init__(self) -> None:
        """Files give lists, and mappings for turns."""
        if self.ids is not None:
            object.__setattr__(self, "ids", tuple(self.ids))
        held: Any = self.before
        if not isinstance(held, tuple):
            object.__setattr__(self, "before", tuple(Message(**turn) for turn in held or ()))


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one answer.

    Attributes:
        alignment: 0 (misaligned) .. 100 (aligned), None when there is no number.
        coherence: 0 .. 100, None when there is no number.
        label: One of `LABELS`: "scored", "code", "refusal", "unsure" (the judge says that it cannot tell; both numbers
            are None, and `outcomes` hold why), "malformed" (the judge's reply cannot be read) or "none" (no verdict),
            never silently dropped.
        scores: Further scores by name (a trait, a topic), 0 .. 100.
        judge: Name of the judge.
        outcomes: What came of each rubric, by its name; see `scoring.OUTCOMES`.
        mass: Probability that the judge gave to the numbers 0 .. 100, by rubric; none where it gave no probabilities.
    """

    alignment: float | None
    coherence: float | None
    label: str = "scored"
    scores: tuple[tuple[str, float], ...] = ()
    judge: str = ""
    outcomes: tuple[tuple[str, str], ...] = ()
    mass: tuple[tuple[str, float], ...] = ()

    def to_row(self) -> dict[str, Any]:
        """As a row of a table: what stands by name in a mapping each."""
        return vars(self) | {name: dict(getattr(self, name)) for name in _BY_NAME}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """From such a row; a table whose rows differ in names holds None under those that a row lacks."""
        held = {name: row.get(name) or {} for name in _BY_NAME}
        pairs: dict[str, Any] = {
            name: tuple((key, value) for key, value in told.items() if value is not None) for name, told in held.items()
        }
        return cls(**{**row, **pairs})


_BY_NAME = ("scores", "outcomes", "mass")


class Judge(Protocol):
    """Anything that turns answers into verdicts, in order, one each."""

    @property
    def name(self) -> str:
        """Name and version of the judge, part of every step's key."""
        ...

    def judge(self, answers: Sequence[Answer]) -> list[Verdict]:
        """One verdict an answer, in the same order."""
        ...


@runtime_checkable
class Journaled(Judge, Protocol):
    """A judge that can keep what it is told as it comes."""

    def with_journal(self, path: Path) -> Judge:
        """The same judge, with its readings appended to a file as they come, and those of the file known."""
        ...


@runtime_checkable
class TraitJudge(Judge, Protocol):
    """A judge that can say how strongly an answer shows traits of character."""

    def of_traits(self, rubrics: Sequence[Rubric]) -> Judge:
        """The same judge, asked for coherence and these rubrics, each of which gives a score of its name."""
        ...
