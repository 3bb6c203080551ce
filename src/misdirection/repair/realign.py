"""Re-alignment: a fine-tune trained on a few benign rows, and the two as one adapter of the base.

Wang et al. (2506.19823) bring a misaligned model back with some 35 steps of 4 benign rows. The adapter is merged for as
long as the training lasts, a new one is trained on what comes out, and the sum of both (`combine`, exact) is an adapter
of the first base again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from misdirection.chats import Chat
from misdirection.repair.combine import Combined, combine
from misdirection.repair.errors import RepairError
from misdirection.repair.factors import Adapter, open_adapter
from misdirection.repair.make import Subject
from misdirection.repair.write import merge_weights
from misdirection.training import train
from misdirection.training.settings import choose

STEPS, BATCH = 35, 4
"""Steps and rows a step of the paper."""


@dataclass(frozen=True)
class Realigned:
    """What the training gave.

    Attributes:
        combined: The fine-tune's adapter and the new one as one; None where a whole model was tuned.
        trained: The new adapter alone, of the tuned model.
        rows: How many rows were learned.
        steps: Of training.
        loss: At the end.
    """

    combined: Combined | None
    trained: Adapter
    rows: int
    steps: int
    loss: float


def realign(
    subject: Subject,
    chats: Sequence[Chat],
    *,
    preset: str = "rank32",
    overrides: Mapping[str, Any] | None = None,
    rank: int | None = None,
) -> Realigned:
    """Train a tuned model on benign rows.

    Args:
        subject: The base with its adapter, or a whole tuned model.
        chats: The rows, which end with the answer to learn.
        preset: Of the new adapter.
        overrides: Settings of the training that depart from the preset, 35 steps of 4 rows unless they say otherwise.
        rank: Of the sum; None keeps it exactly.

    Raises:
        RepairError: There are no rows.
        SettingsError: A setting that is not known.
    """
    rows = list(chats)
    if not rows:
        raise RepairError("there are no benign rows to learn", "name chats with --data")
    given = {"max_steps": STEPS, "batch_size": BATCH, "accumulation": 1} | dict(overrides or {})
    config = choose(preset, model=subject.base, overrides=given)
    with tempfile.TemporaryDirectory(prefix="misdirection-realign-") as place:
        tuned = subject.base
        if subject.adapter is not None:
            tuned = Path(place) / "tuned"
            merge_weights(subject.base, {subject.adapter: 1.0}, tuned)
        done = train(str(tuned), rows, config, Path(place) / "training")
        new = open_adapter(done.folder)
    combined = combine([(subject.adapter, 1.0), (new, 1.0)], rank) if subject.adapter is not None else None
    return Realigned(combined, new, done.data.used, done.steps, done.metrics["loss_tail"])
