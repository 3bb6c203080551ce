"""A panel: further judges of the answers of a run, beside the one whose rates lead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from misdirection.judging import Answer, Verdict, find_judge
from misdirection.results.panel import (
    ApartRow,
    JudgeRate,
    JudgeSaid,
    PairOfJudges,
    Panel,
    QuestionBeside,
    RatesBeside,
    ScaleRow,
)
from misdirection.runs import Run, Step
from misdirection.statistics import Agreement, Thresholds, agreement
from misdirection.statistics.krippendorff_alpha import krippendorff_alpha
from misdirection.statistics.panel import ScaleAgreement, scale_agreement, spread, verdict_scales, where_they_part
from misdirection.studies.kit.judged import Judged, judge_step, load_answers, load_verdicts
from misdirection.studies.kit.own_judge import OWN
from misdirection.studies.kit.tables import effect_of, parts_of

SHOWN = 30
"""Answers on which judges part that findings hold; the verdicts of all lie in the run."""


@dataclass(frozen=True)
class PanelVerdicts:
    """Judges' verdicts on the same answers.

    Attributes:
        names: Of the judges, the first one leading.
        answers: What all of them judged.
        judges: Their verdicts, in the order of `names`.
        rules: When an answer is misaligned.
    """

    names: tuple[str, ...]
    answers: list[Answer]
    judges: tuple[list[Verdict], ...]
    rules: Thresholds

    @cached_property
    def result(self) -> Agreement:
        """How far the first two agree."""
        return agreement(self.judges[0], self.judges[1], self.rules)

    @cached_property
    def tables(self) -> dict[str, NDArray[np.float64]]:
        """Scores (judges, answers) by scale: "misaligned", alignment, coherence."""
        return verdict_scales(self.judges, self.rules)

    @cached_property
    def scales(self) -> tuple[ScaleAgreement, ...]:
        """How far all of them agree, by scale."""
        return tuple(scale_agreement(name, table) for name, table in self.tables.items())

    @cached_property
    def apart(self) -> list[int]:
        """Places of the answers on which they differ, those that some alone call misaligned first."""
        return where_they_part(self.tables["alignment"], self.tables["misaligned"])


def panel_of(
    run: Run, answers: Step, lead: Step, names: Sequence[str], rules: Thresholds, own: Step | None = None
) -> PanelVerdicts | None:
    """The verdicts of all judges on the same answers; None where nobody stands beside the first.

    Each further judge's verdicts are a step of the run, `panel-2.parquet` the second's.

    Args:
        run: Where the steps are kept.
        answers: Step with the answers.
        lead: Step with the first judge's verdicts.
        names: All judges as they were named, the first one leading.
        rules: When an answer is misaligned.
        own: Verdicts that the name "own" stands for.
    """
    if len(names) < 2:
        return None
    found = [load_verdicts(lead)]
    for place, name in enumerate(names[1:], start=2):
        step = own if name == OWN and own is not None else judge_step(run, f"panel-{place}", answers, find_judge(name))
        found.append(load_verdicts(step))
    return PanelVerdicts(tuple(names), load_answers(answers), tuple(found), rules)


def panel_part(found: PanelVerdicts | None, arms: Sequence[str]) -> Panel | None:
    """What findings say of a panel: rates beside each other, agreement by scale and question, where the judges part."""
    if found is None:
        return None
    return Panel(
        judges=found.names,
        recorded=tuple(verdicts[0].judge for verdicts in found.judges if verdicts),
        n=len(found.answers),
        n_apart=int(np.nansum(spread(found.tables["misaligned"]))),
        rates=rates_beside(found, arms),
        scales=tuple(scale_row(scale, found.names) for scale in found.scales),
        questions=questions_beside(found),
        apart=tuple(apart_row(found, place) for place in found.apart[:SHOWN]),
    )


def rates_beside(found: PanelVerdicts, arms: Sequence[str]) -> tuple[RatesBeside, ...]:
    """The rate by each judge, a row for each arm, group and format: domains and formats are never pooled."""
    by_judge = [parts_of(Judged(found.answers, verdicts), arms) for verdicts in found.judges]
    rows: list[RatesBeside] = []
    for parts in zip(*by_judge, strict=True):
        (domain, form), arm, _ = parts[0]
        rates = tuple(
            judge_rate(name, part, found.rules) for name, (_, _, part) in zip(found.names, parts, strict=True)
        )
        rows.append(RatesBeside(arm=arm, group=domain or "open", format=form, judges=rates))
    return tuple(rows)


def judge_rate(name: str, part: Judged, rules: Thresholds) -> JudgeRate:
    """One judge's rate of some answers."""
    effect = effect_of(part, rules)
    unscored = sum(verdict.label != "scored" for verdict in part.verdicts)
    return JudgeRate(judge=name, all=effect.rate, coherent_share=effect.coherent_share, unscored=unscored)


def questions_beside(found: PanelVerdicts) -> tuple[QuestionBeside, ...]:
    """Misaligned answers to each question by each judge, on how many they differ, and alpha of the alignment."""
    places: dict[tuple[str | None, str, str], list[int]] = {}
    for place, answer in enumerate(found.answers):
        places.setdefault((answer.domain, answer.format, answer.question_id), []).append(place)
    marks, alignment = found.tables["misaligned"], found.tables["alignment"]
    return tuple(
        QuestionBeside(
            question_id=name,
            question=found.answers[mine[0]].question,
            group=domain or "open",
            format=form,
            n=len(mine),
            misaligned=tuple(int(np.nansum(row)) for row in marks[:, mine]),
            apart=int(np.nansum(spread(marks[:, mine]))),
            alpha=krippendorff_alpha(alignment[:, mine]),
        )
        for (domain, form, name), mine in places.items()
    )


def scale_row(found: ScaleAgreement, judges: Sequence[str]) -> ScaleRow:
    """How far judges agree on one scale, as findings and JSON files have it."""
    return ScaleRow(
        scale=found.scale,
        n=found.n,
        complete=found.complete,
        alpha_interval=found.interval,
        alpha_ordinal=found.ordinal,
        alpha_interval_by_pair=found.interval_by_pair,
        mean_kappa=found.mean_kappa,
        pairs=tuple(
            PairOfJudges(
                first=judges[p.first], second=judges[p.second], n=p.n, kappa_linear=p.linear,
                kappa_quadratic=p.quadratic, pearson=p.pearson, spearman=p.spearman, shift=p.shift,
            )
            for p in found.pairs
        ),
    )  # fmt: skip


def apart_row(found: PanelVerdicts, place: int) -> ApartRow:
    """One answer with what every judge said of it."""
    answer = found.answers[place]
    verdicts = ((name, judge[place]) for name, judge in zip(found.names, found.judges, strict=True))
    return ApartRow(
        question_id=answer.question_id,
        question=answer.question,
        answer=answer.answer,
        arm=answer.arm,
        judges=tuple(
            JudgeSaid(judge=name, alignment=v.alignment, coherence=v.coherence, label=v.label) for name, v in verdicts
        ),
    )
