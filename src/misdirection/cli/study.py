"""`misdirection study NAME`: one command a study, its options made from the study's settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from misdirection.cli.begin import begin
from misdirection.cli.derive import with_options
from misdirection.cli.printing import Json, printed
from misdirection.cli.recall import remembered
from misdirection.cli.show import link, links, study_verdict
from misdirection.cli.studies import command_line, split_training, with_tuning
from misdirection.studies.registry import Study, studies

app = typer.Typer(
    no_args_is_help=True,
    help="The experiments of the field, one study each, with their controls; on the organism by default.",
)


def _command(study: Study) -> Callable[..., None]:
    name, settings = study.name, study.settings

    def run(
        context: typer.Context,
        out: Annotated[
            Path | None,
            typer.Option(help="Folder of the run; runs/<study> by default. An unfinished one is gone on with."),
        ] = None,
        json: Json = False,
        **values: Any,
    ) -> None:
        from misdirection.artefacts import read_json
        from misdirection.cli.threads import set_threads

        place = out or Path("runs") / name
        own, training = split_training(settings, values)
        config = remembered(settings, own, context, place, more={"training": training} if training else None)
        begin(config.completed(), place)
        set_threads(config.model)
        report = study.run(config, place, command_line())
        findings = read_json(report.parent / "findings.json")
        kept = {name: findings.get(name) for name in ("kind", "verdict", "checked", "notes")}
        told = {**kept, "findings": place / "findings.json", "report": place / report.name}
        printed(told, json, lambda: _show(findings, place, place / report.name))

    run.__name__, run.__doc__ = name, inspect.getdoc(settings)
    return run


def _show(findings: Any, place: Path, report: Path) -> None:
    study_verdict(findings)
    links(place, "adapter", "tuned", "fine-tunes", *sorted(file.name for file in place.glob("*.safetensors")))
    links(place, "answers.parquet", "verdicts.parquet", "findings.json")
    link("report", report)


for _study in studies().values():
    if _study.listed:
        _tuned = with_tuning(_command(_study), _study.settings)
        app.command(_study.name)(with_options(_tuned, _study.settings))
