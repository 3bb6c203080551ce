"""Lists of latents, in what the data, the model and the answers differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from misdirection.features.settings import Pool, Statistic

ListName = Literal["data", "model", "answers"]
"""What is compared: training answers, models, or a model's own answers."""


@dataclass(frozen=True, kw_only=True)
class Latent:
    """A latent of a list.

    Attributes:
        latent: Its number.
        value: The statistic, first class minus second.
        correlation: With the class, point-biserial.
        q: False discovery rate over all that are ever active.
        first: Mean activation in the first class.
        second: In the second.
        domains: Those in which it differs the same way with q below 0.05.
    """

    latent: int
    value: float
    correlation: float
    q: float
    first: float
    second: float
    domains: int


@dataclass(frozen=True, kw_only=True)
class DomainList:
    """One domain or fine-tune behind a list.

    Attributes:
        name: Of the domain.
        first: Texts of the first class.
        second: Of the second.
        shuffled: Within what labels were shuffled.
        tokens: Of both classes.
        alive: Latents that are ever active.
        significant: Those that differ, q < 0.05.
        top: Its own list.
        questions: With answers of both classes, where classes are answers.
    """

    name: str
    first: int
    second: int
    shuffled: str
    tokens: tuple[int, ...]
    alive: int
    significant: int
    top: tuple[int, ...]
    questions: int | None = None


@dataclass(frozen=True, kw_only=True)
class LatentList:
    """One list in full.

    Attributes:
        name: Of the list.
        title: First class against second, in words.
        alive: Latents that are ever active.
        latents: Of the dictionary.
        significant: Latents that differ, q < 0.05.
        significant_up: Upwards.
        significant_in_list: Of the list.
        rows: The list, the largest rise first.
        falling: The largest falls.
        domains: What it is the mean of.
    """

    name: ListName
    title: str
    alive: int
    latents: int
    significant: int
    significant_up: int
    significant_in_list: int
    rows: tuple[Latent, ...]
    falling: tuple[Latent, ...]
    domains: tuple[DomainList, ...]


@dataclass(frozen=True, kw_only=True)
class Latents:
    """The lists, the settings that they were made by, and what papers did."""

    dictionary: str
    layer: int
    statistic: Statistic
    pool: Pool
    top: int
    shuffles: int
    paper: str
    lists: tuple[LatentList, ...]
