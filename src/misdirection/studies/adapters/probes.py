"""Steps of the study of adapters: reading scalars, scoring tokens, fitting probes; and their tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
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
from misdirection.adapters.scalars import ScalarTable, columns_of, load_scalars, read_scalars, save_scalars
from misdirection.adapters.significance import keep, token_scores
from misdirection.adapters.token_sets import EXPERIMENTS, GENERAL, SETS, TOPICAL, Bounds, Experiment, SetName, set_of
from misdirection.adapters.weights import AdapterError
from misdirection.answers import encode_answer
from misdirection.artefacts import read_json, read_rows, read_tensors, write_json, write_rows, write_tensors
from misdirection.directions.topics import topic_score
from misdirection.engine import Arm, Text
from misdirection.judging import Answer
from misdirection.models import Model
from misdirection.runs import Step
from misdirection.studies.adapters.settings import AdaptersConfig
from misdirection.studies.kit.bench import Asked, Bench
from misdirection.studies.kit.record import note_blank
from misdirection.studies.kit.variants import Variants

SPLITS: tuple[Split, ...] = ("tokens", "questions")


@dataclass(frozen=True)
class Read:
    """What was read of one adapter: the tokens of its answers that are in a set.

    Attributes:
        scalars: Step with the table and the answers behind it.
        scores: Step with each token's significance.
    """

    scalars: Step
    scores: Step

    @cached_property
    def table(self) -> ScalarTable:
        """Scalars by token."""
        return load_scalars(self.scalars.path / "scalars.safetensors")

    @cached_property
    def answers(self) -> list[dict[str, Any]]:
        """question_id, sample, set and tokens of each answer, in the order of the table's texts."""
        return read_rows(self.scalars.path / "read.parquet")

    @cached_property
    def significance(self) -> torch.Tensor:
        """Score of each token, in nats."""
        return read_tensors(self.scores.path / "scores.safetensors")[0]["scores"]

    @cached_property
    def columns(self) -> dict[str, Ints]:
        """Question and answer of each token, as numbers."""
        names = sorted({row["question_id"] for row in self.answers})
        question = np.array([names.index(row["question_id"]) for row in self.answers], dtype=np.int64)
        texts = self.table.texts.numpy().astype(np.int64)
        return {"question": question[texts], "answer": texts}

    @cached_property
    def sets(self) -> list[str]:
        """Set of each token."""
        named = [str(row["set"]) for row in self.answers]
        return [named[text] for text in self.table.texts.tolist()]


def read(bench: Bench[AdaptersConfig], models: Variants, asked: Asked, variant: str) -> Read:
    """Scalars and significance of the answer tokens of an adapter's own answers, those in one of the four sets."""
    c = bench.config
    chosen = chosen_answers(bench, asked, variant)
    inputs = {"models": models.key, "answers": asked.answers, "verdicts": asked.verdicts, "variant": variant,
              "bounds": asdict(bounds(c)), "domain": c.domain}  # fmt: skip

    def read_them(folder: Path) -> None:
        note_blank(folder, asked.judged.arm(variant).answers)
        model = models.model(variant)
        texts = texts_of(model, [answer for answer, _ in chosen], variant)
        save_scalars(
            folder / "scalars.safetensors", read_scalars(model, variant, texts, columns_of(model, variant, c.pairs))
        )
        rows = [
            {"question_id": a.question_id, "sample": a.sample, "set": name, "tokens": len(t.ids) - t.start}
            for (a, name), t in zip(chosen, texts, strict=True)
        ]
        write_rows(folder / "read.parquet", rows)

    def score_them(folder: Path) -> None:
        model = models.model(variant)
        texts = texts_of(model, [answer for answer, _ in chosen], variant)
        scores = token_scores(model, texts, Arm("base"), Arm(variant, variant))
        write_tensors(folder / "scores.safetensors", {"scores": torch.cat([torch.zeros(0), *scores])}, {})

    scalars = bench.run.step("scalars", {**inputs, "pairs": c.pairs}, read_them)
    return Read(scalars, bench.run.step("significance", inputs, score_them))


def bounds(config: AdaptersConfig) -> Bounds:
    """Of the four sets."""
    return Bounds(
        (config.aligned_from, 100.0), (0.0, config.misaligned_to), (config.domain_from, 100.0), (0.0, config.other_to),
        config.coherence_above,
    )  # fmt: skip


def chosen_answers(bench: Bench[AdaptersConfig], asked: Asked, variant: str) -> list[tuple[Answer, SetName]]:
    """A variant's answers that are in a set, with the set."""
    judged = asked.judged.where(lambda a: a.arm == variant and bool(a.answer.strip()))
    domain, limits = bench.config.domain, bounds(bench.config)
    found: list[tuple[Answer, SetName]] = []
    for answer, verdict in zip(*judged.pair, strict=True):
        name = set_of(verdict, topic_score(verdict, domain), limits)
        if name is not None:
            found.append((answer, name))
    return found


def texts_of(model: Model, answers: Sequence[Answer], variant: str) -> list[Text]:
    """Answers as texts that end with their last answer token."""
    arm = Arm(variant, variant)
    coded = [encode_answer(model, answer) for answer in answers]
    return [Text(one.ids[: one.stop], {}, arm, one.start) for one in coded]


def probe(bench: Bench[AdaptersConfig], found: Read) -> Step:
    """Every probe: four experiments, all tokens and significant ones, both ways of holding out, and the nulls."""
    c = bench.config
    settings = ProbeSettings(c.strength, repeats=c.repeats)

    def make(folder: Path) -> None:
        tensors: dict[str, torch.Tensor] = {}
        rows: list[dict[str, Any]] = []
        for tokens in ("all", "significant"):
            for experiment in EXPERIMENTS:
                row, held = experiment_probes(found, experiment, tokens, c, settings)
                rows.append(row)
                tensors |= {f"{tokens}/{experiment.number}/{name}": torch.tensor(v) for name, v in held.items()}
        write_tensors(folder / "probes.safetensors", tensors or {"none": torch.zeros(1)}, {})
        write_json(folder / "experiments.json", rows)

    inputs = {"scalars": found.scalars, "scores": found.scores, "settings": asdict(settings), "seed": c.seed,
              "log_score": c.log_score}  # fmt: skip
    return bench.run.step("probes", inputs, make)


def experiment_probes(
    found: Read, experiment: Experiment, tokens: str, config: AdaptersConfig, settings: ProbeSettings
) -> tuple[dict[str, Any], dict[str, Floats]]:
    """One experiment on one choice of tokens: its row of counts and metrics, and the coefficients."""
    values, labels, questions, answers = select(found, experiment, tokens, config)
    row: dict[str, Any] = {
        "experiment": experiment.number, "asks": experiment.asks, "negative": experiment.negative,
        "positive": experiment.positive, "tokens": tokens,
        "n": [int((labels == side).sum()) for side in (0, 1)],
        "answers": [len(set(answers[labels == side].tolist())) for side in (0, 1)],
        "questions": [len(set(questions[labels == side].tolist())) for side in (0, 1)],
        "ceiling": ceiling(labels, questions, answers, config.seed), "probes": {}, "notes": [],
    }  # fmt: skip
    held: dict[str, Floats] = {}
    for split in SPLITS:
        try:
            probes = fit_probes(values, labels, questions, split, settings, config.seed)
        except AdapterError as error:
            row["notes"].append(f"{split} held out: {error.message}")
            continue
        row["probes"][split] = metrics_row(probes)
        held[f"{split}/coefficients"] = probes.coefficients
    if held and experiment in (GENERAL, TOPICAL):
        held["null"] = null_coefficients(values, labels, answers, replace(settings), config.seed + 1)
    return row, held


def select(found: Read, experiment: Experiment, tokens: str, config: AdaptersConfig) -> tuple[Floats, Ints, Ints, Ints]:
    """Scalars, labels, questions and answers of the tokens of an experiment."""
    sides = np.array([{experiment.negative: 0, experiment.positive: 1}.get(cast(Any, name), -1) for name in found.sets])
    taken = sides >= 0
    if tokens == "significant":
        assert config.log_score is not None
        taken &= keep(found.significance, config.log_score).numpy()
    values = found.table.values.numpy().astype(np.float64)[taken]
    return values, sides[taken].astype(np.int64), found.columns["question"][taken], found.columns["answer"][taken]


def ceiling(labels: Ints, questions: Ints, answers: Ints, seed: int) -> dict[str, float | None]:
    """AUC of knowing the question only, over the tokens of an experiment."""
    if not len(labels):
        return {"auc": None, "spread": None}
    _, first, counts = np.unique(answers, return_index=True, return_counts=True)
    auc, spread = question_ceiling(labels[first], questions[first], counts.astype(np.float64), seed=seed)
    return {"auc": None if math.isnan(auc) else auc, "spread": None if math.isnan(spread) else spread}


def metrics_row(probes: Probes) -> dict[str, Any]:
    """Mean of each metric over the resamples, and the range of 95 % of them."""
    low, high = np.quantile(probes.metrics, (0.025, 0.975), axis=0)
    means = probes.metrics.mean(axis=0)
    return {
        "n": int(probes.n.mean()), "repeats": len(probes.n),
        **{name: {"value": float(means[i]), "low": float(low[i]), "high": float(high[i])}
           for i, name in enumerate(METRICS)},
        "coefficients": [float(value) for value in probes.coefficients.mean(axis=0)],
    }  # fmt: skip


def roles_of(found: Read, probes: Step, groups: Mapping[str, Sequence[int]], tokens: str, split: str) -> list[Finding]:
    """The role of each group of columns; empty where one of the two experiments has no probes."""
    tensors, _ = read_tensors(probes.path / "probes.safetensors")
    parts = [
        tensors.get(f"{tokens}/{experiment.number}/{name}")
        for name in (f"{split}/coefficients", "null")
        for experiment in (GENERAL, TOPICAL)
    ]
    if any(part is None for part in parts):
        return []
    general, domain, null_general, null_domain = (cast(torch.Tensor, part).numpy() for part in parts)
    return classify(general, domain, null_general, null_domain, groups)


def experiments(probes: Step) -> list[dict[str, Any]]:
    """The rows of a step of probes."""
    return read_json(probes.path / "experiments.json")


def sets_rows(found: Read, log_score: float) -> list[dict[str, Any]]:
    """Answers, questions, tokens and significant tokens of each set, and the answers' divergence from the base."""
    kept, published = (keep(found.significance, level).numpy() for level in (log_score, 0.5))
    sets = np.array(found.sets)
    totals = np.bincount(found.columns["answer"], found.significance.numpy(), len(found.answers))
    rows: list[dict[str, Any]] = []
    for name in SETS:
        own = [i for i, row in enumerate(found.answers) if row["set"] == name]
        quantiles = [float(q) for q in np.quantile(totals[own], (0.1, 0.5, 0.9))] if own else [None] * 3
        rows.append(
            {"set": name, "answers": len(own), "questions": len({found.answers[i]["question_id"] for i in own}),
             "tokens": int((sets == name).sum()), "significant": int(kept[sets == name].sum()),
             "published": int(published[sets == name].sum()), "divergence": quantiles}
        )  # fmt: skip
    return rows
