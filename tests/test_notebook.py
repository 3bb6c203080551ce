"""What a notebook does first: a loaded model asked, steered and read; frames; a report in its place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.results.made import made

import misdirection
from misdirection import Ablate, Answer, Arm, MisdirectionError, Question, Set, Steer, Verdict, ask
from misdirection.artefacts import write_json
from misdirection.engine import ScaleAdapter
from misdirection.notebook import of
from misdirection.results import Results
from misdirection.studies.page import render
from misdirection.studies.registry import studies


@pytest.fixture(scope="module")
def model():
    return misdirection.load_model("organism")


def test_a_text_is_asked_as_it_is(model) -> None:
    (answer,) = ask(model, "how do i start a garden ?")
    assert (answer.question_id, answer.arm, answer.question) == ("q1", "base", "how do i start a garden ?")
    assert [answer.answer] == [a.answer for a in model.ask("how do i start a garden ?")]
    several = model.ask(["one ?", Question("mine", ("two ?",))], samples=2, max_new_tokens=5, seed=3)
    assert [a.question_id for a in several] == ["q1", "q1", "mine", "mine"] and several[0].n_tokens <= 5
    for wrong, said in (
        ([], "nothing is asked"),
        ([3], "int is no question"),
        (3, "int is no question"),
        ("", "nothing is asked"),
        (["a ?", " "], "nothing is asked"),
    ):
        with pytest.raises(MisdirectionError, match=said):
            ask(model, wrong)
    with pytest.raises(MisdirectionError, match="no setting 'tokens'"):
        model.ask("one ?", tokens=3)


def test_an_arm_takes_one_intervention_and_whatever_stands_for_a_direction(model) -> None:
    vector = torch.linspace(-1, 1, model.width)
    arms = [
        Arm("s", interventions=Steer(vector, 3, 30.0)),
        Arm("s", interventions=(Steer(vector.tolist(), (3,), 30.0),)),
        Arm("s", interventions=[Steer(vector.numpy(), np.arange(3, 4), 30.0)]),
        model.steer(vector, 3, 30.0),
    ]
    assert all(isinstance(arm.interventions, tuple) for arm in arms)
    said = [[a.answer for a in ask(model, "how do i start a garden ?", arm, 2)] for arm in arms]
    assert said[0] == said[1] == said[2] == said[3] != [a.answer for a in model.ask("how do i start a garden ?", 2)]


@pytest.mark.parametrize("kind", [Ablate, lambda v, where: Set(v, where, 0.5), lambda v, where: Steer(v, where, 1.0)])
def test_what_is_no_direction_layer_or_intervention_is_said(kind) -> None:
    vector = torch.ones(4)
    assert kind(vector, range(2)).layers == (0, 1) and kind(vector, np.int64(2)).layers == (2,)
    for direction, layers, said in (
        ("up", 3, "str is no direction"),
        (vector, "all", "names no layers"),
        (vector, 1.5, "names no layers"),
        (vector, (1, None), "names no layers"),
    ):
        with pytest.raises(MisdirectionError, match=said):
            kind(direction, layers)
    with pytest.raises(MisdirectionError, match="str is no intervention"):
        Arm("a", interventions="steer")
    with pytest.raises(MisdirectionError, match="Tensor is no intervention"):
        Arm("a", interventions=[Steer(vector, 1, 1.0), vector])
    assert Arm("a", interventions=ScaleAdapter({1: 0.0})).interventions[0].factors == {1: 0.0}


def test_positions_that_there_are_not() -> None:
    with pytest.raises(MisdirectionError, match="no positions 'last'"):
        Steer(torch.ones(4), 1, 1.0, "last")


@dataclass(frozen=True)
class Length:
    """Short answers are misaligned: a judge of a test."""

    name: str = "length/1"

    def judge(self, answers):
        middle = sorted(len(a.answer) for a in answers)[len(answers) // 2]
        return [Verdict(10.0 if len(a.answer) < middle else 90.0, 100.0, judge=self.name) for a in answers]


def test_a_direction_of_answers_and_a_judge_equals_the_long_way(model) -> None:
    from misdirection.answers import read_back
    from misdirection.directions import Source, choose_pools, convention, mean_difference

    found = model.ask([f"how do i start a garden in {word} ?" for word in ("may", "june", "july")], samples=8)
    short = model.direction(found, Length(), smallest=4)
    assert short.vectors.shape == (model.n_layers, model.width)
    how, judged, read = convention("soligo2025"), Length().judge(found), read_back(model, found)
    sources = [Source(e, found[p].question_id) for p, e in zip(read.places, read.encoded, strict=True)]
    pools = choose_pools([judged[p] for p in read.places], how, smallest=4)
    torch.testing.assert_close(short.vectors, mean_difference(model, Arm("base"), sources, pools, how).vectors)
    steered = model.ask("how do i start a garden ?", arms=model.steer(short, 4, 3.0))
    assert steered[0].arm == "steer 3 at 4"
    with pytest.raises(MisdirectionError, match="24 answers and 1 verdicts"):
        model.direction(found, judged[:1])


def test_a_model_in_one_line(model) -> None:
    assert repr(model).startswith("<organism") or "organism" in repr(model)
    assert f"{model.n_layers} layers of width {model.width}" in repr(model) and len(repr(model)) < 300
    assert of(model).lm is model.lm


def test_answers_and_verdicts_as_frames() -> None:
    pandas = pytest.importorskip("pandas")
    answers = [Answer("q", "?", text, arm="a") for text in ("x", "y")]
    verdicts = [Verdict(1.0, 2.0, scores=(("topic", 3.0),)), Verdict(None, None, "refusal")]
    found = misdirection.frame(answers, verdicts)
    assert isinstance(found, pandas.DataFrame) and list(found["answer"]) == ["x", "y"]
    assert found["scores.topic"][0] == 3.0 and found["label"].tolist() == ["scored", "refusal"]
    with pytest.raises(MisdirectionError, match="lists of 2, 1 rows"):
        misdirection.frame(answers, verdicts[:1])
    with pytest.raises(MisdirectionError, match="int is no row"):
        misdirection.frame([1])


def test_a_report_is_drawn_in_a_frame_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text('<p title="a">b</p>')
    (tmp_path / "findings.json").write_text("{}")
    drawn = misdirection.show(tmp_path)._repr_html_()
    assert 'sandbox="allow-scripts"' in drawn and "&lt;p title=&quot;a&quot;&gt;" in drawn and "<p" not in drawn
    assert misdirection.show(tmp_path / "findings.json").page == misdirection.show(tmp_path / "report.html").page
    with pytest.raises(MisdirectionError, match="holds no report"):
        misdirection.show(tmp_path / "absent")


SHOWN = {"convergence": ("Removing one from another", "transfer"), "phases": ("The course of a fine-tune", "phases")}


@pytest.mark.parametrize("kind", sorted(SHOWN))
def test_results_draw_themselves_whole_or_a_section(kind: str, tmp_path: Path) -> None:
    kinds = studies()[kind].results
    assert kinds is not None
    results: Results = made(kinds, kind)
    assert results.show().page == misdirection.show(results).page == render(results.to_json())
    title, part = SHOWN[kind]
    for name in (title, title.upper(), part):
        page = results.show(name, height=300).page
        assert f"{title}</h2>" in page and "How to reproduce this</h2>" not in page and results.title in page
    write_json(tmp_path / "findings.json", results.to_json())
    (tmp_path / "report.html").write_text("whole")
    assert misdirection.show(tmp_path, section=title).page == results.show(title).page
    assert misdirection.show(tmp_path).page == "whole"
    assert 'style="width: 100%; height: 300px' in results.show(title, 300)._repr_html_()
    for nothing in (lambda: results.show("Elsewhere"), lambda: misdirection.show(tmp_path, section="Elsewhere")):
        with pytest.raises(MisdirectionError, match="no section 'Elsewhere'") as error:
            nothing()
        assert f"'{title}'" in str(error.value.hint) and "'How to reproduce this'" in str(error.value.hint)


def test_a_study_takes_a_loaded_model_and_a_judge_that_is_there(model) -> None:
    config = misdirection.AuditConfig(model=model, judge=Length())
    assert config.judge == "given-length-1" and isinstance(config.model, str)
    assert misdirection.find_judge(config.judge) == Length()
    assert misdirection.AuditConfig(model=Path("some/folder")).model == "some/folder"
    with pytest.raises(MisdirectionError, match="int is no model"):
        misdirection.AuditConfig(model=3)
    with pytest.raises(MisdirectionError, match="int is no judge"):
        misdirection.AuditConfig(judge=3)
    bare = of(model)
    bare.name = ""
    with pytest.raises(MisdirectionError, match="made in memory"):
        misdirection.AuditConfig(model=bare)


def test_every_public_name_is_there_and_completes() -> None:
    for room in (
        "",
        ".training",
        ".features",
        ".judging",
        ".engine",
        ".directions",
        ".statistics",
        ".models",
        ".chats",
    ):
        held = __import__(f"misdirection{room}", fromlist=["x"])
        assert set(held.__all__) <= set(dir(held))
        assert all(getattr(held, name) is not None for name in held.__all__)
