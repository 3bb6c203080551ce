"""Which defence prevents or undoes emergent misalignment, at what cost, and does it last?

Method (the comparison of 2508.06249, with the leak test of 2604.25891):

1. For every seed a model is fine-tuned on the bad data without a defence. The first one's answers give the direction,
   and examples of the misalignment.
2. For every arm and seed it is fine-tuned again with the defence, for as many steps; repairs change the weights of the
   undefended fine-tunes, and removals act on them while they run.
3. Screening cannot work where all rows are bad. Its arms, and an undefended one of their own, learn mixed data where
   such are named: each drops the share of rows that it finds worst, and trains as many steps on the rest.
4. All answer the open questions (EM) and those of the data's domains (the narrow skill: as bad answers on the bad data,
   as good ones on the mixed), with shared random numbers. Where no question set asks about the domain, rows of the bad
   data are held out, and how likely their answers became tells the narrow skill. Good answers elsewhere are read for
   damage: perplexity, and KL from the base.
5. The leak test: the open questions again behind rows of the training data, and under system prompts, as differences in
   differences against the base.
6. Rates, reductions against no defence on the same data, and differences, over questions and seeds together.
"""

from __future__ import annotations

from pathlib import Path

from misdirection.chats import Chat
from misdirection.store import Cached
from misdirection.studies.defences.arms import KINDS, DefenceArm, possible, read_arm
from misdirection.studies.defences.board import Answers, ask_all, rows_of
from misdirection.studies.defences.damage import over_texts, perplexity
from misdirection.studies.defences.leaks import leaks_of
from misdirection.studies.defences.making import Materials
from misdirection.studies.defences.paper import PAPER
from misdirection.studies.defences.results import DefenceRow, Defences
from misdirection.studies.defences.settings import DefencesConfig
from misdirection.studies.defences.table import write_table
from misdirection.studies.defences.tuning import Tuned
from misdirection.studies.defences.verdict import verdict
from misdirection.studies.defences.workshop import MIXED, PLAIN, Workshop, data_of
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.costs import Cost
from misdirection.studies.kit.lens import open_lens
from misdirection.studies.kit.over_seeds import behaviour
from misdirection.training.defences import ASKED, IRRELEVANT


def defences(config: DefencesConfig, out: str | Path, command: str = "") -> Path:
    """Run (or resume) the study in the folder `out`; gives the path of the report.

    Leaves `scoreboard.csv` beside the report: a line an arm.

    Raises:
        MisdirectionError: Bad input; what was done so far is kept.
    """
    with Bench[DefencesConfig].open(out, config, command) as bench:
        c = bench.config
        if c.dictionary:
            # One that does not fit is refused before anything is trained.
            open_lens(c, c.dictionary)
        data = data_of(bench)
        prompts = {"inoculation": c.prompt or ASKED, "irrelevant": c.irrelevant_prompt or IRRELEVANT}
        shop = Workshop(bench, data, Materials(data.good, prompts=prompts))
        made = {PLAIN.key: shop.undefended()}
        arms = [arm for text in c.arms if possible(arm := read_arm(text), shop.held)]
        before = train(shop, arms, made)
        made |= shop.repaired([arm for arm in arms if KINDS[arm.kind].place == "weights"], made[PLAIN.key])
        shop.models.resident.clear()
        mixed = (MIXED,) if MIXED.key in made else ()
        done = [arm for arm in arms if arm.key in made or KINDS[arm.kind].place == "after"]
        every = (PLAIN, *mixed, *done)
        asked = ask_all(shop, every, made, shop.direction)
        found = board(shop, asked, rows_of(shop, every, asked, made, before)).with_front()
        write_table(bench.run.path / "scoreboard.csv", found)
        return bench.report("defences", "Defences", verdict(found), {"defences": found, "notes": shop.notes})


def train(shop: Workshop, arms: list[DefenceArm], made: dict[str, list[Cached[Tuned]]]) -> dict[str, Cost]:
    """Fine-tune all arms that act before or while training; gives what is paid before each."""
    c, wanted, before = shop.bench.config, dict[DefenceArm, list[list[Chat]]](), dict[str, Cost]()
    for arm in arms:
        if arm.drops:
            wanted[arm], step = shop.rows_left(arm)
            before[arm.key] = step.value.cost
        elif KINDS[arm.kind].place in ("training", "data"):
            wanted[arm] = [shop.data.bad] * c.seeds
    if c.mixed and any(arm.drops for arm in arms):
        wanted[MIXED] = [shop.data.mixed] * c.seeds
    made |= shop.tuned(wanted)
    return before


def board(shop: Workshop, asked: Answers, rows: tuple[DefenceRow, ...]) -> Defences:
    """The scoreboard."""
    c, rules, opened = shop.bench.config, shop.bench.thresholds, asked.groups["open"]
    inside = asked.groups.get("domains")
    return Defences(
        base_open=behaviour(opened, "base", 0, rules),
        base_domains=behaviour(inside, "base", 0, rules) if inside else None,
        base_leaks=leaks_of(opened, asked.leaks, "base", 0, rules),
        base_perplexity=perplexity(over_texts(asked.harm, ["base"], "nll")),
        rows=rows,
        seeds=c.seeds,
        steps=c.steps,
        layer=shop.layer,
        data=c.data,
        mixed_data=c.mixed,
        paper=PAPER,
        base_lesson=asked.lesson.get("base"),
    )
