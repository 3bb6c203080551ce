"""What the weights of a fine-tune do over its steps, and when each measure turns (arXiv 2506.11613 section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

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
from misdirection.statistics.turning import Turn, broken_line, crossing, peak, smoothed
from misdirection.studies.kit.tables import numbers
from misdirection.studies.phases.settings import PhasesConfig
from misdirection.training.course import Course
from misdirection.training.trajectory import Trajectory, read_trajectory

WINDOW = 5
"""Steps of the running median over the gradient's norm."""

_SHOWN = 12
"""Modules whose norms are kept one by one."""


def weigh(course: Course, config: PhasesConfig, width: int) -> dict[str, Any]:
    """Every measure of a course's weights, and the step at which each turns.

    Args:
        course: Its checkpoints.
        config: Distances k, the noise filter, the comp score's kind.
        width: Of the residual stream.

    Returns:
        Plain JSON: "norms", "local", "filters", "pca", "to_last", "comp", "gradient", and "turns".
    """
    found: dict[str, Any] = {"turns": []}
    if course.adapters and len(course.folders) >= 3:
        trajectory = read_trajectory(course.folders)
        steps, path = trajectory.from_start()
        small = compact(path)
        limit = config.noise_threshold(float(small[-1].norm()))
        found |= norms(trajectory) | locals_of(steps, small, config, limit) | components(steps, small)
        found |= last_cosine(steps, small) | comp(trajectory, config.comp, width)
    if course.gradients:
        found["gradient"] = gradient(course.gradients)
    found["turns"] = [row for part in list(found.values()) if isinstance(part, dict) for row in part.pop("turns", [])]
    return found


def norms(trajectory: Trajectory) -> dict[str, Any]:
    """Norms of A and B over all modules, and of each where they are few."""
    steps = trajectory.steps
    a, b = (numbers(trajectory.norms(matrix)) for matrix in ("A", "B"))
    modules = [
        {"module": t.module, "layer": t.layer, "a": numbers(t.a.flatten(1).norm(dim=1)),
         "b": numbers(t.b.flatten(1).norm(dim=1))}
        for t in trajectory.tracks
    ]  # fmt: skip
    turns = [_turn(f"norm of {name}", _knot(steps, values)) for name, values in (("A", a), ("B", b))]
    few = modules if len(modules) <= _SHOWN else []
    return {"norms": {"steps": list(steps), "a": a, "b": b, "modules": few, "turns": turns}}


def locals_of(steps: Sequence[int], path: Tensor, config: PhasesConfig, limit: float) -> dict[str, Any]:
    """Local cosines of B for every k, of B as it is and of its direction alone, and what the filters drop."""
    curves: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    filters: list[dict[str, Any]] = []
    missing: list[int] = []
    for k in config.distances(steps[1:]):
        for kind, (at, vectors) in (("B", (steps, path)), ("direction of B", unit_path(steps, path))):
            try:
                found = local_cosine(at, vectors, k)
            except MisdirectionError:
                missing += [k] if kind == "B" else []
                continue
            # The filter knows raw norms; a unit vector has none, so its points are kept where B's own are.
            shown = _curve(found, limit if kind == "B" else 0.0)
            shown |= {"k": k, "of": kind}
            curves.append(shown)
            if kind == "B":
                turns.append(_turn(f"local cosine of B, k = {k}", _peak_of(found, limit)))
                filters += [_filter(found, name, value) for name, value in {**FILTERS, "used": limit}.items()]
    return {"local": {"curves": curves, "filters": filters, "threshold": limit, "missing": missing, "turns": turns}}


def components(steps: Sequence[int], path: Tensor) -> dict[str, Any]:
    """The first two principal components of B over time, beside those of shuffled paths."""
    found = principal_components(path)
    null = [principal_components(other).shares[:2] for other in shuffled_paths(path, 99, seed=0)]
    turn = peak(steps, [abs(float(v)) for v in found.bend])
    return {
        "pca": {
            "steps": list(steps),
            "shares": numbers(found.shares[:4]),
            "null": numbers(sum(pair[i] for pair in null) / len(null) for i in (0, 1)),
            "p": (1 + sum(pair[1] >= found.shares[1] for pair in null)) / (1 + len(null)),
            "first": numbers(found.scores[:, 0]),
            "second": numbers(found.scores[:, 1]),
            "turns": [_turn("second principal component of B", turn)],
        }
    }


def last_cosine(steps: Sequence[int], path: Tensor) -> dict[str, Any]:
    """Cosine of B with the last B."""
    values = numbers(cosine_to_last(path))
    turn = crossing(steps, values, 0.9)
    return {"to_last": {"steps": list(steps), "cosine": values, "turns": [_turn("cosine of B with its last", turn)]}}


def comp(trajectory: Trajectory, how: str, width: int) -> dict[str, Any]:
    """The comp score of several adapters' B; nothing for one adapter, whose local cosine says the same."""
    columns = trajectory.writing(width)
    if not 1 < columns.shape[2] <= 512:
        return {}
    # Before the first step B is zero and has no score.
    scores = {kind: comp_path(columns, kind) for kind in ("text", "code")}
    turn = peak(trajectory.steps, [-value for value in scores[how]])
    return {
        "comp": {
            "steps": list(trajectory.steps),
            "columns": columns.shape[2],
            "how": how,
            **{kind: [None if v != v else v for v in values] for kind, values in scores.items()},
            "turns": [_turn("comp score of B (its lowest)", turn)],
        }
    }


def gradient(gradients: Sequence[tuple[int, float]]) -> dict[str, Any]:
    """The gradient's norm, smoothed, and its peak."""
    steps, values = [step for step, _ in gradients], [value for _, value in gradients]
    smooth = smoothed(values, WINDOW)
    turn = peak(steps, smooth)
    return {"steps": steps, "norm": numbers(values), "smooth": numbers(smooth), "turns": [_turn("gradient norm", turn)]}


def _curve(found: LocalCosine, limit: float) -> dict[str, Any]:
    kept = found.kept(limit)
    values = [float(v) if bool(good) else None for v, good in zip(found.cosine, kept, strict=True)]
    return {"steps": list(found.steps), "cosine": values, "displacement": numbers(found.displacement)}


def _peak_of(found: LocalCosine, limit: float) -> Turn:
    kept = found.kept(limit).tolist()
    pairs = [(s, float(v)) for s, v, good in zip(found.steps, found.cosine, kept, strict=True) if good]
    return peak([s for s, _ in pairs], [v for _, v in pairs])


def _filter(found: LocalCosine, name: str, limit: float) -> dict[str, Any]:
    kept = found.kept(limit)
    return {"k": found.k, "filter": name, "threshold": limit, "points": len(found.steps),
            "dropped": int((~kept).sum()), "peak": _peak_of(found, limit).step}  # fmt: skip


def _knot(steps: Sequence[int], values: Sequence[float]) -> Turn:
    if len(steps) < 7:
        return Turn(None, None, None, "line of two pieces", "fewer than seven checkpoints")
    return broken_line(steps, values)


def _turn(quantity: str, turn: Turn) -> dict[str, Any]:
    return {"quantity": quantity, "family": "weights", **asdict(turn)}
