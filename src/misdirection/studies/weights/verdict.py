"""What came out of comparing fine-tunes in the weights, in sentences."""

from __future__ import annotations

from misdirection.results import Headline
from misdirection.studies.kit.sentences import counted, share_text, two, upper
from misdirection.studies.weights.results import RateLine, UpdatePair, WatchedTuning, Weights

SHOWN = 6
"""Pairs that are told one by one; of more only the most and the least alike, for all stand in a table."""


BEGUN = 0.5
"""Overlap of what two updates read above which they may have begun from one A, as those of one seed do."""

BEGUN_TEXT = (
    "What these read is so alike that they may have begun from the same random A, as fine-tunes of one preset and one "
    "--seed do: {}. Their updates are then alike by that alone; train them with seeds of their own."
)


def verdict(found: Weights) -> Headline:
    """How alike the updates are, what the lines do, and what the difference tells while fine-tunes train."""
    told = [one for one in found.pairs if one.cosine is not None]
    if not told:
        return Headline(state="unclear", sentence="No two updates can be compared: all but one are zero.", details=())
    high, low = max(told, key=_cosine), min(told, key=_cosine)
    sentence = only_text(told[0]) if len(told) == 1 else range_text(told)
    starts = [f"{one.one} and {one.other}" for one in told if (one.inputs or 0.0) > BEGUN]
    shown = told if len(told) <= SHOWN else (high, low)
    details = (
        *map(_pair, shown),
        *([BEGUN_TEXT.format(", ".join(starts))] if starts else []),
        *map(_line, found.lines),
        *(_watched(one, found.minus) for one in found.watched),
    )
    return Headline.finding(sentence, details)


def only_text(one: UpdatePair) -> str:
    """The one pair that there is."""
    beyond = "more alike, or oppositely," if beyond_controls(one) else "no more alike"
    return (
        f"{upper(one.one)} and {one.other} change the weights {beyond} than random and shuffled changes of the same "
        f"size do: their cosine (1 the same change, 0 unrelated) is {two(_cosine(one))}."
    )


def range_text(told: list[UpdatePair]) -> str:
    """How many of several pairs are alike, and the least and the most."""
    above = [one for one in told if beyond_controls(one)]
    high, low = max(told, key=_cosine), min(told, key=_cosine)
    return (
        f"{len(above)} of {counted(len(told), 'pair')} of fine-tunes change the weights more alike, or oppositely, "
        "than random and shuffled changes of the same size do. The cosine (1 the same change, 0 unrelated) goes from "
        f"{two(_cosine(low))} ({low.one} and {low.other}) to {two(_cosine(high))} ({high.one} and {high.other})."
    )


def beyond_controls(one: UpdatePair) -> bool:
    """Whether the cosine is larger than that of every control."""
    return abs(_cosine(one)) > max(one.random or 0.0, one.shuffled or 0.0)


def _cosine(one: UpdatePair) -> float:
    return one.cosine or 0.0


def _pair(one: UpdatePair) -> str:
    spaces = ""
    if one.outputs is not None and one.inputs is not None:
        spaces = (
            f"; what they write overlaps by {one.outputs:.2f} (chance {one.outputs_chance or 0:.2f}), what they read "
            f"by {one.inputs:.2f} (chance {one.inputs_chance or 0:.2f})"
        )
    controls = f"random at most {one.random or 0:.2f}, shuffled {one.shuffled or 0:.2f}"
    return f"{one.one} and {one.other}: cosine {two(_cosine(one))} ({controls}){spaces}."


def _line(line: RateLine) -> str:
    rates = ", ".join(f"{point.alpha:g}: {share_text(point.rate.value)}" for point in line.points)
    controls = [point.random.value or 0.0 for point in line.points if point.random]
    bent = "" if line.bend is None else f"; between the two at most {100 * line.bend:.0f} points off a straight line"
    ranks = "" if line.rank_correlation is None else f", rank correlation {line.rank_correlation:.2f}"
    reached = f"; a random line of equal length reaches {share_text(max(controls))}" if controls else ""
    return f"Misaligned answers on the line from {line.one} (0) to {line.other} (1): {rates}{bent}{ranks}{reached}."


def _watched(one: WatchedTuning, minus: str) -> str:
    bad, _, good = minus.partition(":")
    cosines = ", ".join(f"{two(at.cosine)} at step {at.step}" for at in one.steps if at.cosine is not None)
    rate = "" if one.rate is None else f"; {share_text(one.rate.value)} misaligned in the end"
    own = " (one of the two)" if one.part else ""
    random = f"random {two(one.random or 0.0)}"
    return f"{upper(one.name)}{own}, cosine with {bad} minus {good} while it trains: {cosines}; {random}{rate}."
