"""Colours that people with any common colour vision tell apart (Okabe and Ito), on light and on dark."""

from __future__ import annotations

from collections.abc import Sequence

BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREEN = "#009E73"
ORANGE = "#E69F00"
SKY = "#56B4E9"
PURPLE = "#CC79A7"
GREY = "#8A8F98"

CATEGORIES = (GREEN, PURPLE, ORANGE, SKY, "#B5A642", "#7F5AA8")
# Groups of questions; apart from the colours of base and tuned.
GROUPS = (PURPLE, GREEN, ORANGE, SKY, "#B5A642")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon")
# Blue for negative, vermillion for positive; the middle is transparent, so that it is the page's own ground.
DIVERGING = ((0.0, BLUE), (0.5, "rgba(138,143,152,0.06)"), (1.0, VERMILLION))


def arm_colours(arms: Sequence[str]) -> dict[str, str]:
    """A colour for each arm: the base blue, the tuned model vermillion, the others from the rest of the palette."""
    fixed = {"base": BLUE, "tuned": VERMILLION}
    rest = [arm for arm in arms if arm not in fixed]
    return {arm: fixed.get(arm) or CATEGORIES[rest.index(arm) % len(CATEGORIES)] for arm in arms}


def along(position: float) -> str:
    """The colour at `position` (0 .. 1) of a sequence that stays visible on light and on dark ground."""
    stops = ((0.0, (0, 114, 178)), (0.5, (0, 158, 115)), (1.0, (230, 159, 0)))
    low, high = (stops[0], stops[1]) if position <= 0.5 else (stops[1], stops[2])
    share = (position - low[0]) / (high[0] - low[0])
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(low[1], high[1], strict=True))
    return f"#{red:02X}{green:02X}{blue:02X}"
