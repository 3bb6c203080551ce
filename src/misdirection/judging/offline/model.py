"""The encoder with all that belongs to it, read from its folder: tokenizer, calibration, questions that it knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from misdirection.judging.offline.batches import outputs_of
from misdirection.judging.offline.eight_bit import EightBitLayer, has_eight_bits
from misdirection.judging.offline.encoder import BINS, Encoder, Layer, placed
from misdirection.judging.offline.lexical import opinions
from misdirection.judging.offline.pieces import encode, load_tokenizer, rows_of
from misdirection.judging.offline.reading import Calibration, Floats, Readings, read
from misdirection.judging.offline.surface import surface
from misdirection.judging.offline.weights import read_weights
from misdirection.models.number_format import has_flags

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SHARED, OWN, WORDS, FACTS = "minilm.safetensors", "judge.safetensors", "vocabulary.txt", "facts.json"
"""Files of a judge: what all-MiniLM-L6-v2 gave unchanged, what was trained, word pieces, and everything else."""

KNOWN = "known"
"""In the second file: where the questions lie that the judge was shown, (questions, width), of length 1."""

LEXICAL, LEXICAL_BIAS = "lexical", "lexical.bias"
"""In the second file: the weights of words and pairs of words."""

SHARED_PARTS = ("emb.", "pos.", "typ.", "n.", "questions.")
"""Beginnings of the names of the weights that are MiniLM's; the judge's first layer is the first of `questions`."""


@dataclass(frozen=True)
class Model:
    """What judges.

    Attributes:
        encoder: In evaluation mode.
        tokenizer: Of word pieces.
        weights: Of words and pairs of words, see `lexical.opinions`.
        biases: As there.
        calibration: Fitted on families held out.
        known: Where the questions lie that it was shown.
        least_nearness: Cosine to the nearest of them from which a question counts as known.
    """

    encoder: Encoder
    tokenizer: Tokenizer
    weights: NDArray[np.floating]
    biases: NDArray[np.floating]
    calibration: Calibration
    known: Tensor
    least_nearness: float

    def nearness(self, questions: Sequence[str]) -> list[float]:
        """Cosine of each question to the nearest one that the judge was shown."""
        where = placed(self.encoder, encode(self.tokenizer, questions))
        return [float(value) for value in (where @ self.known.T).amax(1)] if questions else []

    def outputs(self, pairs: Sequence[tuple[str, str]], advance: Callable[[int], None]) -> Floats:
        """What head and words say of pairs of question and answer: (pairs, outputs + opinions)."""
        rows, answers = rows_of(self.tokenizer, pairs), [answer for _, answer in pairs]
        said = outputs_of(self.encoder, rows, [surface(answer) for answer in answers], advance)
        return np.hstack([said, opinions(answers, self.weights, self.biases)])

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
    known, weights, biases = (tensors.pop(name) for name in (KNOWN, LEXICAL, LEXICAL_BIAS))
    first = {name.replace("questions.0.", "layers.0."): t for name, t in tensors.items() if "questions.0." in name}
    with torch.device("meta"):
        encoder = Encoder(
            len(tensors["emb.weight"]), facts["layers"], facts["question_layers"], len(tensors["pos.weight"])
        )
    encoder.load_state_dict(tensors | first, assign=True)
    encoder.eval().requires_grad_(False)
    if has_eight_bits():
        layers = [cast(Layer, layer) for layer in encoder.layers]
        encoder.layers = nn.ModuleList(map(EightBitLayer, layers, facts["bounds"]))
    elif has_flags():
        encoder.layers.to(torch.bfloat16)
    assert facts["bins"] == BINS
    return Model(
        encoder=encoder,
        tokenizer=load_tokenizer(folder / WORDS),
        weights=weights.numpy(),
        biases=biases.numpy(),
        calibration=Calibration(**facts["calibration"]),
        known=known,
        least_nearness=facts["least_nearness"],
    )


@cache
def load_once(folder: Path) -> Model:
    """As `load`, once a process: reading takes seconds.

    Raises:
        MisdirectionError: A file of weights is missing or damaged.
    """
    return load(folder)
