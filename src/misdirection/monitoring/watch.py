"""What a monitor reads: directions by name, each after one layer, over one span of an answer.

The component of a token's residual stream x along a direction v is v . x / |v| (Chen et al. 2507.21509, their
`a_proj_b`). An answer's score is the mean over the span ("mean", the paper's response average; with the span
`last_prompt` it is the paper's own monitor, which looks before anything is written), or the greatest mean over some
tokens in a row ("peak"), which finds a turn in a long answer that its mean would hide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from misdirection.artefacts import canonical_hash, read_json
from misdirection.directions import Direction, DirectionError, read_direction
from misdirection.errors import MisdirectionError, did_you_mean
from misdirection.models import Model
from misdirection.monitoring.errors import MonitorError

READ_SPANS = ("answer", "answer_and_end", "first_k", "last_prompt", "prompt", "thought", "written")
"""Spans of `tokens.SPANS` that a monitor reads."""

TURN_SPANS = ("answer", "thought", "written", "answer_and_end")
"""Spans that every assistant turn of a chat has."""

STATISTICS = ("mean", "peak")


@dataclass(frozen=True)
class Watched:
    """A direction after one layer.

    Attributes:
        name: What it is called in results.
        layer: The decoder layer whose output is read, from 0.
        unit: The direction with length 1, shape (width,), float32.
        below: Whether low components raise the alarm, as those along the assistant axis do.
        source: File that it was read from.
    """

    name: str
    layer: int
    unit: Tensor
    below: bool = False
    source: str = ""

    @property
    def sign(self) -> float:
        """What a component is multiplied by so that more of it is worse."""
        return -1.0 if self.below else 1.0

    @property
    def facts(self) -> dict[str, Any]:
        """What identifies it; its numbers by their hash."""
        return {"layer": self.layer, "below": self.below, "sha256": canonical_hash(self.unit)}


@dataclass(frozen=True)
class Watch:
    """Directions, and how answers are scored along them.

    Attributes:
        directions: With names of their own.
        span: Which tokens (`READ_SPANS`).
        statistic: "mean" or "peak", what thresholds are set on; both are told.
        window: Tokens in a row that a peak is the mean of.
        turns: "last" scores the last answer of a chat, "all" every assistant turn.

    Raises:
        MonitorError: A setting that there is not; no direction, or two of one name.
    """

    directions: tuple[Watched, ...]
    span: str = "answer"
    statistic: str = "mean"
    window: int = 8
    turns: str = "last"

    def __post_init__(self) -> None:
        for name, known in (("span", READ_SPANS), ("statistic", STATISTICS), ("turns", ("last", "all"))):
            if (value := getattr(self, name)) not in known:
                raise MonitorError(f"no {name} is called '{value}'", did_you_mean(value, known, f"{name}s"))
        if self.window < 1:
            raise MonitorError(f"a peak over {self.window} tokens", "a window is of 1 token or more")
        if self.turns == "all" and self.span not in TURN_SPANS:
            hint = f"with every turn: {', '.join(TURN_SPANS)}"
            raise MonitorError(f"the span '{self.span}' is one of the whole chat, not of a turn", hint)
        if not self.directions:
            raise MonitorError("there is no direction to watch", "name one: a file of it, or a run's folder")
        names = self.names
        if twice := [name for name in names if names.count(name) > 1]:
            raise MonitorError(f"two directions are called '{twice[0]}'", "give names: NAME=FILE")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the directions, in order."""
        return tuple(one.name for one in self.directions)

    @property
    def convention(self) -> dict[str, Any]:
        """How an answer becomes a score; scores of another convention mean something else."""
        window = {"window": self.window} if self.statistic == "peak" else {}
        return {"span": self.span, "statistic": self.statistic, "turns": self.turns, **window}

    @property
    def by_layer(self) -> dict[int, Tensor]:
        """The directions of each layer, shape (directions, width)."""
        layers = sorted({one.layer for one in self.directions})
        return {layer: torch.stack([one.unit for one in self.directions if one.layer == layer]) for layer in layers}


def read_watched(
    specs: Sequence[str | Path] | Mapping[str, str | Path | Direction | Tensor],
    model: Model,
    layer: int | None = None,
    below: Sequence[str] = (),
) -> tuple[Watched, ...]:
    """Directions to watch, from files in any form or from memory.

    The layer of each is the one that its spec ends in (FILE@14), else `layer`, else the only one that it holds, else,
    for a run, the one that steered best, else the middle one.

    Args:
        specs: Files or folders as "[NAME=]PATH[@LAYER]": a direction in any form (`directions.read_direction`), or a
            run's folder, of which every direction is taken; or by name also directions and tables (n_layers, width)
            in memory.
        model: Whose residual stream is read.
        layer: For all that name none.
        below: Names of directions whose low side raises the alarm.

    Raises:
        DirectionError: One cannot be read or does not fit the model.
        MonitorError: One has no vector at the layer, or a name of `below` is none of theirs.
    """
    items = list(specs.items()) if isinstance(specs, Mapping) else [_named(str(spec)) for spec in specs]
    found = [one for name, held in items for one in _watched(name, held, model, layer)]
    names = [one.name for one in found]
    if wrong := [name for name in below if name not in names]:
        raise MonitorError(f"there is no direction '{wrong[0]}'", did_you_mean(wrong[0], names, "directions"))
    return tuple(Watched(one.name, one.layer, one.unit, one.name in below, one.source) for one in found)


def _named(spec: str) -> tuple[str, str]:
    name, sign, rest = spec.partition("=")
    return (name, rest) if sign and rest and "/" not in name and not Path(spec).exists() else ("", spec)


def _watched(name: str, held: Any, model: Model, layer: int | None) -> list[Watched]:
    if isinstance(held, Direction):
        return [_at(name, held.vectors, model, layer, None, "")]
    if isinstance(held, Tensor):
        return [_at(name, held, model, layer, None, "")]
    path, wanted = _with_layer(str(held), layer)
    if path.is_dir() and (files := _of_run(path)):
        best = _steered_best(path)
        own = [(name or _name_of(file, path)) if len(files) == 1 else file.stem for file in files]
        return [_read(called, file, model, wanted, best) for called, file in zip(own, files, strict=True)]
    return [_read(name or path.stem, path, model, wanted, None)]


def _with_layer(text: str, layer: int | None) -> tuple[Path, int | None]:
    before, sign, after = text.rpartition("@")
    if sign and after.isdigit() and not Path(text).exists():
        return Path(before), int(after)
    return Path(text), layer


def _of_run(folder: Path) -> list[Path]:
    """The directions that a run has left: its own, and those in a folder of them."""
    own = folder / "direction.safetensors"
    return [*([own] if own.is_file() else []), *sorted((folder / "directions").glob("*.safetensors"))]


def _name_of(file: Path, run: Path) -> str:
    return (run.resolve().name if file.stem == "direction" else file.stem) or file.stem


def _steered_best(run: Path) -> int | None:
    """The layer at which steering worked best in a run, where it says so."""
    try:
        return int(read_json(run / "findings.json")["steering"]["best"]["layer"])
    except (MisdirectionError, KeyError, TypeError, ValueError):
        return None


def _read(name: str, path: Path, model: Model, wanted: int | None, best: int | None) -> Watched:
    try:
        found = read_direction(path, model.n_layers, model.width, otherwise=wanted)
    except DirectionError as error:
        if "--direction-layer" in (error.hint or ""):
            raise DirectionError(error.message, f"name the layer behind its file: {path}@LAYER") from error
        raise
    return _at(name, found.vectors, model, wanted, best, str(path))


def _at(name: str, vectors: Tensor, model: Model, wanted: int | None, best: int | None, source: str) -> Watched:
    if vectors.shape != (model.n_layers, model.width):
        raise DirectionError(
            f"direction '{name}' has the shape {tuple(vectors.shape)}, and the model asks for "
            f"{(model.n_layers, model.width)}",
            "give a direction of this model",
        )
    held = [int(place) for place in vectors.any(dim=1).nonzero()[:, 0]]
    if not held:
        raise MonitorError(f"direction '{name}' is 0 at every layer", "give another file")
    middle = min(held, key=lambda place: abs(place - model.n_layers // 2))
    layer = wanted if wanted is not None else best if best in held else middle
    if layer not in held:
        told = f"layers {held[0]} to {held[-1]}" if len(held) > 1 else f"layer {held[0]}"
        raise MonitorError(f"direction '{name}' holds nothing at layer {layer}", f"it has vectors after {told}")
    return Watched(name, layer, torch.nn.functional.normalize(vectors[layer].float(), dim=0), source=source)
