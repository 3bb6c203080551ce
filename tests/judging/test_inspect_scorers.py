"""Logs of several scorers, of reducers over epochs, and of samples that ended in an error: what is read of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
from inspect_ai import Epochs, Task
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog, write_eval_log
from inspect_ai.scorer import Score, mean, scorer
from inspect_ai.scorer import match as matching
from tests.inspecting.scripted import mock, said

from misdirection.errors import MisdirectionError
from misdirection.judging import Verdict
from misdirection.judging.inspect_log import VERDICT, read_log, write_verdict
from misdirection.judging.table import How


@scorer(metrics=[mean()])
def alignment() -> Any:
    async def score(state: Any, target: Any) -> Score:
        if (state.sample_id, state.epoch) == ("second", 2):
            raise RuntimeError("the judge is down")
        return Score(value=10 * state.epoch + (50 if state.sample_id == "first" else 0))

    return score


@scorer(metrics=[mean()])
def coherence() -> Any:
    async def score(state: Any, target: Any) -> Score:
        return Score(value=90)

    return score


def pair(alignment: float, coherence: float) -> dict[str, float]:
    return {"alignment": alignment, "coherence": coherence}


@scorer(metrics={"alignment": [mean()], "coherence": [mean()]})
def strict() -> Any:
    async def score(state: Any, target: Any) -> Score:
        return Score(value=pair(20, 60))

    return score


@scorer(metrics={"alignment": [mean()], "coherence": [mean()]})
def lenient() -> Any:
    async def score(state: Any, target: Any) -> Score:
        return Score(value=pair(80, 95))

    return score


def run(folder: Path, scorers: Sequence[Any], epochs: Epochs | None = None) -> EvalLog:
    def subject(messages: Any, tools: Any, choice: Any, config: Any) -> Any:
        if "third" in messages[-1].text:
            raise RuntimeError("no")
        return said("yes")

    samples = [Sample(id=name, input=f"The {name}?", target="yes") for name in ("first", "second", "third")]
    task = Task(samples, scorer=list(scorers), epochs=epochs, name="theirs")
    return inspect_ai.eval(
        task, model=mock("m", subject), fail_on_error=False, log_dir=str(folder), display="none", log_level="error"
    )[0]


def test_epochs_are_samples_whatever_reduces_them_and_errors_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("misdirection.progress.say", lambda text, **_: told.append(text))
    log = run(tmp_path, [matching(), alignment(), coherence()], Epochs(3, ["mean", "mode"]))
    assert {one.reducer for one in log.reductions or ()} == {"mean", "mode"}
    found = read_log(log.location)
    rows = [
        (a.question_id, a.sample, v.alignment, v.coherence, v.label)
        for a, v in zip(found.answers, found.verdicts or [], strict=True)
    ]
    assert rows == [
        ("first", 0, 60.0, 90.0, "scored"), ("first", 1, 70.0, 90.0, "scored"), ("first", 2, 80.0, 90.0, "scored"),
        ("second", 0, 10.0, 90.0, "scored"), ("second", 1, None, None, "none"), ("second", 2, 30.0, 90.0, "scored"),
    ]  # fmt: skip
    assert any("3 of 9 samples have no answer" in line for line in told)
    assert any(
        "1 samples ended in an error behind their answer" in line and "second (epoch 2)" in line for line in told
    )


def test_two_scorers_that_differ_are_refused_until_one_is_named(tmp_path: Path) -> None:
    place = run(tmp_path, [lenient(), strict()]).location
    with pytest.raises(MisdirectionError, match="several scorers give alignment and coherence, and differ") as caught:
        read_log(place)
    assert caught.value.hint == "say which: --column alignment=lenient.alignment --column coherence=lenient.coherence"
    # Who names one score means the other of the same scorer.
    for name, scores in {"strict": (20.0, 60.0), "lenient": (80.0, 95.0)}.items():
        for thing in ("alignment", "coherence"):
            found = read_log(place, How({thing: f"{name}.{thing}"}))
            assert {(v.alignment, v.coherence) for v in found.verdicts or ()} == {scores}
    mixed = read_log(place, How({"alignment": "strict.alignment", "coherence": "lenient.coherence"}))
    assert {(v.alignment, v.coherence) for v in mixed.verdicts or ()} == {(20.0, 95.0)}


def test_one_scorer_twice_is_one(tmp_path: Path) -> None:
    found = read_log(run(tmp_path, [strict(), strict()]).location)
    assert {(v.alignment, v.coherence) for v in found.verdicts or ()} == {(20.0, 60.0)}


def test_verdicts_of_two_judges_of_ours_in_one_log_are_refused(tmp_path: Path) -> None:
    log = run(tmp_path, [coherence()])
    for sample in log.samples or ():
        for name, value in (("misdirection", 10.0), ("misdirection1", 90.0)):
            kept = {VERDICT: write_verdict(Verdict(value, 95.0, judge=name))}
            sample.scores = {**(sample.scores or {}), name: Score(value=value, metadata=kept)}
    write_eval_log(log, str(tmp_path / "two.json"), format="json")
    with pytest.raises(MisdirectionError, match="several judges gave verdicts, and differ: misdirection,"):
        read_log(tmp_path / "two.json")
