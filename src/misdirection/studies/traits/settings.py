"""Settings of the study of the map of traits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from misdirection.errors import MisdirectionError
from misdirection.studies.kit.config import NO_RATES, named, option
from misdirection.studies.kit.tuned_config import NamedTunesConfig


@dataclass(frozen=True)
class TraitsConfig(NamedTunesConfig):
    """A map of many traits of character inside a model: which are alike, in how many dimensions, and what moves.

    The model answers the same questions in the role of every trait, under neutral prompts, and as itself. A trait's
    direction is its mean answer minus the mean neutral one. Their cosines give a map, groups, and a number of
    dimensions, each with a figure of how well one half of the answers tells the other. The assistant axis (itself minus
    all roles) is among them. Fine-tunes (--data, --fine-tune) are set beside it: how far each moves the model along
    every trait, and whether the nearest neighbours of the trait that was trained (--trained) move most.

    No judge is needed but for --induce, which sets the component of a trait and asks how much of it shows.

    Examples: misdirection study traits --out runs/traits
    misdirection study traits --model Qwen/Qwen2.5-7B-Instruct --judge none --fine-tune bad=FOLDER --out runs/map
    """

    unfollowed: ClassVar[Mapping[str, str]] = {"check": NO_RATES, "alignment_below": NO_RATES}
    unless: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **NamedTunesConfig.unless,
        "trained": ("data", "fine_tune", "traits"),
        "induce": ("traits",),
    }
    traits: tuple[str, ...] = option(
        ("lexicon",),
        "traits: files, folders, or names of those that ship here; lexicon holds 60 in our own words, organism:roles "
        "the organism's speakers",
    )
    questions: tuple[str, ...] = option((), "question sets on which fine-tunes are read, instead of the traits' own")
    samples: int = option(2, "answers a question and system prompt")
    most_questions: int | None = option(None, "questions of each trait and kind at most; all by default", was=0)
    convention: str = option("persona2025", "how answers become a direction: persona2025, soligo2025, adl2025")
    layer: int | None = option(None, "layer of the map; by default the middle one", was=-1)
    induce: tuple[str, ...] = option((), "traits whose component is set, to see how much of them shows (needs a judge)")
    alphas: tuple[float, ...] = option((0.0, 0.7, 1.0, 1.3, 1.6, 2.0), "multiples of the trait's own mean component")
    induce_samples: int = option(2, "answers a question, trait and multiple")
    trained: tuple[str, ...] = option((), "FINE-TUNE=TRAIT that it was trained on, for the test of its neighbours")

    def completed(self) -> Self:
        """With what suits the model.

        Raises:
            MisdirectionError: No trait, a name that cannot be one, no judge for --induce, or a number out of range.
        """
        c = self.recommended()
        for name in ("samples", "induce_samples"):
            c.at_least(name, 1)
        c.at_least("layer", 0)
        c.at_least("most_questions", 1)
        if not c.traits:
            raise MisdirectionError("no trait is named", "--traits lexicon, or a file")
        if strange := [name for name in named(c.trained, "trained") if name not in c.tunes]:
            raise MisdirectionError(f"--trained names '{strange[0]}', which is no fine-tune", "the name of a --data")
        whole = super(TraitsConfig, c).completed()
        return whole.scoring_traits("--induce needs") if c.induce else replace(whole, judge="none")

    def default_questions(self) -> tuple[str, ...]:
        """None: the traits bring their own."""
        return ()
