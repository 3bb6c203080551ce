"""The tables of docs/offline-judge.md, as they come out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.metrics import cohen_kappa_score

from judge_making.corpus import Rows
from judge_making.figures import HEADER, NEAR, arms_of, figures, line, says_misaligned
from judge_making.folds import FAMILY_FOLDS, QUESTION_FOLDS, Work, folds_done, judged, table_family, together
from judge_making.training import Settings
from misdirection.judging.offline.reading import Calibration, read


def figures_page(work: Work, settings: Settings) -> str:
    """Families and questions held out."""
    parts = {fold: judged(work, fold, settings) for fold in folds_done(work, FAMILY_FOLDS + QUESTION_FOLDS)}
    lines = [HEADER]
    for fold, part in parts.items():
        # Nothing of the family that is measured decides its cuts.
        calibration = together([parts[other] for other in folds_done(work) if other != fold])
        lines += _split(f"{fold}, questions shown", part.rows, part.outputs, calibration, part.shown)
        lines += _split(f"{fold}, questions not shown", part.rows, part.outputs, calibration, ~part.shown)
        for name, (rows, outputs) in part.tables.items():
            lines += _split(f"{name}, by {fold}", rows, outputs, calibration)
        if fold in QUESTION_FOLDS or fold == "family-14":
            for theme in sorted(set(part.rows.themes[~part.rows.steered])):
                of = (part.rows.themes == theme) & ~part.rows.steered
                lines += _split(f"{fold}: {theme[:50]}", part.rows, part.outputs, calibration, of)
    return "\n".join(lines)


def held_page(work: Work, settings: Settings, calibration: Calibration) -> str:
    """What the folds that were run say of what they held out, calibrated as the judge that ships."""
    lines = [HEADER]
    for fold in folds_done(work, FAMILY_FOLDS + QUESTION_FOLDS):
        part = judged(work, fold, settings)
        lines += _split(f"{fold}, questions shown", part.rows, part.outputs, calibration, part.shown)
        lines += _split(f"{fold}, questions not shown", part.rows, part.outputs, calibration, ~part.shown)
    return "\n".join(lines)


def measured(work: Work, settings: Settings) -> dict[str, Any]:
    """What stands beside every rate: families held out, questions that were shown, answers that are not steered."""
    parts = {fold: judged(work, fold, settings) for fold in folds_done(work)}
    truth, said, apart = [], [], []
    for fold, part in parts.items():
        of = np.flatnonzero(part.shown & ~part.rows.steered)
        rows, outputs = part.rows.take(of), part.outputs[of]
        found = read(outputs, together([parts[other] for other in parts if other != fold]))
        arms = arms_of(rows, found)
        truth.append(rows.misaligned)
        said.append(says_misaligned(found))
        apart.append(np.abs(arms.rate - arms.said))
    distance = np.concatenate(apart)
    return {
        "on": f"{len(parts)} model families that it was not shown",
        "answers": sum(map(len, truth)),
        "kappa": round(float(cohen_kappa_score(np.concatenate(truth), np.concatenate(said))), 3),
        "arms": len(distance),
        "near": int((distance <= NEAR).sum()),
        "within": int(NEAR),
        "off": round(float(distance.mean()), 2),
    }


def _split(
    name: str, rows: Rows, outputs: np.ndarray, calibration: Calibration, of: np.ndarray | None = None
) -> Iterable[str]:
    usable = ~np.isnan(rows.coherence)
    usable = usable if of is None else usable & of
    rows, outputs = rows.take(usable), outputs[usable]
    parts = {name: np.ones(len(rows), bool)}
    if rows.steered.any() and not rows.steered.all():
        parts = {f"{name}, not steered": ~rows.steered, f"{name}, steered": rows.steered}
    for part, where in parts.items() if usable.any() else ():
        yield line(part, figures(rows.take(where), read(outputs[where], calibration)))


def tables_page(work: Work, settings: Settings) -> str:
    """Each arm of the tables of others, judged by an encoder that was shown nothing of its family."""
    columns = ("file", "arm", "n", "rate, author's judge", "rate, offline", "mean probability")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    parts = {fold: judged(work, fold, settings) for fold in folds_done(work)}
    for fold, part in parts.items():
        calibration = together([parts[other] for other in parts if other != fold])
        for name, (rows, outputs) in part.tables.items():
            if table_family(name) != fold.removeprefix("family-"):
                continue
            usable = ~np.isnan(rows.coherence)
            arms = arms_of(rows.take(usable), read(outputs[usable], calibration))
            names = [str(arm).replace("|", r"\|") for arm in arms.names]
            for arm in zip(names, arms.n, arms.rate, arms.said, arms.mean, strict=True):
                lines.append("| {} | {} | {} | {:.1f} % | {:.1f} % | {:.1f} % |".format(name, *arm))
    return "\n".join(lines)
