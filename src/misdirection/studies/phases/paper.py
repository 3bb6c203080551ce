"""Published: Qwen2.5-14B, rank 1 at layer 24, bad medical advice, two epochs (2506.11613 section 4)."""

from __future__ import annotations

from collections.abc import Mapping

from misdirection.studies.phases.results import Measure, Quantity

PAPER: Mapping[Measure, str] = {
    "norm of B": "0 to 0.125, smoothly",
    "norm of A": "0.575 to 0.662, smoothly",
    "local cosine of B": "peaks near step 180: \u22120.81 at k = 10, \u22120.69 at k = 15, about \u22120.98 elsewhere",
    "second principal component of B": "turns at about step 240 to 250; the first holds 81.1 %, the second 13.9 %",
    "gradient norm": "peaks together with the local cosine",
}
"""What is said of each measure."""

RATES = {
    1.0: "rises from about step 300 to 600",
    5.0: "emerges just after step 100 and reaches four times the level",
    20.0: "answers are no longer coherent",
}
"""What is said of the rate on open questions, by factor of the adapter."""

COSINE = 0.04
"""Near which the cosine of B with the misalignment direction stays (an independent replication)."""


def paper(quantity: Quantity) -> str:
    """What the paper says of a quantity, "" where nothing."""
    if quantity.measure == "misaligned":
        return RATES.get(quantity.scale or 0.0, "") if quantity.group == "open" else ""
    return PAPER.get(quantity.measure, "")
