"""The command that writes the answers of a run for other tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from misdirection import progress
from misdirection.cli.derive import several
from misdirection.cli.printing import Json, printed
from misdirection.cli.show import link, note, onward, table
from misdirection.errors import MisdirectionError, command, did_you_mean

if TYPE_CHECKING:
    from misdirection.studies.comparison.reading import Side
    from misdirection.studies.kit.judged import Judged


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run whose answers were judged.")],
    inspect: Annotated[
        Path,
        typer.Option(help="Logs of Inspect: a folder, where each arm becomes ARM.eval; or one .eval or .json file."),
    ],
    arm: Annotated[list[str] | None, typer.Option(help="Arms to write; all by default.")] = None,
    part: Annotated[
        str, typer.Option(help="Which answers, as their file is called: main, sweep, best, cures ...")
    ] = "main",
    json: Json = False,
) -> None:
    r"""Write answers and verdicts as logs of Inspect, which its viewer and its tools read.

    A log holds one model, so each arm is one. Scores and metrics are those that our task gives in Inspect
    (misdirection/emergent_misalignment), and judge --from reads the logs back with the same rates. Token ids stay
    here. It needs pip install 'misdirection\[inspect]'.

    Examples:
      misdirection export runs/demo --inspect runs/logs

      misdirection export runs/demo --arm tuned --inspect tuned.eval
    """
    from misdirection.judging.inspect import need_inspect

    need_inspect()
    from misdirection.artefacts import plain
    from misdirection.inspecting.export import ENDINGS, write_log
    from misdirection.studies.comparison.reading import read_side

    progress.say(f"{progress.name()}: {run}; logs of Inspect in {inspect}")
    side = read_side(run)
    held = _part(side, part)
    arms = _arms(held, several(arm, str, "--arm"))
    one = inspect.suffix in ENDINGS
    if one and len(arms) > 1:
        raise MisdirectionError(f"{inspect} is one log, and {run} has the arms {', '.join(arms)}",
                                "name one with --arm, or give a folder")  # fmt: skip
    facts = {"run": run.name, "part": part, "settings": plain(dict(side.settings))}
    rows: list[dict[str, Any]] = []
    for name in arms:
        found, file = held.arm(name), inspect if one else inspect / f"{name.replace('/', '-')}.eval"
        write_log(file, found.answers, found.verdicts, side.rules, facts)
        bad = sum(side.rules.misaligned(verdict) for verdict in found.verdicts)
        rows.append({"file": str(file), "arm": name, "answers": len(found.answers), "misaligned": bad})
    printed(rows, json, lambda: _show(rows, inspect))


def _part(side: Side, part: str) -> Judged:
    if side.counted or not side.asked:
        raise MisdirectionError(f"{side.name} holds no answers", "give the folder of a run, not its findings alone")
    if part not in side.asked:
        raise MisdirectionError(
            f"{side.name} has no answers called '{part}'", did_you_mean(part, side.asked, "answers")
        )
    return side.asked[part]


def _arms(held: Judged, wanted: Sequence[str]) -> list[str]:
    there = list(dict.fromkeys(answer.arm for answer in held.answers))
    if strangers := [name for name in wanted if name not in there]:
        raise MisdirectionError(f"there is no arm '{strangers[0]}'", did_you_mean(strangers[0], there, "arms"))
    return [name for name in there if not wanted or name in wanted]


def _show(rows: Sequence[Mapping[str, Any]], place: Path) -> None:
    table(["arm", "answers", "misaligned", "file"], [
        [row["arm"], str(row["answers"]), str(row["misaligned"]), row["file"]] for row in rows
    ])  # fmt: skip
    note(f"with Inspect: inspect view --log-dir {place if place.is_dir() else place.parent}")
    onward("the same rates from them", command("judge", "--from", rows[-1]["file"], "--out", "runs/again"))
    link("logs", place)
