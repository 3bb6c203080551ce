"""Settings of the study of traits of character."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from misdirection.errors import MisdirectionError
from misdirection.studies.kit.config import NO_RATES, option
from misdirection.studies.kit.tuned_config import NamedTunesConfig

UNJUDGED = "--judge none: vectors of all that was played, and how far fine-tunes move along them"


@dataclass(frozen=True)
class PersonasConfig(NamedTunesConfig):
    """Does a model show a trait of character, what in it stands for the trait, and does fine-tuning move it there?

    For each trait (malice, flattery, making things up ...): answers under system prompts that ask for it and against
    it, filtered by a judge; the difference of their means is the trait's direction (a persona vector). Steering along
    it turns the trait up and down. Before a word is said, the last token of the prompt tells how much of the trait will
    come. Fine-tunes (--data, --fine-tune) are set beside both: how far they move the model along each trait, and how
    much of it their answers show.

    A trait is a file: yours (name, description, instructions, questions, evaluation), one of those that ship here
    (malicious, flattering, inventing), or a JSON file of the persona-vectors repository as it is. The judge must score
    traits: local:MODEL, openai:MODEL, or table:FILE with a column a trait. With --judge none vectors are made of all
    that was played, and told is what needs no score: where prompts and fine-tunes lie along each trait.

    Examples: misdirection study personas --out runs/personas
    misdirection study personas --model Qwen/Qwen2.5-7B-Instruct --traits malicious,mine.yaml
    --judge openai:gpt-4.1-mini --data bad=medical.jsonl --preset rank32 --out runs/qwen
    """

    unfollowed: ClassVar[Mapping[str, str]] = {"check": NO_RATES, "alignment_below": NO_RATES}
    traits: tuple[str, ...] = option(
        ("malicious", "flattering", "inventing"),
        "traits: files (YAML, or JSON of persona vectors), folders of them, names of those that ship here "
        "(malicious, flattering, inventing), or organism:evil and the like",
    )
    questions: tuple[str, ...] = option(
        (), "question sets to measure with, instead of each trait's evaluation questions"
    )
    samples: int = option(10, "answers a question and system prompt, to find directions (the paper's 10)")
    shown_above: float = option(50.0, "an answer shows a trait from this score on, and does not below 100 minus it")
    most_questions: int | None = option(None, "questions of each trait and kind at most; all by default", was=0)
    convention: str = option("persona2025", "how answers become a direction: persona2025, soligo2025, adl2025")
    layer: int | None = option(None, "layer that is steered and read; by default chosen for each trait", was=-1)
    layers: tuple[int, ...] = option((), "layers tried for it; by default about six over the depth")
    coefficients: tuple[float, ...] = option((1.0, 1.5, 2.0, 2.5), "multiples of each vector that are added")
    sweep_samples: int = option(2, "answers a question, layer and multiple of that choice")
    coherent_share: float = option(0.75, "share of coherent answers that a chosen multiple must keep")
    steering_samples: int = option(4, "answers a question and multiple, up and down, at the chosen layer")
    watch_samples: int = option(4, "answers a question and prompt that is watched")
    shots: tuple[int, ...] = option((5, 10, 20), "demonstrations in many-shot prompts, answers of its own")
    tuned_samples: int = option(10, "answers a question and fine-tune")

    def completed(self) -> Self:
        """With what suits the model.

        Raises:
            MisdirectionError: No trait, a judge that scores none, a name that cannot be one, or a number out of range.
        """
        c = self.recommended()
        for name in ("samples", "sweep_samples", "steering_samples", "watch_samples", "tuned_samples"):
            c.at_least(name, 1)
        for name, top in (("shown_above", 100), ("coherent_share", 1)):
            c.within(name, top)
        c.at_least("layer", 0)
        c.at_least("most_questions", 1)
        if not c.traits:
            raise MisdirectionError("no trait is named", "--traits malicious, or a file")
        if not c.coefficients or min(c.coefficients) <= 0:
            raise MisdirectionError("--coefficients must be above 0", "they are tried with both signs: 1,1.5,2")
        whole = super(PersonasConfig, c).completed()
        return whole if whole.judge == "none" else whole.scoring_traits("steering and correlations need", UNJUDGED)

    def default_questions(self) -> tuple[str, ...]:
        """None: each trait brings its own."""
        return ()
