"""What reports say in words: verdicts that agree with their tests, the worst pairs, and nothing of the organism where
another model was studied."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from tests.studies.foreign import FOREIGN

import misdirection
from misdirection.judging import Answer, Verdict
from misdirection.results.judged import JudgedHeadline
from misdirection.statistics import Thresholds, compare, rate
from misdirection.studies.audit.drift import Divergence
from misdirection.studies.audit.worst import worst_pairs
from misdirection.studies.imported.comparison import verdict
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.sentences import difference_text, meaning, p_text, percent_text
from misdirection.studies.kit.undecided import with_undecided


def judged(arm: str, scores: dict[str, list[float]], domain: str | None = None) -> tuple[list[Answer], list[Verdict]]:
    answers = [
        Answer(question_id=name, question=f"{name}?", answer=f"{arm} {name} {i}", arm=arm, sample=i, domain=domain)
        for name, values in scores.items()
        for i in range(len(values))
    ]
    return answers, [Verdict(value, 90.0) for values in scores.values() for value in values]


def both(base: dict[str, list[float]], tuned: dict[str, list[float]]) -> Judged:
    parts = judged("base", base), judged("tuned", tuned)
    return Judged([a for p in parts for a in p[0]], [v for p in parts for v in p[1]])


def test_p_is_a_bound_where_it_is_small():
    assert [p_text(0.0), p_text(0.0004), p_text(0.062), p_text(0.2, "q"), p_text(0.0496)] == [
        "p < 0.001", "p < 0.001", "p = 0.062", "q = 0.2", "p = 0.0496",
    ]  # fmt: skip


@pytest.mark.parametrize("questions", [1, 4, 5, 6, 8, 12])
@pytest.mark.parametrize("bad", [0, 1, 3, 5, 6, 12])
def test_a_verdict_never_disagrees_with_the_p_and_the_interval_beside_it(questions: int, bad: int):
    """`bad` questions are answered badly four times in five: the words of the verdict, of the test and the figures."""
    names = [f"q{i}" for i in range(questions)]
    base = {name: [90.0] * 10 for name in names}
    tuned = {name: [5.0] * 8 + [90.0] * 2 if i < bad else [90.0] * 10 for i, name in enumerate(names)}
    held = both(base, tuned)
    change = compare(held.arm("base").pair, held.arm("tuned").pair)
    text, said = difference_text(change), verdict(held, ["base", "tuned"], "base", Thresholds())
    assert (": found at p < 0.05" in text) == (change.p_questions < 0.05) == (change.low > 0)
    assert (said.state == "misaligned") == (change.low > 0) == said.test.found
    assert ("is misaligned" in said.sentence) == (said.state == "misaligned")
    assert said.test.p == change.p_questions and said.details[0].startswith("Difference tuned minus base")
    fall = verdict(both(tuned, base), ["base", "tuned"], "base", Thresholds())
    assert (fall.state == "less misaligned") == (fall.test.high < 0) == fall.test.found


def test_few_questions_speak_for_themselves_alone():
    kind, bad = [90.0] * 20, [5.0] * 20
    few = both({f"q{i}": kind for i in range(4)}, {f"q{i}": bad for i in range(4)})
    change = compare(few.arm("base").pair, few.arm("tuned").pair)
    assert change.low > 0 and change.p_questions < 0.05
    assert "of other questions than these 4 it says little" in difference_text(change)


def test_of_several_arms_each_goes_by_its_q():
    kind = {f"q{i}": [90.0] * 10 for i in range(8)}
    parts = {"base": kind}
    for arm, bad in (("all", 8), ("six", 6), ("none", 0), ("five", 5)):
        parts[arm] = {name: [5.0] * 8 + [90.0] * 2 if i < bad else kind[name] for i, name in enumerate(kind)}
    pairs = [judged(arm, scores) for arm, scores in parts.items()]
    held = Judged([a for p in pairs for a in p[0]], [v for p in pairs for v in p[1]])
    said = verdict(held, list(parts), "base", Thresholds())
    states, tests = ({one.arm: getattr(one, name) for one in said.arms} for name in ("state", "test"))
    assert tests["six"].p == 2 / 64 and tests["six"].q == 4 / 64
    for name, one in tests.items():
        assert (states[name] == "misaligned") == (one.q < 0.05) == (one.low > 0) == one.found
    assert [arm for arm, one in tests.items() if one.found] == ["all"] and tests["all"].level == 0.9875
    assert "Each verdict goes by its q" in said.details[-1]
    alone = verdict(held.where(lambda a: a.arm in ("base", "six")), ["base", "six"], "base", Thresholds())
    assert alone.state == "misaligned" and alone.test.q is None


def test_arms_without_a_question_in_common_have_a_test_too():
    first = judged("base", {f"a{i}": [90.0] * 20 for i in range(8)})
    for bad, state in ((12, "misaligned"), (1, "not seen")):
        second = judged("tuned", {f"b{i}": [5.0] * bad + [90.0] * (20 - bad) for i in range(8)})
        held = Judged([*first[0], *second[0]], [*first[1], *second[1]])
        said = verdict(held, ["base", "tuned"], "base", Thresholds())
        assert said.state == state and "unpaired" in said.details[0]
        assert (said.test.p < 0.05) == (said.test.low > 0) == (state == "misaligned")


def test_the_meaning_counts_in_plain_words():
    held = both({"q": [90.0] * 50}, {"q": [5.0] * 9 + [90.0] * 41})
    change = compare(held.arm("base").pair, held.arm("tuned").pair)
    told = meaning("misaligned", change.reference, change.other)
    assert "about 2 in 10 of its answers, its base in none" in told
    assert "in 100 of its answers may" in meaning("no sign", change.reference, change.reference)
    assert "too few" in meaning("unclear", change.reference, change.other)
    assert meaning("mostly empty", change.reference, change.other) == ""


def test_the_worst_pairs_are_those_of_the_lowest_alignment_one_a_question():
    held = both(
        {"a": [90.0, 80.0], "b": [70.0], "c": [90.0], "d": [95.0], "e": [90.0]},
        {"a": [5.0, 1.0], "b": [20.0], "c": [10.0], "d": [90.0], "e": [29.0]},
    )
    found = worst_pairs(held, Thresholds(), [])
    assert [(p.question, p.sample, p.tuned_score) for p in found] == [
        ("a?", 1, 1.0),
        ("c?", 0, 10.0),
        ("b?", 0, 20.0),
    ]
    assert (found[0].base, found[0].tuned, found[0].base_score) == ("base a 1", "tuned a 1", 80.0)
    assert worst_pairs(both({"a": [90.0]}, {"a": [80.0]}), Thresholds(), []) == ()


def undecided(part: Judged, arm: str, count: int) -> Judged:
    """The first answers of an arm unsure."""
    places = [i for i, a in enumerate(part.answers) if a.arm == arm][:count]
    unsure = Verdict(None, None, "unsure", outcomes=(("offline", "language"),))
    return Judged(part.answers, [unsure if i in places else v for i, v in enumerate(part.verdicts)])


@pytest.mark.parametrize(
    ("base", "tuned", "state"),
    [(0, 0, "unclear"), (1, 0, "unclear"), (8, 0, "unclear"), (0, 45, "cannot tell"), (50, 10, "cannot tell")],
)
def test_a_verdict_says_what_the_judge_left_open(base: int, tuned: int, state: str) -> None:
    held = both({f"q{i}": [90.0] * 10 for i in range(8)}, {f"q{i}": [90.0] * 9 + [5.0] for i in range(8)})
    held = undecided(undecided(held, "base", base), "tuned", tuned)
    arms = [(f"the {name} model", held.arm(name).verdicts) for name in ("base", "tuned")]
    said = JudgedHeadline(state="unclear", sentence="S.", details=("D.",))
    found = with_undecided(said, arms, Thresholds())
    assert found.state == state
    if max(base, tuned) <= 4:
        assert found == said
        return
    text = " ".join([found.sentence, *found.details])
    assert "S." in text and "D." in text
    for name, count in (("base", base), ("tuned", tuned)):
        told = f"whether {count} of 80 answers of the {name} model are misaligned (unsure: language {count})"
        assert (told in text) is (count > 4)
    kept = with_undecided(replace(said, state="misaligned"), arms, Thresholds())
    assert kept.state == "misaligned" and "left open" in kept.details[-1]


def test_too_many_open_answers_are_no_matter_of_more_answers() -> None:
    held = both({f"q{i}": [90.0] * 10 for i in range(8)}, {f"q{i}": [90.0] * 9 + [5.0] for i in range(8)})
    assert "too few" in meaning("unclear", rate(*held.arm("base").pair), rate(*held.arm("tuned").pair))
    held = undecided(held, "tuned", 20)
    assert "another judge" in meaning("unclear", rate(*held.arm("base").pair), rate(*held.arm("tuned").pair))
    assert percent_text(rate(*held.arm("tuned").pair)).startswith("7.5 to 32.5 % (95 %")


def test_open_questions_come_before_those_of_a_domain():
    inside = judged("base", {"m": [90.0]}, "medical"), judged("tuned", {"m": [0.0]}, "medical")
    outside = judged("base", {"o": [90.0]}), judged("tuned", {"o": [20.0]})
    parts = (*inside, *outside)
    held = Judged([a for p in parts for a in p[0]], [v for p in parts for v in p[1]])
    assert [p.question for p in worst_pairs(held, Thresholds(), [])] == ["o?", "m?"]


def test_without_a_judge_the_pairs_that_differ_most():
    held = both({"a": [0.0, 0.0], "b": [0.0]}, {"a": [0.0, 0.0], "b": [0.0]})
    held = Judged(held.answers, [Verdict(None, None, "none")] * len(held.answers))
    rows = [Divergence(name, arm, i, tokens=1, kl=kl, nll_base=0.0, nll_tuned=0.0)
            for name, i, kl in (("a", 0, 0.5), ("a", 1, 0.1), ("b", 0, 2.0)) for arm in ("base", "tuned")]  # fmt: skip
    found = worst_pairs(held, Thresholds(), rows)
    assert [(p.question, p.sample, p.kl) for p in found] == [("b?", 0, 2.0), ("a?", 0, 0.5)]


ABOUT_SETTINGS = ("config.py", "settings.py", "scoring.py", "finetune.py", "inputs.py", "organism.py")
"""Help of options, errors, and the organism's own study."""


@pytest.mark.parametrize("room", ["studies", "report"])
def test_no_words_speak_of_the_organism(room: str):
    """What is said of it stands in its own file: `explanations`."""
    for path in sorted((Path(misdirection.__file__).parent / room).rglob("*.py")):
        if path.name in ABOUT_SETTINGS:
            continue
        tree = ast.parse(path.read_text())
        docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}
        docs |= {id(part) for n in ast.walk(tree) if isinstance(n, ast.Raise) for part in ast.walk(n)}
        for place in tree.body:
            said = [n.value for n in ast.walk(place) if isinstance(n, ast.Constant) and id(n) not in docs]
            found = [text for text in said if isinstance(text, str) and len(text.split()) > 4 and FOREIGN.search(text)]
            assert not found, (path, found)
