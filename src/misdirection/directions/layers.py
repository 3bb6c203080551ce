"""Which layers a sweep looks at."""

from __future__ import annotations


def spread_layers(count: int, wanted: int = 6) -> tuple[int, ...]:
    """About `wanted` layers between an eighth and seven eighths of the depth."""
    first, last = count // 8, max(count // 8, (7 * count) // 8 - 1)
    steps = max(1, min(wanted, last - first + 1) - 1)
    return tuple(sorted({round(first + (last - first) * step / steps) for step in range(steps + 1)}))
