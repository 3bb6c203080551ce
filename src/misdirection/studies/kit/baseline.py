"""A run beside a committed baseline: is it worse? By answers where they are there, else by counts.

What has to be committed is small: the JSON that --json prints, or findings.json; a whole run folder does as well. Both
are compared question by question where they were asked the same ones, and by the two rates' intervals where not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from misdirection.artefacts import read_json, read_rows
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict
from misdirection.statistics import Thresholds, is_found
from misdirection.studies.kit.change import RateChange, RateChangeRow, family, pair
from misdirection.studies.kit.judged import Judged, read_verdicts
from misdirection.studies.kit.sentences import found_text, p_text, points_text

BASE = "base"


@dataclass(frozen=True)
class BaselineRun:
    """What a run or a file tells of open, plainly asked questions.

    Attributes:
        name: Of the folder or file.
        judged: Answers, or stand-ins for counts.
        judges: Who judged, where it is said.
        rule: When an answer is misaligned, where it cannot be counted anew.
        states: State of the verdict by arm.
        settings: How it was asked.
    """

    name: str
    judged: Judged
    judges: frozenset[str]
    rule: str | None
    states: Mapping[str, str]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Against:
    """A run beside its baseline.

    Attributes:
        name: Of the baseline.
        changes: By arm.
        known: Arms that were misaligned in the baseline too.
        notes: In what the two differ otherwise.
    """

    name: str
    changes: Mapping[str, RateChange]
    known: frozenset[str]
    notes: tuple[str, ...] = ()

    @property
    def worse(self) -> bool:
        """Whether a rise above the baseline was found in any arm."""
        return any(is_found(one.decides) and one.difference > 0 for one in self.changes.values())

    @property
    def text(self) -> str:
        """The arm with the strongest sign of a rise, in words."""
        arm, one = min(self.changes.items(), key=lambda item: (item[1].difference <= 0, item[1].decides))
        name = "p" if one.q is None else "q"
        who = f"{arm} " if len(self.changes) > 1 else ""
        how = "paired by question" if one.paired else "unpaired"
        moved = points_text(one.difference, one.low, one.high, one.level)
        return (
            f"{who}against the baseline {self.name} {moved}, {how}, "
            f"{p_text(one.decides, name)}, {found_text(one.decides, name)}"
        )

    def row(self) -> AgainstRow:
        """Its figures, as --json has them."""
        rows = {arm: one.row() for arm, one in self.changes.items()}
        return AgainstRow(self.name, self.worse, tuple(sorted(self.known)), rows, self.notes)


@dataclass(frozen=True)
class AgainstRow:
    """The figures of a run beside its baseline; see `Against`."""

    name: str
    worse: bool
    known: tuple[str, ...]
    arms: Mapping[str, RateChangeRow]
    notes: tuple[str, ...]


def compare_with(baseline: str | Path, run: Path, found: Mapping[str, Any], rules: Thresholds) -> Against:
    """Compare the arms of a run with those of the same name in a baseline.

    Args:
        baseline: A run folder, its findings.json, or what --json printed.
        run: Folder of the run at hand.
        found: Its findings.
        rules: When an answer is misaligned.

    Raises:
        MisdirectionError: The baseline cannot be read, has no arm in common, was judged by another judge, or by another
            rule and without its verdicts.
    """
    before, now = read_held(baseline), _held(run, found, str(run))
    _same_measure(before, now)
    arms = _arms(before, now)
    pairs = {new: pair(before.judged.arm(old), now.judged.arm(new)) for new, old in arms.items()}
    changes = family(pairs, rules)
    known = frozenset(new for new, old in arms.items() if before.states.get(old) == "misaligned")
    return Against(before.name, changes, known, tuple(_notes(before, now, changes)))


def read_held(path: str | Path) -> BaselineRun:
    """A baseline: a run folder with findings.json, that file, or the JSON of --json.

    Raises:
        MisdirectionError: It is none of these.
    """
    place = Path(path)
    file = place / "findings.json" if place.is_dir() else place
    if not file.is_file():
        what = "holds no findings.json" if place.is_dir() else "does not exist"
        raise MisdirectionError(
            f"--baseline: {path} {what}", "give a run folder, its findings.json, or a file that --json wrote"
        )
    try:
        found: Any = read_json(file)
    except MisdirectionError as error:
        raise MisdirectionError(
            f"--baseline: {error.message}", "give a run folder, its findings.json, or a file that --json wrote"
        ) from error
    if not isinstance(found, dict) or "verdict" not in found or not (found.get("rates") or found.get("by_question")):  # pyright: ignore[reportUnknownMemberType]
        raise MisdirectionError(
            f"--baseline: {file} holds no rates", "give the findings.json, or the --json, of a run that was judged"
        )
    return _held(place if place.is_dir() else None, found, str(path))  # pyright: ignore[reportUnknownArgumentType]


def states_of(verdict: Mapping[str, Any]) -> dict[str, str]:
    """The state of each arm that a verdict is on."""
    states = {str(one["arm"]): str(one["state"]) for one in verdict.get("arms") or ()}
    return states or {str(verdict.get("arm") or "tuned"): str(verdict.get("state"))}


def _held(run: Path | None, found: Mapping[str, Any], name: str) -> BaselineRun:
    """Answers of a folder where they are there, else counts by question, else counts alone."""
    settings: Mapping[str, Any] = found.get("settings") or {}
    rows = [row for row in found.get("rates") or () if row["group"] == "open" and row.get("format") == "plain"]
    judges = frozenset(str(judge) for row in rows for judge in row.get("judges") or ())
    verdict: Mapping[str, Any] = found["verdict"]
    states = states_of(verdict)
    files = [run / f"{kind}.parquet" for kind in ("answers", "verdicts")] if run else []
    if files and all(file.is_file() for file in files):
        whole = Judged([Answer(**row) for row in read_rows(files[0])], read_verdicts(files[1]))
        judged = whole.where(lambda answer: answer.domain is None and answer.format == "plain")
        if judged.answers:
            who = frozenset(verdict.judge for verdict in judged.verdicts if verdict.judge)
            return BaselineRun(name, judged, who, None, states, settings)
    counted = [r for r in found.get("by_question") or () if r["group"] == "open" and r.get("format") == "plain"]
    judged = stand_ins(counted or _totals(rows))
    return BaselineRun(name, judged, judges, str(settings.get("misaligned") or "") or None, states, settings)


def _totals(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    # Under the file's own name: no question of another run is of this one.
    return [{"arm": r["arm"], "question_id": "(all questions)", **r["all"]} for r in rows]


def stand_ins(rows: Iterable[Mapping[str, Any]]) -> Judged:
    """Answers without a text, so many of each arm and question, with verdicts that count as the file counted."""
    answers: list[Answer] = []
    verdicts: list[Verdict] = []
    for row in rows:
        bad, open_ = int(row["misaligned"]), int(row.get("undecided") or 0)
        for i in range(int(row["n"])):
            domain, form = str(row.get("group") or "open"), str(row.get("format") or "plain")
            answers.append(
                Answer(
                    str(row["question_id"]), "", "", None, None if domain == "open" else domain, form, str(row["arm"]),
                    sample=i,
                )
            )  # fmt: skip
            left = Verdict(None, None, "none") if i < bad + open_ else Verdict(100.0, 100.0)
            # Beyond both ends of the scale: misaligned by whatever thresholds the file counted with.
            verdicts.append(Verdict(-1.0, 101.0) if i < bad else left)
    return Judged(answers, verdicts)


def _same_measure(before: BaselineRun, now: BaselineRun) -> None:
    if before.judges and now.judges and before.judges != now.judges:
        first, second = (", ".join(sorted(held.judges)) for held in (before, now))
        raise MisdirectionError(
            f"--baseline: {before.name} was judged by {first}, this run by {second}",
            "rates of two judges are not compared: judge one of them again with the other's judge",
        )
    rules = {held.rule for held in (before, now) if held.rule}
    told = before.rule or now.rule
    if len(rules) > 1 or (told and told != str(now.settings.get("misaligned") or told)):
        raise MisdirectionError(
            f"--baseline: {before.name} calls an answer misaligned by {before.rule}, this run by "
            f"{now.settings.get('misaligned')}",
            "give the run folder of the baseline, whose verdicts can be counted anew, or the same thresholds",
        )


def _arms(before: BaselineRun, now: BaselineRun) -> dict[str, str]:
    """Arms of this run with the arm of the baseline that each is compared with."""
    held = [list(dict.fromkeys(a.arm for a in side.judged.answers)) for side in (before, now)]
    # A base that the verdict is on as well is an arm like the others: nothing was compared with it.
    tuned = [
        [arm for arm in names if arm != BASE or arm in side.states]
        for names, side in zip(held, (before, now), strict=True)
    ]
    if same := [arm for arm in tuned[1] if arm in tuned[0]]:
        return {arm: arm for arm in same}
    if len(tuned[0]) == len(tuned[1]) == 1:
        return {tuned[1][0]: tuned[0][0]}
    names = [", ".join(names) or "none" for names in tuned]
    raise MisdirectionError(
        f"--baseline: {before.name} has no arm of this run (it has {names[0]}; this run {names[1]})",
        "name the arms alike, and ask open questions in both",
    )


def _notes(before: BaselineRun, now: BaselineRun, changes: Mapping[str, RateChange]) -> Iterable[str]:
    names = ("questions", "samples per question", "max new tokens", "temperature", "system")
    for name in names:
        pair = [held.settings.get(name) for held in (before, now)]
        if None not in pair and pair[0] != pair[1]:
            yield f"{name}: {pair[0]} in the baseline, {pair[1]} here"
    for arm, one in changes.items():
        lost = sum(one.paired.unmatched) if one.paired else 0
        if one.paired is None:
            yield f"{arm}: no question in common with the baseline, so the two rates are compared by their intervals"
        elif lost:
            yield f"{arm}: {lost} answers have no partner in the other run and stand out of the comparison"
