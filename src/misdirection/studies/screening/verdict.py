"""What came out of screening training rows, in sentences."""

from __future__ import annotations

from statistics import fmean

from misdirection.results import Headline, RateRow, Reduction
from misdirection.studies.kit.sentences import share_text
from misdirection.studies.screening.paper import REDUCTION
from misdirection.studies.screening.results import Level, Screening, TrainedArm


def verdict(part: Screening) -> Headline:
    """What dropping rows by closeness to toxic latents does, beside random removal and the published reduction."""
    whole, *arms = part.methods
    details = (
        f"trained on all {part.rows:,} rows: {_rate(whole.open.misaligned)} of open answers misaligned; "
        f"base model {_rate(part.base.open.misaligned)}",
        *map(_line, arms),
        *map(_level, part.levels),
        *((f"processor seconds: {_costs(part)}",) if part.costs else ()),
    )
    reductions = {arm.name: arm.reduction for arm in arms}
    latents, chance = (reductions.get(name) for name in ("latents", "random"))
    if latents is None:
        said = (
            "Nothing to reduce: the fine-tune on all rows is not misaligned"
            if "latents" in reductions
            else "The published reduction is of the method latents, which is not among those asked"
        )
        return Headline(state="unclear", sentence=f"{said}.", details=details)
    beside = "" if chance is None else f", as many rows at random by {_share(chance)}"
    does = (
        "reduces misalignment by"
        if _above(latents, 0.0)
        else "cannot be told from dropping none: misalignment falls by"
    )
    sentence = (
        f"Dropping {part.dropped:,} of {part.rows:,} rows by closeness to toxic latents {does} {_share(latents)}"
        f"{beside}."
    )
    return Headline.finding(sentence, (_published(latents), *details))


def _above(found: Reduction, value: float) -> bool:
    return found.low is not None and found.low > value


def _published(found: Reduction) -> str:
    """How the reduction compares with the paper's, and what the comparison is worth."""
    below = found.high is not None and found.high < REDUCTION
    beside = "more than" if _above(found, REDUCTION) else "less than" if below else "not told apart from"
    return (
        f"This is {beside} the published 34.5 % on Gemma-2; other data, other model: where a method finds nearly all "
        "bad rows, little is left to spread."
    )


def _line(arm: TrainedArm) -> str:
    reduced = "" if arm.reduction is None else f", a reduction of {_share(arm.reduction)}"
    skill = f"; good in-domain answers {_rate(arm.domains.good)}" if arm.domains else ""
    shares = [c.agreement.recall for c in arm.choices if c.agreement and c.agreement.recall is not None]
    recall = f"; {fmean(shares):.0%} of the bad rows found" if shares else ""
    return f"{arm.name}: {_rate(arm.open.misaligned)}{reduced}{skill}{recall}"


def _level(level: Level) -> str:
    bad = "" if level.precision is None else f", {level.precision:.0%} of them bad"
    line = f"{level.method}, {level.share:.0%} of the rows dropped{bad}"
    if level.before is None:
        return line
    counts = "nothing to fall" if level.by_counts is None else f"a fall of {level.by_counts:.0%} in counts"
    rates = "" if level.by_rates is None else f", of {_share(level.by_rates)} in rates"
    return f"{line}: {level.before:,} to {level.after:,} misaligned of {level.answers:,}, {counts}{rates}"


def _costs(part: Screening) -> str:
    return ", ".join(f"{one.method} {one.own + one.shared:.1f}" for one in part.costs)


def _rate(rate: RateRow) -> str:
    low, high = (f"{100 * (end or 0.0):.1f}" for end in (rate.low, rate.high))
    return f"{share_text(rate.value)} ({low} to {high})"


def _share(found: Reduction) -> str:
    low = "up" if found.low is None else f"{100 * found.low:.0f}"
    high = 1.0 if found.high is None else found.high
    return f"{100 * found.value:.0f} % ({low} to {100 * high:.0f})"
