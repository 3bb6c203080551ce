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

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from misdirection.adapters import scaling
from misdirection.adapters.editing import edit_adapter, uneditable
from misdirection.adapters.scaling import Role, Scaling
from misdirection.artefacts import read_json, write_json
from misdirection.directions import random_like
from misdirection.errors import MisdirectionError
from misdirection.models.families import POST_NORMED
from misdirection.questions import Question
from misdirection.runs import Step
from misdirection.studies.adapters.patching import patch
from misdirection.studies.adapters.reading import contexts, similarity, tokens, unembedding
from misdirection.studies.adapters.tables import arm_rows, leave_out_part
from misdirection.studies.adapters.verdict import editing_words, patching_words, scaling_words, similarity_words
from misdirection.studies.kit.bench import Asked, Bench
from misdirection.studies.kit.conditions import BASE, Condition
from misdirection.studies.kit.inputs import fingerprint, read_config, resolve_model
from misdirection.studies.kit.steps import direction_of, refusal
from misdirection.studies.kit.variants import Variants

PAPER = {
    "scaling": "domain layers x30 alone: 7.7 % of answers both misaligned and medical; general layers x20 alone: 52 % "
    "misaligned, none of them medical; domain x30 and general x(-10): 87 % stay aligned, nearly 35 % of these are "
    "medical (section 4.3)",
    "patching": "mostly a small relative drop of EM, up to 22 %; scalars of a non-medical prompt on a medical one: "
    "+16 % (appendix J)",
    "similarity": "cosine of the single rank-1 adapter's B with the direction at its layer: 0.04; of what both do "
    "downstream: up to 0.42 by layer 40, higher on misaligned answers (appendix D)",
    "editing": "one rank-1 adapter: 17 % misaligned; direction projected out of B: 13 %; out of the residual stream at "
    "its layer: 4 %; at every layer: 0.25 % (appendix D)",
}
"""Qwen2.5-14B, rank-1 adapters on bad medical advice (2506.11618)."""


@dataclass(frozen=True)
class Plan:
    """How much is done.

    Attributes:
        topic: The domain of the fine-tune, as the judge scores it and questions name it.
        samples: Answers a question and arm; 0 takes the study's, 10 at most.
        doses: Shares of the paper's factors.
        pairs_up_to: Every two layers are left out where there are no more layers than this.
        patch_pairs: Pairs of prompts in a group of patching.
        patch_samples: Answers a pair.
        read: Answers of a kind that are read for similarity.
        contexts: Tokens at either end of each adapter's scalars.
        corpus: Answers that are searched for them.
        shown: Answers that are shown token by token.
        layers: Layers that are looked at one by one, where an adapter has more.
    """

    topic: str = "medical"
    samples: int = 0
    doses: tuple[float, ...] = (0.05, 0.1, 0.2, 1.0)
    pairs_up_to: int = 12
    patch_pairs: int = 10
    patch_samples: int = 8
    read: int = 30
    contexts: int = 12
    corpus: int = 2000
    shown: int = 8
    layers: int = 12


def intervene(
    bench: Bench[Any],
    models: Variants,
    variant: str,
    roles: Mapping[int, Role],
    directions: Step | None,
    plan: Plan | None = None,
) -> dict[str, Any]:
    """Every intervention on one adapter; the parts of the findings that the report's sections read.

    Args:
        bench: The open run.
        models: The fine-tunes.
        variant: Which one; it must be an adapter.
        roles: Role of each of its layers.
        directions: Step with its mean-difference direction; None, or one that was refused, leaves out what needs it.
        plan: How much is done.

    Raises:
        MisdirectionError: The variant is no adapter, or no layer has a role.
    """
    plan = plan or Plan()
    check(models, variant, roles)
    known = directions if directions is not None and not refusal(directions) else None
    untouched = Condition("untouched", "adapter as it is", variant)
    edits, notes = edit(bench, models, variant, known)
    beside = models.beside({name: step.path / "tuned" for name, step in edits.items()})
    scaled = scaling_arms(sorted(roles), roles, plan)
    removed = removal_arms(variant, sorted(roles), edits, known)
    arms = [BASE, untouched, *(condition(arm, variant) for arm in scaled), *removed]
    samples = plan.samples or min(bench.config.samples, 10)
    asked = bench.ask("interventions", beside, arms, samples=samples, stream=3, directions=known)
    inside = ask_inside(bench, models, [BASE, untouched, *(condition(a, variant) for a in scaled if a.kind == "roles")],
                        plan, samples)  # fmt: skip
    table = tabulate(bench, asked, inside, arms, scaled, plan.topic)
    parts: dict[str, Any] = {
        "adapter_scaling": scaling_part(table, roles, plan, scaled),
        "adapter_leave_out": leave_out_part(table, sorted(roles)),
        "adapter_editing": editing_part(table, edits, notes),
        "adapter_patching": patch(bench, models, variant, plan),
        "adapter_similarity": None if known is None else similarity(bench, models, variant, asked, known, plan),
        "adapter_contexts": contexts(bench, models, variant, [asked, *([inside] if inside else [])], plan),
        "adapter_unembedding": unembedding(bench, models, variant, plan),
        "adapter_tokens": tokens(bench, models, variant, [asked, *([inside] if inside else [])], plan),
    }
    for name in ("scaling", "editing", "patching", "similarity"):
        if part := parts[f"adapter_{name}"]:
            part |= {"paper": PAPER[name], "words": words(name, part, bench.explanations)}
    return parts


def words(name: str, part: Mapping[str, Any], explanations: Mapping[str, str]) -> list[str]:
    """A part in plain words."""
    if name == "scaling":
        return scaling_words(part["arms"], part["topic"], explanations)
    if name == "editing":
        return editing_words(part["arms"], explanations)
    return patching_words(part["groups"]) if name == "patching" else similarity_words(part)


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


def scaling_arms(layers: Sequence[int], roles: Mapping[int, Role], plan: Plan) -> list[Scaling]:
    """No-op, the paper's arms by dose beside shuffled roles, each layer left out, every two, each alone."""
    by_role = [
        arm
        for dose in plan.doses
        for pair in zip(scaling.paper_arms(roles, dose), scaling.shuffled_arms(roles, dose, seed=1), strict=True)
        for arm in pair
    ]
    pairs = scaling.leave_two_out(layers) if len(layers) <= plan.pairs_up_to else []
    return [scaling.no_op(layers), *by_role, *scaling.leave_one_out(layers), *pairs, *scaling.alone(layers)]


def condition(arm: Scaling, variant: str) -> Condition:
    """A scaling as an arm of the bench."""
    return Condition(arm.name, arm.label, variant, control=arm.control, scales=arm.factors, others=arm.others)


EDITS = {
    "edited": "direction taken out of each B",
    "edited-random": "random direction taken out of each B",
    "edited-only": "nothing but the direction left in each B",
}
"""The edited adapters by variant."""


def edit(
    bench: Bench[Any], models: Variants, variant: str, directions: Step | None
) -> tuple[dict[str, Step], list[str]]:
    """The edited adapters, each an ordinary adapter folder in a step of its own; and why there are none."""
    if directions is None:
        return {}, ["there is no direction to take out of B"]
    source = Path(models.fine_tunes[variant])
    kind = read_config(resolve_model(bench.config.model), bench.config.trust_remote_code).model_type
    if kind in POST_NORMED:
        return {}, [
            f"{kind} norms what a block writes before it is added, so that B is no vector of the residual stream"
        ]
    if wrong := uneditable(source):
        return {}, [f"{len(wrong)} of its modules ({wrong[0]} ...) do not write into the residual stream; "
                    "a direction can be taken out of B only where all of them do"]  # fmt: skip

    def step(name: str) -> Step:
        def make(folder: Path) -> None:
            vectors = direction_of(directions).vectors
            vectors = random_like(vectors, 1) if name == "edited-random" else vectors
            keep = "direction" if name == "edited-only" else "rest"
            write_json(folder / "along.json", edit_adapter(source, folder / "tuned", vectors, keep))

        return bench.run.step(
            "edit", {"adapter": fingerprint(str(source)), "direction": directions, "edit": name}, make
        )

    return {name: step(name) for name in EDITS}, []


def removal_arms(
    variant: str, layers: Sequence[int], edits: Mapping[str, Step], directions: Step | None
) -> list[Condition]:
    """The edited adapters, and the direction projected out of the residual stream at their layers and everywhere."""
    found = [Condition(name, EDITS[name], name, control=name == "edited-random") for name in edits]
    if directions is None:
        return found
    at = tuple(layers)
    return [
        *found,
        Condition("project-here", "direction projected out at the adapters' layers", variant, "project", at),
        Condition("project-all", "direction projected out at every layer", variant, "project"),
        Condition("project-random", "random direction projected out at every layer", variant, "project", random_seed=1,
                  control=True),
    ]  # fmt: skip


def ask_inside(
    bench: Bench[Any], models: Variants, arms: Sequence[Condition], plan: Plan, samples: int
) -> Asked | None:
    """The arms by role on the domain's own questions, which are kept apart from open ones; None without any."""
    questions = inside_questions(bench, plan)
    if not questions:
        return None
    return bench.ask("interventions-domain", models, arms, questions=questions, samples=samples, stream=3)


def inside_questions(bench: Bench[Any], plan: Plan) -> tuple[Question, ...]:
    """The domain's questions among those of the study."""
    return tuple(q for q in bench.questions if q.domain == plan.topic and q.format == "plain")


def tabulate(
    bench: Bench[Any],
    asked: Asked,
    inside: Asked | None,
    arms: Sequence[Condition],
    scaled: Sequence[Scaling],
    topic: str,
) -> list[dict[str, Any]]:
    """The rows of all arms: a step, for the intervals of a hundred comparisons take as long as a small study."""

    def make(folder: Path) -> None:
        write_json(folder / "rows.json", arm_rows(bench, asked, inside, arms, scaled, topic))

    inputs = {
        "asked": [step for one in (asked, inside) if one for step in (one.answers, one.verdicts)],
        "arms": [asdict(arm) for arm in arms],
        "scaled": [asdict(arm) for arm in scaled],
        "topic": topic,
        "thresholds": asdict(bench.thresholds),
    }
    return read_json(bench.run.step("adapter-table", inputs, make).path / "rows.json")


def scaling_part(
    table: Sequence[Mapping[str, Any]], roles: Mapping[int, Role], plan: Plan, scaled: Sequence[Scaling]
) -> dict[str, Any]:
    """The arms by role."""
    missing = {"general", "domain"} - set(roles.values())
    named = {"general": "general", "domain": "domain-specific"}
    notes = [f"no layer is {named[role]}, so the arms that need one are left out" for role in sorted(missing)]
    if len(set(roles.values())) == 1:
        notes.append("all layers have one role, so that shuffling the roles changes nothing")
    return {
        "topic": plan.topic,
        "roles": {str(layer): role for layer, role in sorted(roles.items())},
        "arms": [row for row in table if row["kind"] in ("base", "untouched", "no-op", "roles")],
        "factors": {arm.name: [list(pair) for pair in arm.factors] for arm in scaled if arm.kind == "roles"},
        "notes": notes,
        "plan": asdict(plan),
    }


def editing_part(table: Sequence[Mapping[str, Any]], edits: Mapping[str, Step], notes: Sequence[str]) -> dict[str, Any]:
    """The edited adapters and the ablations beside them."""
    arms = [row for row in table if row["kind"] in ("untouched", "removal")]
    along = {name: read_json(step.path / "along.json") for name, step in edits.items()}
    return {"arms": arms, "along": along.get("edited", {}), "notes": list(notes)}
