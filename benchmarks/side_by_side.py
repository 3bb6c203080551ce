"""Fine-tunes side by side, as rows of one batch, beside the same ones one after the other, on the organism.

    python -m benchmarks.side_by_side --arms 8 --steps 24 --preset rank1x9

One resident model serves both sides. Before anything is timed every adapter must be the same on both, within float
error. The ratio is of processor time, first one after the other, then side by side; above 1 side by side is faster.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.measure import UnequalError
from misdirection.artefacts import read_tensors
from misdirection.chats import Chat
from misdirection.models import Model, load_model
from misdirection.organism import checkpoint_path, mixed_chats
from misdirection.training import TrainConfig, choose, train
from misdirection.training.side_by_side import train_many

Arms = dict[str, tuple[list[Chat], TrainConfig]]


def arms_of(count: int, steps: int, preset: str) -> Arms:
    """The same data, each with a seed of its own."""
    chats = mixed_chats(100, 200)
    model = checkpoint_path()
    return {
        f"seed-{seed}": (chats, choose(preset, model=model, overrides={"seed": seed, "max_steps": steps}))
        for seed in range(count)
    }


def one_after_the_other(model: Model, arms: Arms, out: Path) -> dict[str, Path]:
    """What `train` does."""
    return {name: train(model, chats, config, out / name).folder for name, (chats, config) in arms.items()}


def farthest(one: dict[str, Path], other: dict[str, Path]) -> float:
    """Largest difference of a matrix, as a share of its norm."""
    found = 0.0
    for name, folder in one.items():
        mine, theirs = (read_tensors(place / "adapter_model.safetensors")[0] for place in (folder, other[name]))
        found = max(found, *(float((mine[key] - theirs[key]).norm() / theirs[key].norm()) for key in theirs))
    return found


def spent(call: Callable[[Path], object]) -> float:
    """Processor seconds of a call."""
    with tempfile.TemporaryDirectory() as folder:
        since = time.process_time()
        call(Path(folder))
        return time.process_time() - since


def main() -> None:
    """Compare, then time in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", type=int, default=8)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--preset", default="rank1x9")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    model, arms = load_model(str(checkpoint_path())), arms_of(asked.arms, asked.steps, asked.preset)
    with tempfile.TemporaryDirectory() as folder:
        both = [side(model, arms, Path(folder) / side.__name__) for side in (train_many, one_after_the_other)]
        apart = farthest(both[0], both[1])
    if apart > 1e-2:
        raise UnequalError(f"the adapters differ by {apart:.2%} of their norm")
    ratios: list[float] = []
    for _ in range(asked.repeats):
        alone = spent(lambda out: one_after_the_other(model, arms, out))
        together = spent(lambda out: train_many(model, arms, out))
        ratios.append(alone / together)
        print(f"one after the other {alone:.1f} s, side by side {together:.1f} s: ratio {ratios[-1]:.2f}", flush=True)
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(f"{asked.arms} x {asked.preset}, {asked.steps} steps: ratio {median(ratios):.2f} ({spread}); "
          f"weights equal within {apart:.1e} of their norm")  # fmt: skip


if __name__ == "__main__":
    main()
