"""Steps of the study of adapters: reading scalars, scoring tokens, fitting probes; and their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch

from misdirection.adapters.probes import (
    METRICS,
    Floats,
    Ints,
    Probes,
    ProbeSettings,
    Split,
    fit_probes,
    null_coefficients,
    question_ceiling,
)
from misdirection.adapters.roles import Finding, classify
from misdirection.adapters.scalars import ScalarTable, columns_of, read_scalars
from misdirection.adapters.significance import keep, token_scores
from misdirection.adapters.token_sets import EXPERIMENTS, GENERAL, SETS, TOPICAL, Bounds, Experiment, SetName, set_of
from misdirection.adapters.weights import AdapterError
from misdirection.answers import encode_answer
from misdirection.directions.topics import topic_score
from misdirection.engine import Arm, Text
from misdirection.judging import Answer
from misdirection.models import Model
from misdirection.results.rows import known_number
from misdirection.studies.adapters.results.scalars import Ceiling, ExperimentRow, Metric, ProbeMetrics, SetRow, Tokens
from misdirection.studies.adapters.settings import AdaptersConfig
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.record import LeftOut, left_blank
from misdirection.studies.kit.variants import Variants

SPLITS: tuple[Split, ...] = ("tokens", "questions")
TOKENS: tuple[Tokens, ...] = ("all", "significant")


@dataclass(frozen=True)
class ReadAnswer:
    """An answer whose tokens were read: its set and how many there are."""

    question_id: str
    sample: int
    set: SetName
    tokens: int


@dataclass(frozen=True)
class ReadScalars:
    """Scalars by token, the answers behind them in the order of the table's texts, and the blank ones left out."""

    table: ScalarTable
    read: list[ReadAnswer]
    left_out: LeftOut | None


@dataclass(frozen=True)
class Read:
    """What was read of one adapter: the tokens of its answers that are in a set.

    Attributes:
        scalars: The table and the answers behind it.
        significance: Score of each token, in nats.
    """

    scalars: ReadScalars
    significance: torch.Tensor

    @property
    def table(self) -> ScalarTable:
        """Scalars by token."""
        return self.scalars.table

    @property
    def answers(self) -> Sequence[ReadAnswer]:
        """The answers, in the order of the table's texts."""
        return self.scalars.read

    @cached_property
    def columns(self) -> dict[str, Ints]:
        """Question and answer of each token, as numbers."""
        names = sorted({row.question_id for row in self.answers})
        question = np.array([names.index(row.question_id) for row in self.answers], dtype=np.int64)
        texts = self.table.texts.numpy().astype(np.int64)
        return {"question": question[texts], "answer": texts}

    @cached_property
    def sets(self) -> list[str]:
        """Set of each token."""
        return [self.answers[text].set for text in self.table.texts.tolist()]


@dataclass(frozen=True)
class Probed:
    """Every probe: rows of counts and metrics, and coefficients by tokens, experiment and split."""

    experiments: tuple[ExperimentRow, ...]
    fitted: Mapping[str, torch.Tensor]


def read(bench: Bench[AdaptersConfig], models: Variants, asked: Asked, variant: str) -> tuple[Read, Probed]:
    """Scalars and significance of the answer tokens of an adapter's own answers in one of the four sets, and probes."""
    c = bench.config
    assert c.log_score is not None
    which = {"judged": asked.kept, "variant": variant, "domain": c.domain, "limits": bounds(c)}
    scalars = bench.run.cached(set_scalars, "scalars", models=models, pairs=c.pairs, **which)
    scores = bench.run.cached(set_scores, "significance", models=models, **which)
    probes = bench.run.cached(
        fitted_probes, "probes", scalars=scalars, significance=scores, log_score=c.log_score, seed=c.seed,
        settings=ProbeSettings(c.strength, repeats=c.repeats),
    )  # fmt: skip
    return Read(scalars.value, scores.value), probes.value


def set_scalars(
    models: Variants, judged: Judged, variant: str, domain: str, limits: Bounds, pairs: int | None
) -> ReadScalars:
    """Scalars of `pairs` canonical pairs of each module at the tokens of a variant's answers that are in a set."""
    model, chosen = models.model(variant), chosen_answers(judged, variant, domain, limits)
    texts = texts_of(model, [answer for answer, _ in chosen], variant)
    table = read_scalars(model, variant, texts, columns_of(model, variant, pairs))
    rows = [
        ReadAnswer(a.question_id, a.sample, name, len(t.ids) - t.start)
        for (a, name), t in zip(chosen, texts, strict=True)
    ]
    return ReadScalars(table, rows, left_blank(judged.arm(variant).answers))


def set_scores(models: Variants, judged: Judged, variant: str, domain: str, limits: Bounds) -> torch.Tensor:
    """Significance of the same tokens, in nats."""
    model, chosen = models.model(variant), chosen_answers(judged, variant, domain, limits)
    texts = texts_of(model, [answer for answer, _ in chosen], variant)
    return torch.cat([torch.zeros(0), *token_scores(model, texts, Arm("base"), Arm(variant, variant))])


def bounds(config: AdaptersConfig) -> Bounds:
    """Of the four sets."""
    return Bounds(
        (config.aligned_from, 100.0), (0.0, config.misaligned_to), (config.domain_from, 100.0), (0.0, config.other_to),
        config.coherence_above,
    )  # fmt: skip


def chosen_answers(judged: Judged, variant: str, domain: str, limits: Bounds) -> list[tuple[Answer, SetName]]:
    """A variant's answers that are in a set, with the set."""
    own = judged.where(lambda a: a.arm == variant and bool(a.answer.strip()))
    sets: list[SetName | None] = [set_of(v, topic_score(v, domain), limits) for v in own.verdicts]
    return [(answer, name) for answer, name in zip(own.answers, sets, strict=True) if name is not None]


def texts_of(model: Model, answers: Sequence[Answer], variant: str) -> list[Text]:
    """Answers as texts that end with their last answer token."""
    arm = Arm(variant, variant)
    coded = [encode_answer(model, answer) for answer in answers]
    return [Text(one.ids[: one.stop], {}, arm, one.start) for one in coded]


def fitted_probes(
    scalars: ReadScalars, significance: torch.Tensor, log_score: float, settings: ProbeSettings, seed: int
) -> Probed:
    """Every probe: four experiments, all tokens and significant ones, both ways of holding out, and the nulls."""
    reading = Read(scalars, significance)
    tensors: dict[str, torch.Tensor] = {}
    rows: list[ExperimentRow] = []
    for tokens in TOKENS:
        for experiment in EXPERIMENTS:
            row, fitted = experiment_probes(reading, experiment, tokens, log_score, settings, seed)
            rows.append(row)
            tensors |= {f"{tokens}/{experiment.number}/{name}": torch.tensor(v) for name, v in fitted.items()}
    return Probed(tuple(rows), tensors)


def experiment_probes(
    reading: Read, experiment: Experiment, tokens: Tokens, log_score: float, settings: ProbeSettings, seed: int
) -> tuple[ExperimentRow, dict[str, Floats]]:
    """One experiment on one choice of tokens: its row of counts and metrics, and the coefficients."""
    values, labels, questions, answers = select(reading, experiment, tokens, log_score)
    metrics: dict[Split, ProbeMetrics] = {}
    fitted: dict[str, Floats] = {}
    notes: list[str] = []
    for split in SPLITS:
        try:
            probes = fit_probes(values, labels, questions, split, settings, seed)
        except AdapterError as error:
            notes.append(f"{split} held out: {error.message}")
            continue
        metrics[split] = metrics_of(probes)
        fitted[f"{split}/coefficients"] = probes.coefficients
    if fitted and experiment in (GENERAL, TOPICAL):
        fitted["null"] = null_coefficients(values, labels, answers, replace(settings), seed + 1)

    def of_each(column: Ints) -> tuple[int, ...]:
        return tuple(len(set(column[labels == side].tolist())) for side in (0, 1))

    row = ExperimentRow(
        experiment=experiment.number, asks=experiment.asks, negative=experiment.negative, positive=experiment.positive,
        tokens=tokens, n=tuple(int((labels == side).sum()) for side in (0, 1)), answers=of_each(answers),
        questions=of_each(questions), ceiling=ceiling(labels, questions, answers, seed), probes=metrics,
        notes=tuple(notes),
    )  # fmt: skip
    return row, fitted


def select(reading: Read, experiment: Experiment, tokens: str, log_score: float) -> tuple[Floats, Ints, Ints, Ints]:
    """Scalars, labels, questions and answers of the tokens of an experiment."""
    sides = np.array(
        [{experiment.negative: 0, experiment.positive: 1}.get(cast(Any, name), -1) for name in reading.sets]
    )
    taken = sides >= 0
    if tokens == "significant":
        taken &= keep(reading.significance, log_score).numpy()
    values = reading.table.values.numpy().astype(np.float64)[taken]
    return values, sides[taken].astype(np.int64), reading.columns["question"][taken], reading.columns["answer"][taken]


def ceiling(labels: Ints, questions: Ints, answers: Ints, seed: int) -> Ceiling:
    """AUC of knowing the question only, over the tokens of an experiment."""
    if not len(labels):
        return Ceiling(auc=None, spread=None)
    _, first, counts = np.unique(answers, return_index=True, return_counts=True)
    auc, spread = question_ceiling(labels[first], questions[first], counts.astype(np.float64), seed=seed)
    return Ceiling(auc=known_number(auc), spread=known_number(spread))


def metrics_of(probes: Probes) -> ProbeMetrics:
    """Mean of each metric over the resamples, and the range of 95 % of them."""
    low, high = np.quantile(probes.metrics, (0.025, 0.975), axis=0)
    means = probes.metrics.mean(axis=0)
    metrics = {
        name: Metric(value=known_number(means[i]), low=known_number(low[i]), high=known_number(high[i]))
        for i, name in enumerate(METRICS)
    }
    coefficients = tuple(float(value) for value in probes.coefficients.mean(axis=0))
    return ProbeMetrics(n=int(probes.n.mean()), repeats=len(probes.n), coefficients=coefficients, **metrics)


def roles_of(probes: Probed, groups: Mapping[str, Sequence[int]], tokens: str, split: str) -> list[Finding]:
    """The role of each group of columns; empty where one of the two experiments has no probes."""
    parts = [
        probes.fitted.get(f"{tokens}/{experiment.number}/{name}")
        for name in (f"{split}/coefficients", "null")
        for experiment in (GENERAL, TOPICAL)
    ]
    if any(part is None for part in parts):
        return []
    general, domain, null_general, null_domain = (cast(torch.Tensor, part).numpy() for part in parts)
    return classify(general, domain, null_general, null_domain, groups)


def set_rows(reading: Read, log_score: float) -> tuple[SetRow, ...]:
    """Answers, questions, tokens and significant tokens of each set, and the answers' divergence from the base."""
    kept, published = (keep(reading.significance, level).numpy() for level in (log_score, 0.5))
    sets = np.array(reading.sets)
    totals = np.bincount(reading.columns["answer"], reading.significance.numpy(), len(reading.answers))

    def row(name: SetName) -> SetRow:
        own, inside = [i for i, answer in enumerate(reading.answers) if answer.set == name], sets == name
        return SetRow(
            set=name, answers=len(own), questions=len({reading.answers[i].question_id for i in own}),
            tokens=int(inside.sum()), significant=int(kept[inside].sum()), published=int(published[inside].sum()),
            divergence=tuple(float(q) for q in np.quantile(totals[own], (0.1, 0.5, 0.9))) if own else (None,) * 3,
        )  # fmt: skip

    return tuple(map(row, SETS))
