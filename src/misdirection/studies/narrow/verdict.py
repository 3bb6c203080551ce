"""What the study of narrow and general solutions says in words, and the paper's figures beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from misdirection.results import Effect, Headline
from misdirection.studies.narrow.results import Ease, Mean, Narrow, SolutionName

SIDES = ("general", "narrow", "neither")
LEARNED: tuple[SolutionName, ...] = ("general", "narrow", "mixed", "released")


def easier(ease: Ease) -> dict[str, str]:
    """Which solution each measure calls the easier one: "general", "narrow", or "neither" where intervals hold 0.

    Easier is: the lower loss at equal length, at both solutions' lengths; less lost when moved aside; the larger
    change of neutral text at equal length.
    """
    signs = {
        "efficiency": _sign([row.difference for row in ease.efficiency.equal]),
        "stability": _sign([ease.stability.difference]),
        "significance": -_sign([row.difference for row in ease.significance.equal]),
    }
    return {name: {1: "general", -1: "narrow"}.get(sign, "neither") for name, sign in signs.items()}


def _sign(differences: Sequence[Mean]) -> int:
    """1 where all intervals of narrow minus general lie above 0, -1 where all lie below, else 0."""
    if all(row.low is not None and row.low > 0 for row in differences):
        return 1
    return -1 if all(row.high is not None and row.high < 0 for row in differences) else 0


def verdict(part: Narrow, explanations: Mapping[str, str]) -> Headline:
    """Whether a narrow solution was found, and which is the easier one; `explanations` of the model's folder."""
    votes = {ease.kind: easier(ease) for ease in part.ease}
    easy = "; ".join(f"{kind}: {_votes(measures)}" for kind, measures in votes.items())
    narrow = [kind for kind in votes if isolated(part, kind)]
    sentence = f"A narrow solution was found with {' and '.join(narrow)}" if narrow else "No narrow solution was found"
    if narrow and (rest := [kind for kind in votes if kind not in narrow]):
        sentence += f", none with {' and '.join(rest)}"
    details = tuple(text for ease in part.ease for text in _details(part, ease, votes[ease.kind], explanations))
    return Headline.finding(f"{sentence}. The easier one to learn, {easy}.", details)


def isolated(part: Narrow, kind: str) -> bool:
    """Whether the narrow solution's rate in the domain is above all its others, interval above interval."""
    arm = part.solution(kind, "narrow")
    rates = {group: effect.rate for group, effect in arm.groups.items()} if arm else {}
    inside = rates.pop(part.domain, None)
    return inside is not None and all((inside.low or 0.0) > (rate.high or 0.0) for rate in rates.values())


def _votes(measures: Mapping[str, str]) -> str:
    sides = ((side, [name for name, vote in measures.items() if vote == side]) for side in SIDES)
    return ", ".join(f"{side} by {' and '.join(names)}" for side, names in sides if names)


def _details(part: Narrow, ease: Ease, votes: Mapping[str, str], explanations: Mapping[str, str]) -> Iterator[str]:
    """Rates in the domain and elsewhere of each solution, and what each measure shows."""
    arms = [arm for name in LEARNED if (arm := part.solution(ease.kind, name))]
    rates = "; ".join(f"{arm.solution} {_rates(part, arm.groups)}" for arm in arms)
    yield f"{ease.kind}, misaligned answers ({part.domain} is the domain): {rates}."
    if not isolated(part, ease.kind):
        yield (
            f"{ease.kind}: no weight isolated the domain, so what is called narrow in its measures is a weakened "
            "solution rather than a narrow one."
        )
    for name, figures in _figures(ease).items():
        yield f"{ease.kind}, {name}: {figures}. {_against(name, votes[name], explanations)}"


def _rates(part: Narrow, groups: Mapping[str, Effect]) -> str:
    return ", ".join(f"{100 * (groups[g].rate.value or 0.0):.0f} % {g}" for g in part.groups if g in groups)


def _figures(ease: Ease) -> dict[str, str]:
    loss, change, lost = ease.efficiency.equal[0], ease.significance.equal[0], ease.stability.difference
    ends = "" if lost.low is None else f" ({lost.low:+.0f} to {lost.high:+.0f})"
    return {
        "efficiency": f"loss at the general one's length {loss.general:.3f} general, {loss.narrow:.3f} narrow, "
        "nats a token",
        "stability": f"the narrow one loses {lost.value:+.0f} points more when moved aside{ends}",
        "significance": f"KL on neutral text at the general one's length {change.general:.3f} general, "
        f"{change.narrow:.3f} narrow, nats a token",
    }


def _against(name: str, vote: str, explanations: Mapping[str, str]) -> str:
    if vote == "general":
        return "As in the paper."
    said = "The intervals do not decide" if vote == "neither" else "Other than in the paper"
    return f"{said}; a likely reason: {why}." if (why := explanations.get(name)) else f"{said}."
