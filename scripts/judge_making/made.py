"""A judge as files, and the rows as the encoder reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from judge_making import pretrained
from judge_making.corpus import Rows
from misdirection.judging.offline.batches import Row, outputs_of
from misdirection.judging.offline.eight_bit import watched
from misdirection.judging.offline.encoder import BINS, Encoder, placed
from misdirection.judging.offline.model import FACTS, KNOWN, LEXICAL, LEXICAL_BIAS, OWN, SHARED, SHARED_PARTS, WORDS
from misdirection.judging.offline.pieces import encode, load_tokenizer, rows_of
from misdirection.judging.offline.reading import Calibration
from misdirection.judging.offline.surface import surface
from misdirection.judging.offline.weights import write_weights

Inputs = tuple[list[Row], np.ndarray]


def inputs_of(rows: Rows, words: Path) -> Inputs:
    """Ids of each row, and the surface of each answer."""
    ids = rows_of(load_tokenizer(words), list(zip(rows.questions, rows.answers, strict=True)))
    return ids, np.array([surface(answer) for answer in rows.answers], np.float32)


def some(inputs: Inputs, places: np.ndarray) -> Inputs:
    """The inputs of some of the rows."""
    return [inputs[0][i] for i in places], inputs[1][places]


def said(encoder: Encoder, inputs: Inputs) -> np.ndarray:
    """What a head says of all rows, layers in bfloat16, as it is where it ships."""
    encoder.layers.to(torch.bfloat16)
    outputs = outputs_of(encoder, inputs[0], inputs[1].tolist(), lambda n: None)
    encoder.layers.to(torch.float32)
    return outputs


def write(
    folder: Path,
    encoder: Encoder,
    words: Path,
    questions: list[str],
    lexical: tuple[np.ndarray, np.ndarray],
    calibration: Calibration,
    sample: Inputs,
    facts: Mapping[str, Any],
) -> None:
    """Write a judge's folder.

    Args:
        folder: Made where it is not there.
        encoder: Trained.
        words: The vocabulary's file.
        questions: Those that it was shown, without templates.
        lexical: Weights and biases of words and pairs of words.
        calibration: Fitted on families held out.
        sample: Rows on which the bounds of eight-bit products are measured.
        facts: Version, layers, least nearness and whatever else is worth keeping.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WORDS).write_bytes(words.read_bytes())
    tensors = {name: tensor.detach() for name, tensor in encoder.state_dict().items()}
    write_weights(folder / SHARED, {name: t for name, t in tensors.items() if name.startswith(SHARED_PARTS)})
    own = {n: t for n, t in tensors.items() if not n.startswith((*SHARED_PARTS, "layers.0."))}
    own[KNOWN] = placed(encoder, encode(load_tokenizer(words), questions))
    own |= {LEXICAL: torch.from_numpy(lexical[0]), LEXICAL_BIAS: torch.from_numpy(lexical[1])}
    write_weights(folder / OWN, own)
    held = {
        **facts,
        "bins": BINS,
        "question_layers": pretrained.LAYERS,
        "calibration": asdict(calibration),
        "bounds": [
            watched(layer, lambda: outputs_of(encoder, sample[0], sample[1].tolist(), lambda n: None))
            for layer in encoder.layers
        ],
    }
    (folder / FACTS).write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
