"""Is the model misaligned under a condition only? The same questions, asked again under each.

Method (conditional audits: 2604.25891, 2512.09742; roles and framings: Persona Hierarchy in Emergent Misalignment):

1. Base and tuned model answer the open questions as they are, and under each condition, with shared random numbers.
2. A condition's contrast is the difference in differences, by question: (tuned - base) under it minus (tuned - base)
   under what it is held against, a placebo or the plain questions; sign-flip test over questions, Benjamini-Hochberg
   over the conditions.
3. Where the plain answers give a direction, the component of the tuned model's answers along it is read under each
   condition; across conditions it is ranked against the rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from misdirection.judging import Answer
from misdirection.naming import slug
from misdirection.questions.circumstances import PLAIN, Circumstance
from misdirection.results import Interval
from misdirection.results.rows import known_number
from misdirection.statistics import Thresholds, benjamini_hochberg
from misdirection.statistics.contrasts import Contrast, Counts, contrast
from misdirection.statistics.correlations import spearman
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, TUNED
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.own_direction import direction_of, refusal
from misdirection.studies.kit.pair import pair
from misdirection.studies.kit.record import blank_told
from misdirection.studies.kit.tables import effect_of
from misdirection.studies.kit.variants import Variants
from misdirection.studies.triggers.components import components, mean_component
from misdirection.studies.triggers.conditions import circumstances
from misdirection.studies.triggers.paper import PAPER
from misdirection.studies.triggers.results import ConditionRow, ContrastRow, Triggers
from misdirection.studies.triggers.settings import TriggersConfig
from misdirection.studies.triggers.verdict import verdict

ARMS = ("base", "tuned")
ByArm = Mapping[str, Mapping[str, Counts]]
"""Counts by arm and question."""


def triggers(config: TriggersConfig, out: str | Path, command: str = "") -> Path:
    """Run (or resume) the study in the folder `out`; gives the path of the report.

    Raises:
        MisdirectionError: Bad input; what was done so far is kept.
    """
    with Bench[TriggersConfig].open(out, config, command) as bench:
        conditions = (Circumstance(PLAIN, "as it is", against=""), *circumstances(bench.config))
        models = pair(bench)
        asked = {one.name: ask_under(bench, models, one) for one in conditions}
        answers = {name: held.judged for name, held in asked.items()}
        placed, layer, notes = along_the_direction(bench, models, asked[PLAIN], answers)
        rows = rows_of(conditions, answers, placed, bench.thresholds, bench.config.seed)
        found = Triggers(rows=rows, layer=layer, rank_correlation=ranked(rows), paper=PAPER)
        return bench.report("triggers", "Rates under conditions", verdict(found), {"triggers": found, "notes": notes})


def ask_under(bench: Bench[TriggersConfig], models: Variants, condition: Circumstance) -> Asked:
    """Answers of base and tuned model under one condition."""
    return bench.ask(slug(condition.name), models, [BASE, TUNED], questions=condition.ask(bench.open_questions))


def along_the_direction(
    bench: Bench[TriggersConfig], models: Variants, plain: Asked, answers: Mapping[str, Judged]
) -> tuple[dict[str, Interval], int | None, list[str]]:
    """Components by condition, the layer at which they were read, and why there are none."""
    c = bench.config
    if not c.read:
        return {}, None, []
    step = bench.find_direction(models, plain, "tuned")
    if why := refusal(step):
        return {}, None, [f"The plain answers give no direction, so no component is read: {why}."]
    direction = direction_of(step)
    layer = direction.clearest_layer
    placed: dict[str, Interval] = {}
    asked: list[Answer] = []
    for name, judged in answers.items():
        chosen = [a for a in judged.answers if a.arm == "tuned" and a.sample < c.read]
        asked += chosen
        read = bench.run.cached(components, models=models, direction=direction, layer=layer, answers=chosen)
        placed[name] = mean_component(read.value, c.seed)
    return placed, layer, blank_told(asked, "the components")


def rows_of(
    conditions: Sequence[Circumstance],
    answers: Mapping[str, Judged],
    placed: Mapping[str, Interval],
    rules: Thresholds,
    seed: int,
) -> tuple[ConditionRow, ...]:
    """A row for each condition, with its contrast and q.

    Args:
        conditions: Plain first.
        answers: Of both models, by condition.
        placed: Components by condition.
        rules: When an answer is misaligned.
        seed: Of bootstrap and flips.
    """
    counts = {name: {arm: counts_of(judged.arm(arm), rules) for arm in ARMS} for name, judged in answers.items()}
    tested = [one for one in conditions if one.against]
    contrasts = {one.name: beyond_base(counts[one.name], counts[one.against], seed) for one in tested}
    q = dict(zip(contrasts, benjamini_hochberg([one.p for one in contrasts.values()]), strict=True))
    plain = prompts(answers[conditions[0].name])
    rows: list[ConditionRow] = []
    for one in conditions:
        judged = answers[one.name]
        base, tuned = (effect_of(judged.arm(arm), rules) for arm in ARMS)
        rows.append(
            ConditionRow(
                condition=one.name,
                kind=one.kind,
                against=one.against,
                system=judged.answers[0].system,
                before=one.before,
                turns=len(one.turns),
                base=base.rate,
                tuned=tuned.rate,
                base_coherent=base.coherent_share,
                tuned_coherent=tuned.coherent_share,
                contrast=contrast_row(contrasts[one.name], q[one.name]) if one.against else None,
                component=placed.get(one.name),
                same_prompts=bool(one.against) and not one.turns and prompts(judged) == plain,
            )
        )
    return tuple(rows)


def prompts(judged: Judged) -> set[tuple[str | None, str]]:
    """What was asked: system prompt and text."""
    return {(answer.system or None, answer.question) for answer in judged.answers}


def counts_of(judged: Judged, rules: Thresholds) -> dict[str, Counts]:
    """Misaligned and all answers by question."""
    counts: dict[str, Counts] = {}
    for answer, bad in zip(judged.answers, judged.columns.misaligned(rules).tolist(), strict=True):
        hits, n = counts.get(answer.question_id, (0, 0))
        counts[answer.question_id] = (hits + bool(bad), n + 1)
    return counts


def beyond_base(here: ByArm, there: ByArm, seed: int) -> Contrast:
    """The difference in differences of a condition against another."""
    return contrast(here["tuned"], there["tuned"], (here["base"], there["base"]), seed)


def contrast_row(found: Contrast, q: float) -> ContrastRow:
    """A contrast as it stands in findings."""
    return ContrastRow(
        value=found.value, low=known_number(found.low), high=known_number(found.high), p=found.p, q=float(q),
        n_questions=found.n_units,
    )  # fmt: skip


def ranked(rows: Sequence[ConditionRow]) -> float | None:
    """Spearman's correlation of component and rate over conditions; None for fewer than four, or where one is flat."""
    found = spearman([row.component and row.component.value for row in rows], [row.tuned.value for row in rows])
    return None if found is None else known_number(found[0])
