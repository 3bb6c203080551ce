"""What a section is made of. Everything here is data; the page's template turns it into HTML and escapes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Findings = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: The value.
        sub: A second, smaller line: the interval, the counts.
        kind: "", "num" (right-aligned), "warn" or "code".
        colour: A swatch before the text, as a CSS colour of our own palette.
    """

    text: str
    sub: str = ""
    kind: str = ""
    colour: str = ""


@dataclass(frozen=True)
class Table:
    """A table of cells.

    Attributes:
        columns: Headings; a table without headings that mean something has empty ones.
        rows: As many cells each as there are columns.
        caption: Its title.
        stack: On a phone each row becomes a card; else the table scrolls sideways.
        wide: Takes the whole width on a desktop.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    stack: bool = False
    wide: bool = True


@dataclass(frozen=True)
class Chart:
    """A chart, drawn in the browser from plain JSON, and the table that says the same without it.

    Attributes:
        key: Unique in the page; letters, digits and dashes.
        title: What is shown, in words.
        traces: Traces of plotly.js. Text in them is already escaped with `charts.plain_text`.
        layout: Layout of plotly.js without colours and fonts, which the page sets to fit light and dark.
        table: The same numbers as a table.
        height: In pixels.
        caption: What to look for, or a warning.
        labels: Raw text of the ticks of the y axis, at 0, 1, 2 ...; the page wraps it to the width at hand.
        wide: Takes the whole width on a desktop.
    """

    key: str
    title: str
    traces: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    table: Table
    height: int = 340
    caption: str = ""
    labels: tuple[str, ...] = ()
    wide: bool = False


@dataclass(frozen=True)
class Note:
    """A line of text in a box; `kind` is "info" or "warn"."""

    text: str
    kind: str = "info"


@dataclass(frozen=True)
class Partial:
    """A block with a template of its own, given `data`."""

    template: str
    data: Mapping[str, Any]


Block = Chart | Table | Note | Partial


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Attributes:
        key: Its anchor.
        title: Its heading.
        lead: What it shows and how to read it, in a sentence or two.
        blocks: What it holds, in order.
        facts: The n's and settings behind it, as (name, value).
    """

    key: str
    title: str
    lead: str
    blocks: Sequence[Block]
    facts: tuple[tuple[str, str], ...] = field(default=())


@dataclass(frozen=True)
class LeftOut:
    """A section that the findings do not allow, and why."""

    title: str
    reason: str


@dataclass(frozen=True)
class Entry:
    """A section of a report and the parts of the findings that it reads.

    Attributes:
        title: Its heading, also when it is left out.
        parts: Names of the parts of the findings; it is left out when none of them is there.
        judged: It needs a judge's verdicts.
        make: Findings to section; None when the findings do not allow it. It is given the study's own results where
            `results` names them, else the mapping of all findings.
        kinds: Studies that are expected to have it: in their reports it is named where it is left out; in the
            reports of others it stands when they have its parts.
        results: Dataclass of the findings that it is made from; None for the mapping.
    """

    title: str
    parts: tuple[str, ...]
    judged: bool
    make: Callable[[Any], Section | None]
    kinds: tuple[str, ...]
    results: type[Any] | None = None
