"""A finished run's findings as the objects that its study wrote, for a report and for a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from misdirection.artefacts import read_json
from misdirection.errors import MisdirectionError
from misdirection.results import Results, read_results
from misdirection.store.steps import demand_format
from misdirection.studies.registry import Study, studies


def load_results(run: str | Path) -> Results:
    """What a study found, as the dataclass of that study: its fields complete themselves, its tables give rows.

    Args:
        run: Folder of a finished run, or its findings.json.

    Example:
        results = load_results("runs/formats")
        results.verdict.sentence
        frame(results.rows()["formats"])

    Raises:
        MisdirectionError: There is no such folder or no findings in it, they are of an older layout or do not fit (the
            message names the field and the command that makes them again), or the study is not typed yet.
    """
    file = Path(run) if Path(run).is_file() else Path(run) / "findings.json"
    if not Path(run).exists():
        raise MisdirectionError(
            f"{run} does not exist", "give the folder of a run: it holds run.json and findings.json"
        )
    if not file.exists():
        raise MisdirectionError(
            f"{run} holds no findings.json", "finish the run first: start its command once more, and it goes on"
        )
    demand_known(file.parent)
    findings: Any = read_json(file)
    if not isinstance(findings, Mapping):
        raise MisdirectionError(f"{file}: these are no findings of a study", "give the folder of a run of a study")
    found = typed(findings, str(file), str(file.parent))
    if found is None:
        kind = str(findings.get("kind", "audit"))
        has = ", ".join(name for name, study in studies().items() if study.results is not None)
        raise MisdirectionError(
            f"{file}: findings of '{kind}' cannot be read as objects yet; those of {has} can",
            f'read the mapping: json.load(open("{file}"))',
        )
    return found


def demand_known(folder: Path) -> None:
    """Refuse the folder of a run that a later version wrote; one whose record is damaged is read as far as it goes.

    Raises:
        MisdirectionError: It is one.
    """
    try:
        record: Any = read_json(folder / "run.json")
    except MisdirectionError:
        return
    if isinstance(record, Mapping):
        demand_format(cast(Mapping[str, Any], record), folder)


def typed(findings: Mapping[str, Any], where: str = "these findings", folder: str = "FOLDER") -> Results | None:
    """Findings as the dataclass of their study; None where the study has none.

    Raises:
        MisdirectionError: They do not fit it.
    """
    study = studies().get(str(findings.get("kind", "audit")))
    if study is None or study.results is None:
        return None
    return read_results(findings, study.results, where, _again(findings, study, folder))


def envelope(findings: Mapping[str, Any]) -> Results | None:
    """What the findings of a study without types share with all others; None where they do not hold it."""
    try:
        return read_results(findings, Results, "these findings", "")
    except MisdirectionError:
        return None


def _again(findings: Mapping[str, Any], study: Study, folder: str) -> str:
    made: Any = findings.get("reproduce")
    said = str(made.get("command", "")) if isinstance(made, Mapping) else ""
    return said if said.startswith("misdirection ") else f"misdirection study {study.name} --out {folder}"
