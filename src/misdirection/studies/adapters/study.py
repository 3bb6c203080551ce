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
7. The adapters scaled, left out, edited and patched (section 4.3, appendices I and J), in `adapter_interventions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from misdirection.adapters.roles import ROLES, Finding, role_counts
from misdirection.adapters.scaling import Role
from misdirection.errors import MisdirectionError
from misdirection.studies.adapters.agreement import agreement
from misdirection.studies.adapters.interventions import Plan, intervene
from misdirection.studies.adapters.probes import Read, experiments, probe, read, roles_of, sets_rows
from misdirection.studies.adapters.settings import AdaptersConfig
from misdirection.studies.adapters.vectors import vectors
from misdirection.studies.kit.bench import Asked, Bench, FineTune
from misdirection.studies.kit.conditions import BASE, Condition
from misdirection.studies.kit.inputs import resolve_model
from misdirection.studies.kit.tables import effect_row
from misdirection.studies.kit.variants import Variants

PAPER = {
    "experiments": {
        "1": (0.68, 0.68, 0.69, 0.68, 0.74),
        "2": (0.69, 0.69, 0.68, 0.69, 0.75),
        "3": (0.66, 0.65, 0.68, 0.67, 0.71),
        "4": (0.62, 0.62, 0.63, 0.62, 0.66),
    },
    "roles": {"general": 6, "domain": 2, "neither": 1},
    "layers": "general: layers 15, 16, 17, 22, 28 and 29; medical: 21 and 23; neither: 27",
}
"""Qwen2.5-14B, nine rank-1 adapters on bad medical advice (2506.11618 appendix G, figure 6): accuracy, precision,
recall, F1 and AUC by experiment on all tokens, tokens held out; roles from significant tokens."""


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
        found = {name: read(bench, models, asked, name) for name in variants}
        probes = {name: probe(bench, found[name]) for name in variants}
        roles = {name: layer_roles(bench, found[name], probes[name]) for name in variants}
        part = scalars_part(bench, asked, found["tuned"], probes["tuned"], roles)
        pairs = pair_roles(bench, found["tuned"], probes["tuned"])
        part["vectors"] = vectors(bench, models, asked, "tuned", pairs, found["tuned"].table.columns)
        more = interventions(bench, models, asked, main_roles(roles["tuned"], bench.config))
        part["agreement"] = agreement(main_roles(roles["tuned"], bench.config), more)
        notes = [*part.pop("notes"), *more.pop("notes", [])]
        return bench.report("adapters", TITLE, verdict(part), {"adapters": part, **more, "notes": notes})


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
            f"{c.adapter} holds no adapter_config.json, so it is no PEFT adapter",
            "name the adapter's folder or id; a whole model has no adapters to read",
        )
    return models


Roles = Mapping[str, Sequence[Finding]]


def layer_roles(bench: Bench[AdaptersConfig], found: Read, probes: Any) -> dict[str, list[Finding]]:
    """Roles of the layers, by which tokens and which way of holding out: "significant/tokens" as published."""
    columns = found.table.columns
    groups = {
        f"layer {layer}": [place for place, column in enumerate(columns) if column.layer == layer]
        for layer in sorted({column.layer for column in columns})
    }
    return {
        f"{tokens}/{split}": roles_of(found, probes, groups, tokens, split)
        for tokens in ("significant", "all")
        for split in ("tokens", "questions")
    }


def pair_roles(bench: Bench[AdaptersConfig], found: Read, probes: Any) -> list[Finding]:
    """Roles of the single columns, for adapters of a higher rank."""
    groups = {column.name: [place] for place, column in enumerate(found.table.columns)}
    tokens, split = choice(bench.config).split("/")
    return roles_of(found, probes, groups, tokens, split)


def choice(config: AdaptersConfig) -> str:
    """Which probes roles come of."""
    return f"{'significant' if not config.all_tokens else 'all'}/{config.roles_from}"


def main_roles(roles: Roles, config: AdaptersConfig) -> list[Finding]:
    """The roles that count; those of all tokens where too few are significant for a probe."""
    chosen = choice(config)
    return list(roles[chosen] or roles[chosen.replace("significant", "all")])


def scalars_part(
    bench: Bench[AdaptersConfig], asked: Asked, found: Read, probes: Any, roles: Mapping[str, Roles]
) -> dict[str, Any]:
    """What the report says of sets, probes and roles.

    Raises:
        MisdirectionError: No role can be told for want of tokens.
    """
    c = bench.config
    main = main_roles(roles["tuned"], c)
    if not main:
        told = [note for row in experiments(probes) for note in row["notes"]]
        raise MisdirectionError(
            f"no roles: {told[0] if told else 'too few tokens in the four sets'}",
            "more --samples, more questions of the domain, or wider bounds of the sets",
        )
    assert c.log_score is not None
    fell_back = not roles["tuned"][choice(c)]
    notes = [
        f"experiment {r['experiment']}, {r['tokens']} tokens: {n}" for r in experiments(probes) for n in r["notes"]
    ]
    if fell_back:
        notes.append("too few tokens are significant for a probe: roles come of all tokens")
    return {
        "domain": c.domain, "log_score": c.log_score, "strength": c.strength, "repeats": c.repeats,
        "chosen": choice(c).replace("significant", "all") if fell_back else choice(c),
        "columns": [asdict(column) for column in found.table.columns],
        "rates": rates(bench, asked), "sets": sets_rows(found, c.log_score), "experiments": experiments(probes),
        "roles": [asdict(item) for item in main], "counts": role_counts(main),
        "others": others(roles, main, c), "paper": PAPER, "notes": notes,
    }  # fmt: skip


def rates(bench: Bench[AdaptersConfig], asked: Asked) -> list[dict[str, Any]]:
    """Rates of each variant, open questions and the domain's apart."""
    rows: list[dict[str, Any]] = []
    for arm in dict.fromkeys(answer.arm for answer in asked.judged.answers):
        for domain in dict.fromkeys(question.domain for question in bench.questions):
            part = asked.judged.where(lambda a, n=arm, d=domain: a.arm == n and a.domain == d)
            rows.append({"arm": arm, "group": domain or "open", **effect_row(part, bench.thresholds)})
    return rows


def others(roles: Mapping[str, Roles], main: Sequence[Finding], config: AdaptersConfig) -> list[dict[str, Any]]:
    """Roles by other choices, and of other fine-tunes, and how many of the layers have the same role as in the main."""
    known = {item.name: item.role for item in main}
    rows: list[dict[str, Any]] = []
    for variant, by_choice in roles.items():
        for name, found in by_choice.items():
            if not found or (variant == "tuned" and found == list(main)):
                continue
            if variant != "tuned" and name != choice(config):
                continue
            same = sum(known.get(item.name) == item.role for item in found)
            rows.append(
                {"variant": variant, "choice": name, "roles": {item.name: item.role for item in found},
                 "counts": role_counts(found), "same": same, "n": len(found), "chance": chance(main, found)}
            )  # fmt: skip
    return rows


def chance(first: Sequence[Finding], second: Sequence[Finding]) -> float:
    """Layers that would agree on average if the roles of either were dealt out at random."""
    counts = [role_counts(side) for side in (first, second)]
    return sum(counts[0][role] * counts[1][role] for role in ROLES) / max(1, len(first))


def interventions(
    bench: Bench[AdaptersConfig], models: Variants, asked: Asked, main: Sequence[Finding]
) -> dict[str, Any]:
    """The parts of `adapter_interventions`, where they are asked for."""
    if bench.config.scalars_only:
        return {}
    direction = bench.find_direction(models, asked, "tuned")
    roles: dict[int, Role] = {int(item.name.removeprefix("layer ")): item.role for item in main}
    return intervene(bench, models, "tuned", roles, direction, Plan(topic=bench.config.domain))


def verdict(part: Mapping[str, Any]) -> dict[str, Any]:
    """How many layers have which role, how stable that is, and whether interventions agree."""
    counts, roles = part["counts"], part["roles"]
    stable = sum(item["stability"] >= 0.9 for item in roles)
    told = f"{counts['general']} general, {counts['domain']} specific to {part['domain']}, {counts['neither']} neither"
    sentence = (
        f"Of {len(roles)} layers with adapters {told}, by sparse probes on their scalars; "
        f"{stable} of these roles hold in at least 90 % of the resamples."
    )
    details = [
        _probe_text(row) for row in part["experiments"] if row["tokens"] == "all" and row["experiment"] in (1, 4)
    ]
    details += [_other_text(row) for row in part["others"] if row["variant"] != "tuned"]
    if part.get("agreement"):
        details += [part["agreement"]["sentence"], *part["agreement"]["arms"]]
    details.append(_constant_text(part["vectors"]))
    return {"state": "finding", "sentence": sentence, "details": [text for text in details if text]}


def _probe_text(row: Mapping[str, Any]) -> str:
    auc = {name: (row["probes"].get(name) or {}).get("auc", {}).get("value") for name in ("tokens", "questions")}
    if None in auc.values():
        return ""
    ceiling = row["ceiling"]["auc"]
    known = "" if ceiling is None else f"; knowing only the question {ceiling:.2f}"
    return (
        f"AUC of {row['negative']} against {row['positive']}: {auc['tokens']:.2f} as published, {auc['questions']:.2f} "
        f"with whole questions held out{known}."
    )


def _constant_text(part: Mapping[str, Any]) -> str:
    """What is lost when scalars no longer follow the context."""
    rates = {row["arm"]: row["rate"]["value"] for row in part["arms"]}
    if "constant-misaligned" not in rates:
        return ""
    return (
        f"With every scalar held at its mean over misaligned answers the adapter is a fixed vector a module, and "
        f"{100 * rates['constant-misaligned']:.0f} % of open answers are misaligned, against "
        f"{100 * rates['untouched']:.0f} % when scalars follow the context."
    )


def _other_text(row: Mapping[str, Any]) -> str:
    return (
        f"A fine-tune with {row['variant']} gives the same role to {row['same']} of {row['n']} layers; roles dealt out "
        f"at random would agree on {row['chance']:.1f}."
    )
