"""What a study found, as a file and as the report that is made of it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import misdirection
from misdirection import progress
from misdirection.artefacts import plain, read_json, write_json
from misdirection.results import SCHEMA


def write_findings(folder: Path, found: Mapping[str, Any]) -> Path:
    """Write `findings.json`, and from it, as `misdirection report` does later, `report.html`; gives its path."""
    from misdirection.studies.page import write_report

    file = folder / "findings.json"
    told = {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "version": misdirection.__version__,
        "schema": SCHEMA,
    }
    write_json(file, plain({**told, **found}))
    with progress.phase("report"):
        return write_report(read_json(file), folder / "report.html")
