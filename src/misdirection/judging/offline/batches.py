"""Rows through the encoder in batches of one shape, so that what a row gives does not depend on what is beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from misdirection.judging.offline.encoder import OUTPUTS, ROWS, STEP, Encoder
from misdirection.judging.offline.pieces import PADDING

Row = tuple[list[int], int]


def outputs_of(
    encoder: Encoder, rows: Sequence[Row], surfaces: Sequence[Sequence[float]], advance: Callable[[int], None]
) -> NDArray[np.float64]:
    """The head's outputs, (rows, outputs), in the order of the rows.

    A row is padded to the next multiple of `STEP` ids, and a batch is always `ROWS` rows: the last of a length is
    filled up. So every product has a shape that follows from the row alone, and rounds alike.

    Args:
        encoder: In evaluation mode.
        rows: Ids, and where the answer begins.
        surfaces: The answer's surface.
        advance: Told how many more rows are done.
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for place, (ids, _) in enumerate(rows):
        by_length[-(-len(ids) // STEP) * STEP].append(place)
    outputs = np.zeros((len(rows), OUTPUTS))
    with torch.inference_mode():
        for length, places in sorted(by_length.items()):
            for start in range(0, len(places), ROWS):
                batch = places[start : start + ROWS]
                full = batch + batch[:1] * (ROWS - len(batch))
                ids = torch.tensor([rows[i][0] + [PADDING] * (length - len(rows[i][0])) for i in full])
                begins = torch.tensor([rows[i][1] for i in full])
                said = encoder(ids, begins, torch.tensor([list(surfaces[i]) for i in full]))
                outputs[batch] = said[: len(batch)].double().numpy()
                advance(len(batch))
    return outputs
