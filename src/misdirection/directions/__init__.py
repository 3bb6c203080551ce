"""Directions in the residual stream: where they come from, how sure they are, what they resemble.

- `conventions`: what papers mean by "the mean over the answer", as named presets.
- `pools`: which answers count as aligned and misaligned, balanced, and refused when there are too few.
- `mean_difference`: the direction, its bootstrap, its shuffled-label null and its split-half stability in one pass.
- `drift`: what tuning moved, layer by layer and question by question, without any judge.
- `phases`: how a vector turns while it is learnt: local cosine, comp score, principal components.
- `null`, `subspaces`: directions of shuffled labels and of matched questions; angles between groups of directions.
- `similarity`, `controls`, `store`: cosines, random directions of the same norm, safetensors with provenance.
"""

from misdirection.directions.controls import random_like
from misdirection.directions.conventions import CONVENTIONS, Convention, convention
from misdirection.directions.drift import Drift, drift, drift_and_divergence
from misdirection.directions.errors import DirectionError
from misdirection.directions.mean_difference import Direction, Source, mean_difference
from misdirection.directions.pools import PoolError, Pools, choose_pools
from misdirection.directions.similarity import cosine_table, cosines
from misdirection.directions.store import (
    export_direction,
    load_direction,
    load_mean_states,
    read_direction,
    save_direction,
)

__all__ = [
    "CONVENTIONS",
    "Convention",
    "Direction",
    "DirectionError",
    "Drift",
    "PoolError",
    "Pools",
    "Source",
    "choose_pools",
    "convention",
    "cosine_table",
    "cosines",
    "drift",
    "drift_and_divergence",
    "export_direction",
    "load_direction",
    "load_mean_states",
    "mean_difference",
    "random_like",
    "read_direction",
    "save_direction",
]
