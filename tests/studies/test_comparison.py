"""Two runs beside each other: paired tests against `statistics`, settings, rows by key, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.report.html_tree import Tree
from tests.results.made import made
from tests.statistics.samples import arm

from misdirection.artefacts import plain, write_json, write_rows
from misdirection.errors import MisdirectionError
from misdirection.judging import Verdict
from misdirection.results import read_results
from misdirection.statistics import benjamini_hochberg, compare, rate
from misdirection.studies.audit.results import AuditResults
from misdirection.studies.comparison.figures import compare_figures
from misdirection.studies.comparison.results import QUESTION, SAMPLE, ComparisonResults
from misdirection.studies.comparison.study import compare_runs, write_comparison
from misdirection.studies.convergence.results import RESULTS as CONVERGENCE
from misdirection.studies.kit.judged import Judged, write_verdicts

BASE, MILD, BAD = [0] * 8, [1, 0, 0, 2, 1, 0, 0, 1], [3, 9, 4, 8, 12, 2, 7, 5]


def judged(arms: dict[str, list[int]], judge: str = "words", size: int = 20, **more: Any) -> Judged:
    """Arms with so many misaligned answers a question; our sampler's where they have ids."""
    pairs = [arm(hits, size, name, **{"ids": (1, 2), **more}) for name, hits in arms.items()]
    return Judged(
        [replace(a, answer=f"{a.arm} says {hash(tuple(arms[a.arm]))} {a.sample}") for one in pairs for a in one[0]],
        [Verdict(v.alignment, v.coherence, judge=judge) for one in pairs for v in one[1]],
    )


def write(folder: Path, parts: dict[str, Judged], settings: dict[str, Any] | None = None) -> Path:
    """A folder with answers and verdicts, as `sample`, `judge` and the studies leave them."""
    folder.mkdir(parents=True)
    for name, held in parts.items():
        before = "" if name == "main" else f"{name}-"
        write_rows(folder / f"{before}answers.parquet", held.answers)
        write_verdicts(folder / f"{before}verdicts.parquet", held.verdicts)
    if settings:
        verdict = {"state": "misaligned", "sentence": f"It is {settings}.", "details": []}
        write_json(folder / "findings.json", {"verdict": verdict, "settings": settings})
    return folder


def two(tmp_path: Path, first: dict[str, Judged], second: dict[str, Judged]) -> ComparisonResults:
    return compare_runs(write(tmp_path / "one", first), write(tmp_path / "two", second))


def rows_of(found: ComparisonResults) -> dict[tuple[str, str], Any]:
    return {(row.asked, row.arm): row for row in found.arms}


def test_arms_of_the_same_draws_are_paired_by_sample_as_statistics_does_it(tmp_path: Path):
    one, other = judged({"base": BASE, "tuned": MILD}), judged({"base": BASE, "tuned": BAD})
    found = rows_of(two(tmp_path, {"main": one}, {"main": other}))
    for name in ("base", "tuned"):
        truth, row = compare(one.arm(name).pair, other.arm(name).pair), found["main", name]
        assert (row.difference.value, row.difference.p) == (truth.difference, truth.p_questions)
        assert (row.p_answers, row.only_first, row.only_second) == (
            truth.p_answers, truth.only_reference, truth.only_other,
        )  # fmt: skip
        assert row.paired == SAMPLE and row.pairs == 160 and row.unmatched == (0, 0)
    tuned, base = found["main", "tuned"], found["main", "base"]
    assert tuned.difference.value == pytest.approx((sum(BAD) - sum(MILD)) / 160)
    assert [base.q, tuned.q] == benjamini_hochberg([base.difference.p, tuned.difference.p])
    assert tuned.found and not base.found and base.same == 160 and tuned.same == 0
    assert tuned.difference.low > 0  # the interval is that of the family's level


def test_intervals_of_rates_are_of_95_and_that_of_a_difference_names_the_level_of_its_q(tmp_path: Path):
    """The rates' intervals once came out at the family's level, under a head that says 95 %."""
    one, other = judged({"base": BASE, "tuned": BASE}), judged({"base": BASE, "tuned": MILD})
    found = two(tmp_path, {"main": one}, {"main": other})
    for name in ("base", "tuned"):
        row = rows_of(found)["main", name]
        own = [rate(*side.arm(name).pair) for side in (one, other)]
        assert [(r.low, r.high) for r in (row.first, row.second)] == [(r.low, r.high) for r in own]
        assert row.level == pytest.approx(0.975) and not row.found
        wide = compare(one.arm(name).pair, other.arm(name).pair, level=row.level)
        assert (row.difference.low, row.difference.high) == (wide.low, wide.high)
    assert "97.5 % interval" in found.verdict.sentence
    (row,) = two(tmp_path / "one", {"main": one.arm("tuned")}, {"main": other.arm("tuned")}).arms
    assert row.level == 0.95 and row.q is None


@pytest.mark.parametrize(("more", "how"), [({"seed": 5}, QUESTION), ({"ids": None}, QUESTION), ({}, SAMPLE)])
def test_other_draws_and_answers_of_others_are_paired_by_question(more: dict[str, Any], how: str, tmp_path: Path):
    one, other = judged({"tuned": MILD}), judged({"tuned": BAD}, **more)
    (row,) = two(tmp_path, {"main": one}, {"main": other}).arms
    assert row.paired == how and row.q is None and (row.p_answers is None) == (how == QUESTION) == (row.same is None)
    # Every question is worse, so that two of the 2^8 flips are as far.
    assert row.difference.p == 2 / 256 and row.found


def test_more_samples_in_one_run_stand_out_of_the_pairs(tmp_path: Path):
    one, other = judged({"tuned": MILD}, size=12), judged({"tuned": BAD}, size=20)
    (row,) = two(tmp_path, {"main": one}, {"main": other}).arms
    assert row.paired == SAMPLE and row.pairs == 96 and row.unmatched == (0, 64)


def test_parts_of_a_run_domains_and_formats_are_rows_of_their_own(tmp_path: Path):
    def side(hits: list[int]) -> dict[str, Judged]:
        plainly, inside = judged({"tuned": hits}), judged({"tuned": BASE}, domain="medical", form="law")
        held = Judged(plainly.answers + inside.answers, plainly.verdicts + inside.verdicts)
        return {"main": held, "cures": judged({"set": hits})}

    found = two(tmp_path, side(BAD), side(MILD))
    assert [(r.asked, r.group, r.format, r.arm) for r in found.arms] == [
        ("main", "open", "plain", "tuned"), ("main", "medical", "law", "tuned"), ("cures", "open", "plain", "set"),
    ]  # fmt: skip
    assert found.verdict.sentence.startswith("Tuned: 31.2") and "\u221218.1" not in found.verdict.sentence


def test_one_arm_of_another_name_is_compared_with_the_one_of_the_other_run(tmp_path: Path):
    found = two(tmp_path, {"main": judged({"base": BASE, "r1": MILD})}, {"main": judged({"base": BASE, "r32": BAD})})
    assert {row.arm for row in found.arms} == {"base", "r1 to r32"}


def test_a_question_in_other_words_is_left_out_and_named(tmp_path: Path):
    one, other = judged({"tuned": MILD}), judged({"tuned": BAD})
    reworded = Judged(
        [replace(a, question="Else?") if a.question_id == "plain-3" else a for a in other.answers], other.verdicts
    )
    found = two(tmp_path, {"main": one}, {"main": reworded})
    assert found.arms[0].pairs == 140 and any("plain-3" in note and "other words" in note for note in found.notes)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        # What verdicts call a judge is no value of --judge, so that the hint does not offer it as one.
        (judged({"tuned": BAD}, judge="another"), "two by another(?s:.)*--judge JUDGE, with the judge of .*two "),
        (judged({"tuned": BAD}, form="law"), "law-0"),
        (judged({"x": BAD, "y": BAD}), "x, y"),
    ],
)
def test_what_cannot_be_compared_is_refused_and_named(other: Judged, said: str, tmp_path: Path):
    one = write(tmp_path / "one", {"main": judged({"tuned": MILD, "z": MILD})})
    with pytest.raises(MisdirectionError, match=said):
        compare_runs(one, write(tmp_path / "two", {"main": other}))


def test_a_folder_of_nothing_the_same_run_and_a_torn_one_are_refused(tmp_path: Path):
    one = write(tmp_path / "one", {"main": judged({"tuned": MILD})})
    (tmp_path / "empty").mkdir()
    for other, said in ((tmp_path / "empty", "neither"), (one, "one run"), (tmp_path / "no", "does not exist")):
        with pytest.raises(MisdirectionError, match=said):
            compare_runs(one, other)
    torn = write(tmp_path / "torn", {"main": judged({"tuned": MILD})})
    write_verdicts(torn / "verdicts.parquet", judged({"tuned": MILD}).verdicts[:-1])
    with pytest.raises(MisdirectionError, match=r"160 answers and verdicts\.parquet 159"):
        compare_runs(one, torn)


def counts(hits: list[int], below: float = 30.0) -> dict[str, Any]:
    """Findings that hold counts alone."""
    rows = [
        {"arm": "tuned", "question_id": f"plain-{q}", "group": "open", "format": "plain", "n": 20, "misaligned": bad}
        for q, bad in enumerate(hits)
    ]
    rates = [{"arm": "tuned", "judges": ["words"]}]
    verdict = {"state": "misaligned", "sentence": "It is.", "details": []}
    rules = {"alignment": below, "coherence": 50.0, "inclusive": False}
    return {"verdict": verdict, "by_question": rows, "rates": rates, "thresholds": rules}


def test_findings_alone_are_compared_by_their_counts_and_not_by_another_rule(tmp_path: Path):
    file, other = tmp_path / "findings.json", tmp_path / "stricter.json"
    write_json(file, counts(BAD))
    write_json(other, counts(BAD, 20.0))
    run = write(tmp_path / "run", {"main": judged({"tuned": MILD})})
    (row,) = compare_runs(run, file).arms
    truth = compare(judged({"tuned": MILD}).pair, judged({"tuned": BAD}).pair)
    assert (row.difference.value, row.difference.p, row.paired) == (truth.difference, truth.p_questions, QUESTION)
    with pytest.raises(MisdirectionError, match="different rules"):
        compare_runs(run, other)


def test_settings_that_differ_are_named_and_others_are_not(tmp_path: Path):
    held = {"main": judged({"tuned": MILD})}
    one = write(tmp_path / "one", held, {"temperature": 1.0, "seed": 0, "date": "today"})
    other = write(tmp_path / "two", held, {"temperature": 0.5, "seed": 0})
    found = compare_runs(one, other)
    assert {(r.name, r.first, r.second) for r in found.settings_changed} == {
        ("temperature", "1", "0.5"), ("date", "today", ""),
    }  # fmt: skip
    assert [run.sentence for run in found.runs] == [
        "It is {'temperature': 1.0, 'seed': 0, 'date': 'today'}.", "It is {'temperature': 0.5, 'seed': 0}.",
    ]  # fmt: skip


def changed(value: Any, by: float) -> Any:
    """Every figure called value that much larger."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        more = {n: v + by if n == "value" and isinstance(v, float) else changed(v, by) for n, v in names.items()}
        return replace(value, **more)
    return tuple(changed(one, by) for one in value) if isinstance(value, tuple) else value


@pytest.mark.parametrize(("kind", "study"), [(AuditResults, "audit"), (CONVERGENCE, "convergence")])
def test_rows_of_the_same_key_differ_where_figures_do(kind: type[Any], study: str):
    one = made(kind, study)
    tables, figures, _ = compare_figures(one, one)
    assert tables and not figures and all(t.shared and not (t.first or t.second or t.differing) for t in tables)
    tables, figures, _ = compare_figures(one, changed(one, 0.25))
    assert figures and all(row.difference.value == pytest.approx(0.25) for row in figures)
    assert sum(t.differing for t in tables) == len(figures)


def test_a_row_that_is_the_best_in_one_run_alone_is_the_same_row():
    one = made(AuditResults, "audit")
    cures = tuple(replace(cure, label=f"removal {place}", best=False) for place, cure in enumerate(one.cures))
    best = tuple(replace(cure, best=True, rate=replace(cure.rate, value=0.75, bounded=True)) for cure in cures)
    tables, figures, _ = compare_figures(replace(one, cures=cures), replace(one, cures=best))
    (facts,) = (table for table in tables if table.table == "cures")
    assert (facts.shared, facts.first, facts.second) == (len(cures), 0, 0)
    assert len(figures) == len(cures) and {row.figure for row in figures} == {"rate"}
    assert all("removal" in row.row and "False" not in row.row and "bounded" not in row.row for row in figures)


def test_best_removals_and_the_page_through_json_and_back(tmp_path: Path):
    full = made(AuditResults, "audit")
    runs: list[Path] = []
    for name, hits in (("one", MILD), ("two", BAD)):
        held = write(tmp_path / name, {"main": judged({"base": BASE, "tuned": hits})})
        cures = tuple(replace(cure, best=place == 1, label=f"<{name}>") for place, cure in enumerate(full.cures))
        write_json(held / "findings.json", plain(replace(full, cures=cures)))
        runs.append(held)
    found = compare_runs(*runs, "misdirection compare one two")
    assert [(one.run, one.label) for one in found.removals] == [(1, "<one>"), (2, "<two>")]
    path = write_comparison(found, tmp_path / "out")
    told = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert read_results(told, ComparisonResults, "here", "") == found
    page = path.read_text()
    tree = Tree(page)
    assert tree.problems == [] and {"verdict", "arms", "verdicts", "removals", "settings"} <= set(tree.ids)
    assert "&lt;one&gt;" in page and "<one>" not in page and "Left out" not in page
    with pytest.raises(MisdirectionError, match="holds a run"):
        write_json(tmp_path / "out" / "run.json", {})
        write_comparison(found, tmp_path / "out")
