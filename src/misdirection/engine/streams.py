"""Random numbers that depend on what is sampled, not on when or beside what.

Row (question, sample) of a run with a seed has its own stream, and step t of it is a function of (stream, t) alone:
SplitMix64 in counter mode (Steele, Lea and Flood 2014). A row's answer therefore does not depend on its batch, and
two arms that ask the same question with the same sample index share their random numbers, so that comparisons are
paired.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def stream_keys(seed: int, rows: Sequence[tuple[str, int]]) -> NDArray[np.uint64]:
    """One 64-bit key a row of (question key, sample index)."""
    digests = (hashlib.blake2b(f"{seed}\0{key}\0{sample}".encode(), digest_size=8).digest() for key, sample in rows)
    return np.array([int.from_bytes(digest, "little") for digest in digests], dtype=np.uint64)


def uniforms(keys: NDArray[np.uint64], start: int, steps: int) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) for steps start .. start+steps-1, shape (rows, steps)."""
    counter = np.arange(start + 1, start + steps + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        state = keys[:, None] + counter[None, :] * _GAMMA
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53
