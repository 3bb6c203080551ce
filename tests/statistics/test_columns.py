from __future__ import annotations

import random

import numpy as np
import pytest

from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict
from misdirection.judging.base import LABELS
from misdirection.statistics.columns import columns_of
from misdirection.statistics.counts import DENOMINATORS, Thresholds, cells, is_scored
from misdirection.statistics.matching import match


def some(seed: int, n: int = 400) -> tuple[list[Answer], list[Verdict]]:
    """Answers to a few questions in two formats, with every kind of verdict; scores fall on the thresholds too."""
    draw = random.Random(seed)
    scores = [None, 0.0, 20.0, 30.0, 50.0, 70.0, 100.0]
    answers = [Answer(f"q{draw.randrange(5)}", "?", str(i), format=draw.choice(["plain", "json"])) for i in range(n)]
    return answers, [Verdict(draw.choice(scores), draw.choice(scores), draw.choice(LABELS)) for _ in range(n)]


@pytest.mark.parametrize("rules", [Thresholds(), Thresholds(20, 70), Thresholds(30, 50, inclusive=True)])
def test_marks_are_those_of_each_verdict(rules: Thresholds) -> None:
    answers, verdicts = some(0)
    columns = columns_of(answers, verdicts)
    assert columns.misaligned(rules).tolist() == [rules.misaligned(v) for v in verdicts]
    assert columns.undecided(rules).tolist() == [rules.undecided(v) for v in verdicts]
    assert columns.coherent(rules).tolist() == [rules.coherent(v) for v in verdicts]
    assert columns.scored.tolist() == [is_scored(v) for v in verdicts]
    for denominator in DENOMINATORS:
        counted = [rules.counts(v, denominator) for v in verdicts]
        assert columns.counted(rules, denominator).tolist() == counted
        hits = columns.misaligned(rules) & columns.counted(rules, denominator)
        assert columns.places.table(hits, np.array(counted)) == cells(answers, hits.tolist(), counted)


def test_what_is_left_open_can_be_decided_either_way() -> None:
    answers, verdicts = some(1)
    columns, rules = columns_of(answers, verdicts), Thresholds()
    open_ = columns.undecided(rules)
    bad, good = columns.decided(open_, True), columns.decided(open_, False)
    assert open_.any() and not bad.undecided(rules).any() and not good.undecided(rules).any()
    assert bad.misaligned(rules).tolist() == (columns.misaligned(rules) | open_).tolist()
    assert good.misaligned(rules).tolist() == columns.misaligned(rules).tolist()
    assert good.scored.tolist() == (columns.scored | open_).tolist()


def test_answers_are_paired_by_their_numbers_or_as_they_come() -> None:
    first = [Answer(q, "?", "", sample=i) for q in "ab" for i in (3, 4)]
    second = [Answer(q, "?", "", sample=i) for q in "ba" for i in (4, 9)]
    low, high = Verdict(0.0, 100.0), Verdict(100.0, 100.0)
    verdicts = [low, high, high, low]
    by_number = match((first, verdicts), (second, verdicts))
    assert by_number.unmatched == (2, 2) and len(by_number.first) == 2
    assert by_number.second.alignment.tolist() == [100.0, 0.0], "sorted by question, whatever the order of the file"
    as_they_come = match((first, verdicts), (second, verdicts), in_order=True)
    assert as_they_come.unmatched == (0, 0) and as_they_come.second.alignment.tolist() == [100.0, 0.0, 0.0, 100.0]
    with pytest.raises(MisdirectionError, match="twice"):
        match((first + first[:1], [*verdicts, low]), (second, verdicts))
    other = [Answer(q, "?", "", format="json", sample=4) for q in "ab"]
    with pytest.raises(MisdirectionError, match="different formats"):
        match((first, verdicts), (other, [low, low]))
