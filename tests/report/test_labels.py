"""Names beside points: none over another one or over a point, the first served first."""

from __future__ import annotations

import itertools
import random

from misdirection.report.labels import LETTER, LINE, MARKER, POSITIONS, SIZE, PointLabel, leaders, place_labels

UNIT = (0.0, 1.0)
Box = tuple[float, float, float, float]


def marker(x: float, y: float) -> Box:
    """Corners of a point, in pixels from the upper left."""
    left, top, half = x * SIZE[0], (1 - y) * SIZE[1], MARKER / 2
    return left - half, top - half, left + half, top + half


def name(point: Box, text: str, label: PointLabel) -> Box:
    """Corners of its name."""
    width, (left, top, right, bottom) = len(text) * LETTER, point
    middle, level = (left + right) / 2, (top + bottom) / 2
    if label.shift:
        middle, level = middle + label.shift[0], level + label.shift[1]
        return middle - width / 2, level - LINE / 2, middle + width / 2, level + LINE / 2
    upright, sideways = label.position.split()
    start = {"left": left - width, "center": middle - width / 2, "right": right}[sideways]
    above = {"top": top - LINE, "middle": level - LINE / 2, "bottom": bottom}[upright]
    return start, above, start + width, above + LINE


def apart(one: Box, other: Box) -> bool:
    return one[0] >= other[2] or other[0] >= one[2] or one[1] >= other[3] or other[1] >= one[3]


def test_a_point_alone_has_its_name_above_it() -> None:
    assert place_labels([(0.5, 0.5)], ["name"], (), UNIT, UNIT) == [PointLabel("top center")]
    # At the edges it stands inside.
    ends = place_labels([(0.0, 0.0), (1.0, 1.0)], ["a long name"] * 2, (), UNIT, UNIT)
    assert ends == [PointLabel("middle right"), PointLabel("bottom left")] or ends == [
        PointLabel("top right"),
        PointLabel("bottom left"),
    ]


def test_no_name_lies_over_another_or_over_a_point() -> None:
    draw = random.Random(0)
    for count in (5, 20, 60):
        points = [(draw.random() ** 3, draw.random() ** 3) for _ in range(count)]
        texts = ["x" * draw.randint(3, 14) for _ in range(count)]
        found = place_labels(points, texts, (), UNIT, UNIT)
        markers = [marker(*point) for point in points]
        names = [name(*held) for held in zip(markers, texts, found, strict=True) if held[2] != PointLabel()]
        assert {one.position for one in found} <= {*POSITIONS, ""} and len(names) >= min(count, 20)
        assert all(apart(one, other) for one, other in itertools.combinations(names, 2))
        assert all(apart(one, point) for one in names for point in markers)
        assert all(one[0] >= 0 and one[1] >= 0 and one[2] <= SIZE[0] and one[3] <= SIZE[1] for one in names)


def test_who_is_first_is_named_where_there_is_room_for_few() -> None:
    points = [(0.5 + 0.001 * place, 0.5) for place in range(60)]
    texts = [f"quite a long name {place}" for place in range(60)]
    found = place_labels(points, texts, {37, 39}, UNIT, UNIT)
    assert found[37].position and found[39].position and PointLabel() in found


def test_a_name_at_the_end_of_a_line_is_an_annotation() -> None:
    labels = [PointLabel("top center"), PointLabel(shift=(24, -42)), PointLabel()]
    (one,) = leaders([(0.1, 0.2), (0.3, 0.4), (0.5, 0.6)], ["a", "b", "c"], labels)
    assert (one["x"], one["y"], one["text"], one["ax"], one["ay"]) == (0.3, 0.4, "b", 24, -42)
