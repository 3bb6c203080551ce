"""From verdicts and cosines to the rows of the findings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from misdirection.results import RateRow
from misdirection.separation import Concept, pair_test
from misdirection.separation.closeness import Numbers
from misdirection.separation.crosstalk import AS_IT_IS
from misdirection.statistics import Thresholds
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.tables import effect_of
from misdirection.studies.kit.variants import BASE_VARIANT
from misdirection.studies.separation.measures import TABLES, Space
from misdirection.studies.separation.results import CrossRow, PairRow, Separation, TestRow

LATENTS, CROSSTALK = "latents", "crosstalk"


def table_of(space: Space, layer: int, name: str) -> tuple[tuple[float, ...], ...]:
    """Cosines of every two concepts at a layer."""
    return tuple(tuple(map(float, row)) for row in space.tables[layer, TABLES.index(name)])


def of_concept(judged: Judged, arm: str, concept: str) -> Judged:
    """Answers of an arm to the questions of one concept."""
    return judged.where(lambda answer: answer.arm == arm and answer.question_id.partition("/")[0] == concept)


def asked_about(judged: Judged, concepts: Sequence[Concept]) -> list[str]:
    """The concepts that have questions, in their order."""
    there = {answer.question_id.partition("/")[0] for answer in judged.answers}
    return [one.name for one in concepts if one.name in there]


def cross_rows(steered: Judged, concepts: Sequence[Concept], rules: Thresholds) -> tuple[CrossRow, ...]:
    """A row a direction and concept that was asked about."""
    found: list[CrossRow] = []
    for arm in dict.fromkeys(answer.arm for answer in steered.answers):
        for concept in asked_about(steered, concepts):
            effect = effect_of(of_concept(steered, arm, concept), rules)
            coherent = effect.coherent_share.value or 0.0
            found.append(CrossRow(added=arm, concept=concept, rate=effect.rate, coherent=coherent))
    return tuple(found)


def pair_rows(
    judged: Judged,
    space: Space,
    layer: int,
    fine_tunes: Sequence[str],
    concepts: Sequence[Concept],
    latents: Numbers | None,
    cross: Sequence[CrossRow],
    rules: Thresholds,
) -> tuple[tuple[PairRow, ...], tuple[PairRow, ...]]:
    """A row a fine-tune and other concept whose answers could be judged, and one a fine-tune on its own concept.

    Args:
        judged: Answers of the base and of all fine-tunes.
        space: Of the base.
        layer: Where cosines are taken.
        fine_tunes: By the concept that each is on.
        concepts: All of them.
        latents: Shares of latents in common.
        cross: Rates under directions that were added.
        rules: When an answer is misaligned.
    """
    names = [one.name for one in concepts]
    rates = {(row.added, row.concept): row.rate.value for row in cross}
    found: list[PairRow] = []
    for trained in fine_tunes:
        for concept in asked_about(judged, concepts):
            base, tuned = (effect_of(of_concept(judged, arm, concept), rules).rate for arm in (BASE_VARIANT, trained))
            if math.isnan(change := _change(base, tuned)):
                continue
            i, j = names.index(trained), names.index(concept)
            talk = _gap(rates, trained, concept)
            found.append(
                PairRow(
                    trained=trained,
                    concept=concept,
                    base=base,
                    tuned=tuned,
                    spill=change,
                    **{name: float(space.tables[layer, place, i, j]) for place, name in enumerate(TABLES)},
                    latents=None if latents is None else float(latents[i, j]),
                    crosstalk=None if math.isnan(talk) else talk,
                )
            )
    return tuple(r for r in found if r.trained != r.concept), tuple(r for r in found if r.trained == r.concept)


def _change(base: RateRow, tuned: RateRow) -> float:
    """NaN where one is not known, or where the judge could tell so few answers that a rate is no figure."""
    if base.value is None or tuned.value is None or base.bounded or tuned.bounded:
        return math.nan
    return tuned.value - base.value


def others_of(latents: Numbers | None, cross: Sequence[CrossRow], concepts: Sequence[Concept]) -> Mapping[str, Numbers]:
    """Tables of closeness that are no cosines, by measure: latents in common, and causal cross-talk.

    The latter, [a, b], is the change of the rate of b when the direction of a is added; there is none unless all
    concepts were asked about.
    """
    found: dict[str, Numbers] = {} if latents is None else {LATENTS: latents}
    rates = {(row.added, row.concept): row.rate.value for row in cross}
    table = [[_gap(rates, a.name, b.name) for b in concepts] for a in concepts]
    if cross and not np.isnan(table).any():
        found[CROSSTALK] = np.array(table)
    return found


def _gap(rates: Mapping[tuple[str, str], float | None], added: str, concept: str) -> float:
    before, after = rates.get((AS_IT_IS, concept)), rates.get((added, concept))
    return math.nan if before is None or after is None else after - before


def test_rows(
    pairs: Sequence[PairRow],
    space: Space,
    concepts: Sequence[Concept],
    layer: int,
    others: Mapping[str, Numbers],
    seed: int,
) -> tuple[TestRow, ...]:
    """A row a measure and layer; p at the study's layer alone, so that no layer is chosen by it."""
    names = [one.name for one in concepts]
    trained = list(dict.fromkeys(row.trained for row in pairs))
    spill = np.full((len(trained), len(names)), math.nan)
    for row in pairs:
        spill[trained.index(row.trained), names.index(row.concept)] = row.spill
    places = [names.index(name) for name in trained]
    found = [
        _row(measure, at, at == layer, space.tables[at, number].numpy(), spill, places, seed)
        for number, measure in enumerate(TABLES)
        for at in range(len(space.tables))
    ]
    return (*found, *(_row(name, layer, True, table, spill, places, seed) for name, table in others.items()))


def _row(
    measure: str, layer: int, tested: bool, table: Numbers, spill: Numbers, places: Sequence[int], seed: int
) -> TestRow:
    test = pair_test(table, spill, places, seed=seed)
    return TestRow(
        measure=measure,
        layer=layer,
        rho=None if math.isnan(test.rho) else test.rho,
        p=test.p if tested and not math.isnan(test.p) else None,
        pairs=test.pairs,
    )


def notes(found: Separation, steered: bool) -> list[str]:
    """What a reader should know, in a sentence each."""
    told = [f"{found.unread} chats could not be read and stand out of the means."] if found.unread else []
    silent = [name for name in found.concepts if name not in {row.concept for row in (*found.pairs, *found.own)}]
    if silent:
        told.append(
            f"Nothing is known of the spill to {', '.join(silent)}: no questions were asked about it, or the judge "
            "could not tell its answers."
        )
    if not steered:
        told.append("Nothing was added (--norm 0), so causal cross-talk was not asked.")
    return told
