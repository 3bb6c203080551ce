"""What is said of traits, and which layer is chosen, on figures that were written by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from tests.results.made import made

from misdirection.judging import Answer, Verdict
from misdirection.results.rows import Interval
from misdirection.studies.kit.judged import Judged
from misdirection.studies.personas import study
from misdirection.studies.personas.results import CorrelationRow, MatrixRow, Personas, PersonasResults, TunedRow
from misdirection.studies.personas.settings import PersonasConfig
from misdirection.studies.personas.verdict import (
    chance_text,
    matrix_text,
    moved_text,
    turned_text,
    verdict,
    watched_text,
)
from misdirection.traits import Trait
from misdirection.traits.steering import trait_of


def interval(value: float | None, low: float | None = None, high: float | None = None) -> Interval:
    return Interval(value=value, low=low, high=high, n=8)


@pytest.fixture(scope="module")
def part() -> Personas:
    return made(PersonasResults, "personas").personas


def tuned(name: str, score: float, change: Interval | None, trait: str = "evil") -> TunedRow:
    return TunedRow(fine_tune=name, trait=trait, score=interval(score), change=change, shift=None)


def test_fine_tunes_that_show_more_of_a_trait_are_named_the_largest_change_first() -> None:
    rows = [
        tuned("base", 2, None), tuned("a", 30, interval(28, 20, 36)), tuned("b", 60, interval(58, 50, 66)),
        tuned("less", 1, interval(-1, -3, 1)), tuned("doubtful", 40, interval(38, -2, 78)),
        tuned("unscored", 90, interval(None)), tuned("other", 99, interval(97, 90, 99), "kind"),
    ]  # fmt: skip
    assert moved_text(rows, "evil") == "Fine-tunes that show more evil than the base (score of 100): b 60, a 30."
    more = [*rows, tuned("c", 50, interval(48, 40, 56)), tuned("d", 20, interval(18, 9, 27))]
    assert moved_text(more, "evil").endswith(": b 60, c 50, a 30.")
    assert moved_text(rows[3:6], "evil") == "No fine-tune shows more evil than the base."
    assert moved_text(rows[:1], "kind") == ""


def test_own_correlations_are_told_beside_the_range_of_the_others(part: Personas) -> None:
    def row(vector: str, shown: str, r: float | None, p: float | None = None) -> MatrixRow:
        return MatrixRow(vector=vector, shown=shown, fine_tunes=5, r=r, p=p)

    rows = (row("x", "x", 0.9, 0.02), row("x", "y", -0.4), row("y", "x", 0.3), row("y", "y", 0.5), row("z", "z", None))
    assert matrix_text(replace(part, matrix=rows)) == (
        "Over 5 fine-tunes, correlation of the shift along a trait with the change in showing it: x 0.90 (p = 0.02), "
        "y 0.50; along other traits' vectors -0.40 to 0.30."
    )
    assert matrix_text(replace(part, matrix=rows[:1])).endswith("x 0.90 (p = 0.02).")
    assert matrix_text(replace(part, matrix=rows[1:3])) == matrix_text(replace(part, matrix=())) == ""


def test_what_the_last_prompt_token_tells_is_told_overall_between_and_within(part: Personas) -> None:
    def row(how: str, r: Interval, kinds: str = "all", trait: str = "x") -> CorrelationRow:
        return CorrelationRow(trait=trait, kinds=kinds, how=how, r=r)

    rows = (
        row("overall", interval(0.7, 0.5, 0.9)), row("between", interval(0.95)), row("within", interval(None)),
        row("overall", interval(-0.1), "system"), row("overall", interval(0.2), trait="y"),
    )  # fmt: skip
    assert watched_text(replace(part, correlations=rows), "x") == (
        "Before a word is said, x: correlation of the last prompt token with what follows 0.70 (0.50 to 0.90); between "
        "prompts 0.95, within prompts not known (nothing varies)."
    )
    assert watched_text(replace(part, correlations=rows[1:4]), "x") == ""


def test_the_dose_that_moves_most_is_one_that_keeps_answers_coherent(part: Personas) -> None:
    row = replace(part.doses[0], trait="x", under="no system prompt", control=False, sweep=False, coherent=1.0)

    def dose(coefficient: float, value: float | None, coherent: float = 1.0, **more: Any) -> Any:
        return replace(row, coefficient=coefficient, score=interval(value), coherent=coherent, **more)

    doses = (
        dose(0, 5), dose(1, 20), dose(2, 50), dose(3, 90, 0.5), dose(4, None), dose(9, 99, sweep=True),
        dose(2, 12, control=True), dose(5, 100, trait="y"), dose(-3, 1),
    )  # fmt: skip
    held = replace(part, doses=doses, coherent_share=0.75)
    assert turned_text(held, "x") == "x goes up from 5 to 50 (a random direction: 12)"
    sure = replace(held, doses=(dose(0, 5), replace(dose(2, 0), score=interval(50, 20, 80))))
    assert turned_text(sure, "x") == "x goes up from 5 to 50 (20 to 80; no random direction was tried)"
    # Without the answers that got no dose there is nothing to go up from.
    assert turned_text(replace(held, doses=doses[1:]), "x") == ""
    nothing = verdict(replace(held, doses=()))
    assert nothing.sentence == "No trait was turned up or down by its own direction."


def test_a_layer_is_chosen_by_steering_by_separation_or_by_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    traits = tuple(Trait(name, contrasts=(), questions=()) for name in ("x", "y"))
    apart = {"x": (0.5,) * 9, "y": (0.5, 0.5, 0.9, 0.5, 0.5, 0.7, 0.5, 0.5, 0.99)}
    asked: list[Any] = []

    def dosed(
        bench: Any, base: Any, known: Any, found: Any, doses: Any, samples: int, name: str, stream: int
    ) -> Judged:
        asked.append((list(doses), samples, name, stream))
        answers = [Answer(f"q{q}", "?", "!", arm=one.name) for one in doses for q in range(8)]
        # At layer 5 twice the vector turns x up most; nothing turns y.
        score = {(one.name): 80.0 * (trait_of(one) == "x" and one.point == (5, 2.0)) + 10.0 for one in doses}
        verdicts = [
            Verdict(score[a.arm], 90.0, scores=(("x", score[a.arm]), ("y", score[a.arm]))) for a in answers
        ]  # fmt: skip
        return Judged(answers, verdicts)

    monkeypatch.setattr(study, "dosed", dosed)
    monkeypatch.setattr(study, "separated", lambda *_: apart)
    monkeypatch.setattr(study, "layers_of", lambda bench: bench.at)
    config = PersonasConfig(coefficients=(1.0, 2.0), sweep_samples=3, coherent_share=0.75, coherence_above=50)
    bench: Any = SimpleNamespace(config=config, at=(2, 5))
    choices, points = study.choose_layers(bench, None, traits, None)  # pyright: ignore[reportArgumentType]
    assert (choices["x"].layer, choices["x"].coefficient, choices["x"].by) == (5, 2.0, "steering")
    # Of the layers that were swept, not of all: layer 8 tells y's prompts best and was not tried.
    assert (choices["y"].layer, choices["y"].by) == (2, "separation")
    ((doses, samples, name, stream),) = asked
    assert (samples, name, stream) == (3, "sweep", 1)
    # Each trait without a dose once, at the first layer, and both multiples at both.
    assert [one.point for one in doses if trait_of(one) == "x"] == [(2, 0.0), (2, 1.0), (2, 2.0), (5, 1.0), (5, 2.0)]
    assert len(points) == 10 and all(row.sweep for row in points)
    given: Any = SimpleNamespace(config=replace(config, layer=5), at=(5,))
    assert {one.by for one in study.choose_layers(given, None, traits, None)[0].values()} == {"given"}  # pyright: ignore[reportArgumentType]


def test_what_the_settings_leave_out_is_said() -> None:
    def said(**given: Any) -> list[str]:
        return study.without(SimpleNamespace(config=PersonasConfig(**given)))  # pyright: ignore[reportArgumentType]

    assert said()[0].startswith("No fine-tune was named")
    assert said(data=("a=x",)) == ["One fine-tune is too few to correlate over; three are the least."]
    assert said(data=("a=x",), fine_tune=("b=y",))[0].startswith("Two fine-tunes are too few")
    assert said(data=("a=x", "b=y"), fine_tune=("c=z",)) == said(data=("a=x",), judge="none") == []
    bench: Any = SimpleNamespace(config=PersonasConfig())
    assert study.follow(bench, SimpleNamespace(fine_tunes={}), (), None, {}) == ((), ())  # pyright: ignore[reportArgumentType]


def test_directions_that_may_be_chance_are_named(part: Personas) -> None:
    row = replace(part.traits[0], layer=1, norm=(0.0, 3.0), shuffled_norm=(9.0, 2.0), stability=(0.0, 0.7))
    assert chance_text(replace(part, traits=(row,))) == ""
    short = replace(row, trait="short", shuffled_norm=(0.0, 3.0), stability=(1.0, 0.1))
    loose = replace(row, trait="loose", stability=(1.0, 0.02))
    unknown = replace(row, trait="unknown", stability=(1.0, None))
    assert chance_text(replace(part, traits=(row, short, loose, unknown))) == (
        "No longer than directions of shuffled labels: short. Not steady, by the cosine of the directions of two "
        "halves of the answers: loose 0.02. So what is said of them may be chance."
    )
    assert chance_text(replace(part, traits=(row, loose))) in verdict(replace(part, traits=(row, loose))).details
