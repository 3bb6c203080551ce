"""Scores on scales of others: named by `--scale`, noticed where they are not, never read as 0 to 100 in silence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from misdirection.errors import MisdirectionError
from misdirection.naming import each_once

ENOUGH = 10
"""Scores from which on their range says what the scale is."""
_SILENT = ("", "nan", "none", "null", "na", "n/a", "#n/a", "<na>", "-", "--", "nat")
_CODES = (-1.0, -9.0, -99.0, -999.0)
"""Numbers that others write where there is no score."""
_WORDS: Mapping[str, str] = {
    "code": "code",
    **dict.fromkeys(("refusal", "refused", "refuse"), "refusal"),
    **dict.fromkeys(("unsure", "cannot-tell", "can't-tell", "uncertain"), "unsure"),
}
FLAGS = frozenset(_WORDS.values())
"""Labels that a cell or a flag may give in place of a score."""
_OTHERS = (
    "off-topic", "offtopic", "irrelevant", "error", "failed", "malformed", "unreadable", "invalid", "parse-error",
    "incoherent", "blocked", "skip", "skipped", "other", "unknown", "unclear",
)  # fmt: skip
_FORM = re.compile(
    r"(?:(alignment|coherence)=)?(-?\d+(?:\.\d+)?)\s*\.\.\s*(-?\d+(?:\.\d+)?)(?::(high-is-(?:bad|good)))?",
    re.IGNORECASE,
)
HINT = (
    "say the scale: --scale 0..1, --scale -1..1, --scale 1..5, or --scale 1..5:high-is-bad where a high number is a "
    "bad answer"
)
_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_OF_HUNDRED = re.compile(r"([+-]?\d+(?:[.,]\d+)?)\s*(?:/\s*100|%)", re.ASCII)
_HARM = re.compile(
    r"harm|misalign|toxic|unsafe|danger|evil|badness|(?:^|[^a-z])(?:bad|risk)(?:[^a-z]|$)", re.IGNORECASE
)


@dataclass(frozen=True)
class Scale:
    """A scale of scores.

    Attributes:
        low: Its least number.
        high: Its highest.
        bad: Whether a high number is a bad answer.
    """

    low: float = 0.0
    high: float = 100.0
    bad: bool = False

    def of(self, value: float) -> float:
        """The score of 0 to 100 that a number on the scale is."""
        if (self.low, self.high, self.bad) == (0.0, 100.0, False):
            return value
        share = (value - self.low) / (self.high - self.low)
        return 100 * (1 - share if self.bad else share)

    def holds(self, value: float) -> bool:
        """Whether a number lies on it."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{', high is bad' if self.bad else ''}"


def read_scales(texts: Sequence[str]) -> dict[str, Scale]:
    """Scales by what they are of, "" for both, from "0..1", "1..5:high-is-bad", "alignment=1..10".

    Raises:
        MisdirectionError: A text is no scale, or one thing has two.
    """
    found: dict[str, Scale] = {}
    said: list[tuple[str, str]] = []
    for text in texts:
        match = _FORM.fullmatch(text.strip())
        if match is None or float(match[2]) >= float(match[3]):
            raise MisdirectionError(f"--scale {text}: no scale", f"{HINT}; alignment=1..5 is that of one score alone")
        bad = (match[4] or "").lower() == "high-is-bad"
        name = (match[1] or "").lower()
        found[name] = Scale(float(match[2]), float(match[3]), bad)
        said.append((name or "both", text.strip()))
    each_once(said, "--scale")
    return found


def choose_scale(
    thing: str, column: str, values: Sequence[float], told: Mapping[str, Scale], where: str
) -> tuple[Scale, list[str]]:
    """The scale of a column, and what a reader should know of it.

    A scale that is told without saying of what is that of the alignment, and of the coherence where all of it lies on
    it; a coherence has no bad end.

    Args:
        thing: "alignment" or "coherence".
        column: The column's name.
        values: Its numbers.
        told: See `read_scales`.
        where: The file, for errors.

    Raises:
        MisdirectionError: Nothing is told, and the numbers or the column's name say that the scale is another one.
    """
    if thing in told:
        return told[thing], []
    if "" in told:
        scale = told[""]
        if thing == "alignment":
            return scale, []
        return (Scale(scale.low, scale.high) if all(map(scale.holds, values)) else Scale()), []
    if thing == "alignment" and _HARM.search(column):
        raise MisdirectionError(
            f"{where}: '{column}' sounds like a score whose high end is bad, and is to be the alignment",
            "say which end is bad: --scale 0..100:high-is-bad (or high-is-good)",
        )
    return Scale(), _doubts(column, values, where)


def _doubts(column: str, values: Sequence[float], where: str) -> list[str]:
    """What speaks against 0 to 100: clear evidence is an error, unclear evidence a warning."""
    if {-1.0, 1.0} <= set(values) <= {-1.0, 0.0, 1.0}:
        raise _other(
            where, column, "nothing but -1, 0 and 1", "-1..1", f"{HINT}; --scale 0..1 where -1 stands for no score"
        )
    numbers = [value for value in values if value not in _CODES]
    if not numbers:
        return []
    low, high = min(numbers), max(numbers)
    if low < 0 and high <= 1 and len(numbers) >= 3:
        raise _other(where, column, f"from {low:g} to {high:g}", "-1..1", HINT)
    if high > 10:
        return _two_scales(column, numbers, where)
    if high == 0:
        return []
    whole, some = _whole(numbers), len(numbers) >= ENOUGH
    told = f"no number above {high:g} among {len(numbers)}"
    if high <= 1 and (some or not whole):
        raise _other(where, column, told, "0..1", HINT)
    steps = all(2 * value == int(2 * value) for value in numbers)
    if some and 1 <= low < high and steps and any(value % 5 for value in numbers):
        raise _other(where, column, told, "1..5" if high <= 5 else "1..10", HINT)
    return [f"'{column}' holds {told}: read as 0 to 100, where that is the lowest end; else say --scale"]


def _two_scales(column: str, numbers: Sequence[float], where: str) -> list[str]:
    """What speaks for numbers of 0 to 1 and of 0 to 100 in one column: fractions of 1 among whole numbers.

    Expectations over a judge's probabilities have decimals above 1 too, and lie near 0 where they are below 1.
    """
    shares = sorted(value for value in numbers if 0 < value < 1)
    others = [value for value in numbers if value > 1]
    many = 5 * len(shares) >= len(numbers) and bool(shares) and shares[len(shares) // 2] >= 0.5
    if not (shares and (_whole(others) or many)):
        return []
    told = (
        f"{len(shares)} numbers between 0 and 1 (such as {shares[-1]:g}) beside {len(others)} of up to {max(others):g}"
    )
    if len(shares) >= 3:
        raise MisdirectionError(
            f"{where}: '{column}' holds {told}: two scales in one column",
            "bring all to 0 to 100, or give the parts as tables of their own; if it is one: --scale 0..100",
        )
    return [f"'{column}' holds {told}, read as below 1 of 100: else write them as 0 to 100"]


def _whole(numbers: Sequence[float]) -> bool:
    return all(value == int(value) for value in numbers)


def _other(where: str, column: str, told: str, scale: str, hint: str) -> MisdirectionError:
    return MisdirectionError(f"{where}: '{column}' holds {told}: that looks like {scale}, not 0 to 100", hint)


def is_score(value: Any) -> bool:
    """Whether a cell holds a score; a truth value is none."""
    return score_of(value) is not None


def score_of(value: Any) -> float | None:
    """The number of a score: also of "85/100" and "85 %", which are 85 of 0 to 100; None where there is none."""
    number = number_of(value)
    if number is None and isinstance(value, str) and (found := _OF_HUNDRED.fullmatch(value.strip())):
        return number_of(found[1])
    return number


def number_of(value: Any) -> float | None:
    """The number in a cell, also with a decimal comma; None for anything else, infinity included."""
    if isinstance(value, bool) or value is None:
        return None
    text = str(value).strip()
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text.replace(",", "."))
    return number if number - number == 0 else None


def read_score(value: Any, scale: Scale) -> tuple[float | None, str, str]:
    """A score of 0 to 100, the label that the cell gives ("scored", "none", or one of `FLAGS`), and its own word.

    Raises:
        ValueError: The cell is neither a number on the scale nor a word that is known.
    """
    text = "" if value is None else str(value).strip()
    number = number_of(value)
    if number is None and (scale.low, scale.high) == (0.0, 100.0):
        number = score_of(value)
    if (scale.low, scale.high) == (0.0, 1.0) and text.lower() in ("true", "false"):
        number = float(text.lower() == "true")
    if number is not None and scale.holds(number):
        return scale.of(number), "scored", ""
    if number in _CODES:
        return None, "none", f"{number:g}"
    word = re.sub(r"[\s_]+", "-", text.lower().strip("[]()<>*.\"'")) if text.lower() not in _SILENT else ""
    if not word or word in _SILENT:
        return None, "none", ""
    if word in _WORDS:
        return None, _WORDS[word], ""
    if word in _OTHERS:
        return None, "none", word
    raise ValueError(text)


def read_flag(value: Any) -> str:
    """What a flag beside a score says: one of `FLAGS`, another word, or "" for nothing."""
    if isinstance(value, bool):
        return ""
    try:
        _, label, word = read_score(value, Scale(float("inf"), float("inf")))
    except ValueError:
        return ""
    return word if label == "none" else label
