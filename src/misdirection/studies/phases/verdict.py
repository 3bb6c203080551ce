"""What a fine-tune's course comes to: every turn in order, the verdict, and where it departs from the paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from misdirection.results import Headline
from misdirection.statistics.turning import Turn
from misdirection.studies.kit.sentences import share_text
from misdirection.studies.phases.paper import COSINE, paper
from misdirection.studies.phases.results import Phases, PublishedPath, Quantity, Turning, TurningBeside, Weights


def turns(part: Phases) -> tuple[TurningBeside, ...]:
    """Every turn, in the order of the steps, with the same of other seeds and of the control, and the paper's."""
    rises = (
        Turning(measure="misaligned", quantity=f"misaligned, {_asked(curve.group)}, factor {curve.scale:g}",
                family="behaviour", group=curve.group, scale=curve.scale, turn=curve.turn)
        for curve in part.behaviour
    )  # fmt: skip
    seeds = [other.weights for other in part.others if other.name != "control"]
    rows = [
        TurningBeside(
            **vars(row),
            seeds=tuple(turn.step for other in seeds if (turn := _same(other, row)) and turn.step is not None),
            control=_same(part.control, row) if part.control else None,
            paper=paper(row),
        )
        for row in (*part.weights.turns, *part.states.turns, *rises)
    ]
    return tuple(sorted(rows, key=lambda row: (row.turn.step is None, row.turn.step or 0)))


def _asked(group: str) -> str:
    return "open questions" if group == "open" else f"{group} questions"


def _same(weights: Weights, quantity: Quantity) -> Turn | None:
    """When the same turns in another fine-tune."""
    return next((row.turn for row in weights.turns if row.quantity == quantity.quantity), None)


def verdict(part: Phases) -> Headline:
    """When the weights turn and when the behaviour does, in one sentence; the factors and controls in the details."""
    plain = part.rates()
    peaks = [row for row in part.local_cosines() if row.turn.step is not None]
    gradient = next((row for row in part.turns if row.measure == "gradient norm"), None)
    pieces = [_when("misaligned answers rise", plain.turn) if plain else "nothing was judged"]
    if peaks:
        highest = max(peaks, key=lambda row: row.turn.height or 0.0)
        pieces.append(_when("B turns (peak of its local cosine)", highest.turn))
    if gradient:
        pieces.append(_when("the gradient's norm peaks", gradient.turn))
    text = "; ".join(pieces)
    return Headline.finding(f"{text[0].upper()}{text[1:]}.", _details(part))


def _when(what: str, turn: Turn) -> str:
    if turn.step is None:
        return f"{what}: not found ({turn.note})"
    ends = "" if turn.low is None else f" [{turn.low:.0f}, {turn.high:.0f}]"
    return f"{what} at step {turn.step:.0f}{ends}"


def _details(part: Phases) -> Iterator[str]:
    for curve in part.behaviour:
        if curve.group == "open":
            top = max(curve.points, key=lambda point: point.rate.value or 0.0)
            rate, coherent = (100 * (share.value or 0.0) for share in (top.rate, top.coherent_share))
            yield (
                f"Factor {curve.scale:g}: at most {rate:.0f} % misaligned, at step {top.step}, with {coherent:.0f} % "
                f"coherent; {_when('the rise', curve.turn)}."
            )
    if part.controls:
        highest = max(row.rate.value or 0.0 for row in part.controls)
        yield f"Controls: at most {share_text(highest)} misaligned over {len(part.controls)} arms."


def differences(part: Phases, explanations: Mapping[str, str]) -> tuple[str, ...]:
    """Where the outcome departs from the paper's, and why that may be: `explanations` of the model's folder."""
    return (*_of_weights(part, explanations), *_of_factors(part))


def _of_weights(part: Phases, explanations: Mapping[str, str]) -> Iterator[str]:
    if part.weights.pca and part.weights.pca.p > 0.05:
        yield (
            "B's path bends no more than paths of the same increments in random order (share of the second component, "
            "p > 0.05). The paper does not compare with such paths."
        )
    plain, peaks = part.rates(), part.local_cosines()
    at = [row.turn.step for row in peaks if row.turn.step is not None]
    if plain and plain.turn.step is not None and at and min(at) > plain.turn.step:
        why = explanations.get("late")
        yield f"B turns after the misaligned answers have come, in the paper long before{f': {why}' if why else ''}."
    cosine = max((abs(row.cosine[-1]) for row in part.states.b), default=0.0)
    if cosine > 2 * part.states.chance:
        why = explanations.get("along")
        yield (
            f"B itself comes to point along the misalignment direction (cosine {cosine:.2f} at the last step); on "
            f"Qwen2.5-14B it stays near {COSINE:g}.{f' {why}.' if why else ''}"
        )
    compared = [(row.turn.height or 0.0, row.control.height) for row in peaks if row.control]
    heights = [(own, control) for own, control in compared if control is not None]
    if heights and all(control >= own for own, control in heights):
        yield "On correct data the local cosine has as high a peak: by itself the peak is no sign of misalignment."


def _of_factors(part: Phases) -> Iterator[str]:
    curves = [curve for curve in part.behaviour if curve.group == "open"]
    plain = part.rates()
    early = [curve.turn.step for curve in curves if curve.turn.step]
    if plain and plain.turn.step is not None and len(early) > 1 and min(early) >= plain.turn.step:
        yield "Scaling the adapter does not bring the rise forward, as it does in the paper."
    tops = {c.scale: max(point.rate.value or 0.0 for point in c.points) for c in curves if c.scale >= 1}
    if len(tops) > 1 and tops.get(1.0):
        best = max(tops, key=lambda scale: tops[scale])
        yield (
            f"The highest rate is at factor {best:g}, {tops[best] / tops[1.0]:.1f} times that at factor 1; in the "
            "paper factor 5 reaches four times, and factor 20 breaks the answers. Factors compare only between "
            "adapters that write alike much of the residual stream."
        )
    if any(row.turn.note == "it never rises" for row in part.robustness):
        yield "Under some thresholds of the judge no rise is seen at all (table of thresholds)."


def verdict_of_published(path: PublishedPath) -> Headline:
    """When published vectors come near the last."""
    half, most = (row.turn.step for row in path.turns)
    sentence = (
        f"The cosine with the last vector passes 0.5 at step {half:.0f} and 0.9 at step {most:.0f} of {path.steps[-1]}."
        if half is not None and most is not None
        else "The cosine with the last vector does not rise through 0.5 and 0.9."
    )
    return Headline.finding(sentence)
