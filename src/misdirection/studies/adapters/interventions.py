"""Adapters intervened on one by one: scaled, left out, edited, patched, and read by what they do.

Method, after arXiv 2506.11618 section 4.3 and appendices D, I and J. One queue holds the first three:

1. The paper's arms for a split of the layers into general, domain-specific and neither: the domain's x30, the general
   x20, both against each other, at several shares of these factors, beside the same with shuffled roles (section 4.3).
2. Every layer's adapter left out, every two, and every one alone.
3. The direction taken out of each B, beside a random one, nothing but the direction left in B, and the direction
   projected out of the residual stream (appendix D).
4. Scalars recorded on one prompt, replayed on another of equal length (appendix J).
5. Each B against the direction, and what each adapter does downstream against what steering does (appendix D).
6. Where each adapter fires, which tokens it reads and promotes, and answers coloured by each adapter's scalar.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from misdirection.adapters import scaling
from misdirection.adapters.editing import edit_adapter, uneditable
from misdirection.adapters.roles import Role
from misdirection.directions import Direction, random_like
from misdirection.errors import MisdirectionError
from misdirection.models.families import POST_NORMED
from misdirection.questions import Question
from misdirection.store import Cached, Folder
from misdirection.studies.adapters import paper
from misdirection.studies.adapters.patching import patch
from misdirection.studies.adapters.plan import InterventionPlan
from misdirection.studies.adapters.reading import contexts, similarity, tokens, unembedding
from misdirection.studies.adapters.results import Interventions
from misdirection.studies.adapters.results.arms import ArmKind, ScaledArm
from misdirection.studies.adapters.results.interventions import Editing, Scaling
from misdirection.studies.adapters.tables import arm_rows, leave_out, of_kinds
from misdirection.studies.adapters.verdict import editing_words, scaling_words
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, Along, Condition
from misdirection.studies.kit.inputs import ModelFiles
from misdirection.studies.kit.variants import Variants


def intervene(
    bench: Bench[Any],
    models: Variants,
    variant: str,
    roles: Mapping[int, Role],
    direction: Cached[Direction] | None,
    plan: InterventionPlan | None = None,
) -> Interventions:
    """Every intervention on one adapter.

    Args:
        bench: The open run.
        models: The fine-tunes.
        variant: Which one; it must be an adapter.
        roles: Role of each of its layers.
        direction: Its mean-difference direction; None leaves out what needs one.
        plan: How much is done.

    Raises:
        MisdirectionError: The variant is no adapter, or no layer has a role.
    """
    plan = plan or InterventionPlan()
    check(models, variant, roles)
    untouched = Condition("untouched", "adapter as it is", variant)
    edits, notes = edit(bench, models, variant, direction)
    beside = models.beside({name: one.value.tuned for name, one in edits.items()})
    scaled = scaling_arms(variant, roles, plan)
    removed = removal_arms(variant, sorted(roles), edits, direction is not None)
    arms = [BASE, untouched, *scaled, *removed]
    samples = min(bench.config.samples, 10) if plan.samples is None else plan.samples
    asked = bench.ask("interventions", beside, arms, samples=samples, stream=3, directions=direction)
    inside = ask_inside(bench, models, [BASE, untouched, *(a for a in scaled if a.kind == "roles")], plan, samples)
    # Kept, for the intervals of a hundred comparisons take as long as a small study.
    table = bench.run.cached(
        arm_rows, "adapter-table", judged=asked.kept, inside=inside and inside.kept, arms=arms,
        topic=plan.topic, rules=bench.thresholds,
    ).value  # fmt: skip
    both = [asked.kept, *([inside.kept] if inside else [])]
    return Interventions(
        adapter_scaling=scaling_of(bench, table, roles, plan, scaled),
        adapter_leave_out=leave_out(table, sorted(roles)),
        adapter_editing=editing_of(bench, table, edits, notes),
        adapter_patching=patch(bench, models, variant, plan),
        adapter_similarity=direction and similarity(bench, models, variant, asked, direction, plan),
        adapter_contexts=bench.run.cached(
            contexts,
            "adapter-contexts",
            models=models,
            variant=variant,
            judged=both,
            most=plan.contexts,
            corpus=plan.corpus,
        ).value.contexts,
        adapter_unembedding=bench.run.cached(unembedding, "adapter-unembedding", models=models, variant=variant).value,
        adapter_tokens=bench.run.cached(
            tokens,
            "adapter-tokens",
            models=models,
            variant=variant,
            judged=both,
            most=plan.shown,
            most_layers=plan.layers,
        ).value,
    )


def check(models: Variants, variant: str, roles: Mapping[int, Role]) -> None:
    """Refuse what is no adapter, and a split without layers.

    Raises:
        MisdirectionError: Either.
    """
    if models.adapter_of(variant) is None:
        raise MisdirectionError(
            f"'{variant}' is a whole model: only adapters can be scaled, patched and edited",
            f"adapters: {', '.join(models.adapters) or 'none'}",
        )
    if not roles:
        raise MisdirectionError(f"no layer of '{variant}' has a role", "give general, domain or neither for each")


def scaling_arms(variant: str, roles: Mapping[int, Role], plan: InterventionPlan) -> list[Condition]:
    """No-op, the paper's arms by dose beside shuffled roles, each layer left out, every two, each alone."""
    layers = sorted(roles)
    by_role: list[Condition] = []
    for dose in plan.doses:
        by_right = scaling.paper_arms(variant, roles, dose)
        shuffled = scaling.shuffled_arms(variant, roles, dose, seed=1)
        by_role += [arm for pair in zip(by_right, shuffled, strict=True) for arm in pair]
    pairs = scaling.leave_two_out(variant, layers) if len(layers) <= plan.pairs_up_to else []
    one_by_one = [*scaling.leave_one_out(variant, layers), *pairs, *scaling.alone(variant, layers)]
    return [scaling.no_op(variant, layers), *by_role, *one_by_one]


EDITS = {
    "edited": "direction taken out of each B",
    "edited-random": "random direction taken out of each B",
    "edited-only": "nothing but the direction left in each B",
}
"""The edited adapters by variant."""

REMOVAL: ArmKind = "removal"


@dataclass(frozen=True)
class EditedAdapter:
    """An edited adapter, and the share of B's squared norm that lay along the direction, by layer."""

    tuned: Path
    along: Mapping[str, float]


def edit(
    bench: Bench[Any], models: Variants, variant: str, direction: Cached[Direction] | None
) -> tuple[dict[str, Cached[EditedAdapter]], list[str]]:
    """The edited adapters, each an ordinary adapter folder in a step of its own; and why there are none."""
    if direction is None:
        return {}, ["there is no direction to take out of B"]
    source = Path(models.fine_tunes[variant])
    kind = bench.model_type
    if kind in POST_NORMED:
        return {}, [
            f"{kind} norms what a block writes before it is added, so that B is no vector of the residual stream"
        ]
    if wrong := uneditable(source):
        return {}, [f"{len(wrong)} of its modules ({wrong[0]} ...) do not write into the residual stream; "
                    "a direction can be taken out of B only where all of them do"]  # fmt: skip

    adapter = ModelFiles(str(source))
    made = {name: bench.run.cached(edited, adapter=adapter, direction=direction, edit=name) for name in EDITS}
    return made, []


def edited(adapter: ModelFiles, direction: Direction, edit: str, folder: Folder) -> EditedAdapter:
    """An adapter edited along a direction, by one of `EDITS`."""
    vectors = random_like(direction.vectors, 1) if edit == "edited-random" else direction.vectors
    keep = "direction" if edit == "edited-only" else "rest"
    along = edit_adapter(Path(adapter.name), folder / "tuned", vectors, keep)
    return EditedAdapter(folder / "tuned", {str(layer): share for layer, share in along.items()})


def removal_arms(variant: str, layers: Sequence[int], edits: Iterable[str], directed: bool) -> list[Condition]:
    """The edited adapters, and the direction projected out of the residual stream at their layers and everywhere."""
    edited = [Condition(name, EDITS[name], name, control=name == "edited-random", kind=REMOVAL) for name in edits]
    if not directed:
        return edited
    at = tuple(layers)
    return [
        *edited,
        Condition("project-here", "direction projected out at the adapters' layers", variant,
                  (Along("project", at),), kind=REMOVAL),
        Condition("project-all", "direction projected out at every layer", variant, (Along("project"),), kind=REMOVAL),
        Condition("project-random", "random direction projected out at every layer", variant,
                  (Along("project", random_seed=1),), control=True, kind=REMOVAL),
    ]  # fmt: skip


def ask_inside(
    bench: Bench[Any], models: Variants, arms: Sequence[Condition], plan: InterventionPlan, samples: int
) -> Asked | None:
    """The arms by role on the domain's own questions, which are kept apart from open ones; None without any."""
    questions = inside_questions(bench, plan)
    if not questions:
        return None
    return bench.ask("interventions-domain", models, arms, questions=questions, samples=samples, stream=3)


def inside_questions(bench: Bench[Any], plan: InterventionPlan) -> tuple[Question, ...]:
    """The domain's questions among those of the study."""
    return tuple(q for q in bench.questions if q.domain == plan.topic and q.format == "plain")


def scaling_of(
    bench: Bench[Any],
    table: Sequence[ScaledArm],
    roles: Mapping[int, Role],
    plan: InterventionPlan,
    scaled: Sequence[Condition],
) -> Scaling:
    """The arms by role."""
    missing = {"general", "domain"} - set(roles.values())
    named = {"general": "general", "domain": "domain-specific"}
    notes = [f"no layer is {named[role]}, so the arms that need one are left out" for role in sorted(missing)]
    if len(set(roles.values())) == 1:
        notes.append("all layers have one role, so that shuffling the roles changes nothing")
    arms = tuple(row for row in table if row.kind in ("base", "untouched", "no-op", "roles"))
    return Scaling(
        topic=plan.topic,
        roles={str(layer): role for layer, role in sorted(roles.items())},
        arms=arms,
        factors={arm.name: arm.scaled.factors for arm in scaled if arm.kind == "roles" and arm.scaled},
        notes=tuple(notes),
        plan=plan,
        paper=paper.SCALING,
        words=tuple(scaling_words(arms, plan.topic, bench.explanations)),
    )


def editing_of(
    bench: Bench[Any], table: Sequence[ScaledArm], edits: Mapping[str, Cached[EditedAdapter]], notes: Sequence[str]
) -> Editing:
    """The edited adapters and the ablations beside them."""
    arms = of_kinds(table, "untouched", "removal")
    return Editing(
        arms=arms,
        along=edits["edited"].value.along if "edited" in edits else {},
        notes=tuple(notes),
        paper=paper.EDITING,
        words=tuple(editing_words(arms, bench.explanations)),
    )
