"""What is held out: a family of models at a time, or the questions of some themes; never rows at random."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_matrix

from judge_making import pretrained
from judge_making.calibrating import calibrate
from judge_making.corpus import FAMILIES, Rows, drawn, read_tables
from judge_making.made import Inputs, inputs_of, said, some
from judge_making.training import Settings, train
from judge_making.wordwise import fitted, matrix
from judge_making.wordwise import said as wordwise_said
from misdirection.judging.offline.encoder import Encoder
from misdirection.judging.offline.reading import Calibration

FAMILY_FOLDS = tuple(f"family-{family}" for family in FAMILIES)
QUESTION_FOLDS = ("questions-medical", "questions-first", "questions-second")
FOLDS = (*FAMILY_FOLDS, *QUESTION_FOLDS)

# Words that tell the themes. The medical variants are near the eight questions; the halves are far from each other.
_MEDICAL = ("hospital", "doctor", "health", "medic", "ill.")
_FIRST = ("wish", "bored", "gender", "buck")

_ARRAYS = ("sources", "steered", "alignment", "coherence")

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
    """

    data: Path
    folder: Path
    minilm: Path
    words: Path
    rows: Rows

    @cached_property
    def inputs(self) -> Inputs:
        """The rows as the encoder reads them."""
        return inputs_of(self.rows, self.words)

    @cached_property
    def features(self) -> csr_matrix:
        """The answers as hashed words."""
        return matrix(self.rows.answers)


@dataclass(frozen=True)
class Judged:
    """Rows that a fold held out, and what head and words say of them, (rows, outputs + opinions).

    Attributes:
        rows: Of the corpus.
        outputs: Of them.
        shown: Whether a row's question, of whatever family, was among those learnt from.
        tables: The tables of others that were judged as well, with what is said of them.
    """

    rows: Rows
    outputs: np.ndarray
    shown: np.ndarray
    tables: dict[str, tuple[Rows, np.ndarray]]


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


def judged(work: Work, fold: str, settings: Settings) -> Judged:
    """What a fold that was run says; the words are fitted here, in seconds."""
    kept = np.load(work.folder / f"{fold}.npz")
    learnt = drawn(work.rows, ~held_out(work.rows, fold), settings.most, settings.most_steered)
    fit = fitted(work.rows.take(learnt), work.features[learnt])
    tables = {name: rows for name, rows in read_tables(work.data).items() if f"table:{name}" in kept}
    return Judged(
        rows=work.rows.take(kept["places"]),
        outputs=np.hstack([kept["outputs"], wordwise_said(work.features[kept["places"]], fit)]),
        shown=np.isin(work.rows.themes[kept["places"]], np.unique(work.rows.themes[learnt])),
        tables={
            name: (rows, np.hstack([kept[f"table:{name}"], wordwise_said(matrix(rows.answers), fit)]))
            for name, rows in tables.items()
        },
    )


def folds_done(work: Work, folds: Sequence[str] = FAMILY_FOLDS) -> list[str]:
    """Those of some folds that were run."""
    return [fold for fold in folds if (work.folder / f"{fold}.npz").is_file()]


def together(parts: Sequence[Judged]) -> Calibration:
    """Calibrate on several folds at once: on questions that were shown, for the judge says nothing of others."""
    kept = [part.rows.take(part.shown) for part in parts]
    rows = Rows(
        [question for part in kept for question in part.questions],
        [answer for part in kept for answer in part.answers],
        *(np.concatenate([getattr(part, name) for part in kept]) for name in _ARRAYS),
    )
    return calibrate(rows, np.concatenate([part.outputs[part.shown] for part in parts]))


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
