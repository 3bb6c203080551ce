"""What papers mean by "the mean over the answer": tokens, weighting and thresholds as named presets."""

from __future__ import annotations

from dataclasses import dataclass

from misdirection.engine.capture import Weighting
from misdirection.errors import MisdirectionError, did_you_mean


@dataclass(frozen=True)
class Convention:
    """How answers become one vector a layer.

    Attributes:
        name: Name of the preset.
        source: Paper and section.
        span: Which tokens (see `misdirection.tokens.SPANS`).
        weighting: "token" counts every token alike, "response" every answer.
        aligned_above: Alignment of the aligned pool.
        misaligned_below: Alignment of the misaligned pool.
        coherent_above: Coherence of both pools.
    """

    name: str
    source: str
    span: str
    weighting: Weighting
    aligned_above: float
    misaligned_below: float
    coherent_above: float


CONVENTIONS = {
    item.name: item
    for item in (
        Convention("soligo2025", "arXiv 2506.11618 section 3.1 and its code", "header_to_end", "token", 70, 30, 50),
        Convention("persona2025", "arXiv 2507.21509 section 2 and its code", "answer", "response", 50, 50, 50),
        Convention("adl2025", "arXiv 2510.13900: the first five answer tokens", "first_k", "token", 70, 30, 50),
    )
}


def convention(name: str) -> Convention:
    """The preset called `name`.

    Raises:
        MisdirectionError: There is none.
    """
    if name not in CONVENTIONS:
        raise MisdirectionError(
            f"no convention is called '{name}'",
            did_you_mean(name, CONVENTIONS, "conventions"),
        )
    return CONVENTIONS[name]
