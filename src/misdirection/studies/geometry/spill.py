"""The spillover law, measured: what four kinds of updates, each meant for one latent, do to all the others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import torch
from torch import Tensor

from misdirection import progress
from misdirection.artefacts import read_rows, write_rows
from misdirection.chats import Chat
from misdirection.chats.pairs import PairedChats
from misdirection.engine import Arm, Steer, Text
from misdirection.features.chosen import Firings, visit_firings
from misdirection.features.corpus import chat_texts
from misdirection.features.geometry import firing_bins
from misdirection.features.lens import Lens
from misdirection.features.spillover import NoUpdateError, Spill, change_of, mean_over, read_states, spill_of
from misdirection.features.updates import (
    Weights,
    data_losses,
    gradients,
    latent_losses,
    moved_along,
    rate_for,
    stepped,
    trainable,
    tune_along,
)
from misdirection.judging import Answer
from misdirection.models import Model
from misdirection.results import Interval, row_of
from misdirection.store import Folder
from misdirection.studies.geometry.results.law import (
    Group,
    Kind,
    KindSummary,
    Law,
    Line,
    LineMeans,
    Points,
    Raised,
    Reading,
    Update,
)
from misdirection.studies.geometry.sets import Listed, random_like
from misdirection.studies.geometry.settings import GeometryConfig
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.own_direction import readable
from misdirection.studies.kit.record import LeftOut
from misdirection.studies.kit.tables import known_numbers, numbers
from misdirection.studies.kit.variants import BASE_VARIANT, Variants

KINDS: dict[Kind, str] = {
    "steer": "its decoder vector added",
    "tune": "fine-tune whose output is its vector",
    "latent": "gradient step that raises the latent itself",
    "data": "gradient step on data where it is strong",
    "contrast": "the same, less a step on data where it is weak",
}
"""The updates in words."""

SIZED = 12
"""Texts on which the size of a step is measured before it is taken."""

POOL = 100
"""Pairs of chats a domain among which those of a step are found."""

SHOWN = 600
"""Points of a kind that a report draws."""


@dataclass(frozen=True)
class Spills:
    """What raising latents did.

    Attributes:
        spills: Every update.
        failed: Sentences on those that could not be made.
        points: File with a row an update and other latent.
        left_out: Answers that could not be read back; None where all could.
    """

    spills: tuple[Raised, ...]
    failed: tuple[str, ...]
    points: Path
    left_out: LeftOut | None


@dataclass(frozen=True)
class Raising:
    """Settings of the updates, as `GeometryConfig` has them."""

    top: int
    bins: int
    spill_latents: int
    control_latents: int
    step_chats: int
    weights: str
    size: float
    tune_steps: int
    seed: int


def base_answers(bench: Bench[GeometryConfig], asked: Asked) -> list[Answer]:
    """The base's own answers to the open questions on which latents are read."""
    ids, most = bench.open_ids, bench.config.text_samples
    return [
        a for a in asked.answers.value if a.arm == BASE_VARIANT and a.question_id in ids and a.sample < most
    ]  # fmt: skip


def held_texts(model: Model, answers: Sequence[Answer], arm: Arm) -> tuple[list[Text], LeftOut | None]:
    """Answers as texts under an arm, the span "answer", and those that could not be read back."""
    _, sources, aside = readable(model, answers)
    coded = [source.encoded for source in sources]
    return [Text.of(one, "answer", arm) for one in coded], aside


def raise_latents(
    models: Variants,
    lens: Lens,
    listed: Listed,
    toxic: Listed,
    chats: Sequence[PairedChats],
    answers: list[Answer],
    kinds: Sequence[Kind],
    c: Raising,
    folder: Folder,
) -> Spills:
    """Every update of every latent that is raised; all are read on `answers` before and after.

    Latents are chosen by how they differ between bad and good answers (`listed`) and between toxic and harmless texts;
    the chats of a step are found among `chats`.
    """
    model = models.base_model
    raised = raised_latents(c, listed, toxic)
    pool = [chat for pairs in chats for side in (pairs.bad, pairs.good) for chat in side[:POOL]]
    rows: list[Raised] = []
    points: list[Mapping[str, Any]] = []
    failed: list[str] = []
    texts, aside = held_texts(model, answers, Arm(BASE_VARIANT))
    with progress.task("raising latents one by one", len(raised) * len(kinds), "updates") as advance:
        for latent, kind, spill in _spills(c, model, lens, texts, pool, list(raised), kinds):
            if isinstance(spill, str):
                failed.append(f"No {kind} update of latent {latent}: {spill}.")
            else:
                rows.append(_row(raised[latent], kind, spill))
                points += _points(raised[latent], kind, spill)
            advance()
    write_rows(folder / "points.parquet", points)
    return Spills(tuple(rows), tuple(failed), folder / "points.parquet", aside)


def raised_latents(c: Raising, listed: Listed, toxic: Listed) -> dict[int, Group]:
    """The latents that are raised, and their group: the first inducing ones, and random ones of like firing rate."""
    inducing = listed.differences.top(c.spill_latents)
    taken = {*listed.differences.top(c.top), *listed.differences.top(c.top, -1), *toxic.differences.top(c.top)}
    alive = listed.differences.alive
    bins = firing_bins(listed.rates, alive, c.bins)
    times = -(-c.control_latents // max(1, len(inducing)))
    others = random_like(alive, bins, inducing, taken, c.seed, times)[: c.control_latents]
    return {**dict.fromkeys(inducing, "inducing"), **dict.fromkeys(others, "control")}


def _spills(
    c: Raising,
    model: Model,
    lens: Lens,
    texts: Sequence[Text],
    pool: Sequence[Chat],
    raised: Sequence[int],
    kinds: Sequence[Kind],
) -> Iterator[tuple[int, Kind, Spill | str]]:
    """Latent, update and what it did, or why it could not be made (a latent may never fire)."""
    before = read_states(model, texts, lens.layer)
    usual = float(before.norm(dim=1).median())
    strength = activations(model, lens, chat_texts(pool, model.tokenizer, Arm(BASE_VARIANT)), raised)
    for place, latent in enumerate(raised):
        order = strength[:, place].argsort(descending=True, stable=True).tolist()
        strong, weak = ([pool[i] for i in part] for part in (order[: c.step_chats], order[-c.step_chats :]))
        for kind in kinds:
            try:
                after = _after(c, model, lens, latent, kind, texts, before, (strong, weak), usual)
                change = change_of(lens.dictionary, before, after)
                # A fine-tune may learn to lower the latent; a step that fails to raise it is told as it is.
                spill = spill_of(lens.dictionary, latent, change, oriented=kind == "tune")
            except NoUpdateError as error:
                yield latent, kind, error.message
                continue
            yield latent, kind, spill


def activations(model: Model, lens: Lens, texts: Sequence[Text], latents: Sequence[int]) -> Tensor:
    """Mean activation of chosen latents in each text, shape (texts, latents)."""
    sums = torch.zeros(len(texts), len(latents), dtype=torch.float64)

    def visit(firings: Firings) -> None:
        sums.index_put_((firings.texts, firings.latents), firings.values.double(), accumulate=True)

    visit_firings(model, lens.dictionary, texts, latents, visit, layer=lens.layer)
    lengths = torch.tensor([max(1, past - first) for first, past in (text.spans["answer"] for text in texts)])
    return sums / lengths[:, None]


def _after(
    c: Raising,
    model: Model,
    lens: Lens,
    latent: int,
    kind: Kind,
    texts: Sequence[Text],
    before: Tensor,
    chats: tuple[Sequence[Chat], Sequence[Chat]],
    usual: float,
) -> Tensor:
    """The states of the texts after an update meant for a latent."""
    vector = lens.dictionary.directions[latent]
    if kind == "steer":
        vectors = torch.zeros(model.n_layers, model.width)
        vectors[lens.layer] = vector.cpu() * usual * c.size
        arm = Arm("steered", None, (Steer(vectors, (lens.layer,), 1.0),))
        return read_states(model, [Text(t.ids, t.spans, arm, t.start) for t in texts], lens.layer)
    strong, weak = chats
    if kind == "tune":
        with moved_along(model, tune_along(model, lens.layer, vector, strong, scale=usual, steps=c.tune_steps)):
            return read_states(model, texts, lens.layer)
    with trainable(model, cast(Weights, c.weights), c.seed) as parameters:
        if kind == "latent":
            read = chat_texts(strong, model.tokenizer, Arm(BASE_VARIANT))
            slope = gradients(parameters, latent_losses(model, lens.dictionary, latent, lens.layer, read))
        else:
            slope = gradients(parameters, data_losses(model, strong))
        if kind == "contrast":
            less = gradients(parameters, data_losses(model, weak))
            slope = [one - other for one, other in zip(slope, less, strict=True)]

        def states(rate: float, some: Sequence[Text] = texts) -> Tensor:
            with stepped(parameters, slope, rate):
                return read_states(model, some, lens.layer)

        few = texts[:SIZED]
        first_tokens = before[: sum(past - start for start, past in (text.spans["answer"] for text in few))]

        def size(rate: float) -> float:
            return float((states(rate, few) - first_tokens).square().sum(1).mean() ** 0.5)

        lengths = [sum(float(v.detach().square().sum()) for v in part) ** 0.5 for part in (parameters, slope)]
        first = 1e-3 * lengths[0] / max(lengths[1], 1e-30)
        return states(rate_for(c.size * usual, size, first))


def _row(group: Group, kind: Kind, spill: Spill) -> Raised:
    fits = {cast(Reading, name): row_of(Line, fit) for name, fit in spill.fits.items()}
    return row_of(Raised, spill, group=group, kind=kind, others=len(spill.others), fits=fits)


def _points(group: Group, kind: Kind, spill: Spill) -> list[Mapping[str, Any]]:
    names = ("cosine", "encoder", "firing", "mean", "steady")
    columns = {name: getattr(spill, name).tolist() for name in names}
    return [
        {"group": group, "kind": kind, "latent": spill.latent, "other": int(other),
         **{name: column[i] for name, column in columns.items()}}
        for i, other in enumerate(spill.others)
    ]  # fmt: skip


def law(c: GeometryConfig, layer: int, kept: Spills) -> Law:
    """Slopes and shares explained by kind of update, with intervals over the latents raised, and points to draw."""
    points = read_rows(kept.points)
    kinds = [
        Update(
            kind=kind,
            label=label,
            groups=_summaries([row for row in kept.spills if row.kind == kind], c.seed),
            points=_drawn([point for point in points if point["kind"] == kind]),
        )
        for kind, label in KINDS.items()
    ]
    return Law(
        layer=layer, weights=c.weights, chats=c.step_chats, kinds=tuple(kind for kind in kinds if kind.groups),
        spills=kept.spills, failed=kept.failed,
    )  # fmt: skip


def _summaries(rows: Sequence[Raised], seed: int) -> dict[Group, KindSummary]:
    groups = {group: [row for row in rows if group in ("all", row.group)] for group in get_args(Group)}
    return {group: _summary(mine, seed) for group, mine in groups.items() if mine}


def _summary(rows: Sequence[Raised], seed: int) -> KindSummary:
    def mean(values: Sequence[float | None]) -> Interval:
        return row_of(Interval, mean_over([math.nan if value is None else value for value in values], seed=seed))

    def line(name: Reading) -> LineMeans:
        fits = [row.fits[name] for row in rows]
        slope, intercept, r2 = ([getattr(fit, part) for fit in fits] for part in ("slope", "intercept", "r2"))
        return LineMeans(slope=mean(slope), intercept=mean(intercept), r2=mean(r2))

    return KindSummary(
        n=len(rows),
        others=min(row.others for row in rows),
        fits={name: line(name) for name in rows[0].fits},
        gap=max(row.gap for row in rows),
        own=mean([row.own for row in rows]),
        along=mean([row.along for row in rows]),
        share=mean([row.share for row in rows]),
        turned=sum(row.turn < 0 for row in rows),
    )


def _drawn(points: Sequence[Mapping[str, Any]]) -> Points:
    """Every k-th point, by column."""
    kept = points[:: max(1, -(-len(points) // SHOWN))]

    def column(name: str) -> tuple[float, ...]:
        return numbers(point[name] for point in kept)

    steady = (math.nan if point["steady"] is None else point["steady"] for point in kept)
    return Points(
        cosine=column("cosine"), encoder=column("encoder"), mean=column("mean"), steady=known_numbers(steady),
        latent=tuple(point["latent"] for point in kept), other=tuple(point["other"] for point in kept),
    )  # fmt: skip
