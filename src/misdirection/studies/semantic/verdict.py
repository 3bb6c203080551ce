"""What came out of directions of single topics, in sentences."""

from __future__ import annotations

from misdirection.results import Headline, RateRow
from misdirection.studies.semantic.results import Semantic


def verdict(found: Semantic) -> Headline:
    """How alike the topics' directions are, and whether the domain-only one is narrow."""
    near = {row.direction: row.cosine[found.layer] for row in found.similarity if row.direction in found.topics}
    told = ", ".join(f"{name} {_cosine(value)}" for name, value in near.items()) or "no topic had enough answers"
    details = (narrow_text(found, topic) for topic in found.topics)
    sentence = f"Cosine of each topic's direction with the general one at layer {found.layer}: {told}."
    return Headline.finding(sentence, details)


def narrow_text(found: Semantic, topic: str) -> str:
    """What steering along the domain-only direction does inside and outside of it; empty where it was not tried."""
    arm = next((arm for arm in found.arms if arm.direction == f"{topic} only"), None)
    if arm is None or topic not in arm.groups:
        return ""
    outside = arm.groups.get("open")
    opened = "" if outside is None else f", {_share(outside.rate)} on open questions"
    return f"Steering by '{topic} only': {_share(arm.groups[topic].rate)} misaligned on {topic} questions{opened}."


def _share(rate: RateRow) -> str:
    return "an unknown share" if rate.value is None else f"{100 * rate.value:.0f} %"


def _cosine(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
