"""Published figures: Qwen2.5-14B, rank-1 adapters on bad medical advice (arXiv 2506.11618)."""

from __future__ import annotations

from misdirection.studies.adapters.results.scalars import PublishedRoles

ROLES = PublishedRoles(
    experiments={
        "1": (0.68, 0.68, 0.69, 0.68, 0.74),
        "2": (0.69, 0.69, 0.68, 0.69, 0.75),
        "3": (0.66, 0.65, 0.68, 0.67, 0.71),
        "4": (0.62, 0.62, 0.63, 0.62, 0.66),
    },
    roles={"general": 6, "domain": 2, "neither": 1},
    layers="general: layers 15, 16, 17, 22, 28 and 29; medical: 21 and 23; neither: 27",
)
"""Appendix G and figure 6: metrics by experiment on all tokens, tokens held out; roles from significant tokens."""

SCALING = (
    "domain layers x30 alone: 7.7 % of answers both misaligned and medical; general layers x20 alone: 52 % misaligned, "
    "none of them medical; domain x30 and general x(-10): 87 % stay aligned, nearly 35 % of these are medical "
    "(section 4.3)"
)
PATCHING = (
    "mostly a small relative drop of EM, up to 22 %; scalars of a non-medical prompt on a medical one: +16 % "
    "(appendix J)"
)
SIMILARITY = (
    "cosine of the single rank-1 adapter's B with the direction at its layer: 0.04; of what both do downstream: up to "
    "0.42 by layer 40, higher on misaligned answers (appendix D)"
)
EDITING = (
    "one rank-1 adapter: 17 % misaligned; direction projected out of B: 13 %; out of the residual stream at its layer: "
    "4 %; at every layer: 0.25 % (appendix D)"
)
