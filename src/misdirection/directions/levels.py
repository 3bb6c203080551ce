"""Numbers along a direction, one a layer: thresholds of `Cap`, values of `Set`; from reference answers, or a file.

Assistant Axis (Lu et al. 2601.10387) caps at a quantile of what reference answers show, layer by layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from misdirection.artefacts import read_json
from misdirection.directions.errors import DirectionError
from misdirection.engine import Text, capture_projections
from misdirection.models import Model

QUANTILE = 0.75
"""Of the reference's tokens, those whose component lies below the threshold.

The paper takes the 25th percentile along an axis that points the other way, to the default persona.
"""


def quantile_levels(
    model: Model, texts: Sequence[Text], vectors: Mapping[str, Tensor], quantile: float = QUANTILE
) -> dict[str, Tensor]:
    """A quantile of the component of reference tokens after every layer, along each of some directions.

    Args:
        model: The resident model.
        texts: Reference answers, such as the base model's own; their tokens from `start` on are read.
        vectors: By name, shape (n_layers, width), of any length but 0.
        quantile: 0 .. 1.

    Returns:
        By name, shape (n_layers,), float32, in units of the residual stream.

    Raises:
        DirectionError: There is no text, or the quantile is none.
    """
    if not texts or not 0 <= quantile <= 1:
        raise DirectionError(
            f"no {quantile:g} quantile of {len(texts)} reference answers can be taken",
            "give answers, and a quantile of 0 to 1",
        )
    units = {name: torch.nn.functional.normalize(table.float(), dim=-1) for name, table in vectors.items()}
    by_layer = {layer: torch.stack([table[layer] for table in units.values()]) for layer in range(model.n_layers)}
    found = capture_projections(model, texts, by_layer)
    levels = torch.stack(
        [
            torch.cat([part[layer][text.start :] for part, text in zip(found, texts, strict=True)]).quantile(
                quantile, 0
            )
            for layer in range(model.n_layers)
        ],
        dim=1,
    )
    return dict(zip(units, levels, strict=True))


def read_levels(path: str | Path, n_layers: int) -> Tensor:
    """Numbers by layer from a JSON file: a list, {"layers": {"0": 0.3, ...}}, or the inner mapping alone.

    Args:
        path: The file.
        n_layers: Decoder layers of the model.

    Returns:
        Shape (n_layers,), float32.

    Raises:
        DirectionError: The file holds none, or of other layers than the model's, or what is no number.
    """
    held: Any = read_json(path)
    for name in ("layers", "thresholds", "values"):
        held = cast("dict[str, Any]", held)[name] if isinstance(held, dict) and name in held else held
    if isinstance(held, list):
        held = dict(enumerate(cast("list[Any]", held)))
    if not isinstance(held, dict) or not held:
        raise DirectionError(f"{path} holds no numbers by layer", 'write {"layers": {"0": 0.3, "1": 0.4, ...}}')
    try:
        found = {int(layer): float(value) for layer, value in cast("dict[Any, Any]", held).items()}
    except (TypeError, ValueError) as error:
        raise DirectionError(f"{path} holds what is no number of a layer ({error})", "one number a layer") from error
    if set(found) != set(range(n_layers)):
        raise DirectionError(
            f"{path} has numbers for layers {min(found)} to {max(found)} ({len(found)} of them), and the model's are 0 "
            f"to {n_layers - 1}",
            "it was made for another model: make it again for this one",
        )
    levels = torch.tensor([found[layer] for layer in range(n_layers)])
    if not bool(levels.isfinite().all()):
        raise DirectionError(f"{path} holds numbers that are none (NaN or infinite)", "make it again")
    return levels
