"""A table of a card, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CardTable:
    """Figures as a card shows them.

    Attributes:
        told: What they are, in a sentence before the table.
        head: Names of the columns.
        rows: Cells as text.
    """

    told: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """As it stands in README.md."""
        return "\n".join([self.told, "", _line(self.head), _line(["---"] * len(self.head)), *map(_line, self.rows), ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in cells)} |"


def percent(share: float | None) -> str:
    """A share, 0 .. 1, in percent; a dash where it is not known."""
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.1f} %"


def interval(low: float | None, high: float | None) -> str:
    """The ends of a share's interval, in percent."""
    return "–" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f} %"
