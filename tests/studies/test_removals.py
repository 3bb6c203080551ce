"""The best removal of the direction is one that leaves the model able to speak, and is told beside the random ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from misdirection.results import Difference, RateRow, Reduction
from misdirection.studies.audit.removals import best_cure, marked, removal_texts
from misdirection.studies.audit.results import Cure


def rate(value: float) -> RateRow:
    return replace(RATE, value=value)


def row(arm: str, fall: float | None, coherent: float, control: bool = False, p: float = 0.01) -> Cure:
    reduction = None if fall is None else Reduction(value=fall, low=fall, high=fall, method="")
    return Cure(
        arm=arm, label=f"{arm} it", operation="", control=control, reduction=reduction,
        difference=Difference(value=0.0, low=0.0, high=0.0, p=p, method=""),
        rate=rate(0.2 * (1 - (fall or 0.0))), coherent_share=rate(coherent),
    )  # fmt: skip


RATE = RateRow(
    misaligned=0, n=1, value=0.0, low=0.0, high=1.0, denominator="all", method="", n_questions=1, undecided=0,
    ceiling=0.0, bounded=False,
)  # fmt: skip
ROWS = [
    row("tuned", None, 0.9), row("no-op", 0.1, 0.9, control=True), row("project", 1.0, 0.1), row("set", 0.8, 0.7),
    row("project-single-3", 0.5, 0.9), row("set-random-1", 0.95, 0.9, control=True),
    row("project-random-1", 0.2, 0.88, control=True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("share", "best"), [(0.75, "set"), (0.8, "project-single-3"), (0.0, "project"), (0.1, "project")]
)
def test_the_best_keeps_a_share_of_the_untouched_model_s_coherence(share: float, best: str) -> None:
    place = best_cure(ROWS, share)
    assert place is not None and ROWS[place].arm == best
    assert [cure.arm for cure in marked(ROWS, share) if cure.best] == [best]


def test_it_is_told_beside_the_random_directions() -> None:
    (text,) = removal_texts(ROWS, 0.75)
    assert text == (
        "Best removal: set it: the rate falls by 80 % to 4.0 %, with 70 % of answers coherent; random directions, "
        "removed alike, by 20 to 95 %."
    )
    (text,) = removal_texts([*ROWS[:3], row("set", 0.8, 0.7, p=0.2)], 0.75)
    assert "(not found at p < 0.05: p = 0.2)" in text and "random" not in text


def test_where_no_removal_leaves_speech_that_is_said_and_none_is_best() -> None:
    rows = [ROWS[0], row("project", 1.0, 0.1), row("set", 1.0, 0.4)]
    (text,) = removal_texts(rows, 0.75)
    assert text.startswith("No removal leaves the tuned model able to speak: at best 40 %") and "90 % before" in text
    assert best_cure(rows, 0.75) is None and not any(cure.best for cure in marked(rows, 0.75))


def test_without_anything_to_reduce_nothing_is_said() -> None:
    rows = [row("tuned", None, 0.9), row("project", None, 0.9)]
    assert removal_texts(rows, 0.75) == [] and best_cure(rows, 0.75) is None
    assert removal_texts([], 0.75) == [] and marked([], 0.75) == ()
