"""What the weights of a fine-tune do over its steps, and when each measure turns (arXiv 2506.11613 section 4)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

from torch import Tensor

from misdirection.directions.phases import (
    FILTERS,
    LocalCosine,
    comp_path,
    compact,
    cosine_to_last,
    local_cosine,
    principal_components,
    shuffled_paths,
    unit_path,
)
from misdirection.errors import MisdirectionError
from misdirection.results.rows import known_number
from misdirection.statistics.turning import Turn, broken_line, crossing, peak, smoothed
from misdirection.studies.kit.inputs import ModelFiles
from misdirection.studies.kit.tables import numbers
from misdirection.studies.phases.results import (
    Components,
    CompScore,
    Filter,
    Form,
    Gradient,
    Local,
    LocalCurve,
    Measure,
    ModuleNorms,
    NoiseFilter,
    Norms,
    ToLast,
    Turning,
    Weights,
)
from misdirection.studies.phases.settings import noise_threshold
from misdirection.training.course import Course
from misdirection.training.trajectory import Trajectory, read_trajectory

WINDOW = 5
"""Steps of the running median over the gradient's norm."""

_SHOWN = 12
"""Modules whose norms are kept one by one."""


def weigh(
    checkpoints: Mapping[int, ModelFiles],
    gradients: Sequence[tuple[int, float]],
    distances: Sequence[int],
    noise: str,
    comp_as: str,
    width: int,
) -> Weights:
    """Every measure of a course's weights, and the step at which each turns.

    Args:
        checkpoints: By step.
        gradients: Step and norm.
        distances: k of the local cosine.
        noise: The noise filter (`noise_threshold`).
        comp_as: The comp score's kind.
        width: Of the residual stream.
    """
    course = Course("", {step: Path(files.name) for step, files in checkpoints.items()}, gradients, {})
    smooth, highest = gradient(gradients) if gradients else (None, None)
    of_gradient = [_turning("gradient norm", highest)] if highest else []
    if not course.adapters or len(checkpoints) < 3:
        return Weights(gradient=smooth, turns=tuple(of_gradient))
    trajectory = read_trajectory(course.folders)
    steps, path = trajectory.from_start()
    small = compact(path)
    limit = noise_threshold(noise, float(small[-1].norm()))
    local, peaks = locals_of(steps, small, distances, limit)
    bent, bend = components(steps, small)
    near = ToLast(steps=tuple(steps), cosine=numbers(cosine_to_last(small)))
    score = comp(trajectory, comp_as, width)
    sizes = norms(trajectory)
    turns = [
        _turning("norm of A", _knot(sizes.steps, sizes.a)),
        _turning("norm of B", _knot(sizes.steps, sizes.b)),
        *peaks,
        _turning("second principal component of B", bend),
        _turning("cosine of B with its last", crossing(near.steps, near.cosine, 0.9)),
        *([_turning("comp score of B", _lowest(score), detail=" (its lowest)")] if score else []),
        *of_gradient,
    ]
    return Weights(norms=sizes, local=local, pca=bent, to_last=near, comp=score, gradient=smooth, turns=tuple(turns))


def norms(trajectory: Trajectory) -> Norms:
    """Norms of A and B over all modules, and of each where they are few."""
    a, b = (numbers(trajectory.norms(matrix)) for matrix in ("A", "B"))
    tracks = trajectory.tracks if len(trajectory.tracks) <= _SHOWN else []
    modules = tuple(
        ModuleNorms(module=t.module, layer=t.layer, a=numbers(t.a.flatten(1).norm(dim=1)),
                    b=numbers(t.b.flatten(1).norm(dim=1)))
        for t in tracks
    )  # fmt: skip
    return Norms(steps=tuple(trajectory.steps), a=a, b=b, modules=modules)


def locals_of(
    steps: Sequence[int], path: Tensor, distances: Sequence[int], limit: float
) -> tuple[Local, list[Turning]]:
    """Local cosines for every k, of B as it is and of its direction alone, what the filters drop, and the peaks."""
    curves: list[LocalCurve] = []
    turns: list[Turning] = []
    filters: list[NoiseFilter] = []
    missing: list[int] = []
    for k in distances:
        local, turned = _local(steps, path, k), _local(*unit_path(steps, path), k)
        if local is None:
            missing.append(k)
        else:
            curves.append(_curve(local, limit, "B"))
            turns.append(_turning("local cosine of B", _peak_of(local, limit), k=k, detail=f", k = {k}"))
            filters += [_filter(local, "text", FILTERS["text"]), _filter(local, "code", FILTERS["code"]),
                        _filter(local, "used", limit)]  # fmt: skip
        if turned is not None:
            # The filter knows raw norms; a unit vector has none.
            curves.append(_curve(turned, 0.0, "direction of B"))
    whole = Local(curves=tuple(curves), filters=tuple(filters), threshold=limit, missing=tuple(missing))
    return whole, turns


def _local(steps: Sequence[int], path: Tensor, k: int) -> LocalCosine | None:
    """The local cosine; None where no checkpoint has others at this distance on both sides."""
    try:
        return local_cosine(steps, path, k)
    except MisdirectionError:
        return None


def components(steps: Sequence[int], path: Tensor) -> tuple[Components, Turn]:
    """The first two principal components of B over time, beside those of shuffled paths, and the second's bend."""
    principal = principal_components(path)
    null = [principal_components(other).shares[:2] for other in shuffled_paths(path, 99, seed=0)]
    measured = Components(
        steps=tuple(steps),
        shares=numbers(principal.shares[:4]),
        null=numbers(sum(pair[i] for pair in null) / len(null) for i in (0, 1)),
        p=(1 + sum(pair[1] >= principal.shares[1] for pair in null)) / (1 + len(null)),
        first=numbers(principal.scores[:, 0]),
        second=numbers(principal.scores[:, 1]),
    )
    return measured, peak(steps, [abs(float(v)) for v in principal.bend])


def comp(trajectory: Trajectory, how: str, width: int) -> CompScore | None:
    """The comp score of several adapters' B; nothing for one adapter, whose local cosine says the same."""
    columns = trajectory.writing(width)
    if not 1 < columns.shape[2] <= 512:
        return None
    # Before the first step B is zero and has no score.
    text, code = (tuple(map(known_number, comp_path(columns, kind))) for kind in ("text", "code"))
    return CompScore(steps=tuple(trajectory.steps), columns=columns.shape[2], how=cast(Form, how), text=text, code=code)


def _lowest(score: CompScore) -> Turn:
    values = score.text if score.how == "text" else score.code
    return peak(score.steps, [math.nan if value is None else -value for value in values])


def gradient(gradients: Sequence[tuple[int, float]]) -> tuple[Gradient, Turn]:
    """The gradient's norm, as it is and smoothed, and its peak."""
    steps, values = [step for step, _ in gradients], [value for _, value in gradients]
    smooth = smoothed(values, WINDOW)
    return Gradient(steps=tuple(steps), norm=numbers(values), smooth=numbers(smooth)), peak(steps, smooth)


def _curve(local: LocalCosine, limit: float, of: Literal["B", "direction of B"]) -> LocalCurve:
    kept = local.kept(limit)
    values = tuple(float(v) if bool(good) else None for v, good in zip(local.cosine, kept, strict=True))
    return LocalCurve(
        k=local.k, of=of, steps=tuple(local.steps), cosine=values, displacement=numbers(local.displacement)
    )


def _peak_of(local: LocalCosine, limit: float) -> Turn:
    kept = local.kept(limit).tolist()
    pairs = [(s, float(v)) for s, v, good in zip(local.steps, local.cosine, kept, strict=True) if good]
    return peak([s for s, _ in pairs], [v for _, v in pairs])


def _filter(local: LocalCosine, name: Filter, limit: float) -> NoiseFilter:
    dropped = int((~local.kept(limit)).sum())
    return NoiseFilter(
        k=local.k, filter=name, threshold=limit, points=len(local.steps), dropped=dropped,
        peak=_peak_of(local, limit).step,
    )  # fmt: skip


def _knot(steps: Sequence[int], values: Sequence[float]) -> Turn:
    if len(steps) < 7:
        return Turn(None, None, None, "line of two pieces", "fewer than seven checkpoints")
    return broken_line(steps, values)


def _turning(measure: Measure, turn: Turn, *, k: int | None = None, detail: str = "") -> Turning:
    return Turning(measure=measure, quantity=f"{measure}{detail}", family="weights", k=k, turn=turn)
