"""Which defence prevents or undoes emergent misalignment, at what cost, and does it last?

Method (the comparison of 2508.06249, with the leak test of 2604.25891):

1. For every seed a model is fine-tuned on the bad data without a defence. The first one's answers give the direction.
2. For every arm and seed it is fine-tuned again with the defence, for as many steps; removals act on the undefended
   fine-tunes.
3. All answer the open questions (EM) and those of the data's domains (the narrow skill, as bad answers), with shared
   random numbers; good answers elsewhere are read for damage. Where no question set asks about the domain, rows of the
   bad data are held out, and how likely their answers became tells the narrow skill.
4. The leak test: the open questions again behind rows of the training data, and under system prompts.
5. Rates and reductions against no defence, over questions and seeds together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from misdirection.chats import Chat
from misdirection.directions import Direction
from misdirection.naming import slug
from misdirection.questions import Question
from misdirection.questions.circumstances import Circumstance, drawn_turns
from misdirection.runs import Step
from misdirection.statistics import Thresholds
from misdirection.studies.defences.arms import KINDS, NONE, Arm, Materials, read_arm
from misdirection.studies.defences.paper import PAPER
from misdirection.studies.defences.results import DefenceRow, Defences, Leak
from misdirection.studies.defences.settings import DefencesConfig
from misdirection.studies.defences.tuning import Tuned, defended, likely, settings_of
from misdirection.studies.defences.verdict import verdict
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, Along, Condition
from misdirection.studies.kit.config import named
from misdirection.studies.kit.inputs import ModelFiles, resolve_chats, resolve_model
from misdirection.studies.kit.over_seeds import behaviour, groups_of, reduction
from misdirection.studies.kit.steps import Judged, direction_of, refusal
from misdirection.studies.kit.variants import Variants
from misdirection.training.defences import ASKED, IRRELEVANT

PLAIN = Arm(NONE, NONE)

STEADY = 0.5
"""Cosine of the directions of two halves of the answers below which a direction may be chance."""


def defences(config: DefencesConfig, out: str | Path, command: str = "") -> Path:
    """Run (or resume) the study in the folder `out`; gives the path of the report.

    Raises:
        MisdirectionError: Bad input; what was done so far is kept.
    """
    with Bench[DefencesConfig].open(out, config, command) as bench:
        data = data_of(bench)
        bad = data.bad
        prompts = {"inoculation": bench.config.prompt or ASKED,
                   "irrelevant": bench.config.irrelevant_prompt or IRRELEVANT}  # fmt: skip
        made = {NONE: tuned(bench, PLAIN, Materials(prompts=prompts), bad)}
        step, layer, notes = own_direction(bench, made[NONE])
        held = Materials(data.good, None if step is None else direction_of(step), layer or 0, prompts)
        arms = [arm for text in bench.config.arms if possible(arm := read_arm(text), held)]
        made |= {arm.key: tuned(bench, arm, held, bad) for arm in arms if KINDS[arm.kind].place != "after"}
        models = bench.variants({
            f"{name}-{seed}": one.adapter for name, them in made.items() for seed, one in enumerate(them)
        })  # fmt: skip
        conditions = conditions_of(bench.config, [PLAIN, *arms], layer)
        judged, leaks = ask(bench, models, conditions, step, bad)
        harm = read(bench, "damage", models, data.kept, conditions, held.direction)
        lesson = read(bench, "lesson", models, data.lesson, conditions, held.direction)
        found = Defences(
            base_open=behaviour(judged["open"], "base", 0, bench.thresholds),
            base_domains=behaviour(judged["domains"], "base", 0, bench.thresholds) if "domains" in judged else None,
            base_leaks=leaks_of(leaks, "base", 0, bench.thresholds),
            base_nll=harm.get("base"),
            base_lesson=lesson.get("base"),
            rows=tuple(row_of(bench, arm, judged, leaks, made, harm, lesson) for arm in (PLAIN, *arms)),
            seeds=bench.config.seeds,
            steps=bench.config.steps,
            layer=layer,
            paper=PAPER,
        )
        return bench.report("defences", "Defences", verdict(found), {"defences": found, "notes": notes})


@dataclass(frozen=True)
class Data:
    """Chats, by what they are for.

    Attributes:
        bad: That every fine-tune learns.
        good: That defences use.
        kept: Good ones that nothing is trained on: the damage is read on them.
        lesson: Bad ones that nothing is trained on, for the narrow skill where no question asks for it.
    """

    bad: list[Chat]
    good: tuple[Chat, ...]
    kept: list[Chat]
    lesson: list[Chat]


def data_of(bench: Bench[DefencesConfig]) -> Data:
    """The data of the settings. Of those that are held out it is never more than half."""
    c = bench.config
    bad = list(resolve_chats(c.data, seed=c.seed).chats)
    good = resolve_chats(c.good, seed=c.seed).chats if c.good else ()
    kept, lesson = min(c.held_out, len(good) // 2), 0 if inside(bench) else min(c.held_out, len(bad) // 2)
    return Data(bad[lesson:], tuple(good[kept:]), list(good[:kept]), bad[:lesson])


def inside(bench: Bench[DefencesConfig]) -> list[Question]:
    """The questions about the data's domains."""
    return [question for question in bench.questions if question.domain and question.format == "plain"]


def tuned(bench: Bench[DefencesConfig], arm: Arm, held: Materials, bad: list[Chat]) -> list[Tuned]:
    """The fine-tunes of an arm, one a seed."""
    c, kind = bench.config, KINDS[arm.kind]
    # What a defence does not use is no part of its key.
    used = Materials(
        held.good if kind.wants_good else (),
        held.direction if kind.wants_direction else None,
        held.layer if kind.wants_direction else 0,
        {name: text for name, text in held.prompts.items() if name == arm.kind},
    )
    made: list[Tuned] = []
    for seed in range(c.seeds):
        kept = bench.run.cached(
            defended, model=ModelFiles(resolve_model(c.model)), chats=bad, arm=arm, held=used,
            settings=settings_of(c, arm, c.seed + seed),
        )  # fmt: skip
        bench.run.publish(f"fine-tunes/{arm.key}-{seed}", kept.value.adapter)
        made.append(kept.value)
    return made


def own_direction(bench: Bench[DefencesConfig], without: Sequence[Tuned]) -> tuple[Step | None, int | None, list[str]]:
    """The direction of the first undefended fine-tune, the layer that it is taken from, and why there is none."""
    models = bench.variants({NONE: without[0].adapter})
    asked = bench.ask("undefended", models, [Condition(NONE, "no defence", NONE)], stream=1)
    step = bench.find_direction(models, asked, NONE)
    if why := refusal(step):
        return (
            None,
            None,
            [f"The undefended fine-tune gives no direction, and the arms that need one are left out: {why}."],
        )
    direction = direction_of(step)
    layer = layer_of(bench.config, direction)
    return step, layer, unsteady(direction, layer)


def unsteady(direction: Direction, layer: int) -> list[str]:
    """That the direction may be chance, where two halves of the answers give different ones."""
    halves = float(direction.stability[layer])
    if halves >= STEADY:
        return []
    few = direction.facts.get("misaligned"), direction.facts.get("aligned")
    return [
        f"The direction of layer {layer}, of {few[0]} misaligned and {few[1]} aligned answers, is not steady: two "
        f"halves of them give directions with a cosine of {halves:.2f}. What arms do that use it may be what a random "
        "direction would do; more --samples make it steadier."
    ]


def layer_of(c: DefencesConfig, direction: Direction) -> int:
    """The layer that was asked for, or the one at which the direction is longest beside that of shuffled labels."""
    if c.direction_layer != "auto":
        return int(c.direction_layer)
    return direction.clearest_layer


def possible(arm: Arm, held: Materials) -> bool:
    """Whether there is what the arm is made of; "none" is always there by itself."""
    return arm.kind != NONE and not (KINDS[arm.kind].wants_direction and held.direction is None)


def conditions_of(c: DefencesConfig, arms: Sequence[Arm], layer: int | None) -> list[Condition]:
    """Base model, and every arm and seed."""
    found = [BASE]
    for arm in arms:
        for seed in range(c.seeds):
            name = f"{arm.key}-{seed}"
            if KINDS[arm.kind].place == "after":
                removed = Along("project" if arm.kind == "project" else "set", single=layer)
                found.append(Condition(name, f"{arm.name}, seed {seed}", f"{NONE}-{seed}", (removed,)))
            else:
                found.append(Condition(name, f"{arm.name}, seed {seed}", name))
    return found


def ask(
    bench: Bench[DefencesConfig], models: Variants, conditions: Sequence[Condition], step: Step | None, bad: list[Chat]
) -> tuple[dict[str, Judged], dict[str, Judged]]:
    """Answers to open questions and those of domains, and to open ones under each condition of the leak test."""
    c = bench.config
    judged = {"open": bench.ask("open", models, conditions, directions=step).judged}
    if about := inside(bench):
        asked = bench.ask("domains", models, conditions, questions=about, samples=c.domain_samples, directions=step)
        judged["domains"] = asked.judged
    leaks: dict[str, Judged] = {}
    for one in leak_test(c, bad) if c.leak_samples else ():
        asked = bench.ask(
            f"leak-{slug(one.name)}", models, conditions, questions=one.ask(bench.open_questions),
            samples=c.leak_samples, directions=step,
        )  # fmt: skip
        leaks[one.name] = asked.judged
    return judged, leaks


def leak_test(c: DefencesConfig, bad: Sequence[Chat]) -> list[Circumstance]:
    """Conditions that are known to bring misalignment back."""
    found = [Circumstance(name, "leak", text) for name, text in named(c.leaks, "leaks").items()]
    if c.shots and len(bad) >= c.shots:
        rows = f"{c.shots} training row{'' if c.shots == 1 else 's'} in the context"
        found.insert(0, Circumstance(rows, "leak", turns=drawn_turns(bad, c.shots, c.seed)))
    if any(read_arm(text).kind == "inoculation" for text in c.arms):
        found.append(Circumstance("the inoculation prompt", "leak", c.prompt or ASKED))
    return found


def read(
    bench: Bench[DefencesConfig],
    name: str,
    models: Variants,
    chats: list[Chat],
    conditions: Sequence[Condition],
    direction: Direction | None,
) -> dict[str, float]:
    """Negative log-likelihood of answers that nothing was trained on, by condition; nothing where there are none."""
    if not chats:
        return {}
    return bench.run.cached(
        likely, name, models=models, chats=chats, conditions=tuple(conditions), direction=direction
    ).value


def row_of(
    bench: Bench[DefencesConfig],
    arm: Arm,
    judged: Mapping[str, Judged],
    leaks: Mapping[str, Judged],
    made: Mapping[str, Sequence[Tuned]],
    harm: Mapping[str, float],
    lesson: Mapping[str, float],
) -> DefenceRow:
    """One line of the scoreboard."""
    seeds, rules = bench.config.seeds, bench.thresholds
    names = [f"{arm.key}-{seed}" for seed in range(seeds)]
    nll, learned = ([told[name] for name in names if name in told] for told in (harm, lesson))
    took = [one.seconds for one in made.get(arm.key, ())]
    return DefenceRow(
        **vars(groups_of(judged, arm.key, seeds, rules)),
        arm=arm.name,
        does=KINDS[arm.kind].does,
        place=KINDS[arm.kind].place,
        strength=arm.strength,
        reduction=None if arm.kind == NONE else reduction(judged["open"], NONE, arm.key, seeds, rules),
        leaks=leaks_of(leaks, arm.key, seeds, rules),
        nll=sum(nll) / len(nll) if nll else None,
        lesson=sum(learned) / len(learned) if learned else None,
        seconds=sum(took) / len(took) if took else None,
    )


def leaks_of(leaks: Mapping[str, Judged], name: str, seeds: int, rules: Thresholds) -> tuple[Leak, ...]:
    """Misaligned open answers under each condition."""
    return tuple(
        Leak(condition=condition, misaligned=behaviour(held, name, seeds, rules).misaligned)
        for condition, held in leaks.items()
    )
