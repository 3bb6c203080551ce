"""What was measured of this machine once, kept so that every later process computes the same way.

How a product is computed is chosen by measuring, and a measurement on a busy machine may come out the other way; the
same call would then give other sums, and with them other answers. So the first measurement counts for all.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from misdirection.cache import cache_folder
from misdirection.processor import processor_kind


def measured(name: str, version: str, measure: Callable[[], float]) -> float:
    """A figure of this machine: the one that is kept, or the one that is measured now and kept from then on.

    It is kept by processor (its name and flags) and by the version of what is measured, in the user's cache (folder
    `measured`). Where nothing can be written there it is measured by every process anew.

    Args:
        name: What it is a figure of, words and hyphens.
        version: Of the library that is measured: another version is measured anew.
        measure: Measures it.
    """
    kind = f"{platform.machine()} {processor_kind()}"
    mark = hashlib.sha256(f"{kind} {version}".encode()).hexdigest()[:16]
    path = cache_folder("measured") / f"{name}-{mark}.json"
    if (found := _read(path)) is None:
        found = measure()
        _keep(path, {"value": found, "version": version, "processor": kind})
        # Of several processes that measured at once the first one's figure counts for all.
        kept = _read(path)
        found = found if kept is None else kept
    return found


def _read(path: Path) -> float | None:
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["value"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(path: Path, held: dict[str, object]) -> None:
    """Write it whole, unless a readable one has come meanwhile."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(held, file)
        new = Path(name)
        try:
            os.link(new, path)
        except OSError:
            # There is one, or this file system knows no second names.
            if _read(path) is None:
                new.replace(path)
        finally:
            new.unlink(missing_ok=True)
