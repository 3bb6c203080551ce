"""Names beside the points of a scatter where there is room for them, so that none lies over another or over a point."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from misdirection.report.charts import Trace
from misdirection.report.palette import GREY

Box = tuple[float, float, float, float]
Range = tuple[float, float]

LETTER, LINE, MARKER = 6.6, 14.0, 11.0
"""Width of a letter, height of a line and size of a marker, in pixels, about."""

SIZE = (900.0, 400.0)
"""Of the plot area of a wide chart of height 520 on a laptop, in pixels, about."""

POSITIONS = (
    "top center", "middle right", "bottom center", "middle left",
    "top right", "top left", "bottom right", "bottom left",
)  # fmt: skip
"""Where a name may stand (plotly's `textposition`), the first that has room is taken."""

SHIFTS = tuple((right, -up) for up in (26, 42, 58, 74, 90) for right in (0, 24, -24, 48, -48, 72))
"""Where it may stand at the end of a line, in pixels to the right of the point and below it."""


@dataclass(frozen=True)
class PointLabel:
    """Where the name of a point stands.

    Attributes:
        position: One of `POSITIONS`; "" where there is no room beside the point.
        shift: Middle of the name in pixels from the point, to the right and down, where it stands at the end of a line.
    """

    position: str = ""
    shift: tuple[int, int] | None = None


def place_labels(
    points: Sequence[tuple[float, float]], texts: Sequence[str], first: Collection[int], across: Range, up: Range
) -> list[PointLabel]:
    """Where the name of each point stands: beside it, at the end of a line, or nowhere.

    Args:
        points: In units of the axes.
        texts: Their names.
        first: Places of those that are served before the others.
        across: Range of the x axis.
        up: Range of the y axis.
    """
    at = [(_pixel(x, across, SIZE[0]), SIZE[1] - _pixel(y, up, SIZE[1])) for x, y in points]
    taken = [_around(x, y, MARKER, MARKER) for x, y in at]
    found = [PointLabel()] * len(points)

    def tried(place: int, ways: Sequence[tuple[PointLabel, Box]]) -> bool:
        for label, box in ways:
            if _inside(box) and not any(_overlap(box, other) for other in taken if other is not taken[place]):
                found[place] = label
                taken.append(box)
                return True
        return False

    for wanted in (True, False):
        group = [place for place in range(len(points)) if (place in first) is wanted]
        left = [place for place in group if not tried(place, _beside(*at[place], len(texts[place]) * LETTER))]
        for place in left:
            tried(place, _apart(*at[place], len(texts[place]) * LETTER))
    return found


def leaders(points: Sequence[tuple[float, float]], texts: Sequence[str], labels: Sequence[PointLabel]) -> list[Trace]:
    """The names at the end of a line, as annotations of plotly's layout; texts are escaped already."""
    return [
        {
            "x": x, "y": y, "text": text, "ax": label.shift[0], "ay": label.shift[1], "showarrow": True, "arrowhead": 0,
            "arrowwidth": 1, "arrowcolor": GREY, "standoff": 5, "borderpad": 0, "font": {"size": 12},
        }
        for (x, y), text, label in zip(points, texts, labels, strict=True)
        if label.shift
    ]  # fmt: skip


def _beside(x: float, y: float, width: float) -> list[tuple[PointLabel, Box]]:
    return [(PointLabel(position), _box(x, y, width, position)) for position in POSITIONS]


def _apart(x: float, y: float, width: float) -> list[tuple[PointLabel, Box]]:
    return [(PointLabel(shift=shift), _around(x + shift[0], y + shift[1], width, LINE)) for shift in SHIFTS]


def _pixel(value: float, limits: Range, size: float) -> float:
    low, high = limits
    return (value - low) / (high - low) * size


def _around(x: float, y: float, width: float, height: float) -> Box:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _box(x: float, y: float, width: float, position: str) -> Box:
    upright, sideways = position.split()
    x += {"left": -1, "center": 0, "right": 1}[sideways] * (width + MARKER) / 2
    y += {"top": -1, "middle": 0, "bottom": 1}[upright] * (LINE + MARKER) / 2
    return _around(x, y, width, LINE)


def _inside(box: Box) -> bool:
    return box[0] >= 0 and box[1] >= 0 and box[2] <= SIZE[0] and box[3] <= SIZE[1]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
