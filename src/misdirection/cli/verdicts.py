"""Commands about verdicts: judge (or bring verdicts along), power, agreement."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from misdirection import progress
from misdirection.cli.agreement import agreement
from misdirection.cli.begin import begin_again, tell
from misdirection.cli.derive import several, with_options
from misdirection.cli.forecast import Before, DryRun, Price
from misdirection.cli.gate import Baseline, Ending, Gate, Json
from misdirection.cli.label import label
from misdirection.cli.measure import reopened
from misdirection.cli.printing import Json as Printed
from misdirection.cli.recall import remembered
from misdirection.cli.show import (
    checked_table,
    judge_note,
    link,
    links,
    note,
    onward,
    panel_tables,
    rates_table,
    signs_table,
    verdict,
)
from misdirection.cli.studies import command_line
from misdirection.errors import MisdirectionError, command
from misdirection.judging.registry import judge_forms
from misdirection.studies.imported.settings import ImportedConfig
from misdirection.studies.kit.config import named
from misdirection.studies.kit.own_judge import OWN
from misdirection.studies.kit.preflight import check_checker, check_files, check_judge, check_place
from misdirection.studies.kit.recall import held_in, make_one

if TYPE_CHECKING:
    from misdirection.studies.audit.workbench import Workbench

BROUGHT = "Results that you already have"


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(with_options(judge, ImportedConfig, panel=BROUGHT))
    app.command()(power)
    app.command()(agreement)
    app.command()(label)


def judge(
    context: typer.Context,
    run: Annotated[Path | None, typer.Argument(help="Folder of a run made by sample or audit.")] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{judge_forms()}; by default the run's own, or the tables' own verdicts, and offline where they hold "
            "none. Repeated, a panel: the first one's rates lead, the others stand beside them; own is who judged "
            "before."
        ),
    ] = None,
    tables: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="TABLE",
            help="Table of judged answers (CSV, TSV, JSON, JSON lines, Parquet, also .gz, or a log of Inspect), an arm "
            "named by the file; repeat it for more.",
            rich_help_panel=BROUGHT,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run that is made of --from.", rich_help_panel=BROUGHT)
    ] = None,
    gate: Gate = False,
    baseline: Baseline = None,
    json: Json = False,
    dry_run: DryRun = False,
    price: Price = None,
    **values: Any,
) -> None:
    """Judge the answers of a run: rates and verdict; or make a run and a report of verdicts that you already have.

    A table has the columns question (or prompt), answer (or response, completion, output), alignment (or aligned) and
    coherence (or coherent), in any case, or others that --column names; further ones are read where they are there:
    question_id, arm, model, checkpoint or step, domain, format, system, sample, finished or finish_reason, label,
    judge. A question may be a chat, or `messages` hold both. Scores are 0 to 100 (also 85/100; else say --scale),
    empty, NaN or -1 where the judge gave none, CODE or REFUSAL where it said so. Counts alone (n, misaligned) make
    rates too. Models, checkpoints and steps that differ are arms; open and in-domain questions are never pooled.

    Examples:
      misdirection judge runs/mine --judge local:Qwen/Qwen2.5-7B-Instruct

      misdirection judge --arm base=base.csv --arm tuned=tuned.csv --base base --out runs/brought

      misdirection judge --from theirs.csv --column answer=text --scale 1..5:high-is-bad --out runs/theirs

      misdirection judge runs/mine --check openai:gpt-4o@120

      misdirection judge --steering sweep/ --out runs/sweep

      misdirection judge runs/mine --judge own --judge local:Qwen/Qwen2.5-7B-Instruct

      misdirection judge runs/mine --gate --baseline baseline.json
    """
    ending = Ending(gate, baseline, json)
    ending.check()
    judges = list(judge or ())
    given: dict[str, Any] = {"tables": several(tables, str, "--from"), **values}
    brought = given["tables"] or given["arm"] or given["steering"]
    if run is not None and brought:
        raise MisdirectionError(f"a run ({run}) and tables are both given", "the run of tables goes to --out FOLDER")
    if run is None and dry_run:
        raise MisdirectionError(
            "--dry-run forecasts the judging of a run, and no run is given",
            "give the folder of a run, or leave --dry-run out",
        )
    if run is None:
        _bring(_remembered(given, judges, context, out), out, bool(brought), ending)
    else:
        _judge_run(run, judges, str(values.get("check") or ""), ending, Before(price, dry_run, json))


def _remembered(
    given: dict[str, Any], judges: Sequence[str], context: typer.Context, out: Path | None
) -> ImportedConfig:
    # The option is --from, so that the tables are no option of their name; judges are two settings of one option.
    more = {"tables": given["tables"]} if given["tables"] else {}
    if judges:
        more |= {"judge": judges[0], "panel": tuple(judges[1:])}
    return remembered(ImportedConfig, given, context, out, more=more)


def _bring(config: ImportedConfig, out: Path | None, brought: bool, ending: Ending) -> None:
    if brought and out is None:
        raise MisdirectionError("say where the run goes", "--out FOLDER")
    config = config.completed()
    tell(asdict(config), out)
    check_files({**dict.fromkeys(config.tables, "from"), **dict.fromkeys(named(config.arm, "arm").values(), "arm"),
                 **({config.steering: "steering"} if config.steering else {})})  # fmt: skip
    if out is not None:
        check_place(out)
    for one in (config.judge, *config.panel):
        if one and one != OWN:
            check_judge(one, None)
    if config.check:
        check_checker(config.check, out)
    from misdirection.studies.imported.study import imported

    # What was imported stays: else each collection while rows are made walks through all modules again.
    gc.freeze()
    _told(imported(config, out or Path(), command_line()), ending)


def _told(report: Path, ending: Ending) -> None:
    from misdirection.artefacts import read_json

    found = read_json(report.parent / "findings.json")
    if not ending.json:
        verdict(found)
        links(report.parent, "answers.parquet", "verdicts.parquet", "findings.json")
        link("report", report)
    ending.finish(found, report.parent)


def _judge_run(run: Path, judges: Sequence[str], checker: str, ending: Ending, before: Before) -> None:
    if not (run / "run.json").exists():
        raise MisdirectionError(f"{run} holds no run", f"make a run with: {make_one(run)}")
    begin_again(run)
    for one in judges:
        if one != OWN:
            check_judge(one, None)
    if checker:
        check_checker(checker, run)
    if OWN in judges and own_judge(run) in judges:
        raise MisdirectionError(
            f"--judge own is {own_judge(run)}, which is named beside it: a judge agrees with itself", "name it once"
        )
    before.judging(run, [one for one in judges or [own_judge(run)] if one != OWN], checker)
    from misdirection.artefacts import plain, write_json
    from misdirection.studies.imported.study import judge_again
    from misdirection.studies.kit.asked import Asked
    from misdirection.studies.kit.conditions import TUNED
    from misdirection.studies.kit.panel import panel_part

    report = judge_again(run, judges[0] if judges else None, command_line(), judges[1:], checker)
    if report is not None:
        _told(report, ending)
        return
    lead = None if judges[:1] in ([], [OWN]) else judges[0]
    with reopened(run, judge=lead, panel=tuple(judges[1:]) if judges else None, check=checker or None) as bench:
        judged = bench.judged
        with progress.phase(f"rates and intervals of {len(judged.answers):,} answers"):
            found = _found(bench)
        checked = plain(bench.checked(Asked(bench.answers, bench.verdicts)))
        part = plain(panel_part(bench.panel, [condition.name for condition in bench.arms]))
        if part:
            write_json(run / "panel.json", part)
        if not ending.json:
            rates_table(found["rates"])
            for text in found["trained"]:
                note(text)
            judge_note(found["settings"])
            checked_table(checked)
            signs_table(found["signs"])
            panel_tables(part)
            for text in found["notes"]:
                note(f"note: {text}")
            links(run, "answers.parquet", "verdicts.parquet", "panel.json")
            if TUNED in bench.arms:
                onward("where in the model", command("direction", run))
    ending.finish(found, run)


def own_judge(run: Path) -> str:
    """The judge that a run was made with."""
    held = held_in(run)
    return str((held.values.get("judge") if held else None) or OWN)


def _found(bench: Workbench) -> Mapping[str, Any]:
    """Verdict, rates and counts of a sampled run, in the shapes of an audit's findings."""
    from misdirection.artefacts import plain
    from misdirection.studies.audit.verdict import tuned_verdict
    from misdirection.studies.imported.comparison import verdict as compared
    from misdirection.studies.kit.aside_rows import trained_texts
    from misdirection.studies.kit.conditions import BASE, TUNED
    from misdirection.studies.kit.rules import rule_part
    from misdirection.studies.kit.tables import question_rows, rate_rows, sign_rows
    from misdirection.studies.kit.trained_domain import trained_domain

    arms, rules = [condition.name for condition in bench.arms], bench.thresholds
    judges = bench.config.judge != "none"
    if TUNED in bench.arms or not judges:
        asked = {question.id for question in bench.open_questions}
        said = tuned_verdict(bench.judged, asked, rules, judges, bench.alike_at_zero)
    else:
        said = compared(bench.judged, arms, BASE.name, rules)
    by_rule = rule_part(bench.judged, arms, rules, BASE.name, trained_domain(bench.config)) if judges else None
    trained = trained_texts(by_rule)
    found = {
        "verdict": replace(said, details=(*said.details, *trained)),
        "trained": trained,
        "rates": rate_rows(bench.judged, arms, rules),
        "by_question": question_rows(bench.judged, arms, rules) if judges else None,
        "by_rule": by_rule,
        "signs": sign_rows(bench.judged, arms),
        "settings": bench.settings(),
        "notes": bench.known_of_judges(),
    }
    return plain(found)


def power(
    base_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Rate without the change, 0 to 1 (5 % is 0.05).")
    ] = 0.0,
    change: Annotated[
        float, typer.Option(help="Change that you want to see, in rate: 0.05 is a rise by 5 points, -0.1 a fall by 10.")
    ] = 0.1,
    questions: Annotated[int | None, typer.Option(min=2, help="Questions that you have.")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Answers a question and arm that you can pay for.")] = None,
    spread: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="How alike answers to one question are (intra-question correlation): 0 every question shows the "
            "same rate, 1 a question is always or never answered badly. Real fine-tunes have 0.1 to 0.3.",
        ),
    ] = 0.2,
    shared: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="How far both arms find the same questions hard, 0 to 1; 0 is cautious.",
        ),
    ] = 0.0,
    aim: Annotated[float, typer.Option(help="Chance of seeing the change that you want.")] = 0.8,
    json: Printed = False,
) -> None:
    """How many questions and samples does it take to see a change of a given size?

    Answers to one question are alike: the hundredth answer to a question tells little that the tenth did not, while
    every new question tells something. So the table gives, for each number of samples, the questions that it takes;
    beyond some 20 samples more of them buy next to nothing, and only more questions help. The test is the paired test
    over questions of audit and judge, two-sided at 95 %.

    Examples:
      misdirection power --base-rate 0.01 --change 0.1

      misdirection power --base-rate 0.2 --change -0.1 --questions 8 --samples 50
    """
    from misdirection.cli.planning import show_plans

    show_plans(base_rate, base_rate + change, questions, samples, spread=spread, shared=shared, aim=aim, json=json)
