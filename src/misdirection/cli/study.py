"""`misdirection study NAME`: one command a study, its options made from the study's settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from misdirection.cli.begin import begin
from misdirection.cli.derive import with_options
from misdirection.cli.recall import remembered
from misdirection.cli.show import link, links, study_verdict
from misdirection.cli.studies import command_line
from misdirection.studies.config import StudyConfig
from misdirection.studies.settings import STUDIES

app = typer.Typer(
    no_args_is_help=True,
    help="The experiments of the field, one study each, with their controls; on the organism by default.",
)


def _command(name: str, settings: type[StudyConfig]) -> Callable[..., None]:
    def run(
        context: typer.Context,
        out: Annotated[
            Path | None,
            typer.Option(help="Folder of the run; runs/<study> by default. An unfinished one is gone on with."),
        ] = None,
        **values: Any,
    ) -> None:
        from misdirection.artefacts import read_json
        from misdirection.cli.threads import set_threads

        place = out or Path("runs") / name
        config = remembered(settings, values, context, place)
        begin(config.completed(), place)
        set_threads(config.model)
        study = getattr(import_module(f"misdirection.studies.{name}"), name)
        report = study(config, place, command_line())
        study_verdict(read_json(report.parent / "findings.json"))
        links(place, "adapter", "tuned", "fine-tunes", *sorted(file.name for file in place.glob("*.safetensors")))
        links(place, "answers.parquet", "verdicts.parquet", "findings.json")
        link("report", place / report.name)

    run.__name__, run.__doc__ = name, inspect.getdoc(settings)
    return run


for _name, _settings in STUDIES.items():
    app.command(_name)(with_options(_command(_name, _settings), _settings))
