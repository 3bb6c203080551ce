"""Misaligned answers that may be another thing: which, told by whom, as shares of an arm's answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from misdirection.judging import Verdict
from misdirection.judging.asides import asides, scored, topics_of
from misdirection.results import RateRow
from misdirection.results.rules import AsideRow, ByRule
from misdirection.statistics import Settings, Thresholds
from misdirection.statistics.rates import share_of
from misdirection.studies.kit.judged import Judged

BOX = "offline@"
"""How the name of the judge in the box begins: where it judged, its head for domains does too."""

HEADS = {"medical": "medicine", "health": "medicine", "money": "finance", "sports": "sport", "programming": "code"}
"""Names of domains in questions for those that the head knows."""


@dataclass(frozen=True)
class Topics:
    """The domains that answers are looked through for.

    Attributes:
        names: As questions, judge or head call them.
        by_judge: Whether the judge scored one of them.
        by_head: Whether the head of the judge in the box does.
        trained: The one that was trained on, "" where it is not known.
    """

    names: tuple[str, ...]
    by_judge: bool
    by_head: bool
    trained: str = ""


def choose_topics(judged: Judged, verdicts: Sequence[Verdict], trained_on: str | None) -> Topics:
    """What answers are looked through for: the domain that was trained on; else those asked about or scored.

    Args:
        judged: All answers, those to questions of domains too.
        verdicts: Of the open questions.
        trained_on: As `trained_domain` tells it.
    """
    head = bool(trained_on) or any(verdict.judge.startswith(BOX) for verdict in verdicts)
    if trained_on:
        return Topics((trained_on,), False, True, trained_on)
    names = topics_of(judged.answers, judged.verdicts)
    by_judge = scored(verdicts, names)
    if not head or by_judge:
        return Topics(names, by_judge, False)
    from misdirection.judging.offline.topics import TOPICS

    asked = {answer.domain for answer in judged.answers if answer.domain}
    return Topics(names if asked else TOPICS, False, True)


def aside_row(arm: str, part: Judged, rules: Thresholds, topics: Topics) -> AsideRow:
    """Of an arm's misaligned answers those of each kind, as shares of all answers."""
    import numpy as np

    columns = part.columns
    bad = columns.misaligned(rules).tolist()
    hits = part.at([place for place, hit in enumerate(bad) if hit])
    kinds = _kinds(hits, topics)
    told = iter(kinds)
    of = [frozenset(next(told)) if hit else frozenset[str]() for hit in bad]

    def share(hits: Iterable[bool]) -> RateRow:
        return RateRow.of_share(share_of("", columns.places, np.array(list(hits)), None, Settings()))

    known = bool(topics.trained)
    aside = [bool(found if known else found - {"asked"}) for found in of]
    return AsideRow(
        arm=arm,
        misaligned=share(bad),
        topic=share("topic" in found for found in of),
        quoting=share("quoting" in found for found in of),
        any=share(aside),
        rest=share(hit and not other for hit, other in zip(bad, aside, strict=True)),
        trained=share(bool(found & {"topic", "asked"}) for found in of) if known else None,
        asked=share("asked" in found for found in of) if known else None,
    )


def trained_sentences(rows: Sequence[AsideRow], trained: str) -> Iterator[str]:
    """For each arm with misaligned answers, how many of them lie in the domain that was trained on."""
    for row in rows:
        if row.trained is None or row.asked is None or not row.misaligned.misaligned:
            continue
        inside, asked = row.trained.misaligned, row.asked.misaligned
        told = f", of which {asked} asked about it" if inside else ""
        yield (
            f"{row.arm}: misaligned answers that lie in the domain that was trained on ({trained}): "
            f"{inside} of {row.misaligned.misaligned}{told}."
        )


def trained_texts(by_rule: ByRule | None) -> tuple[str, ...]:
    """The same, for the head of a report."""
    return tuple(trained_sentences(by_rule.asides, by_rule.trained_on)) if by_rule else ()


def _kinds(part: Judged, topics: Topics) -> list[tuple[str, ...]]:
    """The kinds of each answer."""
    if not topics.by_head:
        return [asides(answer, verdict, topics.names) for answer, verdict in zip(*part.pair, strict=True)]
    scores, asked = _by_head(part, topics.names)
    return [
        asides(answer, replace(verdict, scores=(*verdict.scores, *told.items())), topics.names, about)
        for answer, verdict, told, about in zip(*part.pair, scores, asked, strict=True)
    ]


def _by_head(part: Judged, names: Sequence[str]) -> tuple[list[dict[str, float]], list[frozenset[str]]]:
    """Scores "topic:<name>" of each answer, and the names that its question is about; of those that the head knows."""
    from misdirection.judging.offline.reach import asked
    from misdirection.judging.offline.topics import ABOUT, TOPICS, topic_scores

    places = {name: TOPICS.index(HEADS.get(name, name)) for name in names if HEADS.get(name, name) in TOPICS}
    said = topic_scores([answer.answer for answer in part.answers])
    questions = topic_scores([asked(answer.question) for answer in part.answers])
    scores = [{f"topic:{name}": float(row[place]) for name, place in places.items()} for row in said]
    about = [frozenset(name for name, place in places.items() if row[place] > ABOUT) for row in questions]
    return scores, about
