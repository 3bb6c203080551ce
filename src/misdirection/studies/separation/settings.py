"""Settings of the study of separation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from misdirection.errors import MisdirectionError
from misdirection.studies.kit.config import named, option
from misdirection.studies.kit.tuned_config import NamedTunesConfig

LEAST = 3
"""Concepts that have something to lie between."""


@dataclass(frozen=True)
class SeparationConfig(NamedTunesConfig):
    """Does narrow training spill over to the concepts that a model stores close to the one that it was trained on?

    Each concept is a file of chats that show it (--concepts NAME=FILE), may have chats on the same that do not show it
    (--without NAME=FILE), and questions whose answers say how much of it there is (--asked NAME=QUESTIONS): the share
    of misaligned ones. At every layer, before and after each fine-tune: the angles between concepts' means and between
    their directions, as they are and whitened, in how many dimensions they lie, and how well a linear probe tells them
    apart. Each direction is added in turn at one norm, and all concepts are asked about. A fine-tune (--data
    NAME=FILE) is called by the concept that it is on; its spill is the change of every other concept, and a permutation
    test holds it against each measure of closeness.

    Examples: misdirection study separation --out runs/separation
    misdirection study separation --model Qwen/Qwen2.5-0.5B-Instruct --concepts medical=bad-medical.jsonl
    --without medical=good-medical.jsonl --asked medical=medical --data medical=bad-medical.jsonl --out runs/apart
    """

    unfollowed: ClassVar[Mapping[str, str]] = {
        "convention": "a direction is the difference of two means over chats",
        "questions": "each concept brings its own: --asked CONCEPT=QUESTIONS",
    }
    unless: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **NamedTunesConfig.unless,
        "without": ("concepts",),
        "asked": ("concepts",),
    }
    concepts: tuple[str, ...] = option((), "NAME=FILE of chats that show a concept, three concepts or more")
    without: tuple[str, ...] = option((), "NAME=FILE of chats on the same that do not show it, for its direction")
    asked: tuple[str, ...] = option((), "NAME=QUESTIONS whose answers say how much of the concept there is")
    data: tuple[str, ...] = option((), "CONCEPT=FILE of chats to fine-tune on, once a fine-tune")
    fine_tune: tuple[str, ...] = option((), "CONCEPT=FOLDER of a fine-tune that exists, adapter or whole model")
    chats: int = option(60, "chats of each file that are read at most")
    longest: int = option(512, "tokens of a chat that are read at most")
    layer: int | None = option(
        None, "layer of the test, of the probes and of steering; by default the middle one", was=-1
    )
    shrinkage: float = option(0.1, "share of a multiple of the unit matrix in the covariance that whitens, 0 to 1")
    dims: tuple[int, ...] = option((1, 2, 4, 8, 16, 32), "numbers of principal components that a probe is given")
    shuffles: int = option(20, "shuffles of the labels")
    norm: float = option(2.0, "length of what is added, in mean lengths of the concepts' directions; 0 adds nothing")
    randoms: int = option(3, "random directions of the same length")
    steered_samples: int = option(1, "answers a question and direction that is added")
    most_questions: int | None = option(None, "questions of each concept at most; all by default", was=0)
    dictionary: str = option("", "sparse autoencoder whose latents are compared, at its layer; empty for none")
    top: int = option(20, "latents of each concept that are compared")

    def completed(self) -> Self:
        """With what suits the model.

        Raises:
            MisdirectionError: Too few concepts, a name of none, no fine-tune, a number out of range, or no judge.
        """
        c = self.recommended()
        for name in ("samples", "steered_samples", "chats", "shuffles", "top"):
            c.at_least(name, 1)
        for name in ("norm", "randoms", "most_questions"):
            c.at_least(name, 0)
        c.at_least("layer", 0)
        c.within("shrinkage", 1)
        known = named(c.concepts, "concepts")
        if len(known) < LEAST:
            raise MisdirectionError(f"{len(known)} concepts are named", f"{LEAST} or more: --concepts NAME=FILE")
        c.check_names(known)
        whole = super(SeparationConfig, c).completed()
        return whole.judged("the spill of concepts needs")

    def check_names(self, known: Mapping[str, str]) -> None:
        """Refuse names of what is no concept.

        Raises:
            MisdirectionError: See `completed`.
        """
        tuned = self.tunes
        for what, names in (("without", self.without), ("asked", self.asked), ("data", tuned)):
            held = names if isinstance(names, dict) else named(names, what)
            if strange := [name for name in held if name not in known]:
                raise MisdirectionError(
                    f"--{what}: there is no concept '{strange[0]}'", f"there are {', '.join(known)}"
                )
        if not tuned:
            raise MisdirectionError("nothing was fine-tuned", "--data CONCEPT=FILE, or --fine-tune CONCEPT=FOLDER")
        if not self.asked:
            raise MisdirectionError("no concept has questions", "--asked CONCEPT=QUESTIONS")
        if any(count < 1 for count in self.dims):
            raise MisdirectionError("--dims must be 1 or more", "--dims 1 --dims 2 ...")

    def default_questions(self) -> tuple[str, ...]:
        """None: the concepts bring their own."""
        return ()
