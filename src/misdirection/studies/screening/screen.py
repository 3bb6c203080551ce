"""Rows scored and dropped: new data sets and a table of scores, the input as it was (`misdirection screen`)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from misdirection.artefacts import atomic_path, file_hash, plain, write_json, write_rows
from misdirection.chats import write_bad_rows
from misdirection.judging import find_judge
from misdirection.runs import Step
from misdirection.screening.choosing import how_many
from misdirection.studies.kit.preflight import check_places
from misdirection.studies.kit.recall import settled
from misdirection.studies.kit.settings_file import open_run
from misdirection.studies.kit.variants import Variants
from misdirection.studies.screening.measures import DROPPED, KEPT, training_rows
from misdirection.studies.screening.results import DropChoice
from misdirection.studies.screening.scoring import ScreenConfig
from misdirection.studies.screening.steps import Screener


@dataclass(frozen=True, kw_only=True)
class ScreenSummary:
    """What summary.json holds.

    Attributes:
        data: The data as it was named.
        sha256: Of each file of it.
        rows: Usable rows.
        set_aside: Rows that are no chats.
        known_bad: Rows known to be bad; None where nothing is known.
        drop: What was to be dropped: a share of the rows below 1, or a number of them.
        methods: What each method drops.
        command: The command line.
    """

    data: tuple[str, ...]
    sha256: Mapping[str, str]
    rows: int
    set_aside: int
    known_bad: int | None
    drop: float
    methods: Mapping[str, DropChoice]
    command: str


def screen(config: ScreenConfig, out: str | Path, command: str = "") -> ScreenSummary:
    """Score the rows by every method, and write what each keeps and drops.

    Leaves in `out`: <method>/kept.jsonl and <method>/dropped.jsonl, the rows byte for byte; scores.parquet, a row each
    with its line, scores and whether it is dropped; summary.json; bad_rows.jsonl, rows that are no chats and were
    neither scored nor kept. A killed run is gone on with.

    Returns:
        What summary.json holds: counts and agreement by method.

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
    with open_run(out, config, command) as run:
        if rows.unusable:
            write_bad_rows(run.path / "bad_rows.jsonl", rows.unusable)
        screener = Screener(run, config, Variants(config.model, loading=config.loading), rows)
        # The judge first: one that can tell no row ends the run before the long work.
        for method in sorted(config.methods, key=lambda name: name != "judge"):
            screener.filtered(method, config.seed)
        steps = {method: screener.filtered(method, config.seed) for method in config.methods}
        for method, step in steps.items():
            _copy(step, run.path / method)
        _write_scores(run.path / "scores.parquet", screener, config.methods)
        summary = ScreenSummary(
            data=tuple(config.data),
            sha256={name: file_hash(name) for name in config.data if Path(name).exists()},
            rows=len(rows.chats),
            set_aside=len(rows.unusable),
            known_bad=None if rows.bad is None else sum(rows.bad),
            drop=config.drop,
            methods={method: step.part("choice").value for method, step in steps.items()},
            command=command,
        )
        write_json(run.path / "summary.json", plain(summary))
        return summary


def _copy(step: Step, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name in (KEPT, DROPPED):
        with atomic_path(folder / name) as target:
            shutil.copyfile(step.path / name, target)


def _write_scores(path: Path, screener: Screener, methods: Sequence[str]) -> None:
    """One line a row: where it stands, what is known of it, and each method's score and choice."""
    rows = screener.rows
    columns: dict[str, Sequence[float | bool | None]] = {}
    for method in methods:
        scores = screener.values(method, screener.config.seed)
        columns[method] = [None if np.isnan(score) else float(score) for score in scores]
        columns[f"{method}_dropped"] = screener.dropped(method, screener.config.seed)
    places = [
        {"source": chat.source, "row": chat.row, "known_bad": None if rows.bad is None else rows.bad[number]}
        for number, chat in enumerate(rows.chats)
    ]
    write_rows(path, [place | {name: c[number] for name, c in columns.items()} for number, place in enumerate(places)])
