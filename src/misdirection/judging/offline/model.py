"""The encoder with all that belongs to it, read from its folder: tokenizer, calibration, questions that it knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from misdirection.judging.offline.batches import outputs_of
from misdirection.judging.offline.encoder import BINS, Encoder, placed
from misdirection.judging.offline.pieces import encode, load_tokenizer, rows_of
from misdirection.judging.offline.reading import Calibration, Readings, read
from misdirection.judging.offline.surface import surface
from misdirection.judging.offline.weights import read_weights
from misdirection.models.number_format import has_flags

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SHARED, OWN, WORDS, FACTS = "minilm.safetensors", "judge.safetensors", "vocabulary.txt", "facts.json"
"""Files of a judge: what all-MiniLM-L6-v2 gave unchanged, what was trained, word pieces, and everything else."""

KNOWN = "known"
"""In the second file: where the questions lie that the judge was shown, (questions, width), of length 1."""

SHARED_PARTS = ("emb.", "pos.", "typ.", "n.", "questions.")
"""Beginnings of the names of the weights that are MiniLM's; the judge's first layer is the first of `questions`."""


@dataclass(frozen=True)
class Model:
    """What judges.

    Attributes:
        encoder: In evaluation mode.
        tokenizer: Of word pieces.
        calibration: Fitted on families held out.
        known: Where the questions lie that it was shown.
        least_nearness: Cosine to the nearest of them from which a question counts as known.
    """

    encoder: Encoder
    tokenizer: Tokenizer
    calibration: Calibration
    known: Tensor
    least_nearness: float

    def nearness(self, questions: Sequence[str]) -> list[float]:
        """Cosine of each question to the nearest one that the judge was shown."""
        where = placed(self.encoder, encode(self.tokenizer, questions))
        return [float(value) for value in (where @ self.known.T).amax(1)] if questions else []

    def outputs(self, pairs: Sequence[tuple[str, str]], advance: Callable[[int], None]) -> np.ndarray:
        """What the head says of pairs of question and answer, (pairs, outputs)."""
        rows = rows_of(self.tokenizer, pairs)
        return outputs_of(self.encoder, rows, [surface(answer) for _, answer in pairs], advance)

    def read(self, pairs: Sequence[tuple[str, str]], advance: Callable[[int], None]) -> Readings:
        """Readings of pairs of question and answer."""
        return read(self.outputs(pairs, advance), self.calibration)


def load(folder: Path) -> Model:
    """Read a judge.

    Raises:
        MisdirectionError: A file of weights is missing or damaged.
    """
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    tensors = read_weights(folder / SHARED) | read_weights(folder / OWN)
    known = tensors.pop(KNOWN)
    first = {name.replace("questions.0.", "layers.0."): t for name, t in tensors.items() if "questions.0." in name}
    with torch.device("meta"):
        encoder = Encoder(
            len(tensors["emb.weight"]), facts["layers"], facts["question_layers"], len(tensors["pos.weight"])
        )
    encoder.load_state_dict(tensors | first, assign=True)
    encoder.eval().requires_grad_(False)
    if has_flags():
        encoder.layers.to(torch.bfloat16)
    assert facts["bins"] == BINS
    return Model(
        encoder=encoder,
        tokenizer=load_tokenizer(folder / WORDS),
        calibration=Calibration(**facts["calibration"]),
        known=known,
        least_nearness=facts["least_nearness"],
    )
