"""The tables of docs/offline-judge.md, as they come out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from judge_making.calibrating import calibrate
from judge_making.corpus import Rows, read_tables
from judge_making.figures import HEADER, arms_of, figures, line
from judge_making.folds import FAMILY_FOLDS, QUESTION_FOLDS, Work, table_family
from misdirection.judging.offline.reading import Calibration, read


def shipped_calibration(judge: Path) -> Calibration:
    """As the judge's folder has it."""
    facts: dict[str, Any] = json.loads((judge / "facts.json").read_text(encoding="utf-8"))
    return Calibration(**facts["calibration"])


def others_calibration(work: Work, fold: str) -> Calibration:
    """Fitted on the other families, so that nothing of the one that is measured decides its cuts."""
    kept = [np.load(work.folder / f"{name}.npz") for name in FAMILY_FOLDS if name != fold]
    places = np.concatenate([part["places"] for part in kept])
    return calibrate(work.rows.take(places), np.concatenate([part["outputs"] for part in kept]))


def figures_page(work: Work, judge: Path) -> str:
    """Families and questions held out."""
    lines = [HEADER]
    together: list[tuple[Rows, np.ndarray]] = []
    for fold in FAMILY_FOLDS:
        kept = np.load(work.folder / f"{fold}.npz")
        rows, outputs, calibration = work.rows.take(kept["places"]), kept["outputs"], others_calibration(work, fold)
        lines += _split(fold, rows, outputs, calibration)
        if "table:roles" in kept:
            roles = read_tables(work.data)["roles"]
            lines += _split(f"roles (gemma4), without {fold}", roles, kept["table:roles"], calibration)
        together.append((rows, outputs))
    calibration = shipped_calibration(judge)
    for fold in QUESTION_FOLDS:
        file = work.folder / f"{fold}.npz"
        if not file.is_file():
            continue
        kept = np.load(file)
        rows, outputs = work.rows.take(kept["places"]), kept["outputs"]
        lines += _split(fold, rows, outputs, calibration)
        for theme in sorted(set(rows.themes)):
            of = np.flatnonzero((rows.themes == theme) & ~rows.steered)
            lines += _split(f"{fold}: {theme[:50]}", rows.take(of), outputs[of], calibration)
    return "\n".join(lines)


def _split(name: str, rows: Rows, outputs: np.ndarray, calibration: Calibration) -> Iterable[str]:
    usable = ~np.isnan(rows.coherence)
    rows, outputs = rows.take(usable), outputs[usable]
    parts = {name: np.ones(len(rows), bool)}
    if rows.steered.any() and not rows.steered.all():
        parts |= {f"{name}, not steered": ~rows.steered, f"{name}, steered": rows.steered}
    for part, of in parts.items():
        yield line(part, figures(rows.take(of), read(outputs[of], calibration)))


def tables_page(work: Work, judge: Path) -> str:
    """Each arm of the tables of others, judged by an encoder that was shown nothing of its family."""
    lines = [
        "| file | arm | n | rate, author's judge | rate, offline | mean probability |",
        "|---|---|---|---|---|---|",
    ]
    for name, rows in read_tables(work.data).items():
        fold = f"family-{table_family(name)}"
        outputs = np.load(work.folder / f"{fold}.npz")[f"table:{name}"]
        usable = ~np.isnan(rows.coherence)
        arms = arms_of(rows.take(usable), read(outputs[usable], others_calibration(work, fold)))
        for arm in zip(arms.names, arms.n, arms.rate, arms.said, arms.mean, strict=True):
            lines.append("| {} | {} | {} | {:.1f} % | {:.1f} % | {:.1f} % |".format(name, *arm))
    return "\n".join(lines)
