"""Two runs beside each other.

Method:

1. Judged answers of both are matched: arms of one name, asked the same wordings in the same domain and format;
   paired by question and sample where both runs drew the same random numbers, else by question. Each row is tested by
   sign flips over questions, and all rows are one family.
2. Verdicts, settings and best removals are laid side by side.
3. Tables that both runs' findings have are matched row by row by their keys; figures that differ are listed.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import misdirection
from misdirection.artefacts import read_json, write_json
from misdirection.errors import MisdirectionError
from misdirection.report import write_report
from misdirection.report.numbers import setting
from misdirection.report.parts import Entry
from misdirection.report.shared import verdict as verdict_section
from misdirection.results import SCHEMA, Reproduce, Results, read_results
from misdirection.studies.comparison.figures import compare_figures
from misdirection.studies.comparison.rates import compare_arms
from misdirection.studies.comparison.reading import Side, read_side
from misdirection.studies.comparison.report import SECTIONS
from misdirection.studies.comparison.results import BestRemoval, ComparisonResults, RunFacts, SettingChange
from misdirection.studies.comparison.verdict import verdict

ENTRIES = (Entry("Verdict", ("verdict",), False, verdict_section.section, ("comparison",), Results), *SECTIONS)
COMPARISON = "comparison.json"
OWN = ("command", "study", "given", "kept", "out", "origins")
"""Settings that say nothing of what was measured."""


def compare_runs(first: str | Path, second: str | Path, command: str = "") -> ComparisonResults:
    """Compare two runs; nothing is written.

    Args:
        first: A run folder, or its findings.json.
        second: The same of the other.
        command: The command line, for the report.

    Raises:
        MisdirectionError: One of them cannot be read, or they have nothing that can be compared (other questions,
            another judge, another study: the message names it).
    """
    if Path(first).resolve() == Path(second).resolve():
        raise MisdirectionError(f"{first} and {second} are one run", "give two runs")
    one, two = read_side(first), read_side(second)
    common = compare_arms(one, two)
    tables, figures, notes = ((), (), ())
    if one.results is not None and two.results is not None and one.results.kind == two.results.kind:
        tables, figures, notes = compare_figures(one.results, two.results)
    if not common.arms and not tables:
        raise MisdirectionError(
            f"{one.name} ({_kind(one)}) and {two.name} ({_kind(two)}) have no judged answers and no rows in common",
            "compare two runs of one study, or two runs whose answers were judged",
        )
    runs, settings = (_facts(one), _facts(two)), tuple(_settings(one, two))
    removals = (*_best(one, 1), *_best(two, 2))
    return ComparisonResults(
        schema=SCHEMA,
        kind="comparison",
        title=f"{one.name} beside {two.name}",
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        version=misdirection.__version__,
        verdict=verdict(runs, common.arms, settings, tables, removals),
        settings={"judge": ", ".join(two.judges)} if two.judges else {},
        thresholds=two.rules,
        model=None,
        asked={},
        reproduce=Reproduce(command=command, versions={}, seed=0, steps=()),
        notes=(*common.notes, *notes, *(side.note for side in (one, two) if side.note)),
        runs=runs,
        arms=common.arms,
        settings_changed=settings,
        tables=tables,
        figures=figures,
        removals=removals,
    )


def write_comparison(found: ComparisonResults, folder: str | Path) -> Path:
    """Write comparison.json and report.html; gives the report's path.

    Raises:
        MisdirectionError: The folder holds a run.
    """
    place = Path(folder)
    if (place / "run.json").exists():
        raise MisdirectionError(f"{place} holds a run", "give --out a folder of its own")
    place.mkdir(parents=True, exist_ok=True)
    write_json(place / COMPARISON, found.to_json())
    return write_page(found, place / "report.html")


def write_page(found: ComparisonResults, path: Path) -> Path:
    """The report of a comparison; gives its path."""
    return write_report(found.to_json(), path, ENTRIES, found)


def read_comparison(folder: str | Path) -> ComparisonResults:
    """A comparison that was written into a folder.

    Raises:
        MisdirectionError: There is none, or one of another version.
    """
    file = Path(folder) / COMPARISON
    held: Any = read_json(file)
    made: Any = held.get("reproduce") if isinstance(held, Mapping) else None
    again = str(made.get("command") or "") if isinstance(made, Mapping) else ""
    found: Mapping[str, Any] = held if isinstance(held, Mapping) else {}
    return read_results(found, ComparisonResults, str(file), again or "misdirection compare RUN RUN")


def _facts(side: Side) -> RunFacts:
    said: Mapping[str, Any] = side.found.get("verdict") or {}
    model: Mapping[str, Any] = side.found.get("model") or {}
    names = [str(model[name]) for name in ("base", "tuned") if model.get(name)]
    return RunFacts(
        name=side.name,
        kind=_kind(side),
        model=", ".join(names) or str(side.settings.get("model") or ""),
        state=str(said.get("state") or ""),
        sentence=str(said.get("sentence") or "no verdict is written down"),
        details=tuple(str(one) for one in said.get("details") or ()),
        judges=side.judges,
    )


def _kind(side: Side) -> str:
    return str(side.found.get("kind") or ("audit" if side.found else "sample"))


def _settings(first: Side, second: Side) -> Iterable[SettingChange]:
    pairs = [
        *((name, first.settings, second.settings) for name in {**first.settings, **second.settings} if name not in OWN),
        *(
            (name, first.found.get("model") or {}, second.found.get("model") or {})
            for name in ("base", "tuned", "layers", "width", "dtype", "chat_template")
        ),
        ("version", first.found, second.found),
    ]
    told: set[str] = set()
    for name, one, two in pairs:
        values = [setting(side[name]) if side.get(name) not in (None, "", (), [], {}) else "" for side in (one, two)]
        if (
            values[0] != values[1]
            and name not in told
            and not ({"model", "adapter"} & told and name in ("base", "tuned"))
        ):
            told.add(name)
            yield SettingChange(name=name.replace("_", " "), first=values[0], second=values[1])


def _best(side: Side, run: int) -> Iterable[BestRemoval]:
    """The removal that an audit marked as its best."""
    for cure in getattr(side.results, "cures", None) or ():
        if cure.best:
            yield BestRemoval(
                run=run, label=cure.label, rate=cure.rate, coherent_share=cure.coherent_share, reduction=cure.reduction
            )
