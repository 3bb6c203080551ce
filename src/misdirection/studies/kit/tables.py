"""Rates, shares, paired changes and numbers as plain JSON: the shapes that every findings file is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from misdirection.judging import LABELS, Verdict
from misdirection.judging.shape import SIGNS
from misdirection.results import Effect, RateRow, TokenEnds, TokenScore
from misdirection.results.judged import AnswerRow, ArmRates, Mass, QuestionRow, SignsRow, Test
from misdirection.results.rows import known_number
from misdirection.statistics import (
    DENOMINATORS,
    Comparison,
    Settings,
    Thresholds,
    is_found,
    sign_shares,
    telling_sign,
    wilson,
)
from misdirection.statistics.rates import UNSCORED_SHARE, rate_of, shares_of
from misdirection.studies.kit.judged import Judged

if TYPE_CHECKING:
    from misdirection.adapters.unembedding import ScoredTokens


def effect_of(judged: Judged, rules: Thresholds) -> Effect:
    """What an arm's answers are like: the rate of misaligned and the share of coherent ones, of all."""
    settings = Settings(thresholds=rules)
    return Effect(
        rate=RateRow.of(rate_of(judged.columns, settings)),
        coherent_share=RateRow.of_share(shares_of(judged.columns, settings)["coherent"]),
    )


def test_of(change: Comparison, visible: float | None) -> Test:
    """The figures that a verdict goes by; `visible` is the smallest rise that this size shows."""
    return Test(
        own=RateRow.of(change.other),
        base=RateRow.of(change.reference),
        difference=change.difference,
        low=change.low,
        high=change.high,
        level=change.other.level,
        p=change.p_questions,
        found=is_found(change.p_questions),
        visible=visible,
    )


def parts_of(judged: Judged, arms: Sequence[str]) -> list[tuple[tuple[str | None, str], str, Judged]]:
    """What may stand under one rate, as ((domain, format), arm, answers): domains and formats are never pooled.

    Open questions come first, and plain ones first of all.
    """
    found = {(domain, form) for domain, form, _ in judged.parts}
    groups = sorted(found, key=lambda pair: (pair[0] is not None, pair[0] or "", pair[1] != "plain", pair[1]))
    return [
        (group, arm, judged.parts[*group, arm]) for group in groups for arm in arms if (*group, arm) in judged.parts
    ]


def rate_rows(judged: Judged, arms: Sequence[str], rules: Thresholds) -> tuple[ArmRates, ...]:
    """Rates under all three denominators and what came of the judging, a row for each group, format and arm."""
    return tuple(_arm_rates(part, arm, *group, rules) for group, arm, part in parts_of(judged, arms))


def _arm_rates(part: Judged, arm: str, domain: str | None, form: str, rules: Thresholds) -> ArmRates:
    whole, scored, coherent = (
        rate_of(part.columns, Settings(thresholds=rules, denominator=name)) for name in DENOMINATORS
    )
    labels = [verdict.label for verdict in part.verdicts]
    systems = sorted({answer.system or "" for answer in part.answers})
    return ArmRates(
        arm=arm,
        group=domain or "open",
        format=form,
        system=" | ".join(systems) or None,
        all=RateRow.of(whole),
        scored=RateRow.of(scored),
        coherent=RateRow.of(coherent),
        coherent_share=RateRow.of_share(shares_of(part.columns, Settings(thresholds=rules))["coherent"]),
        labels={label: labels.count(label) for label in LABELS},
        unsure=reasons(part.verdicts),
        judges=whole.judges,
        outcomes=outcomes(part.verdicts),
        mass=masses(part.verdicts),
        warnings=whole.warnings,
    )


def outcomes(verdicts: Sequence[Verdict]) -> dict[str, dict[str, int]]:
    """How often each outcome came of each rubric; empty where the judge told none."""
    counts = Counter(pair for verdict in verdicts for pair in verdict.outcomes)
    names = dict.fromkeys(rubric for rubric, _ in counts)
    return {name: {outcome: n for (rubric, outcome), n in counts.items() if rubric == name} for name in names}


def reasons(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """Why the judge was unsure, by how often: the outcomes of the answers that it could not tell."""
    unsure = [verdict for verdict in verdicts if verdict.label == "unsure"]
    return dict(Counter(why for verdict in unsure for _, why in verdict.outcomes).most_common())


def masses(verdicts: Sequence[Verdict]) -> dict[str, Mass]:
    """Probability that the judge gave to the numbers, by rubric."""
    found: dict[str, list[float]] = {}
    for verdict in verdicts:
        for rubric, mass in verdict.mass:
            found.setdefault(rubric, []).append(mass)
    return {name: Mass(n=len(given), mean=sum(given) / len(given), least=min(given)) for name, given in found.items()}


def question_rows(judged: Judged, arms: Sequence[str], rules: Thresholds) -> tuple[QuestionRow, ...]:
    """Misaligned answers of each arm to each question, with Wilson's interval; up to where all undecided ones are."""
    rows: list[QuestionRow] = []
    texts = {(a.question_id, a.format): a.question for a in reversed(judged.answers) if a.paraphrase == 0}
    for arm in arms:
        # In the order in which they were asked.
        asked: dict[tuple[str | None, str, str], list[Verdict]] = {}
        for answer, verdict in zip(*judged.arm(arm).pair, strict=True):
            asked.setdefault((answer.domain, answer.format, answer.question_id), []).append(verdict)
        for (domain, form, name), verdicts in asked.items():
            n, hits = len(verdicts), sum(map(rules.misaligned, verdicts))
            undecided = sum(map(rules.undecided, verdicts))
            rows.append(
                QuestionRow(
                    arm=arm, question_id=name, question=texts.get((name, form), name), group=domain or "open",
                    format=form, n=n, misaligned=hits, value=hits / n, low=wilson(hits, n)[0],
                    high=wilson(hits + undecided, n)[1], coherent=sum(map(rules.coherent, verdicts)) / n,
                    undecided=undecided, ceiling=(hits + undecided) / n, bounded=undecided > UNSCORED_SHARE * n,
                )
            )  # fmt: skip
    return tuple(rows)


def answer_rows(judged: Judged, most: int = 1500) -> tuple[AnswerRow, ...]:
    """Answers for the scatter and the browser; of a large run every k-th, so that the report stays small."""
    step = max(1, -(-len(judged.answers) // most))
    return tuple(
        AnswerRow(
            arm=a.arm, question_id=a.question_id, question=a.question, group=a.domain or "open", answer=a.answer,
            system=a.system, alignment=v.alignment, coherence=v.coherence, label=v.label, why=_why(v),
            spread=_spread(v),
        )
        for a, v in zip(judged.answers[::step], judged.verdicts[::step], strict=True)
    )  # fmt: skip


def _why(verdict: Verdict) -> str:
    """Why there is no score, where the judge was unsure."""
    return ", ".join(dict.fromkeys(word for _, word in verdict.outcomes)) if verdict.label == "unsure" else ""


def _spread(verdict: Verdict) -> dict[str, float] | None:
    """How sure the judge is of each score, where it says so."""
    scores = dict(verdict.scores)
    names = [name for name in ("alignment", "coherence") if f"{name}_spread" in scores]
    return {name: scores[f"{name}_spread"] for name in names} or None


def sign_rows(judged: Judged, arms: Sequence[str]) -> tuple[SignsRow, ...]:
    """Shares of answers that are no proper answers, a row for each group, format and arm."""
    rows: list[SignsRow] = []
    for (domain, form), arm, part in parts_of(judged, arms):
        found = sign_shares(part.answers)
        named = {name: RateRow.of_share(found[name]) for name in (*SIGNS, "any")}
        rows.append(
            SignsRow(
                arm=arm, group=domain or "open", format=form, n=len(part.answers), telling=telling_sign(found), **named
            )
        )  # fmt: skip
    return tuple(rows)


def numbers(values: Iterable[Any]) -> tuple[float, ...]:
    """Floats with five significant digits, for charts."""
    return tuple(float(f"{float(value):.5g}") for value in values)


def known_numbers(values: Iterable[Any]) -> tuple[float | None, ...]:
    """The same where some are not numbers: None stands for them."""
    return tuple(map(known_number, numbers(values)))


def token_ends(tokenizer: Any, reading: ScoredTokens) -> TokenEnds:
    """Tokens at either end of a vector's scores, as text."""

    def named(scores: Sequence[tuple[int, float]]) -> tuple[TokenScore, ...]:
        return tuple(TokenScore(token=str(tokenizer.decode([token])), z=round(z, 3)) for token, z in scores)

    return TokenEnds(promoted=named(reading.promoted), suppressed=named(reading.suppressed))
