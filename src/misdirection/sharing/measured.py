"""Figures for a card from what was measured: a run's findings, or the figures of dictionaries as `sae` writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from misdirection.artefacts import read_json
from misdirection.errors import MisdirectionError, command
from misdirection.sharing.tables import CardTable, interval, percent

if TYPE_CHECKING:
    from misdirection.results import RateRow, Results
    from misdirection.results.judged import JudgedResults
    from misdirection.studies.audit.results import AuditResults

FINDINGS, FIGURES = "findings.json", "figures.json"
_HEAD = ("95 %", "misaligned of", "questions", "coherent")


def beside(place: Path | None) -> Path | None:
    """Where the figures of a thing are by themselves: of its run, of whose results it is; None where none are."""
    if place is None:
        return None
    folder = place if place.is_dir() else place.parent
    found = (one / name for one in (folder, folder.parent) for name in (FINDINGS, FIGURES))
    return next((file for file in found if file.is_file()), None)


def figures_of(source: Path, name: str = "") -> tuple[CardTable, ...]:
    """Tables of what was measured, each with its counts, and with intervals where the source has them.

    Args:
        source: Folder of a finished run, its findings.json, or a file of figures of dictionaries.
        name: Of the dictionary among several.

    Raises:
        MisdirectionError: There are no figures there, or they cannot be read.
    """
    from misdirection.results.judged import JudgedResults
    from misdirection.studies.audit.results import AuditResults
    from misdirection.studies.reading import load_results

    file = source if source.is_file() else source / FINDINGS
    if file.is_file() and file.name != FINDINGS:
        held: Any = read_json(file)
        if not isinstance(held, Mapping) or "kind" not in held:
            return _dictionaries(held, file, name)
    found = load_results(file if file.is_file() else source)
    if not isinstance(found, JudgedResults) or not found.rates:
        raise MisdirectionError(f"{source}: no rates stand in these findings", "give a run of audit, judge or sample")
    tables = [_rates(found)]
    if isinstance(found, AuditResults):
        tables += _audited(found)
    return tuple(tables)


def _rates(found: JudgedResults) -> CardTable:
    judges = ", ".join(dict.fromkeys(judge for row in found.rates or () for judge in row.judges))
    rule = found.thresholds
    told = (
        f"{found.verdict.sentence} Answers that are misaligned (alignment below {rule.alignment:g}) and coherent "
        f"(coherence above {rule.coherence:g}), of all answers; intervals over questions; judged by {judges}; "
        f"{_made(found)}."
    )
    rows = tuple(
        (row.arm, row.group if row.format == "plain" else f"{row.group}, {row.format}",
         *_rate(row.all, row.coherent_share))
        for row in found.rates or ()
    )  # fmt: skip
    return CardTable(told, ("arm", "asked", "misaligned", *_HEAD), rows)


def _audited(found: AuditResults) -> Sequence[CardTable]:
    tables: list[CardTable] = []
    if found.steering is not None:
        points = [found.steering.best, *([found.steering.control] if found.steering.control else [])]
        rows = tuple(
            (f"{p.coefficient:g} x {p.direction}, layer {p.layer}", *_rate(p.rate, p.coherent)) for p in points
        )
        tables.append(CardTable("The base model steered:", ("steered by", "misaligned", *_HEAD), rows))
    if found.cures:
        rows = tuple((cure.label, *_rate(cure.rate, cure.coherent_share)) for cure in found.cures)
        tables.append(CardTable("The direction removed from the tuned model:", ("", "misaligned", *_HEAD), rows))
    if found.fix is not None:
        kept = {row.way: "" if row.kept is None else percent(row.kept) for row in found.fix.rows}
        rows = tuple((row.label, *_rate(row.rate, row.coherent_share), kept[row.way]) for row in found.fix.rows)
        tables.append(CardTable(f"{found.fix.told()}", ("", "misaligned", *_HEAD, "skill kept"), rows))
    return tables


def _rate(rate: RateRow, coherent: RateRow) -> tuple[str, ...]:
    value = f"{percent(rate.value)} to {percent(rate.ceiling)}" if rate.bounded else percent(rate.value)
    counts = f"{rate.misaligned}/{rate.n}" + (f", {rate.undecided} undecided" if rate.undecided else "")
    return value, interval(rate.low, rate.high), counts, str(rate.n_questions), percent(coherent.value)


def _made(found: Results) -> str:
    return f"`{found.kind}` of {found.created[:10]} by misdirection {found.version}"


def _dictionaries(held: Any, file: Path, name: str) -> tuple[CardTable, ...]:
    """Of the dictionary of that name, or of the only one.

    `sae train` names its own by their folders, `sae evaluate` each as it was typed: a folder by its path.
    """
    whole: Mapping[str, Any] = held if isinstance(held, Mapping) else {}
    by_name = {Path(key).name: one for key, one in whole.items()}
    found = by_name.get(name)
    if found is None and len(by_name) == 1:
        found = next(iter(by_name.values()))
    if not isinstance(found, Mapping) or not found:
        raise MisdirectionError(
            f"{file}: no figures of {name or 'one dictionary'} stand there",
            f"measure it: {command('sae', 'evaluate', name or 'DICTIONARY', '--out', 'figures.json')}",
        )
    head = ("variant", "variance explained", "active", "dead", "loss clean", "with it", "zero", "mean", "tokens")
    rows = tuple(
        (str(variant), percent(one["variance_explained"]), f"{one['l0']:.1f}", f"{one['dead']:,} of {one['latents']:,}",
         *(f"{one[f'loss_{what}']:.3f}" for what in ("clean", "spliced", "zero", "mean")), f"{one['tokens']:,}")
        for variant, one in found.items()
    )  # fmt: skip
    told = (
        "On held-out texts; losses in nats a token, with the reconstruction, with zeros and with the mean state in the "
        "layer's place. No intervals were measured."
    )
    return (CardTable(told, head, rows),)
