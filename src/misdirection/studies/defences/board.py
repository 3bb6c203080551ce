"""The answers of every arm, and the lines of the scoreboard that they come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from misdirection.directions import Direction
from misdirection.naming import slug
from misdirection.questions import Question
from misdirection.store import Cached
from misdirection.studies.defences.arms import KINDS, NONE, DefenceArm
from misdirection.studies.defences.damage import Harm, damage, over_texts, perplexity
from misdirection.studies.defences.leaks import leak_test, leaks_of
from misdirection.studies.defences.results import DefenceRow
from misdirection.studies.defences.tuning import likely
from misdirection.studies.defences.workshop import MIXED, PLAIN, Fits, Workshop
from misdirection.studies.kit.caps import Caps, cap_thresholds
from misdirection.studies.kit.conditions import BASE, REMOVALS, Condition, Operation, removal
from misdirection.studies.kit.costs import Cost
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.over_seeds import groups_of, reduction
from misdirection.studies.kit.variants import Variants

SHELF = "answers"
"""Folder of the run in which the answers of each arm are shown."""
OPERATIONS: Mapping[str, Operation] = {one: one for one in REMOVALS}
"""What removals do, by the kind of arm."""
CAPPED = 4
"""Answers of the base a question that are read for the thresholds of a cap, as the audit reads by default."""


@dataclass
class Answers:
    """What was said, of all arms that were asked so far, and what good answers elsewhere are to them.

    Attributes:
        groups: By group of questions, "open" and "domains".
        leaks: To the open questions, by condition of the leak test.
        harm: Text by text.
        lesson: Mean negative log-likelihood of held-out bad answers, by condition.
    """

    groups: dict[str, Judged] = field(default_factory=dict[str, Judged])
    leaks: dict[str, Judged] = field(default_factory=dict[str, Judged])
    harm: list[Harm] = field(default_factory=list[Harm])
    lesson: dict[str, float] = field(default_factory=dict[str, float])


def ask_all(shop: Workshop, arms: Sequence[DefenceArm], made: Fits, direction: Cached[Direction] | None) -> Answers:
    """Base and arms, each arm by itself: one more arm asks nothing of the others again, and a kill loses one alone."""
    found, base = Answers(), shop.bench.variants({})
    ask_one(shop, found, "base", [BASE], base, None)
    for arm in arms:
        fits = made[PLAIN.key if KINDS[arm.kind].place == "after" else arm.key]
        caps = caps_of(shop, arm, base, found, direction) if arm.kind == "cap" else None
        conditions = conditions_of(arm, len(fits), shop.layer, caps)
        folders = {one.variant: fit.path / "tuned" for one, fit in zip(conditions, fits, strict=True)}
        models = replace(shop.bench.variants(folders), resident=base.resident)
        ask_one(shop, found, arm.key, conditions, models, direction if KINDS[arm.kind].place == "after" else None)
    return found


def ask_one(
    shop: Workshop,
    found: Answers,
    name: str,
    conditions: Sequence[Condition],
    models: Variants,
    direction: Cached[Direction] | None,
) -> None:
    """The fine-tunes of one arm: open questions, those of domains, the leak test, and the damage elsewhere."""
    bench, c = shop.bench, shop.bench.config

    def ask(group: str, questions: Sequence[Question], samples: int) -> Judged:
        asked = bench.ask(f"{group}-{name}", models, conditions, questions=questions, samples=samples,
                          directions=direction, shelf=SHELF)  # fmt: skip
        return asked.judged

    added = {"open": ask("open", bench.open_questions, c.samples)}
    if about := bench.domain_questions:
        added["domains"] = ask("domains", about, c.domain_samples)
    leaks = {
        one.name: ask(f"leak-{slug(one.name)}", one.ask(bench.open_questions), c.leak_samples)
        for one in (leak_test(c, shop.data.bad) if c.leak_samples else ())
    }
    for held, more in ((found.groups, added), (found.leaks, leaks)):
        for group, judged in more.items():
            before = held.get(group, Judged([], []))
            held[group] = Judged([*before.answers, *judged.answers], [*before.verdicts, *judged.verdicts])
    if shop.data.kept:
        read = bench.run.cached(
            damage, f"damage-{name}", models=models, conditions=conditions, chats=shop.data.kept,
            direction=direction,
        )  # fmt: skip
        found.harm += read.value
    if shop.data.lesson:
        found.lesson |= bench.run.cached(
            likely, f"lesson-{name}", models=models, chats=shop.data.lesson, conditions=tuple(conditions),
            direction=direction,
        ).value  # fmt: skip


def caps_of(
    shop: Workshop, arm: DefenceArm, base: Variants, found: Answers, direction: Cached[Direction] | None
) -> Caps:
    """Thresholds of a cap: a quantile of the base model's own answers to open questions, along the one direction."""
    bench, questions = shop.bench, shop.bench.open_questions
    assert shop.layer is not None
    assert arm.strength is not None
    return bench.run.cached(
        cap_thresholds, "caps", models=base, answers=found.groups["open"].arm(BASE.name).answers,
        questions=[question.id for question in questions], direction=direction, singles=(shop.layer,), random_seeds=(),
        quantile=arm.strength, most=CAPPED,
    ).value  # fmt: skip


def conditions_of(arm: DefenceArm, seeds: int, layer: int | None, caps: Caps | None = None) -> list[Condition]:
    """An arm's fine-tunes; a removal acts on the undefended ones, and a cap at its thresholds."""
    found: list[Condition] = []
    for seed in range(seeds):
        name, label = f"{arm.key}-{seed}", f"{arm.name}, seed {seed}"
        if KINDS[arm.kind].place == "after":
            removed = removal(OPERATIONS[arm.kind], caps, single=layer)
            found.append(Condition(name, label, f"{NONE}-{seed}", (removed,)))
        else:
            found.append(Condition(name, label, name))
    return found


def rows_of(
    shop: Workshop, arms: Sequence[DefenceArm], asked: Answers, made: Fits, before: Mapping[str, Cost]
) -> tuple[DefenceRow, ...]:
    """Every arm's line: those on the bad data, then those on the mixed data.

    Args:
        shop: The run and what was made.
        arms: "none" first.
        asked: What they said.
        made: Their fine-tunes.
        before: What is paid before a fine-tune, by arm: scores of rows.
    """
    apart = MIXED in arms
    rows = [row_of(shop, arm, asked, made, before.get(arm.key), apart and (arm == MIXED or bool(arm.drops)))
            for arm in arms]  # fmt: skip
    return tuple(sorted(rows, key=lambda row: row.mixed))


def row_of(shop: Workshop, arm: DefenceArm, asked: Answers, made: Fits, before: Cost | None, mixed: bool) -> DefenceRow:
    """One line of the scoreboard."""
    seeds, rules = shop.bench.config.seeds, shop.bench.thresholds
    names = [f"{arm.key}-{seed}" for seed in range(seeds)]
    costs = [(before or Cost()).then(one.value.cost) for one in made.get(arm.key, ())]
    learned = [asked.lesson[name] for name in names if name in asked.lesson]
    against = MIXED if mixed else PLAIN
    return DefenceRow(
        **vars(groups_of(asked.groups, arm.key, seeds, rules)),
        arm=arm.name,
        does=KINDS[arm.kind].does,
        place=KINDS[arm.kind].place,
        strength=arm.strength,
        mixed=mixed,
        reduction=None if arm.kind == NONE else reduction(asked.groups["open"], against.key, arm.key, seeds, rules),
        leaks=leaks_of(asked.groups["open"], asked.leaks, arm.key, seeds, rules),
        perplexity=perplexity(over_texts(asked.harm, names, "nll")),
        divergence=over_texts(asked.harm, names, "kl"),
        seconds=sum(one.seconds for one in costs) / len(costs) if costs else None,
        megabytes=min(one.megabytes for one in costs) if costs else None,
        lesson=sum(learned) / len(learned) if learned and not mixed else None,
    )
