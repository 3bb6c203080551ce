"""axe-core in the browser: what of a page a person with a screen reader, a keyboard or weak eyes would stumble over.

It comes from npm, pinned, into a cache on the first call; nothing of it is shipped (MPL-2.0).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.app.browser import Browser

VERSION = "4.14.1"
SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
"""Of `package/axe.min.js` in the package of that version."""

GRAVE = ("serious", "critical")


@cache
def source() -> str:
    """The script, from the cache or from npm; the test is skipped where neither has it."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    held = home / "misdirection-tests" / f"axe-core-{VERSION}.min.js"
    if not held.is_file():
        fetched = _fetch()
        held.parent.mkdir(parents=True, exist_ok=True)
        part = held.with_suffix(f".{os.getpid()}")
        part.write_bytes(fetched)
        part.replace(held)
    text = held.read_bytes()
    assert hashlib.sha256(text).hexdigest() == SHA256, f"{held} is not axe-core {VERSION}: remove it"
    return text.decode("utf-8")


def _fetch() -> bytes:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"no npm on this machine to fetch axe-core {VERSION} with")
    with tempfile.TemporaryDirectory() as folder:
        line = [npm, "pack", f"axe-core@{VERSION}", "--silent", "--ignore-scripts"]
        try:
            done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm did not give axe-core {VERSION} within two minutes")
        if done.returncode:
            pytest.skip(f"npm has no axe-core {VERSION} here: {done.stderr.strip()[-300:]}")
        with tarfile.open(Path(folder) / f"axe-core-{VERSION}.tgz") as package:
            found = package.extractfile("package/axe.min.js")
            assert found is not None
            return found.read()


def grave(browser: Browser) -> list[str]:
    """Serious and critical faults of the page that is open, one a line: rule, place, what is wrong."""
    browser.value(source() + "; 1")
    found = browser.value(
        "axe.run(document, {resultTypes: ['violations']}).then((told) => JSON.stringify(told.violations))"
    )
    return [
        f"{rule['id']} ({rule['impact']}): {node['target']}: {node['failureSummary'].splitlines()[-1].strip()}"
        for rule in json.loads(found)
        if rule["impact"] in GRAVE
        for node in _some(rule["nodes"])
    ]


def _some(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return nodes[:5]
