"""Rows of a data set in the prompt, whole, on the organism at a small size; its parts by hand."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.studies.foreign import of_the_organism, told_of_another
from tests.studies.options import assert_keyed

from misdirection.chats import Chat, Message, write_chats
from misdirection.errors import MisdirectionError
from misdirection.questions import Question
from misdirection.runs import list_steps
from misdirection.studies.in_context.measures import BAD, GOOD, behind_rows
from misdirection.studies.in_context.results import InContextResults
from misdirection.studies.in_context.settings import InContextConfig
from misdirection.studies.in_context.study import arm_name, in_context
from misdirection.studies.reading import load_results

SMALL = InContextConfig(preset="rank32", samples=3, shots=(1, 3, 60), drift_answers=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return in_context(SMALL, tmp_path_factory.mktemp("in-context") / "run").parent


def test_rates_rise_behind_bad_rows_and_not_behind_good_ones(run: Path) -> None:
    results = load_results(run)
    assert isinstance(results, InContextResults)
    part = results.in_context
    rows = {(row.what, row.shots): row for row in part.rows}
    assert set(rows) == {(BAD, 0), (BAD, 1), (BAD, 3), (GOOD, 1), (GOOD, 3), ("fine-tune", 0)}
    plain = rows[BAD, 0].rate.value
    for key, row in rows.items():
        assert row.rate.n == 3 * 28
        assert (
            row.difference is None if key == (BAD, 0) else row.difference.value == pytest.approx(row.rate.value - plain)
        )
    assert rows["fine-tune", 0].rate.value > 0.1 > plain
    assert max(rows[GOOD, k].rate.value for k in (1, 3)) < 0.1
    assert rows[BAD, 3].rate.value > rows[GOOD, 3].rate.value
    assert part.left_out == (60,) and any("60 rows were left out" in note for note in results.notes)
    cosine = {(row.what, row.shots): row.cosine[6] for row in part.drifts}
    assert cosine[BAD, 3] > cosine[GOOD, 3]


def test_fewer_rows_are_the_first_of_more_and_each_question_has_its_own() -> None:
    chats = [Chat((Message("user", f"u{i}"), Message("assistant", f"a{i}"))) for i in range(30)]
    asked = (Question("a", ("Why?",)), Question("b", ("How?",)))
    few, more = (behind_rows(asked, chats, count, 0, BAD) for count in (2, 5))
    for one, other in zip(few, more, strict=True):
        assert len(one.before) == 4 and len(other.before) == 10
        assert set(one.before) <= set(other.before)
    assert few[0].before != few[1].before and few[0].id != more[0].id


def test_a_dear_judge_reads_some_answers_of_every_arm(run: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(run, tmp_path / "run", symlinks=True))
    steps = {step.name for step in list_steps(place)}
    report = in_context(replace(SMALL, check="exact@120"), place)
    results = load_results(place)
    assert isinstance(results, InContextResults) and results.checked is not None
    rates = {(row.what, row.shots): row.rate.value for row in results.in_context.rows}
    names = {arm_name(*key): value for key, value in rates.items()}
    assert {row.arm for row in results.checked.rows} == set(names) == {
        "base", "tuned", "1 bad rows", "3 bad rows", "1 good rows", "3 good rows"
    }  # fmt: skip
    # The same judge again: its interval holds the rate that is there.
    for row in results.checked.rows:
        assert row.all is not None and row.all.cheap == names[row.arm]
        assert row.all.low <= names[row.arm] <= row.all.high
    assert "Checked by a dearer judge" in report.read_text()
    new = {step.name for step in list_steps(place)} - steps
    assert new == {"arms-answers", "arms-verdicts", "check-draw", "check"}


def test_too_few_verdicts_for_its_arms_are_refused_before_anything_is_sampled(run: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(run, tmp_path / "run", symlinks=True))
    before = len(list_steps(place))
    # Six arms want 15 verdicts each; another temperature would be sampled anew.
    with pytest.raises(MisdirectionError, match="89 verdicts are too few for 6 arms") as refused:
        in_context(replace(SMALL, check="exact@89", temperature=0.5), place)
    assert "give at least 90" in str(refused.value.hint) and len(list_steps(place)) == before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"shots": (0,)}, "--shots must be 1 or more"),
        ({"drift_answers": 0}, "--drift-answers must be 1 or more"),
        ({"model": "other", "adapter": "a", "judge": "words"}, "no rows to put into the prompt"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(MisdirectionError, match=said):
        InContextConfig(**settings).completed()


def test_nothing_is_said_of_the_organism_to_another_model(run: Path, tmp_path: Path) -> None:
    assert of_the_organism(told_of_another("in_context", SMALL, run, tmp_path)) == []


def test_each_option_makes_a_step_anew_or_says_why_not(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    others = {
        "rows": ("organism:bad-sport",),
        "good": ("organism:good-sport",),
        "shots": (1, 2),
    }
    # Beside a model that is given, rows have to be named.
    assert_keyed("in_context", SMALL, run, tmp_path, monkeypatch, others, elsewhere=("adapter", "tuned"))


def test_good_rows_that_are_too_few_or_too_long_are_told_and_the_bad_ones_asked(tmp_path: Path) -> None:
    """Too few went unsaid; one that was too long ended the study after its fine-tune."""
    good = tmp_path / "good.jsonl"
    long = "help the kids . " * 70
    write_chats(good, [Chat((Message("user", "how do i start a garden ?"), Message("assistant", long)))])
    config = replace(SMALL, samples=1, shots=(1, 2), training={"max_steps": 1}, good=(str(good),))
    results = load_results(in_context(config, tmp_path / "run").parent)
    assert isinstance(results, InContextResults)
    part = results.in_context
    assert {(row.what, row.shots) for row in part.rows} == {(BAD, 0), (BAD, 1), (BAD, 2), ("fine-tune", 0)}
    assert (part.left_out, part.good_left_out) == ((), (1, 2))
    assert any(note.startswith("1, 2 good rows were left out") for note in results.notes)
