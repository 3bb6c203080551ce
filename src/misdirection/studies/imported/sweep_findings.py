"""What a steering sweep that was judged elsewhere shows: a rate a point, the peak, and what it may be compared with."""

from __future__ import annotations

from dataclasses import replace

from misdirection.results.judged import JudgedHeadline, Steering, SteeringPoint
from misdirection.statistics import Thresholds
from misdirection.studies.imported.sweeps import SteeredPoint, Sweep, arm_name
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.sentences import share_text
from misdirection.studies.kit.tables import effect_of


def steering(sweep: Sweep, base: Judged, rules: Thresholds) -> Steering:
    """Points, peak and baseline in the shape of an audit's.

    Args:
        sweep: The judged points.
        base: Answers of the untouched model; those to the sweep's questions (by their text) are the baseline.
        rules: When an answer is misaligned.
    """
    rows = {point: _row(point, judged, rules) for point, judged in sweep.points.items()}
    asked = {answer.question for judged in sweep.points.values() for answer in judged.answers}
    same = base.where(lambda answer: answer.question in asked and answer.format == "plain")
    controls = [row for point, row in rows.items() if point.control]
    return Steering(
        points=tuple(rows.values()),
        baseline=effect_of(same, rules).rate if same.answers else None,
        best=rows[peak(sweep, rules)],
        control=max(controls, key=lambda row: row.rate.value or 0.0, default=None),
    )


def peak(sweep: Sweep, rules: Thresholds) -> SteeredPoint:
    """The point with the highest rate of misaligned and coherent answers, the weakest of those that are level."""
    own = [point for point in sweep.points if not point.control] or list(sweep.points)
    return max(own, key=lambda point: (_value(sweep.points[point], rules), -abs(point.coefficient)))


def peak_arm(sweep: Sweep, rules: Thresholds) -> Judged:
    """The peak's answers, under the point's name."""
    best = peak(sweep, rules)
    held = sweep.points[best]
    return Judged([replace(answer, arm=arm_name(best)) for answer in held.answers], held.verdicts)


def sweep_verdict(steered: Steering) -> JudgedHeadline:
    """The head of a report on nothing but a sweep."""
    best, count, rate = steered.best, len(steered.points), steered.best.rate
    sentence = (
        f"Of {count} steered points the highest rate is {share_text(rate.value)} ({rate.misaligned} of {rate.n} "
        f"answers misaligned and coherent), at layer {best.layer}, coefficient {best.coefficient:g}; "
        f"{100 * (best.coherent.value or 0.0):.0f} % of its answers are coherent."
    )
    chosen = (
        f"It is the highest of {count} noisy rates, so it lies too high on average: measure it again on fresh answers."
    )
    few = ("All points rest on one question, so nothing is known of others.",) if rate.n_questions <= 1 else ()
    return JudgedHeadline(state="finding", sentence=sentence, details=(chosen, *few))


def _row(point: SteeredPoint, judged: Judged, rules: Thresholds) -> SteeringPoint:
    answers = [replace(answer, arm=arm_name(point)) for answer in judged.answers]
    effect = effect_of(Judged(answers, judged.verdicts), rules)
    return SteeringPoint(
        layer=point.layer,
        coefficient=point.coefficient,
        direction="random" if point.control else point.vector or "vector",
        rate=effect.rate,
        coherent=effect.coherent_share,
    )


def _value(judged: Judged, rules: Thresholds) -> float:
    return sum(map(rules.misaligned, judged.verdicts)) / len(judged.verdicts)
