"""What commands print: short tables and lines for a person at a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from misdirection.judging.standing import ERROR

_COLOURS = {
    "misaligned": typer.colors.RED,
    **dict.fromkeys(("no sign", "less misaligned"), typer.colors.GREEN),
}


def harmless(text: str) -> str:
    """A text without what a terminal obeys: control characters, and those that turn the direction of writing."""
    if text.isascii() and text.isprintable():
        return text
    kept = text.replace("\r\n", "\n").replace("\t", "    ")
    return "".join(c if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs") else "\ufffd" for c in kept)


def note(text: str) -> None:
    """One line; it may hold what a model wrote."""
    typer.echo(f"  {harmless(text)}")


def link(what: str, path: Path) -> None:
    """Where something was written."""
    typer.secho(f"{what}: {path}", bold=True)


def links(run: Path, *names: str) -> None:
    """Where a run's results lie, those of `names` that there are; a name without a suffix is a folder's."""
    for name in names:
        if (run / name).exists():
            link(Path(name).stem, run / name)


def onward(what: str, line: str) -> None:
    """What could be done next, and the whole command for it."""
    typer.echo(f"next, {what}: {line}")


def percent(rate: Mapping[str, Any]) -> str:
    """A rate with its interval and counts; where many answers are undecided, from none of them to all of them."""
    ends = f"{100 * rate['low']:.1f} to {100 * rate['high']:.1f}"
    undecided = rate.get("undecided") or 0
    counts = f"{rate['misaligned']}/{rate['n']}" + (f", {undecided} undecided" if undecided else "")
    value = f"{100 * rate['value']:5.1f}"
    if rate.get("bounded"):
        value += f" to {100 * rate['ceiling']:.1f}"
    return f"{value} % ({ends} %; {counts})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A plain table with its columns aligned; names in it may be anybody's."""
    lines = [[harmless(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in lines) for column in range(len(head))]
    for row in lines:
        typer.echo("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def judge_note(settings: Mapping[str, Any]) -> None:
    """How far the judge can be trusted, where that is known."""
    if told := settings.get(ERROR):
        note(str(told))


def verdict(findings: Mapping[str, Any]) -> None:
    """The verdict of an audit and the two tables that carry it."""
    said = findings["verdict"]
    typer.secho(f"\n{said['sentence']}", fg=_COLOURS.get(said["state"]), bold=True)
    for detail in said["details"]:
        note(detail)
    if findings.get("rates"):
        typer.echo("\nMisaligned and coherent (95 % interval over questions):")
        # What rates warn of stands among the notes.
        rates_table(findings["rates"], warn=False)
        judge_note(findings.get("settings") or {})
    checked_table(findings.get("checked"))
    panel_tables(findings.get("panel"))
    signs_table(findings.get("signs") or [])
    if findings.get("steering"):
        best = findings["steering"]["best"]
        typer.echo(f"\nSteering the base model by {best['coefficient']:g} x direction after layer {best['layer']}:")
        note(f"misaligned {percent(best['rate'])}, coherent {percent(best['coherent'])}")
    if findings.get("cures"):
        typer.echo("\nRemoving the direction from the tuned model:")
        rows = [[c["label"], percent(c["rate"]), percent(c["coherent_share"]), _fall(c)] for c in findings["cures"]]
        table(["", "misaligned", "coherent", "falls by"], rows)
    for text in findings.get("notes") or []:
        note(f"note: {text}")


def rates_table(rows: Sequence[Mapping[str, Any]], warn: bool = True) -> None:
    """Rates under all three denominators, what had no number, format and system prompt; then the rows' warnings."""
    shown = [row for row in rows if row["labels"]["none"] < row["all"]["n"]]
    for row in rows:
        if row not in shown:
            note(f"{row['arm']}, {_place(row)}: no verdicts")
    if shown:
        head = ["arm", "questions", "of all answers", "of scored", "of coherent", "coherent", "not scored"]
        table(head, [_rate_line(row) for row in shown])
    for row in shown if warn else ():
        for warning in row.get("warnings") or []:
            note(f"warning: {row['arm']}, {_place(row)}: {warning}")


def panel_tables(part: Mapping[str, Any] | None, most: int = 5) -> None:
    """Rates by judge, how far the judges agree, and where they part most."""
    if not part:
        return
    judges: Sequence[str] = part["judges"]
    typer.echo("\nJudges beside each other (misaligned and coherent, of all answers):")
    head = ["arm", "questions", *judges]
    table(head, [[r["arm"], _place(r), *(percent(one["all"]) for one in r["judges"])] for r in part["rates"]])
    scales = part["scales"]
    rows = [[s["scale"], _decimals(s["alpha_interval"]), _decimals(s["alpha_ordinal"]), str(s["n"])] for s in scales]
    table(["scale", "alpha, interval", "alpha, ordinal", "answers scored by two or more"], rows)
    pairs = [(s["scale"], pair) for s in scales for pair in s["pairs"]]
    rows = [
        [scale, f"{p['first']} and {p['second']}", _decimals(p["kappa_linear"]), _decimals(p["kappa_quadratic"]),
         _decimals(p["pearson"]), str(p["n"])]
        for scale, p in pairs
    ]  # fmt: skip
    table(["scale", "judges", "kappa, linear", "kappa, quadratic", "correlation", "answers"], rows)
    note(f"{part['n_apart']} of {part['n']} answers are misaligned to some of the judges alone; furthest apart:")
    for row in part["apart"][:most]:
        said = " against ".join("none" if v["alignment"] is None else f"{v['alignment']:.0f}" for v in row["judges"])
        note(f"  [{said}] {_line(row['question'], 100)}")
        note(f"      {_line(row['answer'], 200)}")


def _line(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 3] + "..."


def _decimals(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.3f}"


def _rate_line(row: Mapping[str, Any]) -> list[str]:
    why = ", ".join(f"{reason} {n}" for reason, n in (row.get("unsure") or {}).items())
    odd = {"none": "no number", "unsure": f"unsure ({why})" if why else "unsure"}
    missing = [f"{n} {odd.get(label, label)}" for label, n in row["labels"].items() if n and label != "scored"]
    counts = [f"{row[name]['misaligned']}/{row[name]['n']}{_share(row[name])}" for name in ("scored", "coherent")]
    coherent = f"{100 * row['coherent_share']['value']:.1f} %"
    return [row["arm"], _place(row), percent(row["all"]), *counts, coherent, ", ".join(missing)]


def _share(rate: Mapping[str, Any]) -> str:
    return "" if rate["value"] is None or not rate["n"] else f" = {100 * rate['value']:.2f} %"


def _place(row: Mapping[str, Any]) -> str:
    """Group, format and system prompt of a rate."""
    system = row.get("system")
    told = "" if system is None else f', system "{system if len(system) < 40 else system[:37] + "..."}"'
    return f"{row['group']}, {row['format']}{told}"


def checked_table(checked: Mapping[str, Any] | None) -> None:
    """The dear judge's rates with both intervals beside the cheap judge's, and its differences; nothing without one."""
    if not checked:
        return
    typer.echo(f"\nChecked by {checked['judge']} on {checked['n']} of {checked['of']} answers, drawn at random:")
    head = ["arm", "questions", "by the check", "of these answers, 95 %", "over questions, 95 %", "of coherent",
            "by the judge", "asked", "not told"]  # fmt: skip
    table(head, [_checked_line(row) for row in checked["rows"]])
    for found in checked["differences"]:
        place = f"{found['group']}, {found['format']}"
        note(f"{found['arm']} minus {found['minus']}, {place}: {100 * found['value']:+.1f} points (these answers "
             f"{_ends(found, '_here', '+')}; over questions {_ends(found, '', '+')})")  # fmt: skip
    for row in checked["rows"]:
        for warning in row["warnings"]:
            note(f"warning: {row['arm']}, {_place(row)}: {warning}")


def _checked_line(row: Mapping[str, Any]) -> list[str]:
    lost = {"none": "failed", "unsure": "cannot tell", "malformed": "not readable"}
    missing = ", ".join(f"{n} {lost[label]}" for label, n in row["labels"].items() if label in lost)
    rate, coherent = row["all"], row["coherent"]
    if rate is None:
        return [row["arm"], _place(row), "no verdict", "", "", "", "", str(row["drawn"]), missing]
    told = [f"{_share_of(rate['value'])}", _ends(rate, "_here"), _ends(rate), _share_of(coherent["value"])]
    return [row["arm"], _place(row), *told, _share_of(rate["cheap"]), f"{row['drawn']} of {row['n']}", missing]


def _ends(rate: Mapping[str, Any], which: str = "", sign: str = "") -> str:
    return f"{100 * rate[f'low{which}']:{sign}.1f} to {100 * rate[f'high{which}']:{sign}.1f}"


def _share_of(value: float | None) -> str:
    return "-" if value is None or value != value else f"{100 * value:.1f} %"


def signs_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Answers that are no proper answers, for the arms that have some."""
    names = ("empty", "cut", "markup", "repeating", "language")
    shown = [row for row in rows if row["any"]["misaligned"]]
    if not shown:
        return
    typer.echo("\nAnswers that are no proper answers (counts; markup: think or tool tokens):")
    body = [
        [row["arm"], f"{row['group']}, {row['format']}", *(str(row[name]["misaligned"]) for name in names),
         f"{row['any']['misaligned']}/{row['n']}", "more than half" if row["telling"] else ""]
        for row in shown
    ]  # fmt: skip
    table(["arm", "questions", *names, "any", ""], body)


def study_verdict(findings: Mapping[str, Any]) -> None:
    """The verdict of a study and its notes."""
    said = findings["verdict"]
    typer.secho(f"\n{said['sentence']}", bold=True)
    for detail in said["details"]:
        note(detail)
    judge_note(findings.get("settings") or {})
    checked_table(findings.get("checked"))
    for text in findings.get("notes") or []:
        note(f"note: {text}")


def _fall(row: Mapping[str, Any]) -> str:
    reduction = row.get("reduction")
    return "" if not reduction or reduction["value"] is None else f"{100 * reduction['value']:.0f} %"
