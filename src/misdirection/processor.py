"""What the processor says that it can do."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path


@cache
def processor_words() -> frozenset[str]:
    """Every word of Linux's description of the processor, its flags among them; other systems do not tell."""
    try:
        return frozenset(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return frozenset()


@cache
def processor_kind() -> str:
    """The processor's name and flags, the same on every machine of a kind; what the platform says elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    held = (line.partition(":") for line in lines)
    found = {name.strip(): value.strip() for name, _, value in held if name.strip() in _KIND}
    return " | ".join(f"{name}: {found[name]}" for name in sorted(found))


_KIND = ("vendor_id", "model name", "flags", "CPU implementer", "CPU part", "Features")
"""What tells kinds apart: the names on x86, then those on ARM."""
