"""What `misdirection power` prints: the table of plans, and advice in words."""

from __future__ import annotations

from misdirection.cli.show import note, table
from misdirection.errors import MisdirectionError

ENDLESS = 100_000
"""Samples that stand for as many as one likes."""


def show_plans(
    before: float,
    after: float,
    questions: int | None,
    samples: int | None,
    *,
    spread: float,
    shared: float,
    aim: float,
) -> None:
    """Print how many questions each number of samples takes, and what the given numbers can see."""
    from misdirection.statistics import design_effect, plans

    if not 0 <= after <= 1:
        raise MisdirectionError(f"a rate of {before:g} cannot change to {after:g}", "rates lie between 0 and 1")
    note(
        f"to see {100 * before:g} % become {100 * after:g} % with a chance of {100 * aim:g} %, "
        f"answers to one question correlated by {spread:g}:"
    )
    found = plans(before, after, aim=aim, rho=spread, shared=shared)
    if not found:
        note("no number of questions up to 100,000 sees it")
    rows = [
        [
            str(p.samples),
            str(p.questions),
            f"{p.n:,}",
            f"{p.n / design_effect(p.samples, spread):,.0f}",
            f"{p.power:.0%}",
        ]
        for p in found
    ]
    table(["samples", "questions", "answers an arm", "worth", "chance"], rows)
    note("worth: how many answers to as many different questions would tell as much")
    for line in advice(before, after, questions, samples, spread=spread, shared=shared, aim=aim):
        note(line)


def advice(
    before: float,
    after: float,
    questions: int | None,
    samples: int | None,
    *,
    spread: float,
    shared: float,
    aim: float,
) -> list[str]:
    """What the questions and samples at hand can see, in sentences."""
    from misdirection.statistics import plans, power, smallest_change

    if questions is None:
        best = min(plans(before, after, aim=aim, rho=spread, shared=shared), key=lambda p: p.n, default=None)
        cheap = f"Fewest answers: {best.questions} questions of {best.samples}." if best else ""
        return [
            text for text in (cheap, "Name what you have (--questions, --samples) to be told what it sees.") if text
        ]
    few = ["Fewer than 8 questions: whatever is seen holds for these questions, hardly for others."] * (questions < 8)
    if samples is None:
        return [_enough(before, after, questions, spread, shared, aim), *few]
    seen = power(before, after, questions, samples, rho=spread, shared=shared)
    least = smallest_change(before, questions, samples, aim=aim, rho=spread, shared=shared)
    told = "no rise at all" if least is None else f"a rise by {100 * least:.1f} points or more"
    lines = [
        f"With {questions} questions of {samples} samples the chance is {seen:.0%}; from {100 * before:g} % they see "
        f"{told} with {aim:.0%}."
    ]
    if seen < aim:
        lines.append(_enough(before, after, questions, spread, shared, aim))
    return [*lines, *few]


def _enough(before: float, after: float, questions: int, spread: float, shared: float, aim: float) -> str:
    """The fewest samples that suffice with so many questions, or that none do."""
    from misdirection.statistics import power

    def seen(samples: int) -> float:
        return power(before, after, questions, samples, rho=spread, shared=shared)

    if seen(ENDLESS) < aim:
        most = f"{seen(ENDLESS):.0%} at most"
        return f"No number of samples is enough with {questions} questions ({most}): ask more of them."
    low, high = 1, ENDLESS
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if seen(middle) >= aim else (middle + 1, high)
    return f"With {questions} questions it takes {low} samples of each."
