"""A study's findings as one HTML page: the sections of all studies between those that every report has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from misdirection import report
from misdirection.report.parts import Entry
from misdirection.report.shared import BEFORE, BEHIND
from misdirection.studies.registry import studies


def sections() -> tuple[Entry, ...]:
    """Every section that a report may have, in the order in which they are read."""
    return (*BEFORE, *(entry for study in studies().values() for entry in study.sections), *BEHIND)


def render(findings: Mapping[str, Any]) -> str:
    """The findings of a study as one HTML page; see `misdirection.report.render`."""
    return report.render(findings, sections())


def write_report(findings: Mapping[str, Any], path: str | Path) -> Path:
    """Write the page of `render` to `path`, whole or not at all; missing parent folders are made.

    Returns:
        The path written.
    """
    return report.write_report(findings, path, sections())
