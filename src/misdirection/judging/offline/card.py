"""The figures of the judge's card that stand beside every rate of its: how far it was from the judge it learnt from."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

PAGE = "docs/offline-judge.md"


@cache
def card() -> dict[str, Any]:
    """The card: "version", "judge" (whose verdicts it learnt), and "measured", None as long as nothing is.

    Measured are "on" (what was held out, in words), "answers", "kappa" (of misaligned), "arms", and of these the number
    that are "near": whose rate was no further than "within" points from that judge's; "off" is the mean distance.
    """
    held: dict[str, Any] = json.loads((Path(__file__).parent / "card.json").read_text(encoding="utf-8"))
    return held


def sentence(judge: str) -> str:
    """How far the judge was from the one that it learnt from, in one sentence.

    Args:
        judge: "offline", or its name with the version that judged.
    """
    held = card()
    version, they, found = judge.partition("@")[2] or held["version"], held["judge"], held["measured"]
    opening = f"Judged by offline@{version}, the judge in the box, an estimate of {they}'s verdicts"
    if version != held["version"]:
        return f"{opening} whose error is not known here: the card is that of offline@{held['version']}."
    if not found:
        return f"{opening} whose error has not been measured yet."
    return (
        f"{opening}: on {found['answers']:,} answers of {found['on']} kappa of misaligned was {found['kappa']:.2f}, "
        f"and {found['near']} of {found['arms']} arms had a rate within {found['within']} points of {they}'s "
        f"({found['off']:.1f} off on average); what it gets wrong: {PAGE}."
    )
