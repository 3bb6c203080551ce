"""Interventions on adapters of the organism: equalities that must hold whatever the organism has learnt."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from markupsafe import escape
from tests.results.made import made

from misdirection.adapters.weights import pairs_of
from misdirection.directions import Direction
from misdirection.errors import MisdirectionError
from misdirection.results import Headline, RateRow
from misdirection.runs import read_log
from misdirection.store import Cached
from misdirection.studies.adapters.interventions import intervene
from misdirection.studies.adapters.plan import InterventionPlan
from misdirection.studies.adapters.results import AdaptersResults, Interventions
from misdirection.studies.adapters.results.arms import LabelledArm, ScaledArm
from misdirection.studies.adapters.settings import AdaptersConfig
from misdirection.studies.adapters.verdict import editing_words, patching_words, scaling_words, similarity_words
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.config import StudyConfig
from misdirection.studies.kit.recommended import explanations
from misdirection.studies.kit.tuning import FineTune
from misdirection.studies.kit.variants import Variants

LAYERS = (3, 4, 5)
ROLES: dict[int, Any] = {3: "general", 4: "domain", 5: "general"}
WHY = explanations(AdaptersConfig())
PLAN = InterventionPlan(
    samples=1, doses=(0.05,), patch_pairs=2, patch_samples=1, read=4, contexts=3, corpus=12, shown=3
)
CONFIG = StudyConfig(samples=1, questions=("organism:open", "organism:medical"), max_new_tokens=24)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("interventions") / "run"


def models_of(bench: Bench[StudyConfig]) -> Variants:
    overrides = {"layers": LAYERS, "max_steps": 12, "lr": 0.03}
    return bench.fine_tunes({"medical": FineTune("rank1x9", ("organism:bad-medical",), overrides)})


def made_up(bench: Bench[StudyConfig]) -> Cached[Direction]:
    """A direction that is none of the organism's, so that no pool of answers is needed for it."""
    return bench.run.cached(some_direction, "direction", n_layers=bench.n_layers)


def some_direction(n_layers: int) -> Direction:
    vectors = torch.randn(n_layers, 96, generator=torch.Generator().manual_seed(0)) * 50
    flat = torch.ones(n_layers)
    return Direction(vectors, torch.zeros_like(vectors), vectors, flat, flat, flat, flat, {})


@pytest.fixture(scope="module")
def parts(run: Path) -> Interventions:
    with Bench.open(run, CONFIG) as bench:
        models = models_of(bench)
        found = intervene(bench, models, "medical", ROLES, made_up(bench), PLAN)
        verdict = Headline(state="unclear", sentence="A test.", details=())
        scalars = made(AdaptersResults, "adapters").adapters
        bench.report("adapters", "Adapters", verdict, {"adapters": scalars, **vars(found), "notes": []})
    return found


def arms_of(parts: Interventions) -> dict[str, LabelledArm]:
    assert parts.adapter_scaling and parts.adapter_editing and parts.adapter_leave_out
    every = (*parts.adapter_scaling.arms, *parts.adapter_editing.arms)
    every += (*parts.adapter_leave_out.arms, *parts.adapter_leave_out.pairs)
    return {row.arm: row for row in every}


def test_the_arms_are_the_paper_s_and_their_controls(parts: Interventions) -> None:
    kinds = Counter((row.kind, row.control) for row in arms_of(parts).values())
    assert kinds == {("base", False): 1, ("untouched", False): 1, ("no-op", True): 1, ("roles", False): 3,
                     ("roles", True): 3, ("leave out", False): 3, ("pair", False): 3, ("alone", False): 3,
                     ("removal", False): 4, ("removal", True): 2}  # fmt: skip
    assert parts.adapter_scaling is not None
    factors = parts.adapter_scaling.factors
    assert factors["general-0.05"] == ((3, 1.0), (5, 1.0)) and factors["domain-aligned-0.05"][1] == (4, 1.5)


def test_arms_that_are_the_same_by_another_name_answer_the_same(parts: Interventions) -> None:
    arms = arms_of(parts)
    assert arms["no-op"].identical == 1.0
    # At a dose of 0.05 the general layers are on as they are and the others off: layer 4 is left out.
    same = ("rate", "coherent_share", "identical", "aligned", "topic")
    assert [getattr(arms["general-0.05"], name) for name in same] == [getattr(arms["without-4"], name) for name in same]
    assert [getattr(arms["without-3-4"], name) for name in same] == [getattr(arms["only-5"], name) for name in same]
    assert parts.adapter_scaling is not None and parts.adapter_scaling.arms[1].arm == "untouched"
    inside = parts.adapter_scaling.arms[1].inside
    assert arms["untouched"].rate.n == 28 and inside is not None and inside.rate.n == 12
    changes = [row.difference for row in arms.values() if row.difference]
    assert len(changes) == len(arms) - 2
    for change in changes:
        assert change.p_adjusted is not None and 0 <= change.p <= change.p_adjusted <= 1


def test_the_matrix_holds_the_arms_changes(parts: Interventions) -> None:
    part, arms = parts.adapter_leave_out, arms_of(parts)
    assert part is not None and part.untouched.value is not None
    for i, a in enumerate(LAYERS):
        for j, b in enumerate(LAYERS):
            name = f"without-{a}" if i == j else f"without-{min(a, b)}-{max(a, b)}"
            change = (arms[name].rate.value or 0) - part.untouched.value
            assert part.changes[i][j] == pytest.approx(change)
            assert part.coherent[i][j] == arms[name].coherent_share.value


def test_own_scalars_change_no_word_and_pairs_have_equal_length(parts: Interventions) -> None:
    assert parts.adapter_patching is not None
    groups = {group.group: group for group in parts.adapter_patching.groups}
    assert groups["own scalars"].identical == 1.0 and groups["own scalars"].control
    assert set(groups) >= {"same", "open", "domain", "open to domain", "domain to open"}
    assert {group.questions for group in groups.values()} == {"open", "medical"}
    for group in groups.values():
        assert all(pair.tokens > 0 for pair in group.pairs)
        assert group.whole.clean.rate.n == group.whole.patched.rate.n > 0


def test_every_adapter_is_read(parts: Interventions) -> None:
    labels = [f"layer {layer}" for layer in LAYERS]
    assert parts.adapter_contexts and parts.adapter_unembedding and parts.adapter_tokens
    for part in (parts.adapter_contexts, parts.adapter_unembedding, parts.adapter_tokens):
        assert [row.label for row in part.adapters] == labels
    for row in parts.adapter_contexts.adapters:
        values = [peak.value for peak in row.high]
        assert values == sorted(values, reverse=True) and values[0] > row.mean > row.low[0].value
        assert all(peak.token.strip() and peak.token.strip() != "<|end|>" for peak in row.high)
    for text in parts.adapter_tokens.texts:
        assert [len(values) for values in text.values] == [len(text.tokens)] * 3


def test_the_report_has_a_section_for_each(parts: Interventions, run: Path) -> None:
    page = (run / "report.html").read_text()
    for key in ("scaling", "leave-out", "editing", "patching", "contexts", "unembedding", "tokens"):
        assert f'<section id="adapter-{key}"' in page
    assert parts.adapter_scaling and parts.adapter_editing and parts.adapter_patching
    said = (parts.adapter_scaling, parts.adapter_editing, parts.adapter_patching)
    told = [text for part in said for text in part.words]
    assert told and all(str(escape(text[1:])) in page for text in told)


def test_a_finished_run_is_read_again_and_no_model_is_loaded(parts: Interventions, run: Path) -> None:
    with Bench.open(run, CONFIG) as bench:
        models = models_of(bench)
        again = intervene(bench, models, "medical", ROLES, made_up(bench), PLAN)
        assert not models.resident
        lines = read_log(run)[bench.logged :]
    assert len(lines) > 12 and all(line["reused"] for line in lines)
    assert again == parts


def test_the_edited_adapters_stand_beside_the_original(parts: Interventions, run: Path) -> None:
    from misdirection.studies.adapters.interventions import edit

    with Bench.open(run, CONFIG) as bench:
        models = models_of(bench)
        direction = made_up(bench)
        steps, notes = edit(bench, models, "medical", direction)
        beside = models.beside({name: step.value.tuned for name, step in steps.items()})
        model = beside.model("base")
        assert not notes and model is beside.model("edited") is beside.model("medical")
        whole, rest, only = (pairs_of(model, name) for name in ("medical", "edited", "edited-only"))
        for a, b, c in zip(whole, rest, only, strict=True):
            assert torch.allclose(a.b, b.b + c.b, atol=1e-5) and not torch.allclose(a.b, b.b)
        assert beside.adapter_of("edited") == "edited" and beside.adapter_of("base") is None


def test_without_a_direction_the_rest_is_done(run: Path, parts: Interventions) -> None:
    with Bench.open(run, CONFIG) as bench:
        models = models_of(bench)
        found = edit_only(bench, models)
    assert found == ({}, ["there is no direction to take out of B"])


def edit_only(bench: Bench[StudyConfig], models: Variants) -> Any:
    from misdirection.studies.adapters.interventions import edit

    return edit(bench, models, "medical", None)


def test_what_is_no_adapter_is_refused(run: Path, parts: Interventions) -> None:
    with Bench.open(run, CONFIG) as bench:
        models = models_of(bench)
        with pytest.raises(MisdirectionError, match="'base' is a whole model"):
            intervene(bench, models, "base", ROLES, None, PLAN)
        with pytest.raises(MisdirectionError, match="no layer of 'medical' has a role"):
            intervene(bench, models, "medical", {}, None, PLAN)


def share(row: RateRow, value: float, low: float = 0.0, high: float = 1.0) -> RateRow:
    return replace(row, value=value, low=low, high=high, n=100, misaligned=round(100 * value))


def arm(
    name: str, rate: tuple[float, ...], coherent: float = 1.0, dose: float | None = None, about: int = 0
) -> ScaledArm:
    example = made(AdaptersResults, "adapters").adapter_scaling.arms[0]
    return replace(
        example, arm=name, label=name, kind="roles", control="shuffled" in name, dose=dose,
        rate=share(example.rate, *rate), coherent_share=share(example.rate, coherent),
        topic=replace(example.topic, misaligned=about, n=100),
    )  # fmt: skip


def test_words_say_what_the_figures_say() -> None:
    arms = [
        arm("general-0.1", (0.8, 0.7, 0.9), 0.9, 0.1),
        arm("general-0.1-shuffled1", (0.2, 0.1, 0.3), 0.9, 0.1),
        arm("general-1", (0.0,), 0.1, 1.0),
        arm("general-1-shuffled1", (0.0,), 0.1, 1.0),
    ]
    told = scaling_words(arms, "medical", WHY)
    assert "at most 10.0 %" in told[0] and "80.0 % misaligned" in told[1] and "so the roles matter" in told[1]
    assert "No open answer" in told[2]
    arms[1] = arm("general-0.1-shuffled1", (0.75, 0.6, 0.85), 0.9, 0.1)
    assert "do not explain it" in scaling_words(arms, "medical", WHY)[1]
    unknown = replace(arms[1], rate=replace(arms[1].rate, value=0.1, low=None, high=None))
    assert "not told apart" in scaling_words([arms[0], unknown], "medical", WHY)[0]
    arms[0] = arm("general-0.1", (0.8, 0.7, 0.9), 0.9, 0.1, about=30)
    assert not any("No open answer" in text for text in scaling_words(arms, "medical", WHY))
    rates = {
        "untouched": 0.2,
        "edited": 0.05,
        "edited-random": 0.2,
        "edited-only": 0.0,
        "project-here": 0.1,
        "project-all": 0.19,
    }
    edited = editing_words([arm(name, (value,)) for name, value in rates.items()], WHY)
    assert "20.0 % to 5.0 %" in edited[0] and "is no cure" in edited[1]
    rates["project-all"] = 0.01
    assert "no cure" not in editing_words([arm(name, (value,)) for name, value in rates.items()], WHY)[1]
    group = made(AdaptersResults, "adapters").adapter_patching.groups[0]
    change = replace(group.whole.difference, value=-0.45, low=-0.6, high=-0.3)
    clean = replace(group.whole.clean, rate=share(group.whole.clean.rate, 0.8))
    moved = replace(group, group="open to domain", whole=replace(group.whole, clean=clean, difference=change))
    assert patching_words([moved]) == ["An open prompt's scalars on a domain prompt: -45.0 points from 80.0 %"]
    level = replace(moved, group="own mean at every token")
    assert "the rate falls from 80.0 % to" in patching_words([level])[0]
    unsure = replace(moved.whole, difference=replace(change, high=0.1))
    assert patching_words([replace(moved, whole=unsure)])[0].endswith("not told apart from none")


def test_similarity_in_words() -> None:
    part = made(AdaptersResults, "adapters").adapter_similarity
    row = part.written[0]
    effect = replace(
        part.effects[0], at=3, cosine={"misaligned": (None, 0.5), "aligned": (None, None)},
        random={"misaligned": (None, 0.25)},
    )  # fmt: skip
    rows = (replace(row, cosine=-0.5, chance=0.2), replace(row, cosine=0.1, chance=0.2))
    assert similarity_words(replace(part, written=rows, effects=(effect,))) == [
        "Cosine of B with the direction at its layer: 0.10 to 0.50 in size, above what chance gives in 1 of 2",
        "What the whole adapter and steering at layer 3 change after the last layer: cosine 0.50 on misaligned "
        "answers; random directions 0.25 at most",
    ]
    assert similarity_words(replace(part, written=(), effects=())) == []
