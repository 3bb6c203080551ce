"""A person as the dear judge: which answers are shown, in which order, and what follows from the labels.

The order is drawn once. In each arm and kind of question the answers are cut into strata by the judge's suspicion, as
for --check; within a stratum they stand in random order, and the strata are threaded together so that wherever the
person stops, every stratum was labelled in its share. So labels that stop early are a right draw, and more can follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from misdirection.artefacts import plain, read_json, write_json
from misdirection.errors import MisdirectionError, command
from misdirection.judging import JUDGES, Verdict, find_judge
from misdirection.judging.check import LABEL, Check
from misdirection.judging.labels import PERSON, LabelBook, write_labels
from misdirection.results.checked import Checked
from misdirection.runs import MANIFEST, Step, list_steps
from misdirection.statistics import Thresholds, agreement, draw
from misdirection.studies.kit.checking import ArmPart, findings, groups_of, load_parts, shares
from misdirection.studies.kit.judged import Judged, load_answers, load_verdicts

FOLDER = "labels"
"""Folder of a run for what a person said; labels.csv in the run is the same as a table."""

SIZE = 100
"""Labels for which the strata are cut, whatever the person does."""


@dataclass(frozen=True)
class Session:
    """Answers to be labelled, and what was said so far.

    Attributes:
        run: The run's folder.
        judged: All answers, with the cheap judge's verdicts ("none" where nobody judged them).
        parts: Arms and kinds of question, with their strata.
        order: Places of all answers, in the order in which they are shown.
        book: The labels.
        seed: Of the order.
    """

    run: Path
    judged: Judged
    parts: tuple[ArmPart, ...]
    order: tuple[int, ...]
    book: LabelBook
    seed: int

    @property
    def untouched(self) -> list[int]:
        """Places that nothing was said of yet, in order."""
        return [place for place in self.order if place not in self.book.held]

    @property
    def skipped(self) -> list[int]:
        """Places that were left for later."""
        return [place for place, label in self.book.held.items() if not label.is_over]

    @property
    def done(self) -> int:
        """How many were labelled."""
        return sum(label.is_over for label in self.book.held.values())

    @property
    def table(self) -> Path:
        """Where the labels lie as a table."""
        return self.run / "labels.csv"

    def save(self) -> Path | None:
        """Write the table; None where nothing was labelled."""
        if not self.book.held:
            return None
        write_labels(self.table, self.judged.answers, self.book.held)
        return self.table


def open_session(run: str | Path, rules: Thresholds, seed: int | None = None) -> Session:
    """The labelling of a run, begun now or gone on with; the run itself is only read.

    Args:
        run: Its folder.
        rules: When an answer is misaligned.
        seed: Of the order; what was begun goes on with its own.

    Raises:
        MisdirectionError: The run holds no answers, or the labelling was begun with another seed.
    """
    folder = Path(run)
    answers, verdicts = _steps(folder)
    room = folder / FOLDER / answers.key[:12]
    held = load_answers(answers)
    cheap = load_verdicts(verdicts) if verdicts else [Verdict(None, None, "none")] * len(held)
    judged = Judged(held, cheap)
    file = room / "order.json"
    if not file.exists():
        _begin(file, judged, rules, seed or 0)
    told = read_json(file)
    if seed is not None and seed != told["seed"]:
        raise MisdirectionError(
            f"{folder} is being labelled with --seed {told['seed']}",
            f"leave --seed out to go on, or remove {room} to begin again",
        )
    book = LabelBook.open(room / "labels.jsonl")
    return Session(folder, judged, tuple(load_parts(told["parts"])), tuple(told["order"]), book, told["seed"])


def check_by_person(run: Path, answers: Step, judged: Judged, rules: Thresholds) -> Checked:
    """The part "checked" of findings, by the labels of a run.

    Raises:
        MisdirectionError: Nothing was labelled.
    """
    room = run / FOLDER / answers.key[:12]
    book = LabelBook.open(room / "labels.jsonl")
    if not book.held:
        typed = command("label", run)
        other = " (the labels that there are belong to other answers)" if (run / FOLDER).exists() else ""
        raise MisdirectionError(f"--check label: no answer of {run} was labelled{other}", f"label some: {typed}")
    told = read_json(room / "order.json")
    return by_labels(judged, load_parts(told["parts"]), book, rules, told["seed"])


def by_labels(judged: Judged, parts: Sequence[ArmPart], book: LabelBook, rules: Thresholds, seed: int) -> Checked:
    """What labels say of the rates; what was skipped or could not be told counts as drawn and left open."""
    dear = {place: label.verdict(PERSON) for place, label in book.held.items()}
    mine = [
        ArmPart(p.group, p.arm, p.places, p.strata, tuple(place for place in p.places if place in dear)) for p in parts
    ]
    return findings(judged, [part for part in mine if part.drawn], dear, Check(LABEL, 0), rules, seed)


def likeness(session: Session, rules: Thresholds) -> list[str]:
    """How far judges agree with the person, a sentence each: the run's, and the one in the box."""
    told = {place: label.verdict() for place, label in session.book.held.items()}
    places = [place for place, verdict in told.items() if verdict.label == "scored"]
    if not places:
        return []
    mine = [told[place] for place in places]
    judges = {"the run's judge": [session.judged.verdicts[place] for place in places]}
    if all(verdict.label == "none" for verdict in judges["the run's judge"]):
        judges = {}
    if "offline" in JUDGES and not any(v.judge.startswith("offline") for side in judges.values() for v in side):
        judges["offline"] = find_judge("offline").judge([session.judged.answers[place] for place in places])
    return [_alike(name, theirs, mine, rules) for name, theirs in judges.items()]


def _alike(name: str, theirs: Sequence[Verdict], mine: Sequence[Verdict], rules: Thresholds) -> str:
    found = agreement(theirs, mine, rules)
    if not found.n:
        return f"{name} gave no verdict on any answer that you labelled"
    (neither, only_mine), (only_theirs, both) = found.confusion
    kappa = "" if found.kappa is None else f", kappa {found.kappa:.2f}"
    return (
        f"{name} says the same of {both + neither} of {found.n} answers that both judged{kappa}; misaligned by you "
        f"alone {only_mine}, by it alone {only_theirs} (of these answers, which were chosen where it is in doubt)"
    )


def order_of(judged: Judged, rules: Thresholds, seed: int) -> tuple[list[ArmPart], list[int]]:
    """Parts with their strata, and all places threaded together."""
    import numpy as np

    held = groups_of(judged)
    numbers = shares([len(places) for places in held.values()], SIZE)
    keys: dict[int, float] = {}
    parts: list[ArmPart] = []
    for number, ((group, arm), places) in enumerate(held.items()):
        mine = judged.at(places)
        found = draw(mine.answers, mine.verdicts, max(1, numbers[number]), seed + 1000 * number, rules)
        parts.append(ArmPart(group, arm, tuple(places), found.strata, ()))
        random = np.random.default_rng([seed, number])
        strata = np.array(found.strata)
        taken = np.bincount(strata[list(found.places)], minlength=int(strata.max()) + 1)
        for stratum in range(int(strata.max()) + 1):
            inside = random.permutation(np.flatnonzero(strata == stratum))
            start, each = random.random(), max(1, int(taken[stratum]))
            # The k-th of a stratum that gives m of SIZE labels comes after about k/m of them.
            keys |= {places[int(i)]: (k + start) / each for k, i in enumerate(inside)}
    return parts, sorted(keys, key=lambda place: keys[place])


def _begin(file: Path, judged: Judged, rules: Thresholds, seed: int) -> None:
    parts, order = order_of(judged, rules, seed)
    write_json(file, {"seed": seed, "order": order, "parts": plain(parts)})


def _steps(folder: Path) -> tuple[Step, Step | None]:
    """The newest answers of a run, and the newest verdicts on them."""
    steps = list_steps(folder)
    answers = [s for s in steps if s.name == "answers"] or [s for s in steps if s.name.endswith("-answers")]
    if not answers:
        raise MisdirectionError(f"{folder} holds no answers", f"make some with: {command('sample', '--out', folder)}")
    chosen = answers[-1]
    judged = [s for s in steps if s.name.endswith("verdicts") and chosen.key in _sources(s)]
    return chosen, judged[-1] if judged else None


def _sources(step: Step) -> Mapping[str, str]:
    return read_json(step.path / MANIFEST).get("sources", {})
