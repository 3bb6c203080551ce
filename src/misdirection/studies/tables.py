"""Rates, shares, paired changes and numbers as plain JSON: the shapes that every findings file is made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from misdirection.statistics import Comparison, Rate, Share, Thresholds, rate, shares
from misdirection.studies.steps import Judged


def rate_row(value: Rate) -> dict[str, Any]:
    """A rate with its counts, denominator and interval."""
    names = ("misaligned", "n", "value", "low", "high", "denominator", "method", "n_questions")
    return {name: getattr(value, name) for name in names}


def share_row(value: Share) -> dict[str, Any]:
    """A share of all answers, in the shape of a rate."""
    names = ("n", "value", "low", "high", "method", "n_questions")
    return {name: getattr(value, name) for name in names} | {"misaligned": value.count, "denominator": "all"}


def effect_row(judged: Judged, rules: Thresholds) -> dict[str, Any]:
    """What an arm's answers are like: the rate of misaligned and the share of coherent ones, of all."""
    return {
        "rate": rate_row(rate(*judged.pair, thresholds=rules)),
        "coherent_share": share_row(shares(*judged.pair, thresholds=rules)["coherent"]),
    }


def change_row(change: Comparison) -> dict[str, Any]:
    """A paired change: the difference in rate and the relative reduction (None where there was nothing to reduce)."""
    reduction = {"value": change.reduction, "low": change.reduction_low, "high": change.reduction_high}
    return {
        "difference": {"value": change.difference, "low": change.low, "high": change.high, "p": change.p_questions,
                       "method": change.method},
        "reduction": None if change.reduction is None else reduction,
    }  # fmt: skip


def numbers(values: Iterable[Any]) -> list[float]:
    """Floats with five significant digits, for charts."""
    return [float(f"{float(value):.5g}") for value in values]
