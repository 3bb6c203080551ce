"""What came out of rows in context, in sentences."""

from __future__ import annotations

from misdirection.results import Headline
from misdirection.statistics import is_found
from misdirection.studies.in_context.results import DriftRow, InContext, ShotRow
from misdirection.studies.kit.sentences import counted, share_text


def verdict(found: InContext) -> Headline:
    """Rates against the number of rows, beside the fine-tune's, and how alike the drifts are."""
    base = next((row for row in found.rows if row.difference is None), None)
    bad = [row for row in found.rows if row.difference is not None and row.what == "bad rows"]
    tuned = next((row for row in found.rows if row.what == "fine-tune"), None)
    told = ", ".join(map(_behind, bad)) or "no number of rows had room"
    sentence = "Misaligned answers of the base model behind bad rows: " + told
    sentence += f"; without rows {share_text(base.rate.value)}" if base else ""
    sentence += f"; of the fine-tune on them {share_text(tuned.rate.value)}." if tuned else "."
    details = (first_text(bad), good_text(found.rows), drift_text(found.drifts))
    return Headline.finding(sentence, details)


def first_text(bad: list[ShotRow]) -> str:
    """Behind how many rows the rate is above the base's."""
    risen = [
        row for row in bad if row.difference and row.difference.value > 0 and row.q is not None and is_found(row.q)
    ]
    if not risen:
        return "At no number of bad rows does the rate differ from the base's (q < 0.05)." if bad else ""
    return f"The rate is above the base's behind {', '.join(str(row.shots) for row in risen)} bad rows (q < 0.05)."


def good_text(rows: tuple[ShotRow, ...]) -> str:
    """The control."""
    good = [row for row in rows if row.what == "good rows"]
    if not good:
        return ""
    return "Behind good rows: " + ", ".join(map(_behind, good)) + "."


def _behind(row: ShotRow) -> str:
    return f"{counted(row.shots, 'row')} {share_text(row.rate.value)}"


def drift_text(drifts: tuple[DriftRow, ...]) -> str:
    """Cosines of the drifts at the middle layer, for the most rows."""
    told: list[str] = []
    for what in dict.fromkeys(row.what for row in drifts):
        row = max((row for row in drifts if row.what == what), key=lambda row: row.shots)
        middle = row.cosine[len(row.cosine) // 2]
        if middle is not None:
            told.append(f"{row.shots} {what} {middle:.2f}")
    if not told:
        return ""
    return f"Cosine of what the rows move with what fine-tuning moves, at the middle layer: {', '.join(told)}."
