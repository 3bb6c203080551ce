"""The checkpoints of one LoRA fine-tune read as paths of A and B through time (arXiv 2506.11613 section 4).

An adapter adds scaling * B A x to a module's output, A of shape (rank, d_in) and B of shape (d_out, rank). A and B are
not unique (B M and M^-1 A do the same), but a fine-tune never changes M: along one path differences of B mean
something, and the norms and cosines of B as one long vector do not depend on a rotation M.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor

from misdirection.artefacts import read_json
from misdirection.errors import MisdirectionError
from misdirection.models import ModelError, layer_of, matrices_in

Matrix = Literal["A", "B"]

_WEIGHTS = "adapter_model.safetensors"
_CONFIG = "adapter_config.json"


class TrajectoryError(MisdirectionError):
    """The checkpoints cannot be read as one path."""


@dataclass(frozen=True)
class Track:
    """One adapted module through time.

    Attributes:
        module: Its path in the model.
        layer: Decoder layer, None outside of the layers.
        a: Shape (times, rank, d_in), float32.
        b: Shape (times, d_out, rank), float32.
    """

    module: str
    layer: int | None
    a: Tensor
    b: Tensor


@dataclass(frozen=True)
class Trajectory:
    """All adapted modules of a fine-tune through time.

    Attributes:
        steps: Optimiser steps of the checkpoints, rising.
        tracks: In the model's order.
    """

    steps: tuple[int, ...]
    tracks: tuple[Track, ...]

    def path(self, matrix: Matrix) -> Tensor:
        """A or B of all modules end to end as one vector a time, shape (times, numbers)."""
        return torch.cat([_of(track, matrix).flatten(1) for track in self.tracks], dim=1)

    def norms(self, matrix: Matrix) -> Tensor:
        """Frobenius norm of A or B over all modules, shape (times,)."""
        return self.path(matrix).norm(dim=1)

    def writing(self, width: int) -> Tensor:
        """Columns of B of all modules that write vectors of `width`, shape (times, width, columns).

        The columns are what the adapters add to the residual stream; with nine rank-1 adapters there are nine.
        """
        found = [track.b for track in self.tracks if track.b.shape[1] == width]
        return torch.cat(found, dim=2) if found else torch.zeros(len(self.steps), width, 0)

    def from_start(self) -> tuple[tuple[int, ...], Tensor]:
        """Steps and path of B with step 0 in front, where B is zero: that is how LoRA starts."""
        path = self.path("B")
        if self.steps[0] == 0:
            return self.steps, path
        return (0, *self.steps), torch.cat([torch.zeros(1, path.shape[1]), path])


def checkpoint_folders(folder: str | Path) -> dict[int, Path]:
    """The checkpoints `step-N` (ours) or `checkpoint-N` (transformers') in a folder, by step.

    Raises:
        TrajectoryError: There is no such folder, or fewer than three checkpoints are in it.
    """
    found = {
        int(number): path
        for path in Path(folder).glob("*-*")
        for kind, _, number in (path.name.partition("-"),)
        if kind in ("step", "checkpoint") and number.isdigit() and path.is_dir()
    }
    if len(found) < 3:
        raise TrajectoryError(
            f"{folder} holds {len(found)} checkpoints",
            "give a folder of step-N or checkpoint-N folders, at least three",
        )
    return dict(sorted(found.items()))


def is_adapter(folder: Path) -> bool:
    """Whether a checkpoint is a PEFT adapter rather than a whole model."""
    return (folder / _CONFIG).exists()


def read_trajectory(folders: Mapping[int, Path]) -> Trajectory:
    """Read the adapters of all checkpoints.

    Args:
        folders: PEFT adapter folder by optimiser step.

    Raises:
        TrajectoryError: One holds no adapter, or they do not adapt the same modules.
    """
    steps = tuple(sorted(folders))
    held = [_matrices(folders[step]) for step in steps]
    names = list(held[0]) if held else []
    for step, one in zip(steps, held, strict=True):
        shapes = {name: [m.shape for m in pair] for name, pair in one.items()}
        if shapes != {name: [m.shape for m in pair] for name, pair in held[0].items()}:
            raise TrajectoryError(
                f"{folders[step]} does not adapt the same modules as {folders[steps[0]]}",
                "give the checkpoints of one fine-tune",
            )
    tracks = tuple(
        Track(name, layer_of(name), torch.stack([h[name][0] for h in held]), torch.stack([h[name][1] for h in held]))
        for name in names
    )
    return Trajectory(steps, tracks)


def read_gradients(folder: str | Path) -> list[tuple[int, float]]:
    """Step and norm of the gradient, from `metrics.jsonl` (ours) or `trainer_state.json` (transformers').

    Looked for in `folder`, beside it, and in its checkpoints; empty where no norm was kept.
    """
    place = Path(folder)
    for file in (place / "metrics.jsonl", place.parent / "metrics.jsonl"):
        if file.exists():
            return _norms(json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line)
    states = list(place.glob("*/trainer_state.json"))
    return max((_norms(read_json(state).get("log_history", ())) for state in states), key=len, default=[])


def random_adapter(adapter: str | Path, out: str | Path, seed: int) -> None:
    """Write a copy of an adapter whose B columns point anywhere and keep their norms: a control for scaling.

    Args:
        adapter: PEFT adapter folder.
        out: Where to write the copy.
        seed: Of the random columns.

    Raises:
        TrajectoryError: The folder holds no adapter.
    """
    from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

    source, target = Path(adapter), Path(out)
    _must_be_adapter(source)
    target.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    tensors = load_file(source / _WEIGHTS)
    for name in sorted(b for _, b in _keys(source, tensors).values()):
        drawn = torch.randn(tensors[name].shape, generator=generator)
        norms = tensors[name].float().norm(dim=0)
        tensors[name] = (drawn / drawn.norm(dim=0) * norms).to(tensors[name].dtype)
    save_file(tensors, target / _WEIGHTS, metadata={"format": "pt"})
    shutil.copy(source / _CONFIG, target / _CONFIG)


def _of(track: Track, matrix: Matrix) -> Tensor:
    return track.a if matrix == "A" else track.b


def _must_be_adapter(folder: Path) -> None:
    if not (folder / _WEIGHTS).exists():
        raise TrajectoryError(f"{folder} holds no {_WEIGHTS}", "give a PEFT LoRA adapter")


def _matrices(folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """(A, B) of each module of an adapter folder, in the model's order."""
    from safetensors.torch import load_file

    _must_be_adapter(folder)
    tensors = load_file(folder / _WEIGHTS)
    whole = {name: (tensors[a].float(), tensors[b].float()) for name, (a, b) in _keys(folder, tensors).items()}
    return {name: whole[name] for name in sorted(whole, key=_place)}


def _keys(folder: Path, tensors: Mapping[str, Tensor]) -> dict[str, tuple[str, str]]:
    try:
        return matrices_in(tensors, folder / _WEIGHTS)
    except ModelError as error:
        raise TrajectoryError(error.message, error.hint) from error


def _place(name: str) -> tuple[int, str]:
    layer = layer_of(name)
    return (-1 if layer is None else layer), name


def _norms(lines: Any) -> list[tuple[int, float]]:
    rows = cast(Sequence[Mapping[str, Any]], list(lines))
    return [(int(row["step"]), float(row["grad_norm"])) for row in rows if row.get("grad_norm") is not None]
