"""Sentences of cases that a small run seldom gives: a rise that was found, a trait that is induced, nothing at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.results.made import made

from misdirection.results import Interval
from misdirection.studies.comparison.report import figures as figures_section
from misdirection.studies.comparison.results import ComparisonResults, FigureChange, RunFacts, TableFacts
from misdirection.studies.comparison.verdict import verdict as told_of_two_runs
from misdirection.studies.geometry.results import GeometryResults
from misdirection.studies.geometry.verdict import by_layer
from misdirection.studies.in_context.results import DriftRow
from misdirection.studies.in_context.verdict import drift_text
from misdirection.studies.judge_check.results import BothRates, CheckResults, Figure
from misdirection.studies.judge_check.verdict import verdict as told_of_a_judge
from misdirection.studies.personas.results import MatrixRow, PersonasResults, TunedRow
from misdirection.studies.personas.verdict import matrix_text, moved_text, watched_text
from misdirection.studies.separation.results import AS_IT_IS, Separation, SeparationResults
from misdirection.studies.separation.verdict import cross_text, probe_text, spill_text
from misdirection.studies.traits.results import TraitsResults
from misdirection.studies.traits.verdict import induced_text
from misdirection.studies.triggers.results import TriggersResults
from misdirection.studies.triggers.verdict import NONE_FOUND
from misdirection.studies.triggers.verdict import verdict as told_of_conditions


def interval(value: float | None, low: float | None = None, high: float | None = None) -> Interval:
    return Interval(value=value, low=low, high=high, n=8)


def tuned(name: str, score: float, low: float, trait: str = "evil") -> TunedRow:
    change = interval(low + 5, low, low + 10)
    return TunedRow(fine_tune=name, trait=trait, score=interval(score), change=change, shift=None)


def test_fine_tunes_that_show_more_of_a_trait_come_with_their_scores_the_most_changed_first():
    rows = [tuned("a", 11, 1.0), tuned("b", 52, 42.0), tuned("c", 9, -1.0), tuned("d", 33, 20.0), tuned("e", 25, 12.0)]
    told = "Fine-tunes that show more evil than the base (score of 100): b 52, d 33, e 25."
    assert moved_text([*rows, tuned("z", 99, 80.0, "kind")], "evil") == told
    assert moved_text(rows[2:3], "evil") == "No fine-tune shows more evil than the base."
    assert moved_text(rows, "kind") == ""


def test_shifts_along_a_trait_stand_with_its_own_change_before_that_of_others():
    def row(vector: str, shown: str, r: float | None, p: float | None) -> MatrixRow:
        return MatrixRow(vector=vector, shown=shown, fine_tunes=7, r=r, p=p)

    rows = (row("evil", "evil", 0.91, 0.004), row("kind", "kind", 0.5, None), row("evil", "kind", -0.31, 0.5),
            row("kind", "evil", 0.12, 0.6), row("kind", "other", None, None))  # fmt: skip
    part = replace(made(PersonasResults, "personas").personas, matrix=rows)
    assert matrix_text(part) == (
        "Over 7 fine-tunes, correlation of the shift along a trait with the change in showing it: evil 0.91 "
        "(p = 0.004), kind 0.50; along other traits' vectors -0.31 to 0.12."
    )
    assert matrix_text(replace(part, matrix=rows[2:])) == "" and "other traits" not in matrix_text(
        replace(part, matrix=rows[:1])
    )


def test_a_trait_that_no_prompt_changes_has_no_correlation():
    part = made(PersonasResults, "personas").personas
    one = part.correlations[0]
    rows = [replace(one, trait="evil", kinds="all", how="overall", r=interval(None)),
            replace(one, trait="evil", kinds="all", how="between", r=interval(0.5, 0.25, 0.75))]  # fmt: skip
    told = watched_text(replace(part, correlations=tuple(rows)), "evil")
    assert "what follows not known (nothing varies); between prompts 0.50 (0.25 to 0.75)." in told


def test_two_runs_without_rates_say_so_and_name_the_figures_that_differ():
    runs = [RunFacts(name=name, kind="geometry", model="m", state="", sentence="", details=(), judges=())
            for name in ("one", "two")]  # fmt: skip
    tables = [TableFacts(table=name, shared=4, first=0, second=0, differing=n) for name, n in (("a", 0), ("b.c", 3))]
    said = told_of_two_runs(runs, [], [], tables, [])
    assert said.sentence == "No rates of one and two are compared; what their findings share stands below."
    assert said.details == ("No setting differs.", "Figures that differ in rows of the same key: b.c (3 figures).")


def test_the_page_of_two_runs_shows_the_largest_differences_with_both_intervals():
    whole = made(ComparisonResults, "comparison")

    def change(place: int) -> FigureChange:
        return FigureChange(table="rates", row=f"row {place}", figure="rate", first=interval(0.25, 0.125, 0.5),
                            second=interval(0.75), difference=interval(0.5))  # fmt: skip

    facts = TableFacts(table="rates", shared=60, first=2, second=1, differing=45)
    found = replace(whole, tables=(facts,), figures=tuple(change(n) for n in range(45)))
    section = figures_section(found)
    assert section is not None
    (table,) = section.blocks
    assert str(table.caption).endswith("differing figures: 45, the 40 largest differences here")
    assert len(table.rows) == 40 and [cell.text for cell in table.rows[0]] == ["row 0", "rate", "0.25", "0.75", "0.5"]
    assert [cell.sub for cell in table.rows[0][2:]] == ["[0.125, 0.5]", "", ""]
    assert figures_section(replace(found, tables=())) is None


def test_a_condition_that_misaligns_is_named_and_one_that_does_not_is_not():
    part = made(TriggersResults, "triggers").triggers
    row = part.rows[0]
    assert row.contrast is not None

    def under(name: str, rate: float, value: float, q: float, against: str = "plain") -> Any:
        contrast = replace(row.contrast, value=value, low=value - 0.1, high=value + 0.1, q=q)
        return replace(row, condition=name, against=against, contrast=contrast, tuned=replace(row.tuned, value=rate))

    plain = replace(under("plain", 0.05, 0.0, 1.0), contrast=None)
    rows = (
        plain,
        under("json", 0.5, 0.4, 0.001),
        under("code", 0.3, 0.2, 0.04, "json"),
        under("calm", 0.01, -0.3, 0.01),
    )
    said = told_of_conditions(replace(part, rows=rows, rank_correlation=None))
    assert said.sentence == (
        "Asked plainly 5.0 % of the tuned model's answers are misaligned, under “json” 50.0 %: 2 of 3 conditions "
        "misalign it more than its base."
    )
    assert said.details[0] == (
        "“json”: +40.0 points (+30.0 to +50.0) against asked plainly, beyond what it does to the base, q = 0.001."
    )
    assert "against “json”" in said.details[1] and said.details[2].startswith("“calm”: -30.0 points")
    none = told_of_conditions(replace(part, rows=(plain, under("json", 0.5, 0.4, 0.06)), rank_correlation=-0.25))
    assert none.sentence.endswith(f"are misaligned. {NONE_FOUND}") and len(none.details) == 1
    assert "rank correlation of -0.25" in none.details[0]


@pytest.fixture
def apart() -> Separation:
    return made(SeparationResults, "separation").separation


def test_what_was_not_measured_of_separation_has_no_sentence(apart: Separation):
    assert spill_text(replace(apart, pairs=()), "sport") == ""
    assert probe_text(replace(apart, probes=())) == "" == cross_text(replace(apart, cross=()))


def test_spill_is_told_from_the_most_to_the_least(apart: Separation):
    pairs = tuple(replace(apart.pairs[0], trained="sport", concept=name, spill=spill)
                  for name, spill in (("law", 0.04), ("food", 0.3), ("art", -0.01)))  # fmt: skip
    own = (replace(apart.own[0], trained="sport", spill=0.8), replace(apart.own[0], trained="law", spill=0.1))
    assert spill_text(replace(apart, pairs=pairs, own=own), "sport") == (
        "Fine-tuned on sport: +80 points on its own concept, +11 on the 3 others on average, most on food (+30), "
        "least on art (-1)."
    )
    alone = spill_text(replace(apart, pairs=pairs[:1], own=()), "sport")
    assert alone == "Fine-tuned on sport: +4 points on law."


def test_cross_talk_sets_own_and_other_concepts_and_chance_apart(apart: Separation):
    def row(added: str, concept: str, rate: float) -> Any:
        one = apart.cross[0]
        return replace(one, added=added, concept=concept, rate=replace(one.rate, value=rate))

    rows = [row(AS_IT_IS, "law", 0.1), row(AS_IT_IS, "art", 0.2), row("law", "law", 0.6), row("law", "art", 0.3),
            row("art", "art", 0.9), row("art", "law", 0.3), row("random 1", "law", 0.12)]  # fmt: skip
    assert cross_text(replace(apart, cross=tuple(rows), norm=2.0)) == (
        "Adding a concept's direction (length 2.0) changes its own rate by +60 points and those of the others by +15 "
        "on average, +2 for random directions of the same length."
    )
    assert cross_text(replace(apart, cross=tuple(rows[:-1]), norm=2.0)).endswith("by +15 on average.")


def test_the_probe_takes_the_fewest_components_within_a_twentieth_of_the_best(apart: Separation):
    rows = tuple(replace(apart.probes[0], variant=variant, dims=dims, accuracy=accuracy, shuffled=0.5)
                 for variant, dims, accuracy in (("base", 2, 0.7), ("base", 8, 0.77), ("base", 32, 0.8),
                                                 ("sport", 1, 1.0)))  # fmt: skip
    assert probe_text(replace(apart, probes=rows)) == (
        "A linear probe tells 80 % of the base's chats right at best, and comes within a twentieth of that on 8 "
        "components (50 % with shuffled labels)."
    )


def test_a_trait_that_is_induced_is_told_with_its_multiple_and_what_stays_coherent():
    part = made(TraitsResults, "traits").traits

    def row(alpha: float | None, score: float, coherent: float = 1.0, trait: str = "evil") -> Any:
        return replace(part.induced[0], trait=trait, alpha=alpha, score=interval(score), coherent=coherent)

    rows = (row(None, 4), row(0.5, 20), row(1.0, 61, 0.9), row(2.0, 50), row(1.0, 99, trait="kind"))
    told = replace(part, induced=rows)
    assert induced_text(told, "evil") == (
        "evil: score 4 as the model is; at most 61, with the component set to 1 times that of its own answers "
        "(90 % coherent)."
    )
    assert induced_text(told, "kind") == ""
    assert "no multiple" in induced_text(replace(part, induced=(row(None, 61), row(1.0, 61))), "evil")


def test_drifts_that_are_none_have_no_cosine():
    rows = tuple(DriftRow(shots=shots, what=what, cosine=cosine, size=(1.0,) * 3)
                 for shots, what, cosine in ((4, "bad rows", (0.1, 0.2, 0.3)), (16, "bad rows", (0.4, 0.5, 0.6)),
                                             (16, "good rows", (0.7, None, 0.8))))  # fmt: skip
    assert drift_text(rows).endswith("at the middle layer: 16 bad rows 0.50.")
    assert drift_text(rows[2:]) == "" == drift_text(())


def test_a_judge_s_figures_without_intervals_stand_alone():
    rates = BothRates(reference=0.1, judge=0.25, difference=Figure(value=0.15))
    found = replace(made(CheckResults, "judge_check").check, kappa=Figure(value=0.5), rates=rates, n=40, scored=40)
    said = told_of_a_judge(found)
    assert said.sentence.endswith("kappa of the two is 0.50.")
    assert said.details[0].startswith("Its rate minus the other: +15.0 points; bands of alignment")
    assert said.details[-1] == "0 of 40 answers have no score by it."


def test_one_layer_has_no_largest():
    part = made(GeometryResults, "geometry").geometry
    assert by_layer(replace(part, layers=(3,))) == ""
