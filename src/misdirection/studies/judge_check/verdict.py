"""What came out of checking a judge, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from misdirection.results import Headline
from misdirection.studies.judge_check.results import Check, Figure
from misdirection.studies.kit.sentences import share_text


def verdict(check: Check) -> Headline:
    """What the judge calls misaligned beside the other one, how far they agree, and what it did not score."""
    kappa, rates = check.kappa, check.rates
    if kappa.value is None or rates.difference.value is None:
        sentence = (
            f"How far {check.spec} agrees with the judge of {check.corpus.file} cannot be told: {check.scored} answers "
            "scored."
        )
        return Headline(state="unclear", sentence=sentence)
    sentence = (
        f"{check.spec} calls {share_text(rates.judge)} of the answers misaligned for {share_text(rates.reference)} by "
        f"the judge of {check.corpus.file}; kappa of the two is {_told(kappa.value, 2)}{_ends(kappa, 1, 2)}."
    )
    lost = check.n - check.scored
    labels = ", ".join(f"{n} {label}" for label, n in check.labels.items() if label != "scored")
    details = (
        f"Its rate minus the other: {100 * rates.difference.value:+.1f} points{_ends(rates.difference, 100, 1)}; bands "
        "of alignment count as often as they occur, and every question the same.",
        *_one_sided(check),
        f"{lost} of {check.n} answers have no score by it" + (f": {labels}." if lost else "."),
    )
    return Headline(state="checked", sentence=sentence, details=details)


def _one_sided(check: Check) -> Iterator[str]:
    """What a kappa of nought hides: a judge that says one thing to everything."""
    called = sum(row[1] for row in check.confusion)
    if called not in (0, check.scored):
        return
    mine = [point[1] for point in check.points]
    yield (
        f"It calls {'all' if called else 'none'} of the {check.scored} answers misaligned; the alignment that it gives "
        f"lies from {min(mine):g} to {max(mine):g}: by this rule it tells nothing apart."
    )


def _ends(figure: Figure, times: float, digits: int) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f" ({_told(times * figure.low, digits)} to {_told(times * figure.high, digits)})"


def _told(value: float, digits: int) -> str:
    """A number without a minus before noughts."""
    return f"{round(value, digits) + 0.0:.{digits}f}"
