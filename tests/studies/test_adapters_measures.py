"""Parts of the study of adapters whose answer is known: too few tokens, pairs by role, what an adapter writes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.results.made import filled, made

from misdirection import ask
from misdirection.adapters.probes import ProbeSettings
from misdirection.adapters.roles import Finding
from misdirection.directions import Direction, convention
from misdirection.engine import Arm, SamplingConfig
from misdirection.errors import MisdirectionError
from misdirection.judging import Verdict
from misdirection.studies.adapters import interventions as parts
from misdirection.studies.adapters.plan import InterventionPlan
from misdirection.studies.adapters.probes import Probed, ceiling, experiment_probes, roles_of, set_rows
from misdirection.studies.adapters.reading import likeness
from misdirection.studies.adapters.results import AdaptersResults
from misdirection.studies.adapters.results.arms import ScaledArm
from misdirection.studies.adapters.results.scalars import ExperimentRow, ModuleForm
from misdirection.studies.adapters.settings import AdaptersConfig
from misdirection.studies.adapters.study import others, refuse_without_roles
from misdirection.studies.adapters.vectors import kept_pairs
from misdirection.studies.kit.conditions import Condition
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.loading import Loading
from misdirection.studies.kit.variants import Variants


def finding(name: str, role: str) -> Finding:
    return replace(filled(Finding), name=name, role=cast(Any, role))


def no_tokens() -> Any:
    return SimpleNamespace(
        sets=[], table=SimpleNamespace(values=torch.zeros(0, 2)), significance=torch.zeros(0),
        columns={"question": np.zeros(0, dtype=np.int64), "answer": np.zeros(0, dtype=np.int64)},
    )  # fmt: skip


def test_too_few_tokens_give_a_note_for_each_split_and_no_role() -> None:
    from misdirection.adapters.token_sets import GENERAL

    row, fitted = experiment_probes(no_tokens(), GENERAL, "all", 0.5, ProbeSettings(repeats=2), 0)
    assert fitted == {} and row.probes == {} and row.n == (0, 0) and row.ceiling.auc is None
    assert [note.partition(" held out: ")[0] for note in row.notes] == ["tokens", "questions"]
    nothing = np.zeros(0, dtype=np.int64)
    assert ceiling(nothing, nothing, nothing, 0).spread is None
    assert roles_of(Probed((row,), {}), {"layer 1": [0]}, "all", "tokens") == []
    with pytest.raises(MisdirectionError, match=f"no roles: {row.notes[0][:20]}") as error:
        refuse_without_roles([], [row])
    assert "more --samples" in str(error.value.hint)
    with pytest.raises(MisdirectionError, match="too few tokens in the four sets"):
        refuse_without_roles([], [replace(filled(ExperimentRow), notes=())])
    refuse_without_roles([finding("layer 1", "general")], [row])


def test_other_fine_tunes_are_compared_by_the_choice_that_counts() -> None:
    config = AdaptersConfig(all_tokens=False, roles_from="tokens")
    main = [finding(f"layer {n}", role) for n, role in ((1, "general"), (2, "domain"), (3, "general"))]
    turned = [finding(f"layer {n}", role) for n, role in ((1, "domain"), (2, "domain"), (3, "general"))]
    roles: Any = {
        "tuned": {"significant/tokens": main, "all/tokens": turned, "all/questions": []},
        "seed 1": {"significant/tokens": turned, "all/tokens": main},
    }
    found = others(roles, main, config)
    assert [(row.variant, row.choice, row.same, row.n) for row in found] == [
        ("tuned", "all/tokens", 2, 3), ("seed 1", "significant/tokens", 2, 3),
    ]  # fmt: skip
    # Dealt out at random: 2 general of 3 against 1 of 3, 1 domain against 2: (2 * 1 + 1 * 2) / 3.
    assert found[0].chance == pytest.approx(4 / 3)


def test_pairs_are_kept_by_role_beside_the_leading_and_random_ones() -> None:
    forms = [replace(filled(ModuleForm), path=path, values=values) for path, values in
             (("a", (3.0, 2.0, 1.0)), ("b", (5.0, 4.0)))]  # fmt: skip
    pairs = [finding(f"{n}", role) for n, role in enumerate(("general", "neither", "general", "domain"))]
    columns: Any = [SimpleNamespace(path=path, pair=pair) for path, pair in (("a", 0), ("a", 2), ("b", 1), ("b", 0))]
    kept = kept_pairs(AdaptersConfig(kept=(1,)), forms, pairs, columns)
    assert list(kept) == ["canonical", "leading-1", "random-1", "role-general", "role-domain"]
    assert kept["leading-1"][1] == {"a": [0], "b": [0]}
    assert kept["role-general"] == ("the 2 general pairs of those read, no other", {"a": [0], "b": [1]})
    assert kept["role-domain"] == ("the 1 domain pairs of those read, no other", {"b": [0]})
    drawn = kept["random-1"][1] or {}
    assert all(len(held) == 1 and held[0] < len(form.values) for form, held in zip(forms, drawn.values(), strict=True))
    bare = kept_pairs(AdaptersConfig(kept=(1,)), forms, [], columns)
    assert list(bare) == ["canonical", "leading-1", "random-1"]


def test_why_no_direction_is_taken_out_of_b(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = Variants.of(str(tiny / "base"), {"tuned": tiny / "adapter"})
    found: Any = object()
    _, normed = parts.edit(cast(Any, SimpleNamespace(model_type="gemma2")), models, "tuned", found)
    assert normed[0].startswith("gemma2 norms what a block writes before it is added")
    monkeypatch.setattr(parts, "uneditable", lambda _: ["model.layers.1.mlp.up_proj", "b"])
    _, wrong = parts.edit(cast(Any, SimpleNamespace(model_type="llama")), models, "tuned", found)
    assert wrong[0].startswith("2 of its modules (model.layers.1.mlp.up_proj ...) do not write into the residual")
    arms = parts.removal_arms("tuned", [1, 2], ["edited", "edited-random"], directed=False)
    assert [(arm.name, arm.control) for arm in arms] == [("edited", False), ("edited-random", True)]
    directed = parts.removal_arms("tuned", [1, 2], ["edited"], directed=True)
    assert [arm.name for arm in directed[1:]] == ["project-here", "project-all", "project-random"]
    assert [arm.along.layers if arm.along else None for arm in directed[1:]] == [(1, 2), None, None]


@pytest.mark.parametrize(
    ("roles", "notes"),
    [
        ({1: "general", 2: "domain"}, []),
        ({1: "general", 2: "general"}, ["no layer is domain-specific", "all layers have one role"]),
        ({1: "neither", 2: "domain"}, ["no layer is general"]),
    ],
)
def test_roles_that_no_layer_has_are_told(roles: dict[int, Any], notes: list[str]) -> None:
    bench: Any = SimpleNamespace(explanations={})
    arms: tuple[ScaledArm, ...] = made(AdaptersResults, "adapters").adapter_scaling.arms
    told = parts.scaling_of(bench, arms, roles, InterventionPlan(), cast(list[Condition], []))
    assert [note.partition(",")[0] for note in told.notes] == notes
    assert told.roles == {"1": roles[1], "2": roles[2]}


def test_without_questions_of_the_domain_none_is_asked() -> None:
    bench: Any = SimpleNamespace(questions=(SimpleNamespace(domain="law", format="plain"),))
    assert parts.ask_inside(bench, cast(Any, None), [], InterventionPlan(topic="medical"), 1) is None


def test_significant_tokens_are_counted_by_the_study_s_threshold_and_by_the_published_one() -> None:
    answers = [SimpleNamespace(set=name, question_id="q") for name in ("open aligned", "open misaligned")]
    # Three tokens of the first answer, two of the second; thresholds are of the logarithm: 1, and e to the 0.5.
    read: Any = SimpleNamespace(
        answers=answers, sets=["open aligned"] * 3 + ["open misaligned"] * 2,
        significance=torch.tensor([0.5, 1.2, 2.0, 0.0, 1.5]), columns={"answer": np.array([0, 0, 0, 1, 1])},
    )  # fmt: skip
    rows = {row.set: row for row in set_rows(read, 0.0)}
    first, second = rows["open aligned"], rows["open misaligned"]
    assert (first.tokens, first.significant, first.published) == (3, 2, 1)
    assert (second.tokens, second.significant, second.published) == (2, 1, 0)
    assert first.divergence[1] == pytest.approx(3.7) and rows["domain aligned"].divergence == (None,) * 3


def test_likeness_is_read_of_as_many_answers_of_each_kind_as_are_asked_for(tiny: Path) -> None:
    models = Variants.of(str(tiny / "base"), {"tuned": tiny / "adapter"}, Loading(device="cpu"))
    said = ask(models.model("tuned"), "w10 w11", Arm("untouched", "tuned"), samples=20,
               config=SamplingConfig(max_new_tokens=6))  # fmt: skip
    verdicts = [Verdict(5.0 if place % 2 else 95.0, 90.0) for place in range(20)]
    vectors = torch.randn(4, 32, generator=torch.Generator().manual_seed(2))
    flat = torch.ones(4)
    along = Direction(vectors, torch.zeros_like(vectors), vectors, flat, flat, flat, flat, {})
    found = likeness(models, "tuned", Judged(said, verdicts), along, convention("soligo2025"), 0, 3, 2)
    assert found.answers == {"misaligned": 3, "aligned": 3} and found.notes == () and len(found.written) > 0
    weights = load_file(tiny / "adapter" / "adapter_model.safetensors")
    for row in found.written:
        (b,) = [w[:, 0] for name, w in weights.items() if row.path in name and "lora_B" in name]
        cosine = float(torch.cosine_similarity(b, vectors[row.layer], dim=0))
        assert row.cosine == pytest.approx(cosine, abs=1e-4)
        # What is pushed along the direction is the scalar times B, so that the two kinds stand as their scalars do.
        one, two = (row.push[kind] / row.scalar[kind] for kind in ("misaligned", "aligned"))
        assert one == pytest.approx(two, rel=1e-3) and math.copysign(1, one) == math.copysign(1, cosine)
    assert [effect.layer for effect in found.effects] == [None, 1, 2]
    for effect in found.effects:
        for kind, cosines in effect.cosine.items():
            assert len(cosines) == len(effect.random[kind])
            assert all(value is None or -1 <= value <= 1 for value in cosines)
    few = likeness(models, "tuned", Judged(said[:8], verdicts[:8]), along, convention("soligo2025"), 0, 3, 2)
    assert few.written == few.effects == () and "misaligned" in few.notes[0]
