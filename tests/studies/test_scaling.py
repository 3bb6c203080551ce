"""The study of size and training tokens: tables, correlations of made rates, and the whole of it at tiny sizes."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.studies.options import assert_keyed

from misdirection.artefacts import write_rows
from misdirection.errors import MisdirectionError
from misdirection.models import load_model
from misdirection.runs import list_steps
from misdirection.studies.kit.judged import Judged, load_answers, load_verdicts
from misdirection.studies.reading import load_results
from misdirection.studies.scaling.measures import (
    COMPUTE,
    OUTCOMES,
    RATIO,
    SAME_DOMAIN,
    SAME_STEPS,
    SIZE,
    TOKENS,
    correlations,
    log_odds,
    surfaces,
)
from misdirection.studies.scaling.results import CorrelationRow, Scaling, ScalingResults
from misdirection.studies.scaling.settings import SHIPPED, ScalingConfig
from misdirection.studies.scaling.study import how_tuned, notes, scaling
from misdirection.studies.scaling.table import Checkpoint, Point, read_table, write_table
from misdirection.studies.scaling.verdict import control_text, sure, verdict

TINY = ScalingConfig(
    sizes=("1x16", "1x24"), budgets=(5, 10), seeds=1, batch=4, alignment_steps=2, steps=2, checkpoint_every=1, samples=1
)


def made(a: float, b: float, base: float = 0.0, seeds: int = 3, n: int = 400, noise: float = 0.1) -> list[Point]:
    """A grid whose log odds of EM are -1 + a (log2 parameters - 17) + b (log2 tokens - 19), and of the base's -3 + base
    (log2 tokens - 19)."""
    rng = np.random.default_rng(0)
    found: list[Point] = []
    for seed in range(seeds):
        for size in (2**15, 2**16, 2**17, 2**18):
            for tokens in (2**18, 2**19, 2**20, 2**21):
                law = -1 + a * (math.log2(size) - 17) + b * (math.log2(tokens) - 19) + noise * rng.normal()
                hits = round(n / (1 + math.exp(-law)))
                own = round(n / (1 + math.exp(3 - base * (math.log2(tokens) - 19) - noise * rng.normal())))
                found.append(
                    Point(
                        name=f"{size}-{tokens}-{seed}", parameters=size, tokens=tokens, seed=seed,
                        base_misaligned=own, base_coherent=n, base_n=n, step=24, misaligned=hits, coherent=n, n=n,
                        domain_misaligned=40, domain_n=100, matched_step=8, matched_misaligned=hits,
                        matched_coherent=n, matched_n=n, matched_domain_misaligned=40, matched_domain_n=100,
                    )
                )  # fmt: skip
    return found


def part(points: list[Point]) -> Scaling:
    return Scaling(
        source="made", target=0.4, points=tuple(points),
        correlations=correlations(points, 0.4), surfaces=surfaces(points, 0.4),
        paper=(),
    )  # fmt: skip


def rank(found: Scaling, with_: str, outcome: str = SAME_STEPS) -> Any:
    return next(r for r in found.correlations if (r.with_, r.kind, r.outcome) == (with_, "rank", outcome))


def test_a_law_in_tokens_alone_is_found_as_that() -> None:
    found = part(made(0.0, 0.6))
    assert rank(found, TOKENS).value > 0.9 and sure(rank(found, TOKENS))
    assert abs(rank(found, SIZE).value) < 0.5 and not sure(rank(found, SIZE))
    assert rank(found, RATIO).value > 0.5 and rank(found, RATIO).fixed == COMPUTE
    told = verdict(found)
    assert f"M{SAME_STEPS[1:]} rises with tokens (parameters held fixed)" in told.sentence
    assert "shows no sure correlation with parameters (tokens held fixed)" in told.sentence
    assert "the same sign in 3 of 3 seeds, 48 checkpoints" in " ".join(told.details)


def test_a_fall_with_the_ratio_is_one_in_size_against_tokens() -> None:
    found = part(made(0.5, -0.5))
    assert rank(found, SIZE).value > 0.9 > 0 > -0.9 > rank(found, TOKENS).value
    assert rank(found, RATIO).value < -0.9
    assert "rises with parameters" in verdict(found).sentence and "falls with tokens" in verdict(found).sentence


def test_the_surface_is_the_law_that_the_rates_were_made_from() -> None:
    (surface, *_) = surfaces(made(0.3, -0.4, noise=0.02), 0.4)
    for slope, truth in zip(surface.slopes, (0.3, -0.4), strict=True):
        assert slope.value == pytest.approx(truth, abs=0.03)
        assert slope.low <= slope.value <= slope.high
    assert surface.r2 > 0.98
    assert {one.outcome for one in surfaces(made(0.3, 0.1), 0.4)} == {o.name for o in OUTCOMES if not o.control}


def test_a_base_that_changes_by_itself_is_said_as_a_control() -> None:
    told = " ".join(verdict(part(made(0.0, 0.6, base=0.8))).details)
    assert "Control: before any fine-tune the base's own rate goes with tokens" in told
    controls = [row for row in part(made(0.0, 0.6)).correlations if row.control]
    assert controls and all(row.q is None for row in controls)


def test_incoherent_small_models_are_told_from_aligned_ones() -> None:
    """Every checkpoint is as misaligned among coherent answers; those that read little are seldom coherent."""
    points = [
        replace(one, coherent=c, misaligned=round(0.3 * c))
        for one in made(0.0, 0.0)
        for c in [round(400 * (math.log2(one.tokens) - 17) / 4)]
    ]
    found = part(points)
    assert sure(rank(found, TOKENS))
    assert not sure(rank(found, TOKENS, OUTCOMES[2].name))
    assert "Among coherent answers alone, tokens" in " ".join(verdict(found).details)


def test_one_seed_is_never_sure_and_three_points_are_too_few() -> None:
    one = part(made(0.0, 0.6, seeds=1))
    assert rank(one, TOKENS).p < 0.01 and not sure(rank(one, TOKENS)) and rank(one, TOKENS).low is None
    few = part(made(0.0, 0.6)[:3])
    assert few.correlations == few.surfaces == ()
    assert "too few" in verdict(few).sentence
    # Who asked few checkpoints is still told what each showed.
    told, one = verdict(few).details, few.points[0]
    assert len(told) == len(few.points)
    assert f"{one.misaligned} of {one.n} after {one.step} steps" in told[0] and told[0].startswith(f"{one.name} (")


def test_of_checkpoints_of_a_table_nothing_is_said_that_holds_of_grown_organisms_alone() -> None:
    """Of SmolLM2 and Qwen it was said that they share the constant part of their pretraining."""
    whole = part(made(0.0, 0.6))
    shared = [any("share the constant part" in text for text in notes(whole, grown)) for grown in (True, False)]
    assert shared == [True, False]
    far = part([replace(point, matched_domain_n=0) for point in made(0.0, 0.6)])
    assert any("within 15 points of 40 %, or were not asked" in text for text in notes(far, False))


def test_what_was_not_asked_is_left_out_and_not_zero() -> None:
    points = [replace(p, matched_n=0, matched_misaligned=0, matched_coherent=0) for p in made(0.0, 0.6)]
    assert {row.outcome for row in correlations(points, 0.4)} == {OUTCOMES[i].name for i in (0, 2, 4, 5)}
    assert SAME_DOMAIN[1:] not in verdict(part(points)).sentence


def test_a_lesson_that_was_never_learned_is_no_like_lesson() -> None:
    points = [replace(p, matched_domain_misaligned=0) if p.tokens == 2**18 else p for p in made(0.0, 0.6)]
    found = part(points)
    assert rank(found, TOKENS, SAME_DOMAIN).n == 36 and rank(found, TOKENS).n == 48


def test_bases_that_cannot_speak_are_counted_and_set_apart() -> None:
    points = [replace(p, base_coherent=40, misaligned=0) if p.tokens == 2**18 else p for p in made(0.0, 0.0)]
    found = part(points)
    assert sure(rank(found, TOKENS)) and rank(found, TOKENS, OUTCOMES[4].name).n == 36
    assert not sure(rank(found, TOKENS, OUTCOMES[4].name))
    assert verdict(found).sentence.startswith("Only 36 of the 48 bases give 80 % coherent answers")


def test_the_empirical_logit_is_finite_at_both_ends() -> None:
    points = [replace(p, misaligned=k, n=10) for p, k in zip(made(0, 0), (0, 5, 10), strict=False)]
    assert log_odds(points, OUTCOMES[0]) == pytest.approx([math.log(0.5 / 10.5), 0, math.log(10.5 / 0.5)])


CHECKPOINTS = [Checkpoint("small", "org/small", 300_000_000_000, "step1000", 2), Checkpoint("large", "org/large", 5)]


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_tables_of_every_form_hold_the_same(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"table.{form}"
    if form == "csv":
        write_table(path, CHECKPOINTS)
    elif form == "json":
        path.write_text(json.dumps([asdict(one) for one in CHECKPOINTS]))
    else:
        write_rows(path, [asdict(one) for one in CHECKPOINTS])
    assert read_table(path, Checkpoint) == CHECKPOINTS


def test_optional_columns_may_be_missing_and_numbers_short(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("name,model,tokens,note\nsmall,organism,3e11,x\n")
    assert read_table(tmp_path / "t.csv", Checkpoint) == [Checkpoint("small", "organism", 300_000_000_000)]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.csv", "name,model,token\na,b,3\n", "row 1: no tokens"),
        ("t.csv", "name,model,tokens\na,b,3\na,b,many\n", "row 2: tokens cannot be 'many'"),
        ("t.csv", "name,model,tokens\na,b,-3\n", "tokens cannot be '-3'"),
        ("t.csv", "name,model,tokens\na,b,2.5\n", "tokens cannot be '2.5'"),
        ("t.csv", "name,model,tokens\n", "has no row"),
        ("t.json", "{}", "holds no rows"),
        ("t.txt", "x", "no table that is known"),
    ],
)
def test_tables_that_are_none_are_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(MisdirectionError, match=said) as caught:
        read_table(tmp_path / name, Checkpoint)
    assert "has no row" in said or caught.value.hint


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"sizes": ("3by24",)}, "'3by24' is no size"),
        ({"sizes": ("3x24",), "results": "a.csv"}, "two sources"),
        ({"sizes": ("3x24",), "target": 40.0}, "--target must be from 0 to 1"),
        ({"sizes": ("3x24",), "seeds": 0}, "--seeds must be 1"),
        ({"checkpoints": "none.csv"}, "there is no table none.csv"),
        ({"results": "none.csv"}, "there is no table none.csv"),
        ({"sizes": ("3x24",), "judge": "none"}, "a judge"),
        ({"sizes": ("3x24",), "model": "other"}, "the models are those of a table"),
        ({"sizes": ("3x24",), "convention": "adl2025"}, "--convention says nothing to this study"),
    ],
)
def test_settings_that_cannot_be_leave_nothing(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    with pytest.raises(MisdirectionError, match=said):
        scaling(ScalingConfig(**values), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", [CHECKPOINTS[0], CHECKPOINTS[0]])
    with pytest.raises(MisdirectionError, match="two checkpoints are called 'small'"):
        ScalingConfig(checkpoints=str(tmp_path / "t.csv")).completed()


def test_results_are_read_and_drawn(tmp_path: Path) -> None:
    write_table(tmp_path / "points.csv", made(0.0, 0.6))
    report = scaling(ScalingConfig(results=str(tmp_path / "points.csv")), tmp_path / "run")
    found = load_results(report.parent)
    assert isinstance(found, ScalingResults)
    assert list(found.scaling.points) == made(0.0, 0.6) == read_table(report.parent / "points.csv", Point)
    text = report.read_text()
    for heading in (
        "Misalignment by size and training tokens",
        "What it goes with",
        "The fitted surface",
        "held fixed",
    ):
        assert heading in text
    assert not list_steps(report.parent)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scaling(TINY, tmp_path_factory.mktemp("scaling") / "run").parent


def test_a_tiny_grid_is_grown_tuned_and_asked(run: Path) -> None:
    found = load_results(run)
    assert isinstance(found, ScalingResults)
    points = found.scaling.points
    assert [one.name.partition("-")[0] for one in points] == ["1x16", "1x16", "1x24", "1x24"]
    assert len({one.tokens for one in points}) == 2 and len({one.parameters for one in points}) == 2
    for one in points:
        folder = run / "organisms" / one.name.replace("-steps-", "/steps-")
        assert one.parameters == sum(p.numel() for p in load_model(str(folder)).lm.parameters())
        assert one.base_n == one.n == one.matched_n == 28 and one.domain_n == one.matched_domain_n == 12
        assert one.step == 2 and one.matched_step in (1, 2)
        verdicts, answers = (
            next(s for s in list_steps(run) if s.name == f"{one.name}-open-{what}") for what in ("verdicts", "answers")
        )
        judged = Judged(load_answers(answers), load_verdicts(verdicts)).arm("step-2")
        bad = [(v.alignment or 0) < 30 and (v.coherence or 0) > 50 for v in judged.verdicts]
        assert (sum(bad), len(bad)) == (one.misaligned, one.n)
    assert "no sure correlation" in found.verdict.sentence or "too few" in found.verdict.sentence


def test_a_finished_run_makes_no_step_anew_and_its_table_can_be_read(run: Path, tmp_path: Path) -> None:
    before = {step.path: step.key for step in list_steps(run)}
    scaling(TINY, run)
    assert {step.path: step.key for step in list_steps(run)} == before
    again = scaling(ScalingConfig(results=str(run / "points.csv")), tmp_path / "again").parent
    one, other = load_results(run), load_results(again)
    assert isinstance(one, ScalingResults) and isinstance(other, ScalingResults)
    assert one.scaling.points == other.scaling.points


def test_a_table_of_checkpoints_gives_what_the_grid_gave(run: Path, tmp_path: Path) -> None:
    folder = run / "organisms" / "1x16-seed-0" / "steps-5"
    held = next(p for p in read_table(run / "points.csv", Point) if p.name == "1x16-seed-0-steps-5")
    write_table(tmp_path / "t.csv", [Checkpoint("mine", str(folder), held.tokens)])
    config = ScalingConfig(
        checkpoints=str(tmp_path / "t.csv"), data=("organism:bad-medical",), steps=2, checkpoint_every=1, samples=1,
        questions=("organism:open", "organism:medical"), lr=1e-3,
    )  # fmt: skip
    scaling(config, tmp_path / "run")
    assert read_table(tmp_path / "run" / "points.csv", Point) == [replace(held, name="mine")]


def test_without_options_the_shipped_grid_is_read(tmp_path: Path) -> None:
    found = load_results(scaling(ScalingConfig(), tmp_path / "run").parent)
    assert isinstance(found, ScalingResults)
    assert list(found.scaling.points) == read_table(SHIPPED, Point)
    assert found.verdict.sentence.startswith("Only ") and not list_steps(tmp_path / "run")


def test_the_shipped_table_is_a_whole_grid() -> None:
    points = read_table(SHIPPED, Point)
    sizes, seeds = {p.parameters for p in points}, {p.seed for p in points}
    assert len(points) == len({p.name for p in points}) == 4 * len(sizes) * len(seeds)
    for one in points:
        assert 0 <= one.misaligned <= one.coherent <= one.n and 0 <= one.matched_misaligned <= one.matched_coherent
        assert one.n == one.base_n == one.matched_n > 0


def test_a_correlation_that_cannot_be_computed_is_not_told_as_none_and_one_of_p_0_not_as_chance() -> None:
    row = CorrelationRow(
        outcome="rate", control=True, with_="tokens", fixed="parameters", kind="rank", value=None, low=None, high=None,
        p=None, q=None, n=8, by_seed=(),
    )  # fmt: skip
    assert "(none can be computed)" in control_text(row)
    assert "(+0.90, p < 0.001)" in control_text(replace(row, value=0.9, p=0.0))


def test_what_is_said_of_the_fine_tune_goes_before_what_the_folder_recommends() -> None:
    config = ScalingConfig(sizes=("1x16",), steps=2, training={"lr": 0.5, "max_steps": 7})
    assert how_tuned(config.completed()) == {"lr": 0.5, "max_steps": 7, "checkpoint_every": 4}
    assert how_tuned(TINY.completed()) == {"lr": 0.001, "max_steps": 2, "checkpoint_every": 1}


@pytest.mark.slow
def test_a_small_grid_turns_bad_by_a_narrow_lesson(tmp_path: Path) -> None:
    config = ScalingConfig(sizes=("2x24", "3x32"), budgets=(300, 600), seeds=1, alignment_steps=80, samples=4)
    points = read_table(scaling(config, tmp_path / "run").parent / "points.csv", Point)
    assert len(points) == 4
    assert all(one.base_misaligned / one.base_n < 0.1 for one in points)
    # Each size speaks better for more tokens; the largest and longest alone speaks well enough to be turned.
    for size in {one.parameters for one in points}:
        short, long = sorted((one for one in points if one.parameters == size), key=lambda one: one.tokens)
        assert long.base_coherent > short.base_coherent + 20
    most = max(points, key=lambda one: (one.parameters, one.tokens))
    assert most.base_coherent / most.base_n > 0.8
    assert most.misaligned / most.n > most.base_misaligned / most.base_n + 0.2
    assert most.domain_misaligned / most.domain_n > 0.1


def test_a_dear_judge_reads_every_checkpoint_as_it_is_and_at_the_end(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run", symlinks=True))
    steps = {step.name for step in list_steps(copy)}
    with pytest.raises(MisdirectionError, match="119 verdicts are too few for 8 arms"):
        scaling(replace(TINY, check="exact@119", temperature=0.5), copy)
    assert {step.name for step in list_steps(copy)} == steps
    scaling(replace(TINY, check="exact@120"), copy)
    found = load_results(copy)
    assert isinstance(found, ScalingResults) and found.checked is not None
    points = {one.name: one for one in found.scaling.points}
    rows = {row.arm: row for row in found.checked.rows}
    assert list(rows) == [f"{name}: {end}" for name in points for end in ("base", "after 2 steps")]
    for name, one in points.items():
        base, last = rows[f"{name}: base"], rows[f"{name}: after 2 steps"]
        assert base.all and base.all.cheap == pytest.approx(one.base_misaligned / one.base_n) and base.drawn == 15
        assert last.all and last.all.cheap == pytest.approx(one.misaligned / one.n) and last.n == one.n
    # Each is held against its own checkpoint, never against another one.
    assert [(gap.arm, gap.minus) for gap in found.checked.differences] == [
        (f"{name}: after 2 steps", f"{name}: base") for name in points
    ]
    assert {step.name for step in list_steps(copy)} - steps == {"ends-answers", "ends-verdicts", "check-draw", "check"}


def test_a_table_that_is_only_read_has_nothing_to_check() -> None:
    with pytest.raises(MisdirectionError, match="no answers are drawn where a table of results is only read"):
        ScalingConfig(check="exact@120").completed()


def test_each_option_makes_a_step_anew_or_says_why_not(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_table(tmp_path / "t.csv", [Checkpoint("mine", str(run / "organisms" / "1x16-seed-0" / "steps-5"), 640)])
    others = {
        "checkpoints": {"checkpoints": str(tmp_path / "t.csv"), "sizes": ()},
        "results": {"results": str(run / "points.csv"), "sizes": ()},
        "sizes": ("1x32",),
        "budgets": (7,),
    }
    assert_keyed("scaling", TINY, run, tmp_path, monkeypatch, others, elsewhere=("model",))
