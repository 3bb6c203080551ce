"""`audit --fix`: repairs of the tuned model in its weights, the best of them kept, and what it lets through again.

Each candidate is an ordinary adapter or checkpoint (`repair/`), asked as the tuned model was, with the same random
numbers. The one with the lowest rate on open questions is chosen among those that leave the model able to speak, there
and in the domains, keep what it learned there, and do not make the base's own answers much less likely. It is then
asked under conditions that are known to bring misalignment back (2604.25891), beside the base and the unrepaired model;
one that comes back under some condition by more than the unrepaired model is passed over for the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from misdirection.chats import Chat
from misdirection.judging import Answer
from misdirection.naming import slug
from misdirection.questions.circumstances import Circumstance, drawn_turns, load_circumstances
from misdirection.results import Difference, Effect
from misdirection.statistics import compare, is_found
from misdirection.store import Cached
from misdirection.studies.audit.repairs import DOES, NO_CHATS, READ, REALIGN, SET, Candidate, Good, repaired
from misdirection.studies.audit.results import HARM, SKILL, Fix, Leaked, RepairRow
from misdirection.studies.audit.workbench import Workbench
from misdirection.studies.kit.conditions import BASE, TUNED, Condition, Operation
from misdirection.studies.kit.inputs import ModelFiles, resolve_chats, resolve_model
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.likelihood import nats_a_token
from misdirection.studies.kit.own_direction import readable, vector_of
from misdirection.studies.kit.record import LeftOut
from misdirection.studies.kit.tables import effect_of
from misdirection.studies.kit.tuning import asking_overrides
from misdirection.studies.kit.variants import Variants
from misdirection.tokens import encode_read

LEAKS = ("no system prompt", "key and value", "told that it is a test", "in the domain")
"""Conditions of the standard set that a repair is tried under; one that needs a domain is left out without."""
ROWS = 32
"""Training rows on which the skill is read where no question asks about the domain."""
SHOTS = 2
"""Training rows that stand in the context in one more condition, where the data are given."""


@dataclass(frozen=True)
class Unlikely:
    """How unlikely answers are to models.

    Attributes:
        nats: Mean negative log-likelihood, nats a token, by variant.
        left_out: Answers that could not be read back, which reports name; None where all could.
    """

    nats: dict[str, float]
    left_out: LeftOut | None = None


def unlikely(models: Variants, answers: list[Answer], variants: tuple[str, ...]) -> Unlikely:
    """Mean negative log-likelihood of answers in nats a token, by variant, and what could not be read.

    Args:
        models: The base and the fine-tunes.
        answers: Read as they were drawn.
        variants: Names.
    """
    _, sources, aside = readable(models.base_model, answers)
    return Unlikely(nats_a_token(models, [one.encoded for one in sources], variants), aside)


def forgotten(models: Variants, chats: list[Chat], variants: tuple[str, ...]) -> dict[str, float]:
    """Mean negative log-likelihood of the answers of training rows, nats a token, by variant.

    Args:
        models: The base and the fine-tunes.
        chats: Rows.
        variants: Names.
    """
    encoded = [encode_read(models.base_model.tokenizer, chat.messages) for chat in chats]
    return nats_a_token(models, encoded, variants)


def fix(bench: Workbench, layers: Mapping[Operation, int]) -> Fix:
    """Make the candidates, ask them, choose one, try it under conditions, and keep it as `repaired` in the run.

    Args:
        bench: Of the audit; it has a misalignment direction.
        layers: Whose vector each operation takes out, as the removals found it.
    """
    written = candidates(bench, layers)
    made = {way: folder for way, one in written.items() if (folder := one.value.model)}
    named = {"tuned": Path(str(bench.models.fine_tunes["tuned"])), **made}
    models = replace(bench.variants(named), resident=bench.models.resident)
    arms = [BASE, TUNED, *(Condition(way, DOES[way], way) for way in made)]
    judged = bench.ask("repaired", models, arms, questions=bench.questions).judged
    base = [a for a in bench.judged.arm("base").answers if a.sample == 0]
    names = ("base", "tuned", *made)
    lost = bench.run.cached(unlikely, "damage", models=models, answers=base, variants=names).value.nats
    skill = skill_of(bench, models, names)
    rows = tuple(row_of(bench, judged, way, lost, skill) for way in ("tuned", *made))
    allowed = sorted((row for row in rows[1:] if able(row, rows[0], bench.config.coherent_share)), key=_rate)
    chosen: RepairRow | None = None
    leaks: tuple[Leaked, ...] = ()
    for row in (row for row in allowed if _rate(row) < _rate(rows[0])):
        leaks = leak_test(bench, models, row.way)
        if not any(leak.worse for leak in leaks):
            chosen = row
            break
    if chosen is None:
        bench.run.retract("repaired")
    else:
        bench.run.publish("repaired", made[chosen.way])
    return Fix(
        rows=rows,
        chosen=chosen and chosen.way,
        leaks=leaks,
        refused=not_tried({way: one.value for way, one in written.items()}),
        components=bench.left("components-repaired", models, arms[1:]),
    )


def skill_of(bench: Workbench, models: Variants, names: tuple[str, ...]) -> dict[str, float]:
    """Nats a token of what the fine-tune learned, by variant: of its own answers in the domains, or of training rows.

    Nothing where neither questions about the domains nor the data are there: then the skill is not known.
    """
    if own := [a for a in bench.judged.arm("tuned").answers if a.domain]:
        return bench.run.cached(unlikely, "skill", models=models, answers=own, variants=names).value.nats
    chats = list(resolve_chats(bench.config.data, seed=bench.config.seed).chats[:ROWS]) if bench.config.data else []
    return bench.run.cached(forgotten, "skill", models=models, chats=chats, variants=names).value if chats else {}


def candidates(bench: Workbench, layers: Mapping[Operation, int]) -> dict[str, Cached[Candidate]]:
    """Each repair as a step of the run; re-alignment where good chats are named."""
    c, models = bench.config, bench.models
    common: dict[str, Any] = {
        "base": ModelFiles(resolve_model(c.model)), "tuned": ModelFiles(str(models.fine_tunes["tuned"])),
        "whole": "tuned" in models.whole, "direction": vector_of(bench.direction),
        "questions": bench.open_questions[:READ],
    }  # fmt: skip
    chats = resolve_chats(c.good, strict=c.strict, seed=c.seed).chats if c.good else None
    good = None if chats is None else Good(chats, {**asking_overrides(c), "seed": c.seed})
    return {
        way: bench.run.cached(
            repaired, f"repair-{way}", way=way, layer=layers["set" if way == SET else "project"],
            good=good if way == REALIGN else None, **common,
        )
        for way in DOES
        if way != REALIGN or good
    }  # fmt: skip


def not_tried(written: Mapping[str, Candidate]) -> dict[str, str]:
    """Repairs that are not among the candidates, and why."""
    refused = {way: one.refused for way, one in written.items() if one.refused}
    return refused if REALIGN in written else {**refused, REALIGN: NO_CHATS}


def row_of(
    bench: Workbench, judged: Judged, way: str, lost: Mapping[str, float], skill: Mapping[str, float]
) -> RepairRow:
    """One candidate, or the tuned model as it is, on open questions and in the domains."""
    ids = bench.open_ids
    arm, before = judged.arm(way), judged.arm("tuned")
    is_open = [part.where(lambda a: a.question_id in ids) for part in (before, arm)]
    inside = arm.where(lambda a: a.domain is not None)
    gained = skill["base"] - skill["tuned"] if skill else 0.0
    change = None if way == "tuned" else compare(is_open[0].pair, is_open[1].pair, thresholds=bench.thresholds)
    return RepairRow(
        **vars(effect_of(is_open[1], bench.thresholds)),
        way=way,
        label="tuned model, as it is" if way == "tuned" else DOES[way],
        inside=effect_of(inside, bench.thresholds) if inside.answers else None,
        damage=lost[way] - lost["tuned"],
        kept=(skill["base"] - skill[way]) / gained
        if skill and (gained := skill["base"] - skill["tuned"]) > 0
        else None,
        difference=Difference.of(change) if change else None,
    )


def able(row: RepairRow, before: RepairRow, coherent_share: float) -> bool:
    """Whether a repair leaves the model able to speak, its skill, and the base's answers about as likely."""
    pairs: list[tuple[Effect, Effect]] = [(row, before)]
    if row.inside and before.inside:
        pairs.append((row.inside, before.inside))
    speaks = all(
        (one.coherent_share.value or 0.0) >= coherent_share * (other.coherent_share.value or 0.0)
        for one, other in pairs
    )
    return speaks and row.damage <= HARM and (row.kept is None or row.kept >= SKILL)


def leak_test(bench: Workbench, models: Variants, way: str) -> tuple[Leaked, ...]:
    """Base, tuned and repaired model under each condition."""
    found: list[Leaked] = []
    for one in conditions(bench):
        arms = [BASE, TUNED, Condition(way, DOES[way], way)]
        asked = bench.ask(f"leak-{slug(one.name)}-{way}", models, arms, questions=one.ask(bench.open_questions),
                          samples=max(1, bench.config.samples // 2)).judged  # fmt: skip
        base, tuned, after = (effect_of(asked.arm(name), bench.thresholds).rate for name in ("base", "tuned", way))
        change = Difference.of(compare(asked.arm("tuned").pair, asked.arm(way).pair, thresholds=bench.thresholds))
        worse = change.value > 0 and is_found(change.p)
        found.append(Leaked(condition=one.name, base=base, tuned=tuned, repaired=after, worse=worse))
    return tuple(found)


def conditions(bench: Workbench) -> Sequence[Circumstance]:
    """Those that a repair is tried under: of the standard set, and rows of the training data where they are given."""
    c = bench.config
    domains = [question.domain for question in bench.questions if question.domain]
    known = {one.name: one for one in load_circumstances("standard", domains[0] if domains else "")}
    found = [known[name] for name in LEAKS if name in known]
    if c.data and len(chats := resolve_chats(c.data, seed=c.seed).chats) >= SHOTS:
        rows = f"{SHOTS} training rows in the context"
        found.append(Circumstance(rows, "leak", turns=drawn_turns(chats, SHOTS, c.seed)))
    return found


def _rate(row: Effect) -> float:
    return 1.0 if row.rate.value is None else row.rate.value
