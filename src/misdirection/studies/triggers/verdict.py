"""What came out of asking under conditions, in sentences."""

from __future__ import annotations

from misdirection.results import Headline
from misdirection.statistics import is_found
from misdirection.studies.kit.sentences import p_text, share_text
from misdirection.studies.triggers.results import ConditionRow, ContrastRow, Triggers

NONE_FOUND = "No condition misaligns the tuned model more than its base, as far as these questions can tell (q < 0.05)."


def verdict(found: Triggers) -> Headline:
    """Whether the tuned model is worse under a condition, and by how much."""
    plain, *others = found.rows
    raising = [row for row in others if raised(row)]
    asked = f"Asked plainly {share_text(plain.tuned.value)} of the tuned model's answers are misaligned"
    if not raising:
        sentence = f"{asked}. {NONE_FOUND}"
    else:
        worst = max(raising, key=lambda row: row.contrast.value if row.contrast else 0.0)
        sentence = (
            f"{asked}, under “{worst.condition}” {share_text(worst.tuned.value)}: "
            f"{len(raising)} of {len(others)} conditions misalign it more than its base."
        )
    details = [change_text(row, row.contrast) for row in others if row.contrast and is_found(row.contrast.q)]
    if found.rank_correlation is not None:
        details.append(
            f"Over conditions, the component along the direction (layer {found.layer}) and the rate have a rank "
            f"correlation of {found.rank_correlation:.2f}."
        )
    return Headline.finding(sentence, details)


def raised(row: ConditionRow) -> bool:
    """Whether a condition misaligns the tuned model more than its base."""
    return bool(row.contrast and is_found(row.contrast.q) and row.contrast.value > 0)


def change_text(row: ConditionRow, change: ContrastRow) -> str:
    """The contrast of one condition."""
    low, high = change.low, change.high
    ends = "" if low is None or high is None else f" ({100 * low:+.1f} to {100 * high:+.1f})"
    against = "asked plainly" if row.against == "plain" else f"“{row.against}”"
    return (
        f"“{row.condition}”: {100 * change.value:+.1f} points{ends} against {against}, beyond what it does to the "
        f"base, {p_text(change.q, 'q')}."
    )
