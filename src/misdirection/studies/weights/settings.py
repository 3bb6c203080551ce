"""Settings of the study of weight space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import ClassVar, Self

from misdirection.errors import MisdirectionError
from misdirection.studies.kit.config import (
    NO_DIRECTION,
    ON,
    Overrides,
    StudyConfig,
    check_name,
    named,
    option,
)
from misdirection.training.presets import LORA

GOOD, SHUFFLED = "good-", "shuffled-"
"""Before the name of a fine-tune on good data, and on bad data whose answers stand behind other questions."""


@dataclass(frozen=True)
class WeightsConfig(StudyConfig):
    """Are the updates of fine-tunes alike in the weights, and what does the line between two of them do?

    Cosines and principal angles of every two updates, module by module, beside random and shuffled ones of equal norm
    and beside a fine-tune on shuffled data; misalignment along the line between two fine-tunes and beyond; and the
    cosine of each fine-tune's update with theta(bad) - theta(good) while it trains.

    Examples: misdirection study weights --out runs/weights
    misdirection study weights --model ID --adapter a=FOLDER --adapter b=FOLDER --questions FILE --out runs/weights
    """

    unfollowed: ClassVar[Mapping[str, str]] = {"convention": NO_DIRECTION}
    unless: ClassVar[Mapping[str, tuple[str, ...]]] = {"data": ("adapter",), "good": ("adapter", "data")}
    data: tuple[str, ...] = option((), "NAME=FILE of bad chats to fine-tune on, one a domain")
    good: tuple[str, ...] = option((), "NAME=FILE of good chats of the same domains: fine-tunes good-NAME")
    adapter: tuple[str, ...] = option((), "NAME=FOLDER of an adapter that exists, instead of --data or beside it")
    samples: int = option(8, "answers a question and model")
    preset: str = option("rank32", f"fine-tuning preset: {', '.join(LORA)}")
    shuffled: int = option(1, "fine-tunes on the first data with its answers shuffled among questions: a control")
    random_seeds: int = option(3, "random updates, and shuffled ones, of equal norm for each fine-tune: controls")
    line: tuple[str, ...] = option(
        (), "A:B, fine-tunes to go between; by default the first two, and the first good one to its bad one"
    )
    alphas: tuple[float, ...] = option(
        (-0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5), "points of the line, 0 at A and 1 at B"
    )
    minus: str = option("", "BAD:GOOD, fine-tunes whose difference is watched for; by default the first data's")
    checkpoint_every: int = option(6, "optimiser steps between two checkpoints at which the difference is watched for")
    watched: tuple[str, ...] = option((), "NAME=FOLDER of the checkpoints of a fine-tune to watch besides")
    same_start: bool = option(False, "start every fine-tune from the same A, which makes updates alike by itself")
    on: str = option("", ON)
    training: Overrides = field(default_factory=dict[str, object])

    def completed(self) -> Self:
        """Checked, with what suits the model, the lines and the difference.

        Raises:
            MisdirectionError: Fewer than two fine-tunes, a name twice or unknown, a number out of range, or no judge.
        """
        c = self.recommended()
        for name, least in (("shuffled", 0), ("random_seeds", 1), ("checkpoint_every", 1)):
            c.at_least(name, least)
        c.one_of("preset", LORA)
        names = c.names
        for name in (*names, *named(c.watched, "watched")):
            check_name(name)
        if len(names) < 2 or len(set(names)) < len(names):
            told = "one fine-tune has nothing to be compared with" if len(names) < 2 else "two fine-tunes share a name"
            raise MisdirectionError(f"{told}: {', '.join(names) or 'none'}", "--adapter A=FOLDER --adapter B=FOLDER")
        if len(c.alphas) < 2 or len(set(c.alphas)) < len(c.alphas):
            raise MisdirectionError("--alphas names too few points, or one twice", "as -0.5,0,0.5,1,1.5")
        whole = replace(c, line=c.line or c._lines(), minus=c.minus or c._minus())
        for text in (*whole.line, *((whole.minus,) if whole.minus else ())):
            whole.ends(text)
        return super(WeightsConfig, whole).completed().judged("rates along the line need")

    @property
    def names(self) -> tuple[str, ...]:
        """Of all fine-tunes: on bad data, on good data, on shuffled data, those that exist."""
        bad = tuple(named(self.data, "data"))
        good = tuple(GOOD + name for name in named(self.good, "good"))
        return (*bad, *good, *self.shuffled_names, *named(self.adapter, "adapter"))

    @property
    def shuffled_names(self) -> tuple[str, ...]:
        """Of the fine-tunes on shuffled data."""
        first = next(iter(named(self.data, "data")), "")
        return tuple(f"{SHUFFLED}{first}-{number}" for number in range(self.shuffled if first else 0))

    def ends(self, text: str) -> tuple[str, str]:
        """The two fine-tunes that A:B names.

        Raises:
            MisdirectionError: It names no two of them.
        """
        one, _, other = text.partition(":")
        if wrong := [name for name in (one, other) if name not in self.names]:
            raise MisdirectionError(f"'{text}': there is no fine-tune '{wrong[0]}'", f"A:B of {', '.join(self.names)}")
        if one == other:
            raise MisdirectionError(f"'{text}' names one fine-tune twice", "A:B")
        return one, other

    def _lines(self) -> tuple[str, ...]:
        first = [f"{one}:{other}" for one, other in pairwise(self.names)][:1]
        back = [f"{good}:{bad}" for bad, _, good in [self._minus().partition(":")] if good]
        return (*first, *back)

    def _minus(self) -> str:
        good = named(self.good, "good")
        return next((f"{name}:{GOOD}{name}" for name in named(self.data, "data") if name in good), "")
