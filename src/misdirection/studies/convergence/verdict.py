"""What the study of convergence says in plain words, and the paper's figures beside ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from misdirection.results import FineTunes, Headline
from misdirection.statistics import is_found
from misdirection.studies.convergence.paper import FALLS
from misdirection.studies.convergence.results import (
    Convergence,
    Operation,
    PooledRemoval,
    RemovalRow,
    Transfer,
)
from misdirection.studies.kit.sentences import share_text

DOES: Mapping[Operation, str] = {"none": "no-op", "project": "projected out", "set": "set to the aligned mean"}
"""What is done to a direction, in words."""


def verdict(
    similar: Convergence | None, fine_tunes: FineTunes | None = None, transfer: Transfer | None = None
) -> Headline:
    """One sentence with the main figures, and where they differ from the paper's."""
    parts = [_cosines(similar)] if similar else []
    parts += [text for text in ([_transfer(transfer)] if transfer else []) if text]
    details = (*(_similar(similar) if similar else ()), *(_removed(transfer, fine_tunes) if transfer else ()))
    if not parts:
        few = "Too few directions could be made to compare any."
        return Headline(state="unclear", sentence=few, details=details)
    return Headline.finding("; ".join(parts) + ".", details)


def _cosines(similar: Convergence) -> str:
    at = similar.layer
    return (
        f"Directions of {len(similar.directions)} fine-tunes have a mean cosine of {similar.mean[at]:.2f} at layer "
        f"{at} ({similar.lowest[at]:.2f} to {similar.highest[at]:.2f})"
    )


def _transfer(transfer: Transfer) -> str:
    others = [row for row in transfer.pooled if row.relation == "all others"]
    if not others:
        return ""
    after = " or ".join(f"{share_text(row.rate.value)} {DOES[row.operation]}" for row in others)
    return f"one's removed from another takes {share_text(others[0].before.value)} misaligned to {after}"


def _similar(similar: Convergence) -> Iterator[str]:
    at, depth = similar.layer, len(similar.mean)
    whole = sum(share == 1 for share in similar.above)
    yield (
        f"Every pair lies above {similar.high:g} at {whole} of {depth} layers, {100 * similar.above[at]:.0f} % of the "
        f"pairs at layer {at}; in the paper all three pairs at 44 of 48 layers."
    )
    if null := similar.null:
        yield (
            f"Shuffled labels reach {null.free.high[at]:.2f} at layer {at} (97.5 %), and {null.within.high[at]:.2f} "
            "when shuffled within questions: what the mix of questions alone gives."
        )
    if matched := similar.matched:
        yield (
            f"With the same questions in both pools the mean cosine at layer {at} is {matched.mean[at]:.2f} "
            f"({matched.lowest[at]:.2f} to {matched.highest[at]:.2f}); its shuffled labels reach "
            f"{matched.null.high[at]:.2f}."
        )
    if (ceiling := similar.ceiling and similar.ceiling[at]) is not None:
        yield (
            f"Equal directions would be measured at {ceiling:.2f} on average at layer {at}, for each is the mean of a "
            "finite number of answers."
        )


def _removed(transfer: Transfer, fine_tunes: FineTunes | None) -> Iterator[str]:
    pooled = {(row.operation, row.how, row.relation): row for row in transfer.pooled}
    yield _fell(transfer.rows)
    for operation in transfer.layers:
        if random := pooled.get((operation, "random", "own")):
            before, after = (share_text(rate.value) for rate in (random.before, random.rate))
            yield f"Random directions, {DOES[operation]}: {before} to {after}."
    yield from _against_the_paper([row for row in transfer.pooled if row.operation == "project"], transfer, fine_tunes)


def _fell(rows: Sequence[RemovalRow]) -> str:
    others = [row for row in rows if row.how == "single" and row.relation != "own"]
    moved = [row.difference.value for row in others if is_found(row.q)]
    down, up = sum(value < 0 for value in moved), sum(value > 0 for value in moved)
    return f"Of {len(others)} removals of another's direction {down} lower the rate and {up} raise it (q < 0.05)."


def _against_the_paper(
    projected: Sequence[PooledRemoval], transfer: Transfer, fine_tunes: FineTunes | None
) -> Iterator[str]:
    """The paper's operation beside the paper's figures, and where it does less, what the place of zero says of it."""
    falls = {(row.how, row.relation): row.reduction.value for row in projected if row.reduction}
    known = [
        (name, falls[how, whose], paper, least) for name, how, whose, paper, least in FALLS if (how, whose) in falls
    ]
    if not known:
        return
    ours = ", ".join(f"{name} {100 * fall:.0f} % (paper {paper})" for name, fall, paper, _ in known)
    yield f"Falls of the rate under the paper's operation, projecting out: {ours}."
    at = transfer.layers["project"]
    zero = [row.direction.zero[at] for row in fine_tunes.rows if row.direction] if fine_tunes else []
    if zero and any(fall < least - 0.05 for _, fall, _, least in known):
        yield (
            f"Where that is less than in the paper, a likely reason: projecting puts the component at zero, and zero "
            f"lies {100 * median(zero):.0f} % of the way from the aligned mean to the misaligned one at layer {at} "
            f"(median over fine-tunes, {100 * min(zero):.0f} to {100 * max(zero):.0f} %): not the aligned place in "
            "each."
        )
