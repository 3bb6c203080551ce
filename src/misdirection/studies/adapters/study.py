"""What does each adapter of a fine-tune read, and which are general, which of the domain?

Method, after arXiv 2506.11618 sections 4.1 and 4.2 and appendices G and H:

1. The tuned model answers open questions and the domain's; a judge scores alignment, coherence and the domain.
2. Each adapter's scalar is read at every answer token. A module of rank r is read as its r canonical pairs.
3. Four sets of answer tokens by alignment and topic (table 3); each token's significance for what tuning changed
   (appendix H).
4. L1 logistic probes between the sets (appendix G), as published and with whole questions held out, beside the ceiling
   of knowing the question only, on all tokens and on significant ones.
5. The role of each adapter: general, domain-specific or neither, by the probes of experiments 1 and 4, with shuffled
   labels as the null and a stability over resamples; the same of a fine-tune with another seed.
6. The adapter as vectors that context switches on: pairs kept, scalars held constant.
7. The adapters scaled, left out, edited and patched (section 4.3, appendices I and J), in `interventions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from misdirection.adapters.roles import ROLES, Finding, Role, role_counts
from misdirection.errors import MisdirectionError
from misdirection.results import row_of
from misdirection.studies.adapters import paper
from misdirection.studies.adapters.agreement import agreement
from misdirection.studies.adapters.interventions import intervene
from misdirection.studies.adapters.plan import InterventionPlan
from misdirection.studies.adapters.probes import Probed, Read, read, roles_of, set_rows
from misdirection.studies.adapters.results import Interventions
from misdirection.studies.adapters.results.scalars import (
    ColumnRow,
    ExperimentRow,
    GroupEffect,
    OtherRoles,
    RoleAgreement,
    RoleRow,
    Scalars,
    Split,
    Tokens,
    Vectors,
)
from misdirection.studies.adapters.settings import AdaptersConfig
from misdirection.studies.adapters.vectors import vectors
from misdirection.studies.adapters.verdict import verdict
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, Condition
from misdirection.studies.kit.inputs import resolve_model
from misdirection.studies.kit.own_direction import refusal
from misdirection.studies.kit.tables import effect_of
from misdirection.studies.kit.tuning import FineTune
from misdirection.studies.kit.variants import Variants


def adapters(config: AdaptersConfig, out: str | Path, command: str = "") -> Path:
    """Run (or resume) the study in the folder `out`; gives the path of the report.

    Raises:
        MisdirectionError: Bad input; or so few answers in the four sets that no probe can be fitted.
    """
    with Bench[AdaptersConfig].open(out, config, command) as bench:
        models = fine_tuned(bench)
        variants = tuple(models.fine_tunes)
        arms = [BASE, *(Condition(name, LABELS.get(name, name), name) for name in variants)]
        asked = bench.ask("answers", models, arms, questions=bench.questions)
        measured = {name: read(bench, models, asked, name) for name in variants}
        roles = {name: layer_roles(*one) for name, one in measured.items()}
        scalars, probes = measured["tuned"]
        tried, main = probes.experiments, main_roles(roles["tuned"], bench.config)
        refuse_without_roles(main, tried)
        pairs = pair_roles(bench, scalars, probes)
        kept = vectors(bench, models, asked, "tuned", pairs, scalars.table.columns)
        more = interventions(bench, models, asked, main)
        part = scalars_of(bench, asked, scalars, tried, roles, kept, agreement(main, more))
        notes = [f"experiment {row.experiment}, {row.tokens} tokens: {note}" for row in tried for note in row.notes]
        if not roles["tuned"][choice(bench.config)]:
            notes.append("too few tokens are significant for a probe: roles come of all tokens")
        parts = vars(more) if more else dict.fromkeys(Interventions.__dataclass_fields__)
        return bench.report("adapters", TITLE, verdict(part), {"adapters": part, **parts, "notes": notes})


TITLE = "Adapters read by their scalars"
LABELS = {"tuned": "tuned model"}


def fine_tuned(bench: Bench[AdaptersConfig]) -> Variants:
    """The base and the fine-tune, and further ones with other seeds.

    Raises:
        MisdirectionError: The fine-tune is a whole model.
    """
    c = bench.config
    if not c.adapter:
        wanted = {"tuned": c.seed} | {f"seed {c.seed + 1 + i}": c.seed + 1 + i for i in range(c.again)}
        return bench.fine_tunes({name: FineTune(c.preset, c.data, c.training, seed) for name, seed in wanted.items()})
    models = bench.variants({"tuned": Path(resolve_model(c.adapter))})
    if models.adapter_of("tuned") is None:
        raise MisdirectionError(
            f"{c.adapter} holds no plain LoRA adapter, whose scalars could be read",
            "name the folder or id of one; a whole model, or an adapter that must be merged, has none to read",
        )
    return models


Roles = Mapping[str, Sequence[Finding]]


def layer_roles(scalars: Read, probes: Probed) -> dict[str, list[Finding]]:
    """Roles of the layers, by which tokens and which way of holding out: "significant/tokens" as published."""
    columns = scalars.table.columns
    groups = {
        f"layer {layer}": [place for place, column in enumerate(columns) if column.layer == layer]
        for layer in sorted({column.layer for column in columns})
    }
    return {
        f"{tokens}/{split}": roles_of(probes, groups, tokens, split)
        for tokens in reversed(get_args(Tokens))
        for split in get_args(Split)
    }


def pair_roles(bench: Bench[AdaptersConfig], scalars: Read, probes: Probed) -> list[Finding]:
    """Roles of the single columns, for adapters of a higher rank."""
    groups = {column.name: [place] for place, column in enumerate(scalars.table.columns)}
    tokens, split = choice(bench.config).split("/")
    return roles_of(probes, groups, tokens, split)


def choice(config: AdaptersConfig) -> str:
    """Which probes roles come of."""
    return f"{'significant' if not config.all_tokens else 'all'}/{config.roles_from}"


def main_roles(roles: Roles, config: AdaptersConfig) -> list[Finding]:
    """The roles that count; those of all tokens where too few are significant for a probe."""
    chosen = choice(config)
    return list(roles[chosen] or roles[chosen.replace("significant", "all")])


def refuse_without_roles(main: Sequence[Finding], tried: Sequence[ExperimentRow]) -> None:
    """Refuse to go on where no role can be told.

    Raises:
        MisdirectionError: There are too few tokens.
    """
    if not main:
        why = next((note for row in tried for note in row.notes), "too few tokens in the four sets")
        raise MisdirectionError(
            f"no roles: {why}", "more --samples, more questions of the domain, or wider bounds of the sets"
        )


def scalars_of(
    bench: Bench[AdaptersConfig],
    asked: Asked,
    scalars: Read,
    tried: tuple[ExperimentRow, ...],
    roles: Mapping[str, Roles],
    kept: Vectors,
    agrees: RoleAgreement | None,
) -> Scalars:
    """Sets, probes and roles."""
    c, main = bench.config, main_roles(roles["tuned"], bench.config)
    assert c.log_score is not None
    chosen = choice(c) if roles["tuned"][choice(c)] else choice(c).replace("significant", "all")
    return Scalars(
        domain=c.domain, log_score=c.log_score, strength=c.strength, repeats=c.repeats, chosen=chosen,
        columns=tuple(row_of(ColumnRow, column) for column in scalars.table.columns), rates=rates(bench, asked),
        sets=set_rows(scalars, c.log_score), experiments=tried, roles=tuple(row_of(RoleRow, item) for item in main),
        counts=role_counts(main), others=others(roles, main, c), paper=paper.ROLES, vectors=kept, agreement=agrees,
    )  # fmt: skip


def rates(bench: Bench[AdaptersConfig], asked: Asked) -> tuple[GroupEffect, ...]:
    """Rates of each variant, open questions and the domain's apart."""
    rows: list[GroupEffect] = []
    for arm in dict.fromkeys(answer.arm for answer in asked.judged.answers):
        for domain in dict.fromkeys(question.domain for question in bench.questions):
            part = asked.judged.where(lambda a, n=arm, d=domain: a.arm == n and a.domain == d)
            rows.append(row_of(GroupEffect, effect_of(part, bench.thresholds), arm=arm, group=domain or "open"))
    return tuple(rows)


def others(roles: Mapping[str, Roles], main: Sequence[Finding], config: AdaptersConfig) -> tuple[OtherRoles, ...]:
    """Roles by other choices, and of other fine-tunes, and how many of the layers have the same role as in the main."""
    known = {item.name: item.role for item in main}
    rows: list[OtherRoles] = []
    for variant, by_choice in roles.items():
        for name, layers in by_choice.items():
            if not layers or (variant == "tuned" and layers == list(main)):
                continue
            if variant != "tuned" and name != choice(config):
                continue
            same = sum(known.get(item.name) == item.role for item in layers)
            rows.append(
                OtherRoles(
                    variant=variant, choice=name, roles={item.name: item.role for item in layers},
                    counts=role_counts(layers), same=same, n=len(layers), chance=chance(main, layers),
                )
            )  # fmt: skip
    return tuple(rows)


def chance(first: Sequence[Finding], second: Sequence[Finding]) -> float:
    """Layers that would agree on average if the roles of either were dealt out at random."""
    counts = [role_counts(side) for side in (first, second)]
    return sum(counts[0][role] * counts[1][role] for role in ROLES) / max(1, len(first))


def interventions(
    bench: Bench[AdaptersConfig], models: Variants, asked: Asked, main: Sequence[Finding]
) -> Interventions | None:
    """What interventions give, where they are asked for."""
    if bench.config.scalars_only:
        return None
    found = bench.find_direction(models, asked, "tuned")
    direction = None if refusal(found) else found.part("direction")
    roles: dict[int, Role] = {int(item.name.removeprefix("layer ")): item.role for item in main}
    return intervene(bench, models, "tuned", roles, direction, InterventionPlan(topic=bench.config.domain))
