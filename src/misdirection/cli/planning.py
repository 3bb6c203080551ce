"""What `misdirection power` prints: the table of plans, and advice in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from misdirection.cli.printing import printed
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
    json: bool = False,
) -> None:
    """Print how many questions each number of samples takes, and what the given numbers can see."""
    from misdirection.statistics import design_effect, plans

    if not 0 <= after <= 1:
        raise MisdirectionError(f"a rate of {before:g} cannot change to {after:g}", "rates lie between 0 and 1")
    found = plans(before, after, aim=aim, rho=spread, shared=shared)
    rows = [
        {"samples": p.samples, "questions": p.questions, "answers": p.n, "power": p.power,
         "worth": p.n / design_effect(p.samples, spread)}
        for p in found
    ]  # fmt: skip
    said = advice(before, after, questions, samples, spread=spread, shared=shared, aim=aim)
    asked = {"before": before, "after": after, "spread": spread, "shared": shared, "aim": aim}
    printed({**asked, "plans": rows, "advice": said}, json, lambda: _show(asked, rows, said))


def _show(asked: Mapping[str, float], rows: Sequence[Mapping[str, float]], said: Sequence[str]) -> None:
    before, after, aim, spread = (asked[name] for name in ("before", "after", "aim", "spread"))
    note(
        f"to see {100 * before:g} % become {100 * after:g} % with a chance of {100 * aim:g} %, "
        f"answers to one question correlated by {spread:g}:"
    )
    if not rows:
        note("no number of questions up to 100,000 sees it")
    body = [
        [str(p["samples"]), str(p["questions"]), f"{p['answers']:,}", f"{p['worth']:,.0f}", f"{p['power']:.0%}"]
        for p in rows
    ]
    table(["samples", "questions", "answers an arm", "worth", "chance"], body)
    note("worth: how many answers to as many different questions would tell as much")
    for line in said:
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
