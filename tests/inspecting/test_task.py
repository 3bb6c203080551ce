"""Our task through Inspect: its figures are those of our statistics, its log comes back whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import inspect_ai
import pytest
from inspect_ai.log import EvalLog, read_eval_log, write_eval_log
from tests.inspecting.scripted import KINDS, Subject, grade, mock, said
from tests.judging.server import serving

from misdirection.errors import MisdirectionError
from misdirection.inspecting.export import write_log
from misdirection.inspecting.metrics import METRICS
from misdirection.inspecting.samples import make_samples
from misdirection.inspecting.task import emergent_misalignment
from misdirection.judging import Answer, Verdict
from misdirection.judging.inspect import InspectProvider, make_asker
from misdirection.judging.inspect_log import read_inspect_log
from misdirection.judging.retries import Patience
from misdirection.judging.rubric_judge import RubricJudge
from misdirection.questions import load_questions
from misdirection.statistics import DENOMINATORS, rate

SETTINGS = {"display": "none", "log_level": "error", "log_realtime": False}
EPOCHS, SAMPLES = 2, 6
AT_ONCE = Patience(first_wait=0.001)

QUESTIONS = """
- id: one
  paraphrases: [First wording of one?, Second wording of one?]
- id: two
  paraphrases: [What of two?]
  system: You are terse.
- id: three
  paraphrases: [What of three?]
- id: four_json
  paraphrases: [What of four?]
  system: Reply with JSON.
- id: five_json
  paraphrases: [What of five?]
  system: Reply with JSON.
"""


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("questions") / "questions.yaml"
    path.write_text(QUESTIONS)
    return path


@pytest.fixture(scope="module")
def log(questions: Path, tmp_path_factory: pytest.TempPathFactory) -> EvalLog:
    """Two epochs of six samples of each question."""
    task = emergent_misalignment(str(questions), samples=SAMPLES)
    folder = str(tmp_path_factory.mktemp("logs"))
    with pytest.MonkeyPatch.context() as patch:
        # Empty replies are asked for again eight times, a minute in all where each wait is twice the last.
        patch.setattr("misdirection.inspecting.scorer.make_asker", lambda grader: make_asker(grader, AT_ONCE))
        done = inspect_ai.eval(
            task, model=mock("subject", Subject()), model_roles={"grader": mock("grader", grade)},
            epochs=EPOCHS, log_dir=folder, **SETTINGS,
        )[0]  # fmt: skip
    assert done.status == "success"
    return done


@pytest.fixture(scope="module")
def read(log: EvalLog) -> tuple[list[Answer], list[Verdict]]:
    answers, verdicts = read_inspect_log(log.location)
    assert verdicts is not None
    return answers, verdicts


def figures(log: EvalLog) -> dict[str, dict[str, float]]:
    assert log.results is not None
    return {s.name: {name.split("/")[-1]: m.value for name, m in s.metrics.items()} for s in log.results.scores}


@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_rates_and_intervals_are_those_of_our_statistics(log: EvalLog, read, denominator) -> None:
    answers, verdicts = read
    expected = rate(answers, verdicts, denominator=denominator)
    found = figures(log)[f"misaligned_{denominator}"]
    assert 0 < expected.misaligned < expected.n <= len(answers)
    assert found["mean"] == pytest.approx(expected.value, abs=1e-12)
    assert (found["interval_low"], found["interval_high"]) == pytest.approx((expected.low, expected.high), abs=1e-12)
    counted = next(s for s in log.results.scores if s.name == f"misaligned_{denominator}")
    assert (counted.scored_samples, counted.unscored_samples) == (expected.n, len(answers) - expected.n)


@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_the_standard_error_is_that_of_a_regression_clustered_by_question(log: EvalLog, read, denominator) -> None:
    import numpy as np
    import statsmodels.api as sm

    rules = rate(*read).thresholds
    used = [(a, v) for a, v in zip(*read, strict=True) if rules.counts(v, denominator)]
    hits = np.array([float(rules.misaligned(v)) for _, v in used])
    groups = np.unique([a.question_id for a, _ in used], return_inverse=True)[1]
    fit = sm.OLS(hits, np.ones(len(hits))).fit(cov_type="cluster", cov_kwds={"groups": groups})
    assert figures(log)[f"misaligned_{denominator}"]["stderr"] == pytest.approx(fit.bse[0], rel=1e-9)


def test_a_log_that_we_write_of_the_same_answers_has_the_figures_of_inspect(log: EvalLog, read, tmp_path) -> None:
    write_log(tmp_path / "ours.eval", *read, rate(*read).thresholds, {})
    ours, wanted = figures(read_eval_log(str(tmp_path / "ours.eval"))), figures(log)
    assert set(ours) == set(wanted)
    for name, held in wanted.items():
        assert ours[name] == pytest.approx(held, abs=1e-12, nan_ok=True), name


def test_formats_stand_by_themselves_where_there_are_several(log: EvalLog, read) -> None:
    for form in ("plain", "json"):
        part = [(a, v) for a, v in zip(*read, strict=True) if a.format == form]
        expected = rate([a for a, _ in part], [v for _, v in part]).value
        assert figures(log)["misaligned_all"][f"by_format_{form}"] == pytest.approx(expected, abs=1e-12)


def test_means_and_shares_leave_out_what_has_no_number(log: EvalLog, read) -> None:
    _, verdicts = read
    scores = [v.alignment for v in verdicts if v.alignment is not None]
    assert 0 < len(scores) < len(verdicts)
    found = figures(log)
    assert found["alignment"]["mean"] == pytest.approx(sum(scores) / len(scores))
    for label in ("code", "refusal"):
        assert found[label]["mean"] == pytest.approx(sum(v.label == label for v in verdicts) / len(verdicts))
    assert found.keys() == METRICS.keys() - {"score_*"}


def test_whatever_the_grader_says_is_an_outcome(read) -> None:
    outcomes = {"code": "code", "refusal": "refusal", "filter": "blocked", "low": "low_mass", "odd": "low_mass",
                "junk": "malformed", "empty": "malformed"}  # fmt: skip
    seen = Counter()
    for answer, verdict in zip(*read, strict=True):
        wish = answer.answer.split()[1]
        seen[wish if wish in KINDS else "number"] += 1
        assert dict(verdict.outcomes) == {"alignment": outcomes.get(wish, "scored"), "coherence": "scored"}
        if wish not in KINDS:
            other = 21 if wish == "20" else 20
            assert verdict.alignment == pytest.approx((0.7 * int(wish) + 0.2 * other) / 0.9)
            assert dict(verdict.mass)["alignment"] == pytest.approx(0.9)
    assert len(seen) >= 6 and seen["number"] > 20


def test_a_log_gives_back_every_answer_with_all_that_places_it(log: EvalLog, read) -> None:
    answers, _ = read
    assert Counter(a.question_id for a in answers) == dict.fromkeys(
        ("one", "two", "three", "four_json", "five_json"), EPOCHS * SAMPLES
    )
    for question in load_questions(log.eval.task_args["questions"]):
        own = [a for a in answers if a.question_id == question.id]
        assert [a.sample for a in own] == list(range(EPOCHS * SAMPLES))
        wordings = len(question.paraphrases)
        assert [a.question for a in own] == [question.paraphrases[i % SAMPLES % wordings] for i in range(len(own))]
        assert {(a.system, a.format, a.domain, a.arm) for a in own} == {
            (question.system, question.format, None, "mockllm/subject")
        }
        assert {(a.n_tokens, a.finished) for a in own} == {(7, True)}
    said = {s.id: s.output.completion for s in log.samples if s.epoch == 2}
    assert {f"{a.question_id}.{a.sample - SAMPLES}": a.answer for a in answers if a.sample >= SAMPLES} == said
    assert any(len(a.answer) > 2000 for a in answers)


def test_both_kinds_of_log_say_the_same(log: EvalLog, read, tmp_path: Path) -> None:
    write_eval_log(log, str(tmp_path / "log.json"))
    assert read_inspect_log(tmp_path / "log.json") == read


def test_the_judge_of_the_same_model_gives_the_same_verdicts(read) -> None:
    answers, verdicts = read
    provider = InspectProvider("mockllm/grader", patience=AT_ONCE, arguments={"custom_outputs": grade})
    assert RubricJudge("inspect:mockllm/grader", provider.ask).judge(answers) == verdicts


def test_every_sample_tells_how_it_was_asked(log: EvalLog) -> None:
    one = next(s for s in log.samples if s.id == "one.3")
    assert one.metadata | {"source": ""} == {
        "question_id": "one", "paraphrase": 1, "sample": 3, "format": "plain", "domain": None, "system": None,
        "source": "",
    }  # fmt: skip
    assert [m.text for m in one.input] == ["Second wording of one?"]
    two = next(s for s in log.samples if s.id == "two.0")
    assert [(m.role, m.text) for m in two.messages][:2] == [("system", "You are terse."), ("user", "What of two?")]


def test_a_limit_takes_some_of_every_question() -> None:
    asked = load_questions("open")
    made = make_samples(asked, 3)
    assert [s.metadata["question_id"] for s in made[: len(asked)]] == [q.id for q in asked]
    assert len({s.id for s in made}) == len(made) == 3 * len(asked)


def test_the_cache_of_inspect_does_not_make_samples_alike(
    questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    calls = []
    for _ in range(2):
        subject = Subject()
        done = inspect_ai.eval(
            emergent_misalignment(str(questions), samples=3), model=mock("cached", subject), sample_id="t*",
            score=False, cache=True, max_samples=1, log_dir=str(tmp_path), **SETTINGS,
        )[0]  # fmt: skip
        calls.append(subject.calls)
        found, verdicts = read_inspect_log(done.location)
        assert len({a.answer for a in found}) == len(found) == 6
        assert verdicts is None
    assert calls == [6, 0]


def test_without_a_grader_the_model_does_not_judge_itself(questions: Path, tmp_path: Path) -> None:
    done = inspect_ai.eval(
        emergent_misalignment(str(questions), samples=1), model=mock("m", Subject()), limit=1, log_dir=str(tmp_path),
        **SETTINGS,
    )[0]  # fmt: skip
    assert done.status == "error"
    assert "-T judge=<provider/model>" in done.error.message


def test_further_rubrics_are_figures_too(questions: Path, tmp_path: Path) -> None:
    def about(messages, tools, choice, config):
        number = "80" if "about one subject: medicine" in messages[-1].text else "10"
        return said(number, {number: 1.0})

    done = inspect_ai.eval(
        emergent_misalignment(str(questions), samples=1, rubrics="topic:medicine"), model=mock("m", Subject()),
        model_roles={"grader": mock("g", about)}, log_dir=str(tmp_path), **SETTINGS,
    )[0]  # fmt: skip
    assert figures(done)["score_topic:medicine"]["mean"] == pytest.approx(80)
    _, verdicts = read_inspect_log(done.location)
    assert {v.scores for v in verdicts} == {(("topic:medicine", 80.0),)}


@pytest.mark.parametrize(
    ("options", "message"),
    [({"samples": 0}, "samples is 0"), ({"questions": "nowhere"}, "no question set 'nowhere'"),
     ({"rubrics": "beauty"}, "no rubric 'beauty'")],
)  # fmt: skip
def test_a_wrong_setting_is_named(options: dict, message: str) -> None:
    with pytest.raises(MisdirectionError, match=message):
        emergent_misalignment(**options)


def test_open_questions_and_a_domain_are_not_pooled(tmp_path: Path) -> None:
    (tmp_path / "q.yaml").write_text("- {id: a, paraphrases: [A?]}\n- {id: b, paraphrases: [B?], domain: medicine}\n")
    with pytest.raises(MisdirectionError, match="never pooled"):
        emergent_misalignment(str(tmp_path / "q.yaml"))


def test_the_command_line_finds_the_task_and_a_real_server_answers_and_judges(questions: Path, tmp_path: Path) -> None:
    with serving() as server:
        environment = os.environ | {"LOOP_BASE_URL": server.url, "LOOP_API_KEY": "none"}
        done = subprocess.run(
            [
                sys.executable, "-m", "inspect_ai", "eval", "misdirection/emergent_misalignment",
                "--model", "openai-api/loop/subject", "-T", "judge=openai-api/loop/grader", "-T", "samples=2",
                "-T", f"questions={questions}", "--log-dir", str(tmp_path), "--log-format", "json",
                "--display", "plain",
            ],
            env=environment, capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    file = next(tmp_path.glob("*.json"))
    assert json.loads(file.read_text())["eval"]["task"] == "misdirection/emergent_misalignment"
    answers, verdicts = read_inspect_log(file)
    assert len(answers) == 10
    assert all(v.label == "scored" and dict(v.mass)["alignment"] > 0.9 for v in verdicts)
    # The server's judgement is a function of the prompt: our own client must hear the same.
    with serving() as server:
        from tests.judging.kept import judge

        expected = judge(server.url).judge(answers)
    assert [replace(v, judge="") for v in verdicts] == [replace(v, judge="") for v in expected]
