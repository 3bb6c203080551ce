"""A study's findings as one HTML page: the sections of all studies between those that every report has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from misdirection import report
from misdirection.errors import MisdirectionError
from misdirection.report.embed import clean
from misdirection.report.page import expected
from misdirection.report.parts import Entry
from misdirection.report.shared import BEFORE, BEHIND
from misdirection.results import Results
from misdirection.studies.reading import envelope, typed
from misdirection.studies.registry import studies


def sections() -> tuple[Entry, ...]:
    """Every section that a report may have, in the order in which they are read."""
    return (*BEFORE, *(entry for study in studies().values() for entry in study.sections), *BEHIND)


def render(findings: Mapping[str, Any], section: str | None = None) -> str:
    """The findings of a study as one HTML page; see `misdirection.report.render`.

    Args:
        findings: What the study measured.
        section: The one that is shown, by its heading or by the part of the findings that it shows; all by default.

    Raises:
        MisdirectionError: They do not fit the results of their study, as those of an older version may not; or there is
            no such section.
    """
    results = _results(findings)
    return report.render(findings, _chosen(findings, section, results), results)


def _chosen(findings: Mapping[str, Any], section: str | None, results: Results | None) -> tuple[Entry, ...]:
    if not section:
        return sections()
    there = [entry for entry in sections() if expected(entry, findings, results)]
    chosen = tuple(entry for entry in there if section.lower() in (entry.title.lower(), *entry.parts))
    if not chosen:
        titles = ", ".join(f"'{entry.title}'" for entry in there)
        raise MisdirectionError(f"these findings have no section '{section}'", f"sections: {titles}")
    return chosen


def write_report(findings: Mapping[str, Any], path: str | Path, source: str = "these findings") -> Path:
    """Write the page of `render` to `path`, whole or not at all; missing parent folders are made.

    Args:
        findings: What the study measured.
        path: Of the page.
        source: What an error calls the findings.

    Returns:
        The path written.

    Raises:
        MisdirectionError: As `render` does.
    """
    return report.write_report(findings, path, sections(), _results(findings, source))


def _results(findings: Mapping[str, Any], source: str = "these findings") -> Results | None:
    # Its texts stand in the page too, so they are made fit for it as all others are.
    found = clean(findings)
    return typed(found, source) or envelope(found)
