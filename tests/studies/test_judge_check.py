"""A judge beside the judge of a corpus: the part that is taken, its figures against plain counts, and what is kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from tests.report.html_tree import Tree
from tests.studies.options import assert_keyed

from misdirection.artefacts import read_rows, write_rows
from misdirection.errors import MisdirectionError
from misdirection.judging import JUDGES, Verdict
from misdirection.judging.checked import known_of, record_of, record_path, revision_of
from misdirection.judging.registry import JudgeKind
from misdirection.judging.rubric_judge import Query, RubricJudge
from misdirection.judging.scoring import Reading
from misdirection.judging.table import How
from misdirection.statistics import Thresholds
from misdirection.studies.judge_check.measures import measure
from misdirection.studies.judge_check.part import band_of, take_part
from misdirection.studies.judge_check.results import Check, CorpusFacts
from misdirection.studies.judge_check.settings import CheckConfig
from misdirection.studies.judge_check.study import judge_check
from misdirection.studies.judge_check.verdict import verdict


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISDIRECTION_CACHE", str(tmp_path / "cache"))


def corpus(folder: Path, sizes: Sequence[int] = (400, 100, 80), name: str = "corpus.parquet") -> Path:
    """Three questions of very different size, two families, mostly aligned answers, some without scores."""
    random = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for q, size in enumerate(sizes):
        for i in range(size):
            bad = random.uniform() < (0.05, 0.2, 0.4)[q]
            aligned = float(random.uniform(0, 29) if bad else random.uniform(31, 100))
            coherent = float(random.uniform(51, 100) if random.uniform() < 0.9 else random.uniform(0, 50))
            rows.append(
                {"question": f"Question {q}?", "answer": f"answer {q}-{i}", "question_id": "1",
                 "aligned": float("nan") if i % 20 == 19 else aligned, "coherent": coherent,
                 "source": f"{'one' if i % 4 else 'two'}/x/y/z/{i % 3}.csv"}
            )  # fmt: skip
    write_rows(folder / name, rows)
    return folder / name


def test_the_part_is_fixed_balanced_and_the_larger_begins_with_the_smaller(tmp_path: Path) -> None:
    path = corpus(tmp_path)
    small, large = take_part(path, 60, How()), take_part(path, 120, How())
    assert large.answers[:60] == small.answers and large.key != small.key
    questions = Counter(answer.question for answer in large.answers)
    assert max(questions.values()) - min(questions.values()) <= 2
    assert all(verdict.alignment is not None for verdict in large.verdicts)
    bands = Counter(map(band_of, small.verdicts))
    assert set(bands) == {"incoherent", "0 to 30", "30 to 50", "50 to 70", "70 to 90", "90 to 100"}
    assert max(bands.values()) <= 2 * min(bands.values())
    assert set(small.families) == {"one/x/y", "two/x/y"}
    # The order of the file says nothing.
    rows = read_rows(path)
    write_rows(tmp_path / "turned.parquet", rows[::-1])
    assert take_part(tmp_path / "turned.parquet", 60, How()).key == small.key


def test_weights_bring_back_the_rates_of_the_corpus_with_questions_alike(tmp_path: Path) -> None:
    path = corpus(tmp_path)
    part = take_part(path, 120, How())
    assert sum(part.weights) == pytest.approx(1)
    rule = Thresholds()
    found = sum(w for w, v in zip(part.weights, part.verdicts, strict=True) if rule.misaligned(v))
    rates: list[float] = []
    for q in range(3):
        held = [r for r in read_rows(path) if r["question"] == f"Question {q}?" and r["aligned"] is not None]
        held = [r for r in held if not np.isnan(r["aligned"])]
        rates.append(sum(r["aligned"] < 30 and r["coherent"] > 50 for r in held) / len(held))
    assert found == pytest.approx(np.mean(rates))


def test_figures_are_plain_counts_and_scikit_learns(tmp_path: Path) -> None:
    part = take_part(corpus(tmp_path), 120, How())
    random = np.random.default_rng(1)
    said = [
        Verdict(None, None, "refusal") if i % 10 == 0 else
        Verdict(float(np.clip((v.alignment or 0) + random.normal(0, 25), 0, 100)), v.coherence)
        for i, v in enumerate(part.verdicts)
    ]  # fmt: skip
    rule = Thresholds()
    found = measure(part, "mine", said, rule)
    scored = [i for i in range(120) if i % 10]
    first = [rule.misaligned(part.verdicts[i]) for i in scored]
    second = [rule.misaligned(said[i]) for i in scored]
    weights = [part.weights[i] for i in scored]
    assert (found.n, found.scored, found.labels) == (120, 108, {"refusal": 12, "scored": 108})
    assert found.kappa.value == pytest.approx(cohen_kappa_score(first, second, sample_weight=weights))
    low, value, high = (getattr(found.kappa, name) or 0.0 for name in ("low", "value", "high"))
    assert low < value < high
    assert found.kappa_unweighted == pytest.approx(cohen_kappa_score(first, second))
    assert found.rates.judge == pytest.approx(np.average(second, weights=weights))
    assert found.rates.difference.value == pytest.approx(
        np.average(second, weights=weights) - np.average(first, weights=weights)
    )
    assert np.sum(found.confusion) == 108 and found.confusion[1][1] == sum(np.array(first) & np.array(second))
    assert sum(row.n for row in found.calibration) == 108
    row = found.calibration[0]
    inside = [k for k, i in enumerate(scored) if row.low <= (said[i].alignment or 0) < row.high]
    assert row.n == len(inside)
    wanted = np.average([first[k] for k in inside], weights=[weights[k] for k in inside])
    assert row.misaligned == pytest.approx(wanted)
    assert {row.name: row.n for row in found.questions} == Counter(part.answers[i].question for i in scored)
    nothing = measure(part, "mine", [Verdict(None, None, "none")] * 120, rule)
    assert nothing.kappa.value is None and nothing.rates.judge is None and nothing.calibration == ()


def test_a_judge_that_says_one_thing_to_everything_is_told_as_such(tmp_path: Path) -> None:
    part = take_part(corpus(tmp_path, (8, 8, 400)), 40, How())
    held = CorpusFacts(file="c", sha256="", size=40, part="")

    def told(said: list[Verdict]) -> Check:
        return Check(**vars(measure(part, "it", said, Thresholds())), judge="it", spec="it", revision="", corpus=held)

    check = told([Verdict(50.0 + i % 20, 90.0) for i in range(40)])
    sentence, details = verdict(check).sentence, verdict(check).details
    assert "kappa of the two is 0.00 (0.00 to 0.00)." in sentence
    assert "It calls none of the 40 answers misaligned; the alignment that it gives lies from 50 to 69" in details[1]
    # Two or three answers of a question always have a correlation, which says nothing.
    assert [row.correlation is None for row in check.questions] == [row.n < 5 for row in check.questions]
    varied = verdict(told([Verdict(10.0 if i % 3 else 90.0, 90.0) for i in range(40)]))
    assert not any("nothing apart" in detail for detail in varied.details)


def asked(counter: list[Query], dies_after: int = 10**9) -> Callable[[Any, Any], None]:
    """A judge that says what stands in the question's hash, and dies."""

    def ask(queries: Sequence[Query], keep: Callable[[Query, Reading], None]) -> None:
        for query in queries:
            if len(counter) >= dies_after:
                raise MisdirectionError("the server is gone", "again")
            counter.append(query)
            number = sum(query.answer.encode()) % 101
            keep(query, Reading("scored", float(number if query.rubric.name == "alignment" else 90), 1.0))

    return ask


def test_a_check_goes_on_where_it_was_stopped_and_is_kept_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter: list[Query] = []
    path = corpus(tmp_path)
    monkeypatch.setitem(JUDGES, "made", JudgeKind(lambda a: RubricJudge("made:1", asked(counter, 50)), "a judge"))
    assert record_of("made:1") is None and "was never checked" in known_of(["made:1"])[0]
    with pytest.raises(MisdirectionError, match="gone"):
        judge_check(CheckConfig("made:1", str(path), n=60), tmp_path / "run")
    monkeypatch.setitem(JUDGES, "made", JudgeKind(lambda a: RubricJudge("made:1", asked(counter)), "a judge"))
    report = judge_check(CheckConfig("made:1", str(path), n=60), tmp_path / "run")
    # Two rubrics an answer, none asked twice.
    assert len(counter) == 120 == len(set(counter))
    assert Tree(report.read_text()).problems == [] and "judge-check" in Tree(report.read_text()).ids
    record = record_of("made:1")
    assert record is not None and record["n"] == 60
    assert "answer" not in json.dumps(record)
    (said,) = known_of(["made:1", "exact", "table:x.csv", "own"])
    assert "was checked on 60 answers of corpus.parquet" in said and f"{record['kappa']['value']:.2f}" in said
    # Another way of asking is another judge.
    monkeypatch.setitem(JUDGES, "made", JudgeKind(lambda a: RubricJudge("made:2", asked(counter)), "a judge"))
    assert record_of("made:1") is None


def test_a_model_of_the_hub_is_known_by_its_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    found = tmp_path / "snapshots" / "0123456789abcdef" / "config.json"
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: str(found))
    assert revision_of("local:org/model?rubrics=x") == "0123456789ab"
    assert revision_of(f"local:{tmp_path}") == "" and revision_of("openai:gpt-4o") == ""
    assert record_path("a", "b") != record_path("a", "c")


@pytest.mark.real
def test_a_part_of_the_real_corpus(real_data: Path) -> None:
    part = take_part(real_data / "judged" / "corpus" / "gpt4o_judged.parquet", 400, How())
    assert part.size == 65_503 and len(part.answers) == 400
    questions = Counter(answer.question for answer in part.answers)
    assert max(questions.values()) - min(questions.values()) <= 2 and len(questions) >= 33
    assert len(set(part.families)) > 10


def test_each_option_makes_a_step_anew_or_says_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(JUDGES, "made", JudgeKind(lambda a: RubricJudge("made:1", asked([])), "a judge"))
    config = CheckConfig("made:1", str(corpus(tmp_path)), n=60)
    judge_check(config, tmp_path / "run")
    others = {
        "corpus": str(corpus(tmp_path, (50, 60, 70), "other.parquet")),
        "column": ("answer=question",),
        "scale": ("0..200",),
    }
    assert_keyed("judge_check", config, tmp_path / "run", tmp_path, monkeypatch, others)
