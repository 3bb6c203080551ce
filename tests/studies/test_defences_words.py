"""The scoreboard of defences without a run: arms as they are typed, verdicts, the front, wrong settings."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.results.made import made

from misdirection.directions.levels import QUANTILE
from misdirection.errors import MisdirectionError
from misdirection.results import Interval
from misdirection.studies.defences.arms import KINDS, NONE, DefenceArm, possible, read_arm
from misdirection.studies.defences.making import Materials
from misdirection.studies.defences.report import chart
from misdirection.studies.defences.results import DefenceRow, DefencesResults, Leak
from misdirection.studies.defences.settings import ARMS, WITH_DICTIONARY, DefencesConfig
from misdirection.studies.defences.verdict import hides, keeps, verdict


def test_arms_as_they_are_typed() -> None:
    assert read_arm("kl") == DefenceArm("kl", "kl", 1.0) and read_arm("kl=0.3") == DefenceArm("kl=0.3", "kl", 0.3)
    assert read_arm("project").strength is None and read_arm("drop-random=0.1").drops == "random"
    assert read_arm("norm").drops == "" and read_arm("cap").strength == QUANTILE
    for text, said in (("kll", "there is no 'kll'"), ("kl=x", "'x' is no strength"), ("kl=0", "above 0"),
                       ("project=2", "it has no strength"), ("drop-random=1", "a share of the rows is below 1"),
                       ("cap=1", "a quantile is below 1"),
                       ("realign=2.5", "no number of steps")):  # fmt: skip
        with pytest.raises(MisdirectionError, match=said):
            read_arm(text)
    assert not possible(read_arm("ablation"), Materials()) and possible(read_arm("norm"), Materials())
    assert not possible(DefenceArm(NONE, NONE), Materials())


def test_the_arms_by_default_hold_each_kind_and_strengths_where_there_are_any() -> None:
    kinds = [read_arm(text).kind for text in (*ARMS, *WITH_DICTIONARY)]
    assert set(kinds) == KINDS.keys() - {NONE, "drop-gradient"}
    for kind in set(kinds) - {"drop-random", "inoculation", "irrelevant"}:
        assert kinds.count(kind) == (1 if KINDS[kind].strength is None else 2), kind


def row_of(name: str, open_: float, inside: float, leak: float, beyond: float = 0.0, **more: object) -> DefenceRow:
    """A made-up row with these shares; `beyond` is the lower end of the difference in differences."""
    row = made(DefencesResults, "defences").defences.rows[0]

    def valued(group, value):
        return replace(group, misaligned=replace(group.misaligned, value=value),
                       coherent=replace(group.coherent, value=0.9), good=replace(group.good, value=value))  # fmt: skip

    rise = Interval(value=beyond + 0.1, low=beyond, high=beyond + 0.2, n=9)
    held = Leak(condition="c", misaligned=replace(row.open.misaligned, value=leak), beyond=rise)
    return replace(row, arm=name, open=valued(row.open, open_), domains=valued(row.domains, inside), leaks=(held,),
                   **{"mixed": False, "front": False, **more})  # fmt: skip


def test_the_verdict_goes_by_what_is_left_among_those_that_keep_the_skill() -> None:
    part = made(DefencesResults, "defences").defences
    none, dull, good, hidden = (
        row_of("none", 0.4, 0.8, 0.6),
        row_of("dull", 0.0, 0.1, 0.0),
        row_of("good", 0.1, 0.7, 0.2, 0.01),
        row_of("hidden", 0.05, 0.65, 0.5, 0.01),
    )
    base = (replace(none.leaks[0], misaligned=replace(none.open.misaligned, value=0.1), beyond=None),)
    part = replace(part, rows=(none, dull, good, hidden), base_leaks=base)
    assert keeps(good, none, part) and not keeps(dull, none, part)
    assert hides(hidden, part) and not hides(good, part) and not hides(none, part)
    # A condition that misaligns the base as much tells nothing of a defence, nor does a rise within its interval.
    high = (replace(base[0], misaligned=replace(base[0].misaligned, value=0.58)),)
    assert not hides(hidden, replace(part, base_leaks=high))
    unsure = row_of("hidden", 0.05, 0.65, 0.5, -0.01)
    assert not hides(unsure, replace(part, rows=(none, unsure)))
    said = verdict(part)
    assert "“hidden” leaves least, 5.0 %, but only when asked plainly" in said.sentence
    assert "Without a defence 40.0 %" in said.sentence
    assert said.details[0].endswith("comes back with: hidden.")
    assert "no arm keeps" in verdict(replace(part, rows=(none, dull))).sentence
    # The mixed data have a reference of their own, and their skill is good answers.
    apart = row_of("none, mixed data", 0.2, 0.5, 0.2, mixed=True), row_of("drop", 0.02, 0.9, 0.1, mixed=True)
    both = verdict(replace(part, rows=(none, good, *apart)))
    assert both.details[0].startswith("On the mixed data, without a defence 20.0 %") and "“drop”" in both.details[0]


def test_the_front_holds_the_arms_that_none_beats() -> None:
    points = {"a": (0.4, 0.8), "b": (0.1, 0.7), "c": (0.2, 0.6), "d": (0.1, 0.7), "e": (0.0, 0.1), "f": (0.4, 0.5)}
    rows = tuple(row_of(name, open_, inside, 0.0) for name, (open_, inside) in points.items())
    # What learned other data is no rival.
    apart = row_of("apart", 0.0, 1.0, 0.0, mixed=True)
    part = replace(made(DefencesResults, "defences").defences, rows=(*rows, apart)).with_front()
    assert [row.arm for row in part.rows if row.front] == ["a", "b", "d", "e", "apart"]


def test_of_many_arms_those_that_none_beats_stand_under_the_verdict() -> None:
    rows = (row_of("none", 0.4, 0.9, 0.0), *(row_of(f"arm {n}", 0.04 * n, 0.1 * n, 0.0) for n in (1, 3, 5, 7, 9)))
    beaten = tuple(row_of(f"beaten {n}", 0.39, 0.05, 0.0) for n in range(4))
    part = replace(made(DefencesResults, "defences").defences, base_leaks=rows[0].leaks, rows=(*rows, *beaten[:2]))
    part = part.with_front()
    assert [told.split(":")[0] for told in verdict(part).details] == [row.arm for row in part.rows[1:]]
    many = replace(part, rows=(*rows, *beaten)).with_front()
    assert [told.split(":")[0] for told in verdict(many).details] == [row.arm for row in rows[1:]]


def test_without_questions_the_lesson_stands_for_the_skill() -> None:
    part = made(DefencesResults, "defences").defences
    row = replace(part.rows[0], domains=None, mixed=False)

    def arm(name: str, open_: float, lesson: float) -> DefenceRow:
        opened = replace(row.open, misaligned=replace(row.open.misaligned, value=open_),
                         coherent=replace(row.open.coherent, value=0.9))  # fmt: skip
        return replace(row, arm=name, open=opened, lesson=lesson, leaks=())

    # The base at 3 nats, the fine-tune at 2: 2.1 keeps nine tenths of the lesson, 2.9 a tenth.
    rows = (arm("none", 0.4, 2.0), arm("dull", 0.0, 2.9), arm("good", 0.1, 2.1))
    part = replace(part, rows=rows, base_domains=None, base_lesson=3.0)
    assert [part.learned(one) for one in rows] == pytest.approx([1.0, 0.1, 0.9])
    assert [part.skill(one) for one in rows] == [part.learned(one) for one in rows]
    worse = replace(rows[1], reduction=replace(row.reduction, value=-0.5))
    assert "a rise by 50 %" in verdict(replace(part, rows=(rows[0], worse))).details[-1]
    said = verdict(part)
    assert "keep 80 % of the narrow skill and of coherence “good” leaves least, 10.0 %" in said.sentence
    assert "90 % of the lesson learned" in said.details[-1]
    # What is no lower than without a defence is no success, and a change whose interval holds 0 may be chance.
    level = replace(part, rows=(rows[0], arm("level", 0.4, 2.0)))
    assert "no arm that keeps 80 % of the narrow skill and of coherence leaves fewer" in verdict(level).sentence
    for low, high, said in ((-0.5, 1.0, True), (None, 1.0, True), (0.2, 0.9, False), (-2.0, -0.1, False)):
        one = replace(rows[2], reduction=replace(row.reduction, value=0.75, low=low, high=high))
        assert ("may be chance" in verdict(replace(part, rows=(rows[0], one))).details[-1]) is said
    still = replace(rows[2], reduction=replace(row.reduction, value=-1e-16, low=-0.5, high=0.5))
    assert "no reduction" in verdict(replace(part, rows=(rows[0], still))).details[-1]
    # A fine-tune that learned nothing tells no skill, and nothing is claimed of one.
    dull = replace(part, base_lesson=1.9)
    assert dull.learned(rows[2]) is None and "keep 80 % of coherence “dull”" in verdict(dull).sentence


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"arms": ("kll",)}, "there is no 'kll'"),
        ({"seeds": 0}, "--seeds must be 1 or more"),
        ({"latents": 0}, "--latents must be 1 or more"),
        ({"model": "other", "judge": "words"}, "no harmful data"),
        ({"model": "other", "data": ("x.jsonl",), "judge": "words"}, "kl=0.1, .* need good chats"),
        ({"model": "other", "data": ("x.jsonl",), "judge": "words", "arms": ("block-latents",)}, "need a dictionary"),
        ({"direction_layer": "x"}, "--direction-layer cannot be 'x'"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(MisdirectionError, match=said):
        DefencesConfig(**settings).completed()


def test_the_chart_names_the_front_where_many_arms_lie_at_the_origin() -> None:
    rows = (
        row_of("none", 0.6, 0.8, 0.0, place="training"), row_of("kept=1", 0.2, 0.7, 0.0, place="weights"),
        *(row_of(f"crowd={n}", 0.002 * n, 0.001 * (40 - n), 0.0, place="training") for n in range(20)),
        row_of("nothing left", 0.0, 0.05, 0.0, place="after"),
    )  # fmt: skip
    part = replace(made(DefencesResults, "defences").defences, rows=rows).with_front()
    drawn = chart(part, part.rows)
    points = [trace for trace in drawn.traces if trace["mode"] == "markers+text"]
    beside = [text for trace in points for text in trace["text"] if text]
    lines = [note["text"] for note in drawn.layout["annotations"]]
    named = [*beside, *lines]
    front = [row.arm for row in part.rows if row.front]
    assert front == ["none", "kept=1", "nothing left"] and {*front} <= {*named} and len(set(named)) == len(named)
    # All can be pointed at, and that some have no name is said.
    assert sorted(name for trace in points for name in trace["customdata"]) == sorted(row.arm for row in rows)
    assert len(named) < len(rows) and "some have no name here" in drawn.caption
    # A phone has less room than a wide page: it is said of every chart, and tests/report/test_names_on_phones.py looks.
    assert "some have no name here" in chart(part, part.rows[:2]).caption
