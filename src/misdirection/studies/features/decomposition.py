"""Directions and adapters as a few latents of the dictionary, beside random vectors of the same norm.

What is decomposed, at the dictionary's layer: each fine-tune's mean-difference direction; the B vectors of its adapters
near that layer, which they write to the residual stream; the A vectors of adapters that read it; and directions from
files. A and B are taken in canonical form (`adapters.canonical`), the leading pair of each module; the sign of a pair
is arbitrary, and is chosen such that B points along the fine-tune's direction.

The decomposition through activations is of the same direction: the change of every latent's mean activation from the
aligned to the misaligned pool times its decoder vector. What it misses of the direction, the dictionary misses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from misdirection.adapters.canonical import canonical
from misdirection.adapters.weights import LoraPair, pairs_of
from misdirection.directions import Convention, Direction, choose_pools
from misdirection.directions.mean_difference import pooled_texts
from misdirection.directions.store import load_published_direction
from misdirection.errors import MisdirectionError
from misdirection.features.decompose import METHODS, agreement, decompose, random_curves, through_activations
from misdirection.features.lens import Lens
from misdirection.features.stream import latent_statistics
from misdirection.models.families import POST_NORMED
from misdirection.store import Cached
from misdirection.studies.features.results.decomposition import (
    Decomposed,
    DecomposedVector,
    Decomposition,
    ListAgreement,
    Method,
    RandomCurves,
    ThroughActivations,
    VectorKind,
)
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.own_direction import own_answers
from misdirection.studies.kit.record import LeftOut
from misdirection.studies.kit.tables import numbers
from misdirection.studies.kit.variants import Variants

DIRECTION: VectorKind = "mean difference"
WRITTEN: VectorKind = "B"
READ: VectorKind = "A"
FILE: VectorKind = "file"
NEAR = 3
"""Adapted modules of a fine-tune that are decomposed, those nearest to the layer."""


@dataclass(frozen=True)
class Vector:
    """A vector of the residual stream at or near the dictionary's layer, shape (width,).

    Attributes:
        name: In tables.
        kind: `DIRECTION`, `WRITTEN`, `READ` or `FILE`.
        layer: After which it stands.
        values: The vector.
        tune: The fine-tune that it belongs to.
        rank: Of the adapter whose leading pair it is of.
    """

    name: str
    kind: VectorKind
    layer: int
    values: Tensor
    tune: str = ""
    rank: int = 1


@dataclass(frozen=True)
class Kept:
    """Every vector, random ones, and what was left out."""

    rows: tuple[DecomposedVector, ...]
    random: Mapping[Method, RandomCurves]
    notes: tuple[str, ...]
    left_out: LeftOut | None = None


def decomposition(
    bench: Bench[FeaturesConfig],
    models: Variants,
    lens: Lens,
    asked: Asked,
    directions: Mapping[str, Cached[Direction]],
    files: Mapping[str, Path] | None = None,
) -> Decomposition | None:
    """Directions and adapters as latents; None where there is nothing to decompose.

    Args:
        bench: The run.
        models: Base and fine-tunes.
        lens: The dictionary and its layer.
        asked: Answers that the directions were made of.
        directions: That of each fine-tune.
        files: Further directions by name: persona vectors, published ones (`load_published_direction`).
    """
    most = min(bench.config.latents_of, lens.dictionary.width)
    kept = bench.run.cached(
        decomposed, "latent-decomposition", models=models, lens=lens, judged=asked.kept,
        questions=sorted(question.id for question in bench.open_questions), directions=directions, files=files or {},
        most=most, how=bench.convention, seed=bench.config.seed,
    ).value  # fmt: skip
    if not kept.rows:
        return None
    return Decomposition(
        layer=lens.layer, most=most, latents=lens.dictionary.latents, rows=kept.rows, random=kept.random,
        notes=kept.notes,
    )  # fmt: skip


def decomposed(
    models: Variants,
    lens: Lens,
    judged: Judged,
    questions: Sequence[str],
    directions: Mapping[str, Direction],
    files: Mapping[str, Path],
    most: int,
    how: Convention,
    seed: int,
) -> Kept:
    """The same of values: directions of answers to some questions, adapters, and directions in files."""
    vectors, notes = _vectors(models, lens, directions, files)
    through: dict[str, Through] = {}
    aside: LeftOut | None = None
    for vector in vectors:
        if vector.kind == DIRECTION:
            through[vector.tune], left_out = _through(models, lens, judged, questions, vector.tune, how, seed)
            aside = left_out or aside
    rows = tuple(_row(vector, lens, most, through) for vector in vectors)
    curves = _random(vectors[0].values, lens, most) if vectors else {}
    return Kept(rows, curves, tuple(notes), aside)


def _vectors(
    models: Variants, lens: Lens, directions: Mapping[str, Direction], files: Mapping[str, Path]
) -> tuple[list[Vector], list[str]]:
    tuned = {name: direction.vectors for name, direction in directions.items()}
    vectors = [Vector(name, DIRECTION, lens.layer, v[lens.layer], name) for name, v in tuned.items()]
    notes: list[str] = []
    for name in models.adapters:
        near, left_out = adapter_vectors(models, name, lens, tuned.get(name))
        vectors += near
        notes += left_out
    for name, path in files.items():
        published = load_published_direction(path)
        if published.shape[1] != lens.dictionary.width or not lens.layer < len(published):
            raise MisdirectionError(
                f"--directions {name}: {tuple(published.shape)} (layers, width), and layer {lens.layer} of width "
                f"{lens.dictionary.width} is decomposed",
                "a direction of the same base model",
            )
        vectors.append(Vector(name, FILE, lens.layer, published[lens.layer]))
    return vectors, list(dict.fromkeys(notes))


def adapter_vectors(models: Variants, name: str, lens: Lens, along: Tensor | None) -> tuple[list[Vector], list[str]]:
    """B and A vectors of the adapted modules near the layer, where they live in the residual stream; and what does not.

    B of a module that writes to the residual stream after layer l stands in the stream that the dictionary reads after
    layer l. A of a module of layer l reads the stream before it, after layer l - 1, and through the layer's norm, whose
    weights are left out.
    """
    model = models.base_model
    pairs = pairs_of(model, name)
    kind = str(model.lm.config.get_text_config(decoder=True).model_type)
    notes: list[str] = []
    writers = [pair for pair in pairs if pair.writes and pair.b.shape[0] == lens.dictionary.width]
    if writers and kind in POST_NORMED:
        notes.append(f"B vectors are left out: {kind} norms what a block writes before it is added to the stream.")
        writers = []
    readers = [pair for pair in pairs if not pair.writes and pair.a.shape[1] == lens.dictionary.width]
    if not readers:
        inside = sorted({f"{pair.path.rsplit('.', 1)[-1]} ({pair.a.shape[1]} wide)" for pair in pairs})
        notes.append(
            f"A vectors are left out: those of {', '.join(inside)} read what a block holds inside, not the residual "
            f"stream of width {lens.dictionary.width}."
        )
    vectors: list[Vector] = []
    for pair in sorted(writers, key=lambda p: (abs(p.layer - lens.layer), p.layer))[:NEAR]:
        vectors.append(_written(pair, name, along))
    for pair in sorted(readers, key=lambda p: (abs(p.layer - 1 - lens.layer), p.layer))[:NEAR]:
        vector = canonical(pair.a, pair.b).a[0].float()
        vectors.append(Vector(_label(name, pair, READ), READ, pair.layer - 1, vector, name, pair.rank))
    return vectors, notes


def _written(pair: LoraPair, name: str, along: Tensor | None) -> Vector:
    form = canonical(pair.a, pair.b)
    vector = (form.left[:, 0] * form.values[0]).float()
    if along is not None and float(vector @ along[pair.layer].float()) < 0:
        vector = -vector
    return Vector(_label(name, pair, WRITTEN), WRITTEN, pair.layer, vector, name, pair.rank)


def _label(name: str, pair: LoraPair, which: str) -> str:
    return f"{name}: {which} of {pair.path.rsplit('.', 1)[-1]}, layer {pair.layer}"


@dataclass(frozen=True)
class Through:
    """The decomposition of a direction through activations: the vector that it gives and each latent's part of it."""

    vector: Tensor
    parts: Tensor


def _through(
    models: Variants, lens: Lens, judged: Judged, questions: Sequence[str], tune: str, how: Convention, seed: int
) -> tuple[Through, LeftOut | None]:
    """From the very tokens that the direction was made of."""
    model, arm = models.model(tune), models.arm(tune)
    said, sources, aside = own_answers(model, judged, questions, tune)
    pools = choose_pools(said, how, seed=seed)
    texts, bad, _ = pooled_texts(arm, sources, pools, how)
    weights = torch.stack([torch.from_numpy(bad), torch.from_numpy(~bad)], dim=1).double()
    dictionary = lens.dictionary.to(model.device)
    statistics = latent_statistics(model, dictionary, texts, weights, span=how.span, layer=lens.layer, places=1)
    means = statistics.mean("token" if how.weighting == "token" else "mean")
    decoder = lens.dictionary.decoder.float() / lens.dictionary.input_scale
    return Through(*through_activations(means[0], means[1], decoder)), aside


def _row(vector: Vector, lens: Lens, most: int, through: Mapping[str, Through]) -> DecomposedVector:
    """A vector with its latents by both methods and, for a direction, what activations say of it."""
    activations = through[vector.tune] if vector.kind == DIRECTION else None
    methods: dict[Method, Decomposed] = {}
    for method in METHODS:
        one = decompose(vector.values, lens.dictionary.directions, most, method)
        methods[method] = Decomposed(
            latents=tuple(one.latents), coefficients=numbers(one.coefficients), explained=numbers(one.explained),
            agreement=ListAgreement(**agreement(one, activations.parts)) if activations else None,
        )  # fmt: skip
    return DecomposedVector(
        name=vector.name, kind=vector.kind, layer=vector.layer, tune=vector.tune, rank=vector.rank,
        norm=float(vector.values.norm()), methods=methods,
        through=_by_activations(vector.values, activations, most) if activations else None,
    )  # fmt: skip


def _by_activations(vector: Tensor, through: Through, most: int) -> ThroughActivations:
    """How much of a direction the change of activations accounts for, and the largest parts."""
    exact, other = vector.double(), through.vector.double()
    order = through.parts.abs().argsort(descending=True)[:most]
    return ThroughActivations(
        cosine=float(torch.nn.functional.cosine_similarity(exact, other, dim=0)),
        explained=1 - float((exact - other).square().sum() / exact.square().sum()),
        latents=tuple(order.tolist()),
        parts=numbers(through.parts[order]),
    )


def _random(vector: Tensor, lens: Lens, most: int) -> dict[Method, RandomCurves]:
    """What as many latents explain of random vectors, by method; the share does not depend on the vector's norm."""
    curves: dict[Method, RandomCurves] = {}
    for method in METHODS:
        of = random_curves(vector, lens.dictionary.directions, most, method)
        mean, low, high = numbers(of.mean(0)), numbers(of.amin(0)), numbers(of.amax(0))
        curves[method] = RandomCurves(mean=mean, low=low, high=high, n=len(of))
    return curves
