"""Sections to one HTML page: styles, scripts and data inlined, and a policy that lets nothing else in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

from misdirection.report import charts
from misdirection.report.embed import clean, embed_json, script_hash
from misdirection.report.numbers import shorten
from misdirection.report.parts import Block, Chart, Entry, Findings, LeftOut, Section
from misdirection.report.table_file import csv_link, file_name

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_INCOMPLETE = (KeyError, TypeError, ValueError, IndexError, AttributeError)


def page(findings: Findings, entries: Sequence[Entry], results: Any = None) -> str:
    """The whole page; see `misdirection.report.render`."""
    findings = clean(findings)
    made = [build(entry, findings, results) for entry in entries if expected(entry, findings, results)]
    sections = [part for part in made if isinstance(part, Section)]
    left_out = [part for part in made if isinstance(part, LeftOut)]
    drawn = any(isinstance(block, Chart) for part in sections for block in part.blocks)
    plotly = _text("vendor/plotly-cartesian.min.js") if drawn else ""
    script = _text("templates/report.js")
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            findings=findings,
            model=findings.get("model") or {},
            sections=sections,
            left_out=left_out,
            css=_text("templates/report.css"),
            scripts=[source for source in (plotly, script) if source],
            policy=policy([plotly, script]),
        )
    )


def expected(entry: Entry, findings: Findings, results: Any = None) -> bool:
    """Whether a reader of this study looks for the section: it is one of its own, or it has parts of it.

    What is made from results is looked for where there are such.
    """
    if findings.get("kind", "audit") in entry.kinds:
        return True
    fits = entry.results is None or isinstance(results, entry.results)
    return fits and any(findings.get(part) for part in entry.parts)


def build(entry: Entry, findings: Findings, results: Any = None) -> Section | LeftOut:
    """A section, or why there is none."""
    try:
        made = entry.make(findings if entry.results is None else results)
    except _INCOMPLETE as error:
        # The rest of a long study is worth showing; the reader is told what is missing.
        return LeftOut(
            entry.title, f"its part of the findings is not complete ({type(error).__name__}: {shorten(error, 120)})"
        )
    return made or LeftOut(entry.title, reason(entry, findings))


def reason(entry: Entry, findings: Findings) -> str:
    """Why a section is left out: the study's own note where one names it, else what is missing."""
    judge = str((findings.get("settings") or {}).get("judge"))
    if entry.judged and judge == "none":
        return "it needs a judge, and this study ran with the judge 'none'"
    words = {entry.title.lower(), *entry.parts, *(p.replace("_", " ").removesuffix("s") for p in entry.parts)}
    for note in findings.get("notes") or []:
        if any(re.search(rf"\b{re.escape(word)}", str(note).lower()) for word in words):
            return str(note)
    return f"the study measured none of it (no '{' or '.join(entry.parts)}' in its findings)"


def policy(scripts: list[str]) -> str:
    """A content security policy under which these scripts run, no others, and nothing is fetched."""
    hashes = " ".join(script_hash(source) for source in scripts if source)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def spec(chart: Chart) -> str:
    """A chart as JSON that can stand in the page."""
    body: dict[str, Any] = {"data": chart.traces, "layout": charts.holding_all(chart.layout, chart.traces)}
    return embed_json(body | ({"labels": chart.labels} if chart.labels else {}))


@cache
def _text(name: str) -> str:
    return files("misdirection.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader
    from markupsafe import Markup

    made: Any = Environment(
        loader=FunctionLoader(lambda name: _text(f"templates/{name}")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["kind"] = _kind
    # Scripts, styles and chart data are ours or made safe by `embed_json`; nothing else skips the escaping.
    made.globals["raw"] = Markup
    made.globals["spec"] = _spec
    made.globals["csv_link"] = csv_link
    made.globals["file_name"] = file_name
    return cast("Environment", made)


def _kind(block: Block) -> str:
    return type(block).__name__.lower()


def _spec(chart: Chart) -> Markup:
    from markupsafe import Markup

    return Markup(spec(chart))
