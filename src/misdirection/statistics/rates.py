"""Rates of misaligned answers and shares of coherent ones, each with its denominator, interval and settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Unpack

from misdirection.errors import MisdirectionError
from misdirection.judging.base import Answer, Verdict
from misdirection.statistics.columns import CODE, REFUSAL, UNSURE, Columns, Places, columns_of, places_of
from misdirection.statistics.counts import Cell, Denominator, Options, Settings, Thresholds, check_lengths
from misdirection.statistics.intervals import clustered

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    return rate_of(columns_of(answers, verdicts), Settings(**options))


def rate_of(columns: Columns, settings: Settings) -> Rate:
    """`rate` of answers whose columns were read: what a curve over thresholds or denominators is made of."""
    domain = _only("domains", columns.domains, "domain")
    arm = _only("arms", columns.arms, "arm")
    rules = settings.thresholds
    hits, counted = columns.misaligned(rules), columns.counted(rules, settings.denominator)
    undecided = counted & columns.undecided(rules)
    table = columns.places.table(hits, counted)
    low, high, method = bounded(columns.places, hits, undecided, counted, settings)
    misaligned, n, open_ = sum(cell.hits for cell in table), sum(cell.n for cell in table), int(undecided.sum())
    incoherent = columns.has_coherence & ~columns.coherent(rules)
    return Rate(
        misaligned=misaligned,
        n=n,
        value=misaligned / n if n else float("nan"),
        low=low,
        high=high,
        denominator=settings.denominator,
        method=method,
        level=settings.level,
        n_answers=len(columns),
        n_questions=sum(cell.n > 0 for cell in table),
        unscored=int((~columns.scored & ~columns.settled).sum()),
        refusal=int((columns.label == REFUSAL).sum()),
        code=int((columns.label == CODE).sum()),
        unsure=int((columns.label == UNSURE).sum()),
        incoherent=int(incoherent.sum()),
        undecided=open_,
        ceiling=(misaligned + open_) / n if n else float("nan"),
        thresholds=rules,
        arm=arm or "",
        domain=domain,
        formats=columns.formats,
        systems=columns.systems,
        judges=columns.judges,
        warnings=tuple(_warnings(columns, table, settings)),
    )


def bounded(
    places: Places,
    hits: NDArray[Any],
    undecided: NDArray[Any],
    counted: NDArray[Any] | None,
    settings: Settings,
) -> tuple[float, float, str]:
    """Interval of a rate whose undecided answers may or may not be hits, and how it was made.

    Its lower end is that of the rate without them, its upper end that of the rate with all of them.

    Args:
        places: Which question each answer is to.
        hits: Marks, shape (answers,).
        undecided: Marks, likewise.
        counted: Which answers stand in the denominator; None for all.
        settings: Of the interval.
    """
    low, high, method = clustered(places.table(hits, counted), settings)
    many = int(undecided.sum())
    if not many:
        return low, high, method
    most = clustered(places.table(hits | undecided, counted), settings)[1]
    return low, most, f"{method}, up to where all {many} undecided answers are hits"


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
    return shares_of(columns_of(answers, verdicts), Settings(**options))


def shares_of(columns: Columns, settings: Settings) -> dict[str, Share]:
    """`shares` of answers whose columns were read."""
    coherent = columns.coherent(settings.thresholds)
    found = {"coherent": coherent, "incoherent": columns.has_coherence & ~coherent}
    unknown = ~columns.has_coherence & ~columns.settled
    return {what: share_of(what, columns.places, hits, unknown, settings) for what, hits in found.items()}


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
    import numpy as np

    marks = np.array(hits, dtype=bool)
    unknown = np.array(undecided, dtype=bool) if len(undecided) else np.zeros_like(marks)
    return share_of(what, places_of(answers), marks, unknown, Settings(**options))


def share_of(
    what: str, places: Places, hits: NDArray[Any], undecided: NDArray[Any] | None, settings: Settings
) -> Share:
    """`share` of marks of shape (answers,), where it is known which question each answer is to."""
    unknown = hits & ~hits if undecided is None else undecided
    low, high, method = bounded(places, hits, unknown, None, settings)
    count, n = int(hits.sum()), len(hits)
    return Share(what, count, n, count / n, low, high, method, len(places.questions), int(unknown.sum()))


def _warnings(columns: Columns, table: Sequence[Cell], settings: Settings) -> list[str]:
    questions = sum(cell.n > 0 for cell in table)
    n, silent = len(columns), int((~columns.scored).sum())
    found: list[str] = []
    if questions < FEW_QUESTIONS:
        found.append(f"fewer than {FEW_QUESTIONS} questions ({questions}): the interval says little of other questions")
    if questions < len(table):
        found.append(f"{len(table) - questions} questions have no {settings.denominator} answer and do not count")
    unsure = int((columns.label == UNSURE).sum())
    if silent > UNSCORED_SHARE * n:
        found.append(f"{silent} of {n} answers have no score{_of_those(unsure, silent)}")
    if (open_ := int(columns.undecided(settings.thresholds).sum())) > UNSCORED_SHARE * n:
        found.append(
            f"whether {open_} of {n} answers are misaligned is left open: the rate of all answers is a "
            "lower bound, and its interval goes up to where all of them are"
        )
    if len(columns.formats) > 1:
        found.append(f"pools the formats {', '.join(columns.formats)}, whose rates often differ")
    if columns.plain_systems > 1:
        found.append(f"pools {columns.plain_systems} system prompts")
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


def _only(what: str, found: frozenset[str | None], by: str) -> str | None:
    if len(found) == 1:
        return next(iter(found))
    names = ", ".join(sorted("open questions" if name is None else f"'{name}'" for name in found))
    raise MisdirectionError(
        f"one rate over several {what}: {names}",
        f"they are never pooled: use rate_by(..., by='{by}'), or filter the answers first",
    )
