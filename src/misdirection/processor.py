"""What the processor says that it can do."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def processor_words() -> frozenset[str]:
    """Every word of Linux's description of the processor, its flags among them; other systems do not tell."""
    try:
        return frozenset(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return frozenset()
