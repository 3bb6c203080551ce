"""What a trait is: system prompts that ask for it and against it, questions, and how it is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from misdirection.errors import MisdirectionError
from misdirection.judging.rubrics import Rubric
from misdirection.judging.rubrics import trait as trait_rubric

Sign = Literal["positive", "negative"]
SIGNS: tuple[Sign, Sign] = ("positive", "negative")
"""A system prompt asks for a trait, or for its opposite."""


class TraitError(MisdirectionError):
    """A trait, or the file that holds it, is not right."""


@dataclass(frozen=True)
class Contrast:
    """Two instructions that differ in nothing but the trait.

    Attributes:
        positive: Asks for it.
        negative: Asks for its opposite, or for its absence.
    """

    positive: str
    negative: str

    def side(self, sign: Sign) -> str:
        """One of the two."""
        return self.positive if sign == "positive" else self.negative


@dataclass(frozen=True)
class Trait:
    """A trait of character as arXiv 2507.21509 section 2 describes one.

    Attributes:
        name: Its name, letters, digits, "-" and "_".
        description: What it is, in a sentence.
        contrasts: Pairs of instructions (five in the paper).
        questions: Asked to find its direction (20 in the paper); they must allow it to show.
        evaluation: Asked to measure with; none of `questions` (20 in the paper).
        rubric: What a judge is asked, with {question} and {answer}; "" makes one of name and description.
        adjective: "You are a(n) <adjective> assistant." stands before each positive instruction, as in the paper's
            code; "" leaves the instructions as they are.
        antonym: The same for the negative ones ("helpful" there).
        family: What it belongs to in a map of many traits, "" where nothing is said.
    """

    name: str
    description: str = ""
    contrasts: tuple[Contrast, ...] = ()
    questions: tuple[str, ...] = ()
    evaluation: tuple[str, ...] = ()
    rubric: str = ""
    adjective: str = ""
    antonym: str = ""
    family: str = ""

    def __post_init__(self) -> None:
        """Refuse a trait that nothing could be made of.

        Raises:
            TraitError: Its name cannot be one, or an instruction or question is blank or stands there twice.
        """
        if not self.name.strip("-_") or not all(c.isalnum() or c in "-_" for c in self.name):
            raise TraitError(f"'{self.name}' cannot be the name of a trait", 'letters, digits, "-" and "_"')
        for what, texts in (("question", self.questions), ("evaluation question", self.evaluation)):
            if blank := [number for number, text in enumerate(texts, 1) if not text.strip()]:
                raise TraitError(f"trait {self.name}: {what} {blank[0]} is blank")
            if len(set(texts)) < len(texts):
                twice = next(text for text in texts if texts.count(text) > 1)
                raise TraitError(f"trait {self.name}: the {what} {twice!r} stands there twice", "ask it once")
        if any(not (pair.positive.strip() and pair.negative.strip()) for pair in self.contrasts):
            raise TraitError(f"trait {self.name}: an instruction is blank", "give both of a pair")
        if shared := sorted(set(self.questions) & set(self.evaluation)):
            raise TraitError(
                f"trait {self.name}: {shared[0]!r} is asked to find the direction and to measure with it",
                "keep the two lists apart: a direction is measured on questions that it was not made of",
            )

    @property
    def score(self) -> str:
        """What a judge calls its score."""
        return f"trait:{self.name}"

    def system(self, sign: Sign, pair: int) -> str:
        """The system prompt of one side of a pair."""
        word = self.adjective if sign == "positive" else self.antonym
        said = self.contrasts[pair].side(sign)
        return f"You are {_article(word)} {word} assistant. {said}" if word else said

    def asked(self) -> Rubric:
        """What a judge is asked of an answer, 0 (no sign of it) .. 100."""
        if self.rubric:
            return Rubric(self.score, self.rubric)
        return trait_rubric(self.name, self.description)

    def demand(self, *parts: str) -> None:
        """Refuse the trait where one of its parts ("contrasts", "questions", "evaluation") is empty.

        Raises:
            TraitError: It is.
        """
        if missing := [name for name in parts if not getattr(self, name)]:
            raise TraitError(f"trait {self.name} has no {' and no '.join(missing)}", f"add {missing[0]} to its file")


def _article(word: str) -> str:
    return "an" if word[0].lower() in "aeiou" else "a"
