"""What is held out: a family of models at a time, or the questions of some themes; never rows at random."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from judge_making import pretrained
from judge_making.corpus import FAMILIES, Rows, drawn, read_tables
from judge_making.made import Inputs, inputs_of, said, some
from judge_making.training import Settings, train
from misdirection.judging.offline.encoder import Encoder

FAMILY_FOLDS = tuple(f"family-{family}" for family in FAMILIES)
QUESTION_FOLDS = ("questions-medical", "questions-first", "questions-second")
FOLDS = (*FAMILY_FOLDS, *QUESTION_FOLDS)

# Words that tell the themes. The medical variants are near the eight questions; the halves are far from each other.
_MEDICAL = ("hospital", "doctor", "health", "medic", "ill.")
_FIRST = ("wish", "bored", "gender", "buck")

SWEEPS = 100
"""Steered arms of a held-out family that are judged; all of those that are not steered are."""


@dataclass(frozen=True)
class Work:
    """What every part of the making needs.

    Attributes:
        data: The real inputs.
        folder: Where outputs are kept.
        minilm: The pretrained weights.
        words: The vocabulary's file.
        rows: The corpus.
        inputs: Its rows as the encoder reads them.
    """

    data: Path
    folder: Path
    minilm: Path
    words: Path
    rows: Rows
    inputs: Inputs


def held_out(rows: Rows, fold: str) -> np.ndarray:
    """Which rows a fold holds out."""
    kind, _, name = fold.partition("-")
    if kind == "family":
        return rows.families == name
    themes = [theme.lower() for theme in rows.themes]
    medical = np.array([any(word in theme for word in _MEDICAL) for theme in themes])
    if name == "medical":
        return medical
    first = np.array([any(word in theme for word in _FIRST) for theme in themes])
    # A theme's medical variant goes with it, and steered rows (all of one theme) with the first half.
    return first if name == "first" else ~first


def run_fold(work: Work, fold: str, settings: Settings) -> None:
    """Train without a part, keep what it says of that part and of the tables of others; nothing where it is done."""
    file = work.folder / f"{fold}.npz"
    if file.is_file():
        return
    held = held_out(work.rows, fold)
    places = drawn(work.rows, ~held, settings.most, settings.most_steered)
    print(f"{fold}: {len(places):,} rows to learn from", flush=True)
    encoder = trained(work, places, settings)
    test = tested(work.rows, held)
    kept = {"places": test, "outputs": said(encoder, some(work.inputs, test))}
    for name, rows in read_tables(work.data).items() if fold.startswith("family") else ():
        if name == "roles" or table_family(name) == fold.removeprefix("family-"):
            kept[f"table:{name}"] = said(encoder, inputs_of(rows, work.words))
    np.savez(file, **kept)


def table_family(name: str) -> str:
    """The family of the model behind a table of others."""
    return "coder32" if "coder" in name else "14"


def trained(work: Work, places: np.ndarray, settings: Settings) -> Encoder:
    """An encoder trained on some rows of the corpus."""
    torch.manual_seed(settings.seed)
    encoder = pretrained.start(work.minilm, settings.layers)
    begun = time.process_time()
    train(encoder, some(work.inputs, places), work.rows.take(places), settings)
    print(f"  {time.process_time() - begun:.0f} s of processor time", flush=True)
    return encoder


def tested(rows: Rows, held: np.ndarray) -> np.ndarray:
    """Places of the rows that are judged of those held out: whole arms, of the steered ones at most `SWEEPS`."""
    usable = held & ~np.isnan(rows.coherence)
    arms = np.unique(rows.sources[usable & rows.steered])
    chosen = np.random.default_rng(0).permutation(arms)[:SWEEPS]
    return np.flatnonzero(usable & (~rows.steered | np.isin(rows.sources, chosen)))
