"""The report: a study's findings as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from misdirection.report.parts import Entry


def render(findings: Mapping[str, Any], sections: Sequence[Entry], results: Any = None) -> str:
    """The findings of a study as one HTML page that needs no network.

    Args:
        findings: What a study measured. Any part may be missing or None; its section is then left out, and a line at
            the end of the page says why.
        sections: Those that it may have, in their order.
        results: The same findings as their study's own dataclass, for the sections that are made from it.

    Returns:
        The page, as text that can be encoded as UTF-8. Everything that a model or a user wrote is escaped.
    """
    from misdirection.report.page import page

    return page(findings, sections, results)


def write_report(findings: Mapping[str, Any], path: str | Path, sections: Sequence[Entry], results: Any = None) -> Path:
    """Write the page of `render` to `path`, whole or not at all; missing parent folders are made.

    Returns:
        The path written.
    """
    from misdirection.artefacts import atomic_path

    html = render(findings, sections, results)
    with atomic_path(path) as temporary:
        temporary.write_text(html, encoding="utf-8", newline="\n")
    return Path(path)
