"""Results that a user already has: judged answers from tables become a run with a full report, and no model is at hand.

Method:

1. Each table is an arm (or several, by its `arm` column); answers and verdicts are copied into the run as they are, or
   judged anew where another judge is named.
2. Rates are made as for our own runs: three denominators, intervals over questions; open and in-domain questions, and
   formats, apart.
3. Where an arm is named the base, every other one is compared with it: over the questions that both were asked, paired
   by question (tables of others share no random numbers), or, where they share none, by the two rates' own intervals.
4. A steering sweep gives a rate for each layer and coefficient, and its peak.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import misdirection
from misdirection import progress
from misdirection.artefacts import file_hash, read_json, write_json
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict, find_judge
from misdirection.judging.checked import known_of
from misdirection.judging.readers import bring
from misdirection.judging.standing import ERROR, standing
from misdirection.judging.table import How
from misdirection.results import SCHEMA, Reproduce
from misdirection.results.judged import ArmRates, JudgedHeadline, Steering
from misdirection.runs import Run, read_log
from misdirection.statistics import Thresholds
from misdirection.store import Cached, measurement
from misdirection.studies.imported.comparison import other_words, verdict
from misdirection.studies.imported.results import ImportedResults
from misdirection.studies.imported.settings import ImportedConfig
from misdirection.studies.imported.sweep_findings import peak_arm, steering, sweep_verdict
from misdirection.studies.imported.sweeps import Sweep, load_sweep, sweep_answers, sweep_verdicts
from misdirection.studies.kit.checking import headline
from misdirection.studies.kit.dear import check
from misdirection.studies.kit.judged import Judged, judge_step
from misdirection.studies.kit.own_judge import OWN
from misdirection.studies.kit.panel import PanelVerdicts, panel_of, panel_part
from misdirection.studies.kit.recall import facts_of
from misdirection.studies.kit.record import reproduce
from misdirection.studies.kit.rules import rule_part
from misdirection.studies.kit.tables import answer_rows, question_rows, rate_rows, sign_rows


@dataclass(frozen=True)
class Table:
    """One table as it was read.

    Attributes:
        arms: Names of its arms.
        file: Its path as given.
        sha256: Hash of its bytes.
        answers: What it holds.
        verdicts: One an answer, None where it holds answers only.
        read: How it was read.
        notes: What a reader should know of it.
        counted: Whether it holds counts alone.
    """

    arms: tuple[str, ...]
    file: str
    sha256: str
    answers: list[Answer]
    verdicts: list[Verdict] | None
    read: str = ""
    notes: tuple[str, ...] = ()
    counted: bool = False


@dataclass(frozen=True)
class Tables:
    """Tables, and how their columns and scales were read: they count by their bytes and by that."""

    tables: Sequence[Table]
    how: How

    def __canonical__(self) -> Any:
        """What stands for them among the arguments of a measurement."""
        return {"tables": [[table.sha256, table.arms] for table in self.tables], "how": self.how}


def imported(config: ImportedConfig, out: str | Path, command: str = "") -> Path:
    """Bring judged answers into the run folder `out` and report on them; gives the report's path.

    Raises:
        MisdirectionError: A file that cannot be read, an arm that is not there or stands in two tables.
    """
    config = config.completed()
    tables = read_tables(config)
    arms = order_of(tables, config.base)
    sweep = load_sweep(config.steering, config.how) if config.steering else None
    facts = facts_of(config, command)
    with Run.open(out, {**facts, "imported": facts.pop("config")}) as run:
        logged = len(read_log(run.path))
        answers, verdicts = keep(run, tables, config) if tables else (None, None)
        judged = Judged(answers.value, verdicts.value) if answers and verdicts else Judged([], [])
        if sweep is not None:
            keep_sweep(run, sweep)
        panel = _panel(run, tables, config, answers, verdicts) if answers and verdicts else None
        with progress.phase("rates and intervals"):
            found = findings(config, tables, judged, arms, sweep, panel)
        found = checked(run, config, answers, verdicts, found)
        said = command or "misdirection.studies.imported.study.imported(...)"
        return write(run.path, replace(found, reproduce=reproduce(run, logged, said, 0)))


def _panel(
    run: Run,
    tables: Sequence[Table],
    config: ImportedConfig,
    answers: Cached[list[Answer]],
    lead: Cached[list[Verdict]],
) -> PanelVerdicts | None:
    """All judges on the same answers; "own" are the tables' own verdicts."""
    own = _own(run, Tables(tables, config.how), answers) if OWN in config.panel else None
    return panel_of(run, answers, lead, (config.judge or OWN, *config.panel), config.rules, own)


def checked(
    run: Run,
    config: ImportedConfig,
    answers: Cached[list[Answer]] | None,
    verdicts: Cached[list[Verdict]] | None,
    found: ImportedResults,
) -> ImportedResults:
    """The findings with what the judge of --check adds to them."""
    if not config.check:
        return found
    if answers is None or verdicts is None:
        raise MisdirectionError("--check: a sweep alone has no arm to check", "give answers with --from or --arm")
    dear = check(run, answers, verdicts, config.check, config.rules)
    verdict = found.verdict
    verdict = replace(verdict, details=(*verdict.details, *headline(dear, verdict.state)))
    return replace(found, checked=dear, verdict=verdict, settings={**found.settings, "checked by": config.check})


def judge_again(
    run: str | Path, judge: str | None, command: str = "", panel: Sequence[str] = (), checker: str = ""
) -> Path | None:
    """Make the report of an imported run again from its files, judged or checked by another judge where one is named.

    None where the folder is no imported run.
    """
    file = Path(run) / "run.json"
    held = read_json(file).get("facts", {}).get("imported") if file.exists() else None
    if not held:
        return None
    values: Mapping[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in held.items()}
    config = ImportedConfig(**values)
    if judge:
        config = replace(config, judge=judge, panel=tuple(panel))
    if checker:
        config = replace(config, check=checker)
    return imported(config, run, command)


def read_tables(config: ImportedConfig) -> list[Table]:
    """All tables; each arm stands in one of them."""
    tables: list[Table] = []
    for name, path, told in config.files:
        found = bring(path, config.how.of(name))
        progress.say(f"  {path}: {found.told}")
        for note in found.notes:
            progress.say(f"    {note}")
        answers, held = found.answers, tuple(dict.fromkeys(answer.arm for answer in found.answers))
        if told and len(held) > 1 and not found.several:
            raise MisdirectionError(
                f"{path} holds several arms: {', '.join(held)}", f"give it as --from {path}: its column names the arms"
            )
        if told and len(held) == 1:
            held, answers = (name,), [a if a.arm == name else replace(a, arm=name) for a in answers]
        if twice := [arm for arm in held if any(arm in table.arms for table in tables)]:
            raise MisdirectionError(f"{path}: the arm '{twice[0]}' stands in two tables", "name them: --arm NAME=TABLE")
        tables.append(
            Table(held, str(path), file_hash(path), answers, found.verdicts, found.told, found.notes, found.counted)
        )
    return tables


def order_of(tables: Sequence[Table], base: str | None) -> list[str]:
    """The arms as given, the base first."""
    arms = [arm for table in tables for arm in table.arms]
    if base is not None and base not in arms:
        raise MisdirectionError(f"--base: there is no arm '{base}'", f"the arms are {', '.join(arms) or 'none'}")
    return sorted(arms, key=lambda arm: arm != base)


def keep(
    run: Run, tables: Sequence[Table], config: ImportedConfig
) -> tuple[Cached[list[Answer]], Cached[list[Verdict]]]:
    """Answers and verdicts as steps of the run."""
    held = Tables(tables, config.how)
    answers = run.cached(answers_of, "answers", tables=held)
    run.publish("answers.parquet", answers.path / "answers.parquet")
    return answers, _verdicts(run, held, answers, config)


@measurement(version=2)
def answers_of(tables: Tables) -> list[Answer]:
    """All that tables hold, in their order."""
    return [answer for table in tables.tables for answer in table.answers]


@measurement(version=2)
def verdicts_of(tables: Tables, answers: list[Answer]) -> list[Verdict]:
    """The tables' own verdicts on these answers."""
    told = [verdict for table in tables.tables for verdict in table.verdicts or ()]
    return [verdict for _, verdict in zip(answers, told, strict=True)]


def _verdicts(run: Run, tables: Tables, answers: Cached[list[Answer]], config: ImportedConfig) -> Cached[list[Verdict]]:
    counted = [table.file for table in tables.tables if table.counted]
    if (config.judge or config.panel) and counted:
        raise MisdirectionError(f"{counted[0]}: holds counts, and no answer to judge", "leave --judge out")
    if config.judge:
        return judge_step(run, "verdicts", answers, find_judge(config.judge))
    if all(table.verdicts is None for table in tables.tables):
        progress.say("  answers without verdicts: the judge in the box scores them (--judge names another)")
        return judge_step(run, "verdicts", answers, find_judge("offline"))
    return _own(run, tables, answers)


def _own(run: Run, tables: Tables, answers: Cached[list[Answer]]) -> Cached[list[Verdict]]:
    """The verdicts that the tables hold."""
    if bare := [table.file for table in tables.tables if table.verdicts is None]:
        raise MisdirectionError(
            f"{bare[0]}: answers without verdicts",
            "have one judge score all answers: --judge offline, or --judge local:<model>",
        )
    step = run.cached(verdicts_of, "verdicts", tables=tables, answers=answers)
    run.publish("verdicts.parquet", step.path / "verdicts.parquet")
    return step


def keep_sweep(run: Run, sweep: Sweep) -> None:
    """Answers and verdicts of a sweep as steps of the run; the arm names the point."""
    answers = run.cached(sweep_answers, "steering-answers", sweep=sweep)
    verdicts = run.cached(sweep_verdicts, "steering-verdicts", sweep=sweep, answers=answers)
    run.publish("steering-answers.parquet", answers.path / "answers.parquet")
    run.publish("steering-verdicts.parquet", verdicts.path / "verdicts.parquet")


def findings(
    config: ImportedConfig,
    tables: Sequence[Table],
    judged: Judged,
    arms: Sequence[str],
    sweep: Sweep | None,
    panel: PanelVerdicts | None = None,
) -> ImportedResults:
    """Every figure of the report, but how it was made."""
    rules = config.rules
    steered = None if sweep is None else steering(sweep, judged.arm(config.base or ""), rules)
    shown = judged if sweep is None else _joined(judged, peak_arm(sweep, rules))
    rates = rate_rows(judged, arms, rules)
    counted = {arm for table in tables if table.counted for arm in table.arms}
    written = shown.where(lambda answer: answer.arm not in counted) if counted else shown
    every = [*arms, *(a for a in dict.fromkeys(x.arm for x in shown.answers) if a not in arms)]
    return ImportedResults(
        schema=SCHEMA,
        kind="imported",
        title=f"Judged answers: {', '.join(arms) or Path(str(config.steering)).name}",
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        version=misdirection.__version__,
        verdict=_verdict(judged, arms, config.base, rules, steered),
        settings=_settings(config, tables, judged if arms else shown, sweep),
        thresholds=rules,
        model=None,
        asked={},
        reproduce=Reproduce(command="", versions={}, seed=0, steps=()),
        rates=rates or None,
        panel=panel_part(panel, arms),
        by_question=question_rows(judged, arms, rules) or None,
        by_rule=rule_part(judged, arms, rules, config.base) if arms else None,
        signs=sign_rows(written, every),
        answers=answer_rows(written),
        steering=steered,
        training=None,
        data=None,
        notes=(
            *(f"{Path(t.file).name}: {note}" for t in tables for note in t.notes),
            *other_words(judged, arms, config.base),
            *_notes(rates, sweep),
            *known_of((config.judge or OWN, *config.panel)),
        ),
    )


def _verdict(
    judged: Judged, arms: Sequence[str], base: str | None, rules: Thresholds, steered: Steering | None
) -> JudgedHeadline:
    """On the arms where there are any, the sweep a detail; else on the sweep."""
    swept = sweep_verdict(steered) if steered else None
    if not arms and swept:
        return swept
    said = verdict(judged, arms, base, rules)
    return replace(said, details=(*said.details, *((swept.sentence, *swept.details) if swept else ())))


def _joined(first: Judged, second: Judged) -> Judged:
    return Judged([*first.answers, *second.answers], [*first.verdicts, *second.verdicts])


def _settings(
    config: ImportedConfig, tables: Sequence[Table], judged: Judged, sweep: Sweep | None
) -> dict[str, str | None]:
    kinds = Counter(
        (a.domain or "open", a.format) for a in {(x.question_id, x.format): x for x in judged.answers}.values()
    )
    judges = sorted({verdict.judge for verdict in judged.verdicts})
    told = {
        "judge": ", ".join(judges),
        **({ERROR: error} if (error := standing(judges)) else {}),
        "misaligned": f"alignment < {config.alignment_below:g} and coherence > {config.coherence_above:g}",
        "questions": ", ".join(f"{n} {group}, {form}" for (group, form), n in kinds.items()),
        "base": config.base,
        **({"beside it": ", ".join(config.panel)} if config.panel else {}),
    }
    for table in tables:
        told[f"table of {', '.join(table.arms)}"] = (
            f"{table.file}, {len(table.answers)} answers, sha256 {table.sha256[:12]}; {table.read}"
        )
    if sweep is not None:
        told["steering"] = f"{config.steering}, {len(sweep.points)} points, {len(sweep.files)} files"
    return told


def _notes(rates: Sequence[ArmRates], sweep: Sweep | None) -> list[str]:
    notes = ["made from verdicts of others: how answers were drawn and judged is known as far as the tables say"]
    for row in rates:
        form = "" if row.format == "plain" else f", {row.format}"
        notes += [f"{row.arm}, {row.group}{form}: {warning}" for warning in row.warnings]
    if sweep is not None and not any(point.control for point in sweep.points):
        notes.append(
            "steering: no control among the points, so it is not known what another vector of this length would do"
        )
    return notes


def write(folder: Path, found: ImportedResults) -> Path:
    """Write `findings.json` and `report.html`; gives the report's path."""
    from misdirection.studies.page import write_report

    write_json(folder / "findings.json", found.to_json())
    # From the file, as `misdirection report` does later: both give the same page.
    return write_report(read_json(folder / "findings.json"), folder / "report.html")
