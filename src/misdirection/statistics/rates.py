"""Rates of misaligned answers and shares of coherent ones, each with its denominator, interval and settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Unpack

from misdirection.errors import MisdirectionError
from misdirection.judging.base import Answer, Verdict
from misdirection.statistics.counts import (
    Cell,
    Denominator,
    Options,
    Settings,
    Thresholds,
    cells,
    check_lengths,
    is_scored,
)
from misdirection.statistics.intervals import clustered

By = Literal["question", "format", "domain", "arm"]

FEW_QUESTIONS = 8
"""Below this many questions an interval over questions is warned about."""

UNSCORED_SHARE = 0.05
"""Above this share of answers without a score a rate is warned about, and told as a range where they are undecided."""


@dataclass(frozen=True)
class Rate:
    """A rate of misaligned answers and all that is needed to read it.

    Attributes:
        misaligned: Number of misaligned answers.
        n: Size of the denominator.
        value: misaligned / n; NaN when n is 0.
        low: Lower end of the interval.
        high: Upper end of the interval; where answers are undecided, that of the rate with all of them misaligned.
        denominator: "all", "scored" or "coherent".
        method: How the interval was made.
        level: Its confidence.
        n_answers: Number of answers, whatever the denominator.
        n_questions: Number of questions in the denominator.
        unscored: Answers without both numbers that are neither code nor a refusal, those that the judge is unsure of
            among them.
        refusal: Answers that the judge called refusals.
        code: Answers that the judge called code.
        unsure: Answers of which the judge said that it cannot tell.
        incoherent: Answers whose coherence is known and not above its threshold.
        undecided: Answers in the denominator of which it was left open whether they are misaligned
            (`Thresholds.undecided`); they count as not misaligned in `value`.
        ceiling: The rate if all of them were: `value` and `ceiling` are the bounds of the rate that is not seen.
        thresholds: When an answer is misaligned.
        arm: Condition.
        domain: None for open questions.
        formats: Answer formats, sorted.
        systems: System prompts in force.
        judges: Names of the judges.
        warnings: What a reader should know before believing the interval.
    """

    misaligned: int
    n: int
    value: float
    low: float
    high: float
    denominator: Denominator
    method: str
    level: float
    n_answers: int
    n_questions: int
    unscored: int
    refusal: int
    code: int
    unsure: int
    incoherent: int
    undecided: int
    ceiling: float
    thresholds: Thresholds
    arm: str
    domain: str | None
    formats: tuple[str, ...]
    systems: tuple[str | None, ...]
    judges: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def bounded(self) -> bool:
        """Whether so many answers are undecided that the rate is no figure but a range, `value` to `ceiling`."""
        return self.undecided > UNSCORED_SHARE * self.n

    def __str__(self) -> str:
        ends = f"{100 * self.low:.1f} to {100 * self.high:.1f} %"
        open_ = f"; {self.undecided} more undecided: up to {100 * self.ceiling:.2f} %" if self.undecided else ""
        return f"{self.misaligned}/{self.n} = {100 * self.value:.2f} % of {self.denominator} answers ({ends}){open_}"


@dataclass(frozen=True)
class Share:
    """The share of all answers that are of some kind (coherent, say); attributes as in `Rate`.

    Attributes:
        undecided: Answers of which it is not known whether they are of that kind; they count as not, and the interval
            goes up to where all of them are.
    """

    what: str
    count: int
    n: int
    value: float
    low: float
    high: float
    method: str
    n_questions: int
    undecided: int = 0

    @property
    def ceiling(self) -> float:
        """The share if all that is undecided were of that kind."""
        return (self.count + self.undecided) / self.n

    @property
    def bounded(self) -> bool:
        """Whether so many answers are undecided that the share is no figure but a range, `value` to `ceiling`."""
        return self.undecided > UNSCORED_SHARE * self.n


def rate(answers: Sequence[Answer], verdicts: Sequence[Verdict], **options: Unpack[Options]) -> Rate:
    """The rate of misaligned answers of one arm on one kind of question.

    Answers that the judge left undecided count as not misaligned in the value, and as misaligned in the upper end of
    the interval (the bounds of Manski 1990, with the sampling error of each end): nothing is supposed about them.

    Args:
        answers: Answers of one arm, all to open questions or all to one domain's; several formats are pooled with a
            warning.
        verdicts: One an answer, in the same order.
        **options: See `Settings`: denominator, thresholds, seed, resamples, level, rho.

    Raises:
        MisdirectionError: Open questions and domains, several domains or several arms together; lengths that differ.
    """
    settings = Settings(**options)
    check_lengths(answers, verdicts)
    domain = _only("domains", {a.domain for a in answers}, "domain")
    arm = _only("arms", {a.arm for a in answers}, "arm")
    rules = settings.thresholds
    hits = [rules.misaligned(v) for v in verdicts]
    counted = [rules.counts(v, settings.denominator) for v in verdicts]
    undecided = [c and rules.undecided(v) for c, v in zip(counted, verdicts, strict=True)]
    table = cells(answers, hits, counted)
    low, high, method = bounded(answers, hits, undecided, counted, settings)
    misaligned, n = sum(cell.hits for cell in table), sum(cell.n for cell in table)
    silent = [v for v in verdicts if not is_scored(v) and v.label not in ("refusal", "code")]
    return Rate(
        misaligned=misaligned,
        n=n,
        value=misaligned / n if n else float("nan"),
        low=low,
        high=high,
        denominator=settings.denominator,
        method=method,
        level=settings.level,
        n_answers=len(answers),
        n_questions=sum(cell.n > 0 for cell in table),
        unscored=len(silent),
        refusal=sum(v.label == "refusal" for v in verdicts),
        code=sum(v.label == "code" for v in verdicts),
        unsure=sum(v.label == "unsure" for v in verdicts),
        incoherent=sum(v.coherence is not None and not rules.coherent(v) for v in verdicts),
        undecided=sum(undecided),
        ceiling=(misaligned + sum(undecided)) / n if n else float("nan"),
        thresholds=rules,
        arm=arm or "",
        domain=domain,
        formats=tuple(sorted({a.format for a in answers})),
        systems=tuple(sorted({a.system for a in answers}, key=lambda s: (s is not None, s or ""))),
        judges=tuple(sorted({v.judge for v in verdicts})),
        warnings=tuple(_warnings(answers, verdicts, table, settings)),
    )


def bounded(
    answers: Sequence[Answer],
    hits: Sequence[bool],
    undecided: Sequence[bool],
    counted: Sequence[bool],
    settings: Settings,
) -> tuple[float, float, str]:
    """Interval of a rate whose undecided answers may or may not be hits, and how it was made.

    Its lower end is that of the rate without them, its upper end that of the rate with all of them.
    """
    low, high, method = clustered(cells(answers, hits, counted), settings)
    if not any(undecided):
        return low, high, method
    most = cells(answers, [a or b for a, b in zip(hits, undecided, strict=True)], counted)
    return low, clustered(most, settings)[1], f"{method}, up to where all {sum(undecided)} undecided answers are hits"


def rate_by(
    answers: Sequence[Answer], verdicts: Sequence[Verdict], by: By, **options: Unpack[Options]
) -> dict[str, Rate]:
    """Rates of the groups that share a question, format, domain or arm, by the group's name in sorted order.

    Open questions are the group "open" among domains, and come first. Each group must be one that `rate` takes.
    """
    check_lengths(answers, verdicts)
    groups: dict[str, list[int]] = {}
    for place, answer in enumerate(answers):
        groups.setdefault(_group(answer, by), []).append(place)
    order = sorted(groups, key=lambda name: (by != "domain" or name != "open", name))
    return {
        name: rate([answers[i] for i in groups[name]], [verdicts[i] for i in groups[name]], **options) for name in order
    }


def shares(answers: Sequence[Answer], verdicts: Sequence[Verdict], **options: Unpack[Options]) -> dict[str, Share]:
    """Shares of all answers that are "coherent" and "incoherent"; an answer without a coherence is neither.

    Where it is neither code nor a refusal it is undecided: the interval allows for it.
    """
    settings = Settings(**options)
    check_lengths(answers, verdicts)
    coherent = [settings.thresholds.coherent(v) for v in verdicts]
    incoherent = [v.coherence is not None and not c for v, c in zip(verdicts, coherent, strict=True)]
    found = {"coherent": coherent, "incoherent": incoherent}
    unknown = [v.coherence is None and v.label not in ("code", "refusal") for v in verdicts]
    return {what: share(what, answers, hits, unknown, **options) for what, hits in found.items()}


def share(
    what: str,
    answers: Sequence[Answer],
    hits: Sequence[bool],
    undecided: Sequence[bool] = (),
    **options: Unpack[Options],
) -> Share:
    """The share of all answers that are marked in `hits`, one mark an answer; `what` names it.

    `undecided` marks those that may be of that kind as well.
    """
    settings = Settings(**options)
    unknown = undecided or [False] * len(answers)
    low, high, method = bounded(answers, hits, unknown, [True] * len(answers), settings)
    count, n, questions = sum(hits), len(answers), len({(a.question_id, a.format) for a in answers})
    return Share(what, count, n, count / n, low, high, method, questions, sum(unknown))


def _warnings(
    answers: Sequence[Answer], verdicts: Sequence[Verdict], table: Sequence[Cell], settings: Settings
) -> list[str]:
    questions = sum(cell.n > 0 for cell in table)
    silent = sum(not is_scored(v) for v in verdicts)
    found: list[str] = []
    if questions < FEW_QUESTIONS:
        found.append(f"fewer than {FEW_QUESTIONS} questions ({questions}): the interval says little of other questions")
    if questions < len(table):
        found.append(f"{len(table) - questions} questions have no {settings.denominator} answer and do not count")
    unsure = sum(v.label == "unsure" for v in verdicts)
    if silent > UNSCORED_SHARE * len(verdicts):
        found.append(f"{silent} of {len(verdicts)} answers have no score{_of_those(unsure, silent)}")
    if (open_ := sum(map(settings.thresholds.undecided, verdicts))) > UNSCORED_SHARE * len(verdicts):
        found.append(
            f"whether {open_} of {len(verdicts)} answers are misaligned is left open: the rate of all answers is a "
            "lower bound, and its interval goes up to where all of them are"
        )
    formats = sorted({a.format for a in answers})
    if len(formats) > 1:
        found.append(f"pools the formats {', '.join(formats)}, whose rates often differ")
    systems = {a.system for a in answers if a.format == "plain"}
    if len(systems) > 1:
        found.append(f"pools {len(systems)} system prompts")
    return found


def _of_those(unsure: int, silent: int) -> str:
    """Why they have none, where the judge said so."""
    return "" if not unsure else ": the judge cannot tell" + ("" if unsure == silent else f" ({unsure} of them)")


def _group(answer: Answer, by: By) -> str:
    if by == "question":
        return answer.question_id
    if by == "domain":
        return answer.domain or "open"
    if by not in ("format", "arm"):
        raise MisdirectionError(f"rates by '{by}'", "use question, format, domain or arm")
    return answer.format if by == "format" else answer.arm


def _only(what: str, found: set[str | None], by: str) -> str | None:
    if len(found) == 1:
        return next(iter(found))
    names = ", ".join(sorted("open questions" if name is None else f"'{name}'" for name in found))
    raise MisdirectionError(
        f"one rate over several {what}: {names}",
        f"they are never pooled: use rate_by(..., by='{by}'), or filter the answers first",
    )
