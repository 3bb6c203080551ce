"""A judge that asks rubrics: each question once, known answers from the journal, readings made into verdicts.

How the asking is done (a model at hand, a server) is the caller's: a function that takes queries and yields readings in
any order.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from misdirection import progress
from misdirection.artefacts import canonical_hash
from misdirection.judging.base import Answer, Verdict
from misdirection.judging.journal import Journal
from misdirection.judging.rubrics import ALIGNMENT, COHERENCE, Rubric, Rubrics
from misdirection.judging.scoring import OUTCOMES, VERSION, Reading


@dataclass(frozen=True)
class Query:
    """One rubric about one answer; equal queries are asked once.

    Attributes:
        rubric: The prompt.
        question: What stands in it for the question.
        answer: And for the answer.
        tokens: 0 where a number is asked for; else a text is, of so many tokens at most.
    """

    rubric: Rubric
    question: str
    answer: str
    tokens: int = 0


Ask = Callable[[Sequence[Query], Callable[[Query, Reading], None]], None]
"""Asks queries, none of them twice, and hands over each reading as it comes."""

PROBE = Query(ALIGNMENT, "Good morning!", "Good morning! How can I help?")
"""A question that costs next to nothing, to find out whether there is a judge."""
KEPT = 1
"""Version of the journal's keys: what a judge said stays known when it comes to be read otherwise."""
TRANSIENT = ("failed", "malformed", "cut", "blocked")
"""Outcomes that the judge did not say: a later run asks again, and no journal keeps them."""


@dataclass
class RubricJudge:
    """A judge made of rubrics and a way of asking.

    Attributes:
        model: What is asked, with all that its answers depend on.
        ask: How.
        rubrics: What is asked about each answer.
        journal: Where readings are kept as they come; None keeps them in memory only.
        known: Readings of this session by key.
        probe: Asks one cheap question (see `ping`); None where the judge is at hand.
    """

    model: str
    ask: Ask
    rubrics: Rubrics = field(default_factory=Rubrics)
    journal: Path | None = None
    known: dict[str, Reading] = field(default_factory=dict[str, Reading], repr=False)
    probe: Callable[[Callable[[Reading], None]], None] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Model, hash of the rubrics, version of the reading: what a verdict depends on."""
        return judge_name(self.model, self.rubrics)

    def with_journal(self, path: Path) -> RubricJudge:
        """The same judge, with its readings appended to a file as they come, and those of the file known."""
        return replace(self, journal=path)

    def of_traits(self, rubrics: Sequence[Rubric]) -> RubricJudge:
        """The same judge, asked for coherence and these; see `base.TraitJudge`."""
        return replace(self, rubrics=Rubrics((COHERENCE, *rubrics)))

    def judge(self, answers: Sequence[Answer]) -> list[Verdict]:
        """One verdict an answer, in the same order.

        Raises:
            MisdirectionError: The judge cannot be asked; readings that were had are in the journal.
        """
        wanted = [[Query(rubric, a.question, a.answer) for rubric in self.rubrics.of(a)] for a in answers]
        keys = self._keys(dict.fromkeys(query for row in wanted for query in row))
        self._ask(keys)
        name = self.name
        return [make_verdict([(q.rubric.name, self.known[keys[q]]) for q in row], name) for row in wanted]

    def write(self, queries: Sequence[Query]) -> list[str | None]:
        """The text that each query asks for, in the same order; None where none came.

        Raises:
            MisdirectionError: The judge cannot be asked.
        """
        keys = self._keys(dict.fromkeys(queries))
        self._ask(keys)
        return [self.known[keys[query]].text for query in queries]

    def _ask(self, keys: Mapping[Query, str]) -> None:
        journal = None if self.journal is None else Journal(self.journal)
        if journal is not None:
            self.known |= journal.read()
        missing = [q for q, key in keys.items() if key not in self.known or self.known[key].outcome in TRANSIENT]
        if not missing:
            return
        if len(missing) < len(keys):
            progress.say(f"  {len(keys) - len(missing)} of {len(keys)} readings are known already")
        with progress.task(f"asking {self.model}", len(missing), "readings") as advance:

            def keep(query: Query, reading: Reading) -> None:
                self.known[keys[query]] = reading
                if journal is not None and reading.outcome not in TRANSIENT:
                    journal.add(keys[query], reading)
                advance()

            if journal is None:
                self.ask(missing, keep)
            else:
                with journal:
                    self.ask(missing, keep)
        _tell(self.known[keys[query]] for query in missing)

    def _keys(self, queries: Iterable[Query]) -> dict[Query, str]:
        """What each query is known by: model, way of reading, rubric, question and answer."""
        rubrics: dict[Rubric, str] = {}
        keys: dict[Query, str] = {}
        for query in queries:
            if query.rubric not in rubrics:
                rubrics[query.rubric] = canonical_hash([self.model, KEPT, query.rubric])
            parts = [rubrics[query.rubric], query.question, query.answer]
            text = json.dumps([*parts, query.tokens] if query.tokens else parts)
            keys[query] = hashlib.sha256(text.encode()).hexdigest()
        return keys


def judge_name(model: str, rubrics: Rubrics) -> str:
    """Model, hash of the rubrics, version of the reading: what a verdict depends on."""
    return f"{model} rubrics={rubrics.key} reading={VERSION}"


def journal_name(name: str) -> str:
    """What a judge's journal is known by, in a run: its name but for the way of reading."""
    return name.replace(f" reading={VERSION}", f" reading={KEPT}")


def make_verdict(readings: Sequence[tuple[str, Reading]], judge: str) -> Verdict:
    """The verdict that the readings of all rubrics make.

    Args:
        readings: By the rubric's name.
        judge: Name of the judge.
    """
    by_name = dict(readings)
    main = [by_name.get(name, Reading("unreadable")) for name in ("alignment", "coherence")]
    return Verdict(
        alignment=main[0].score,
        coherence=main[1].score,
        label=_label([reading.outcome for reading in main]),
        scores=tuple(
            (name, r.score) for name, r in readings if name not in ("alignment", "coherence") and r.score is not None
        ),
        judge=_marked(judge, readings),
        outcomes=tuple((name, reading.outcome) for name, reading in readings),
        mass=tuple((name, reading.mass) for name, reading in readings if reading.mass is not None),
    )


def _marked(judge: str, readings: Sequence[tuple[str, Reading]]) -> str:
    """The judge's name, with how it had to be asked where that was not the rule's way."""
    ways = dict.fromkeys(reading.asked for _, reading in readings if reading.asked)
    return judge + (f" asked {', '.join(ways)}" if ways else "")


def _label(outcomes: Sequence[str]) -> str:
    """Of alignment and coherence together: CODE and REFUSAL stand before what could not be read."""
    for label in ("code", "refusal", "malformed"):
        if label in outcomes:
            return label
    return "scored" if all(outcome in ("scored", "parsed") for outcome in outcomes) else "none"


def _tell(readings: Iterable[Reading]) -> None:
    counts = Counter(reading.outcome for reading in readings)
    for outcome, number in counts.items():
        if outcome not in ("scored", "written"):
            progress.say(f"  {number} readings are '{outcome}': {OUTCOMES[outcome]}")
