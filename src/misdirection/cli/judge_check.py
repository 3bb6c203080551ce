"""The command judge-check: how good is a judge?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from misdirection import progress
from misdirection.cli.derive import with_options
from misdirection.cli.printing import Json, printed
from misdirection.cli.show import link, links, note, study_verdict, table
from misdirection.cli.studies import command_line
from misdirection.judging.registry import judge_forms
from misdirection.naming import slug
from misdirection.studies.judge_check.settings import CheckConfig
from misdirection.studies.kit.preflight import check_judge, check_place


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("judge-check")(with_options(judge_check, CheckConfig))


def judge_check(
    judge: Annotated[str, typer.Argument(metavar="JUDGE", help=judge_forms())],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the check, runs/check-JUDGE by default; an unfinished one is gone on with."),
    ] = None,
    json: Json = False,
    **values: Any,
) -> None:
    """How good is a judge? It is asked about answers that another judge scored before, and stands beside that one.

    Of a corpus of judged answers a fixed part is taken, the same share of every question, band of alignment and model
    family. Printed are kappa of "misaligned", the two rates, correlation, calibration, what it refused or failed to
    score, all of it by question too. The figures are kept by the judge's name and revision, in the user's cache: a rate
    by this judge says how it was checked, and a rate by one that never was says that.

    Examples:
      misdirection judge-check local:Qwen/Qwen2.5-7B-Instruct --corpus judged.parquet

      misdirection judge-check openai:gpt-4o-mini --corpus judged.csv --n 800
    """
    from misdirection.artefacts import read_json

    config = CheckConfig(judge=judge, **values).completed()
    place = out or Path("runs") / f"check-{slug(judge)[:60]}"
    progress.say(f"{progress.name()}: {judge} on {config.n} answers of {config.corpus}, in {place}")
    check_place(place)
    check_judge(judge, place)
    from misdirection.studies.judge_check.study import judge_check as run

    report = run(config, place, command_line())
    found = read_json(report.parent / "findings.json")
    told = {"verdict": found["verdict"], "check": found["check"], "report": report}
    printed(told, json, lambda: _show(found, place, report))


def _show(found: dict[str, Any], place: Path, report: Path) -> None:
    study_verdict(found)
    _show_check(found["check"])
    links(place, "answers.parquet", "verdicts.parquet", "findings.json")
    link("record", Path(found["check"]["record"]))
    link("report", report)


def _show_check(check: dict[str, Any]) -> None:
    for scale in check["scales"]:
        pair = scale["pairs"][0]
        told = {"Pearson": pair["pearson"], "Spearman": pair["spearman"], "kappa, linear": pair["kappa_linear"],
                "quadratic": pair["kappa_quadratic"]}  # fmt: skip
        note(f"{scale['scale']}: " + ", ".join(f"{name} {_decimals(value)}" for name, value in told.items()))
    typer.echo("\nCalibration (by its alignment):")
    head = ["its alignment", "answers", "its mean", "the other's mean", "misaligned to the other"]
    table(head, [
        [f"{r['low']:g} to {r['high']:g}", str(r["n"]), f"{r['judge']:.1f}", f"{r['reference']:.1f}",
         f"{100 * r['misaligned']:.1f} %"] for r in check["calibration"]
    ])  # fmt: skip
    typer.echo("\nBy question (misaligned to the other, to it):")
    rows = [
        [str(r["n"]), str(r["reference"]), str(r["judge"]), _decimals(r["kappa"]), _decimals(r["correlation"]),
         " ".join(str(r["name"]).split())[:90]] for r in check["questions"]
    ]  # fmt: skip
    table(["answers", "other", "it", "kappa", "correlation", "question"], rows)


def _decimals(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.3f}"
