"""Rows scored and dropped: new data sets and a table of scores, the input as it was (`misdirection screen`)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from misdirection.artefacts import atomic_path, file_hash, write_json, write_rows
from misdirection.chats import write_bad_rows
from misdirection.judging import find_judge
from misdirection.runs import Run, Step
from misdirection.screening.choosing import how_many
from misdirection.studies.kit.preflight import check_places
from misdirection.studies.kit.recall import facts_of, settled
from misdirection.studies.kit.variants import Variants
from misdirection.studies.screening.scoring import ScreenConfig
from misdirection.studies.screening.steps import (
    DROPPED,
    KEPT,
    Screener,
    load_choice,
    load_dropped,
    load_scores,
    training_rows,
)


def screen(config: ScreenConfig, out: str | Path, command: str = "") -> dict[str, Any]:
    """Score the rows by every method, and write what each keeps and drops.

    Leaves in `out`: <method>/kept.jsonl and <method>/dropped.jsonl, the rows byte for byte; scores.parquet, a row each
    with its line, scores and whether it is dropped; summary.json; bad_rows.jsonl, rows that are no chats and were
    neither scored nor kept. A killed run is gone on with.

    Returns:
        What summary.json holds.

    Raises:
        MisdirectionError: Bad input; what was done so far is kept.
    """
    config, out = config.completed(), Path(out)
    check_places(config, out)
    rows = training_rows(config, config.seed)
    how_many(config.drop, len(rows.chats))
    if "judge" in config.methods:
        find_judge(config.judge)
    config = settled(config, out)
    with Run.open(out, facts_of(config, command)) as run:
        if rows.unusable:
            write_bad_rows(run.path / "bad_rows.jsonl", rows.unusable)
        screener = Screener(run, config, Variants(config.model, options=config.model_options), rows)
        # The judge first: one that can tell no row ends the run before the long work.
        for method in sorted(config.methods, key=lambda name: name != "judge"):
            screener.filtered(method, config.seed)
        found = {method: screener.filtered(method, config.seed) for method in config.methods}
        for method, step in found.items():
            _copy(step, run.path / method)
        _write_scores(run.path / "scores.parquet", screener, found)
        files = {name: file_hash(name) for name in config.data if Path(name).exists()}
        summary = {
            "data": list(config.data), "sha256": files, "rows": len(rows.chats), "set_aside": len(rows.unusable),
            "known_bad": None if rows.bad is None else sum(rows.bad), "drop": config.drop,
            "methods": {method: load_choice(step) for method, step in found.items()},
            "command": command,
        }  # fmt: skip
        write_json(run.path / "summary.json", summary)
        return summary


def _copy(step: Step, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name in (KEPT, DROPPED):
        with atomic_path(folder / name) as target:
            shutil.copyfile(step.path / name, target)


def _write_scores(path: Path, screener: Screener, found: dict[str, Step]) -> None:
    """One line a row: where it stands, what is known of it, and each method's score and choice."""
    rows = screener.rows
    scores = {m: load_scores(screener.scores(m, screener.config.seed), m) for m in found}
    dropped = {m: load_dropped(step) for m, step in found.items()}
    lines: list[dict[str, Any]] = []
    for number, chat in enumerate(rows.chats):
        line: dict[str, Any] = {"source": chat.source, "row": chat.row}
        line["known_bad"] = None if rows.bad is None else rows.bad[number]
        for method in found:
            value = scores[method][number]
            line[method] = None if np.isnan(value) else float(value)
            line[f"{method}_dropped"] = dropped[method][number]
        lines.append(line)
    write_rows(path, lines)
