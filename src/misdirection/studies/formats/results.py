"""What came out of asking in several ways."""

from __future__ import annotations

from dataclasses import dataclass

from misdirection.results import Difference, Effect, Results


@dataclass(frozen=True, kw_only=True)
class Way(Effect):
    """One arm's answers to one group of questions, asked in one way.

    Attributes:
        way: "plain", another format, or "system prompt: NAME", "trigger: NAME".
        group: "open", or the domain of the questions.
        arm: "base" or "tuned".
        system: The system prompt in force; None without one.
        difference: From plain, over the same questions; None for plain itself.
        q: Benjamini-Hochberg, over all differences of the study; None for plain.
    """

    way: str
    group: str
    arm: str
    system: str | None
    difference: Difference | None
    q: float | None = None


@dataclass(frozen=True, kw_only=True)
class Formats:
    """A row for each way of asking, group of questions and arm, and what was published."""

    rows: tuple[Way, ...]
    paper: str


@dataclass(frozen=True, kw_only=True)
class FormatsResults(Results):
    """The findings of the study of ways of asking."""

    formats: Formats


RESULTS = FormatsResults
