"""The direction of one fine-tune removed from another, for every pair, beside what removing other things does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast, get_args

from misdirection import progress
from misdirection.directions import Direction
from misdirection.directions.layers import spread_layers
from misdirection.results import PairedChange, RateRow
from misdirection.statistics import Thresholds, benjamini_hochberg, compare
from misdirection.statistics.rates import share
from misdirection.store import Cached
from misdirection.studies.convergence.grid import Member, relation
from misdirection.studies.convergence.results import (
    How,
    Operation,
    PooledRemoval,
    Relation,
    RemovalEffect,
    RemovalRow,
    Removals,
    Removing,
    Whose,
)
from misdirection.studies.convergence.settings import ConvergenceConfig
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import Along, Condition
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.variants import Variants

RESAMPLES = 2_000
"""Of the bootstrap of each of the hundreds of comparisons; the pooled ones have 10,000."""


def untreated(member: Member) -> Condition:
    """A fine-tune as it is."""
    return Condition(member.name, member.name, member.name)


def single(source: str, target: str, operation: Removing, layer: int) -> Condition:
    """One layer's direction of `source` removed from every layer of `target` (2506.11618 section 3.4)."""
    return Condition(
        f"{operation}-{layer} {source} from {target}", f"{operation}: layer {layer} of {source}, at every layer",
        target, (Along(operation, single=layer, source=source),),
    )  # fmt: skip


def choose_layers(
    bench: Bench[ConvergenceConfig], models: Variants, directions: Mapping[str, Cached[Direction]]
) -> dict[Removing, int]:
    """For each operation the layer whose direction, removed everywhere from its own model, leaves the least harm.

    One layer for all models, as in the paper, on random numbers that nothing else is measured on: the share of answers
    that are coherent and not misaligned, over all models together.
    """
    c = bench.config
    operations = cast(tuple[Removing, ...], c.operations)
    if c.layer is not None:
        return dict.fromkeys(operations, c.layer)
    layers = c.layers or spread_layers(bench.n_layers)
    arms = {
        (operation, layer): [single(name, name, operation, layer) for name in directions]
        for operation in operations
        for layer in layers
    }
    everything = [arm for some in arms.values() for arm in some]
    swept = bench.ask("layers", models, everything, samples=c.sweep_samples, stream=1, directions=directions).judged
    worth = {key: _harmless(swept, some, bench.thresholds) for key, some in arms.items()}
    return {operation: max(layers, key=lambda layer, o=operation: worth[o, layer]) for operation in operations}


def _harmless(swept: Judged, arms: Sequence[Condition], rules: Thresholds) -> int:
    names = {arm.name for arm in arms}
    verdicts = swept.where(lambda a: a.arm in names).verdicts
    return sum(map(rules.coherent, verdicts)) - sum(map(rules.misaligned, verdicts))


def removals(
    config: ConvergenceConfig, target: Member, sources: Iterable[str], layers: Mapping[Removing, int]
) -> dict[How, list[Condition]]:
    """What is removed from one fine-tune, by how: every source's direction, its own in other ways, and controls."""
    names = list(sources)
    arms: dict[How, list[Condition]] = {
        "single": [single(name, target.name, o, layer) for name in names for o, layer in layers.items()]
    }
    if target.name in names:
        arms["layer-wise"] = [
            Condition(f"{o} own of {target.name}", f"{o}: each layer's own", target.name,
                      (Along(o, source=target.name),))
            for o in layers
        ]  # fmt: skip
        arms["one layer"] = [
            Condition(f"{o} at {layer} of {target.name}", f"{o}: its own, at layer {layer} alone", target.name,
                      (Along(o, (layer,), source=target.name),))
            for o, layer in layers.items()
        ]  # fmt: skip
        arms["random"] = [
            Condition(f"{o} random {seed} from {target.name}", f"{o}: random direction {seed}", target.name,
                      (Along(o, single=layer, random_seed=seed, source=target.name),), control=True)
            for o, layer in layers.items()
            for seed in range(1, config.random_seeds + 1)
        ]  # fmt: skip
        arms["no-op"] = [
            Condition(f"no-op of {target.name}", "no-op: hooks in place, coefficient 0", target.name,
                      (Along("steer", coefficient=0.0, source=target.name),), control=True)
        ]  # fmt: skip
    return arms


def measure(
    bench: Bench[ConvergenceConfig], models: Variants, grid: Sequence[Member],
    directions: Mapping[str, Cached[Direction]], layers: Mapping[Removing, int],
) -> dict[str, Asked]:  # fmt: skip
    """Every removal from every fine-tune, a step a target, so that a kill loses one of them at most."""
    measured: dict[str, Asked] = {}
    for target in grid:
        arms = [arm for some in removals(bench.config, target, directions, layers).values() for arm in some]
        measured[target.name] = bench.ask(
            f"transfer-{target.name}", models, [untreated(target), *arms], samples=bench.config.transfer_samples,
            stream=2, directions=directions,
        )  # fmt: skip
    return measured


@dataclass(frozen=True)
class Treated:
    """An arm in which something is removed from a fine-tune, and how."""

    how: How
    arm: Condition
    target: Member


def compare_removals(
    bench: Bench[ConvergenceConfig], grid: Sequence[Member], directions: Mapping[str, Cached[Direction]],
    layers: Mapping[Removing, int], measured: Mapping[str, Asked],
) -> Removals:  # fmt: skip
    """Before and after for every removal, and pooled."""
    treated = [
        Treated(how, arm, target)
        for target in grid
        for how, some in removals(bench.config, target, directions, layers).items()
        for arm in some
    ]
    judged = {name: asked.kept for name, asked in measured.items()}
    return bench.run.cached(
        removed, "removals", grid=grid, treated=treated, judged=judged, rules=bench.thresholds
    ).value


def removed(
    grid: Sequence[Member], treated: Sequence[Treated], judged: Mapping[str, Judged], rules: Thresholds
) -> Removals:
    """What every removal changes, beside the fine-tune as it is; `judged` by target."""
    sides = [
        (judged[one.target.name].arm(one.target.name), judged[one.target.name].arm(one.arm.name)) for one in treated
    ]
    with progress.task("comparing", len(treated), "removals") as advance:
        changes: list[RemovalEffect] = []
        for before, after in sides:
            changes.append(change_of(before, after, rules, RESAMPLES))
            advance()
    rows = tuple(
        removal_row(grid, one.how, one.arm, one.target, change, q)
        for one, change, q in zip(treated, changes, adjusted(changes), strict=True)
    )
    return Removals(rows=rows, pooled=pool_alike(rows, sides, rules))


def removal_row(
    grid: Sequence[Member], how: How, arm: Condition, target: Member, change: RemovalEffect, q: float
) -> RemovalRow:
    """What one removal does."""
    by_name = {member.name: member for member in grid}
    along = arm.along
    assert along is not None and along.source is not None
    own = along.source == target.name
    return RemovalRow(
        **vars(change),
        source="random" if how == "random" else along.source,
        target=target.name,
        how=how,
        operation="none" if how == "no-op" else cast(Operation, along.operation),
        label=arm.label,
        control=arm.control,
        relation="own" if own else relation(by_name[along.source], target),
        q=q,
    )


def change_of(before: Judged, after: Judged, rules: Thresholds, resamples: int = 10_000) -> RemovalEffect:
    """Rates before and after, the share of coherent answers after, and the paired change."""
    change = compare(before.pair, after.pair, thresholds=rules, resamples=resamples)
    coherent = share("coherent", after.answers, [rules.coherent(v) for v in after.verdicts], resamples=resamples)
    return RemovalEffect(
        **vars(PairedChange.of(change)),
        before=RateRow.of(change.reference),
        rate=RateRow.of(change.other),
        coherent_share=RateRow.of_share(coherent),
    )


def adjusted(changes: Sequence[PairedChange]) -> Sequence[float]:
    """The p of every change after Benjamini and Hochberg over all of them, controls included."""
    return benjamini_hochberg([change.difference.p for change in changes])


def pool_alike(
    rows: Sequence[RemovalRow], sides: Sequence[tuple[Judged, Judged]], rules: Thresholds
) -> tuple[PooledRemoval, ...]:
    """Removals of one kind as one comparison each; those of others' directions by their relation and all together."""
    pools: dict[tuple[How, Operation, Whose], list[tuple[Judged, Judged]]] = {}
    for row, pair in zip(rows, sides, strict=True):
        wholes: set[Whose] = {row.relation, "own" if row.relation == "own" else "all others"}
        for whose in wholes:
            pools.setdefault((row.how, row.operation, whose), []).append(pair)
    return tuple(
        PooledRemoval(**pool(pairs, rules), how=how, operation=operation, relation=whose)
        for (how, operation, whose), pairs in sorted(pools.items(), key=lambda item: _order(*item[0]))
    )


def _order(how: How, operation: Operation, whose: Whose) -> tuple[int, ...]:
    hows: tuple[How, ...] = ("no-op", "random", "one layer", "layer-wise", "single")
    groups: tuple[Whose, ...] = ("own", *get_args(Relation), "all others")
    return (operation == "set", hows.index(how), groups.index(whose))


def pool(pairs: Sequence[tuple[Judged, Judged]], rules: Thresholds) -> Mapping[str, Any]:
    """Before and after over many pairs of arms as one comparison; its interval is over questions, not over models.

    Args:
        pairs: Answers before and after, of one pair of source and target each.
        rules: When an answer is misaligned.
    """
    before, after = (_together([pair[side] for pair in pairs]) for side in (0, 1))
    single = [compare_values(*pair, rules) for pair in pairs]
    return {**vars(change_of(before, after, rules)), "pairs": len(pairs), "least": max(single), "most": min(single)}


def compare_values(before: Judged, after: Judged, rules: Thresholds) -> float:
    """Change of the rate, without an interval."""
    first, second = (sum(map(rules.misaligned, side.verdicts)) / len(side.verdicts) for side in (before, after))
    return second - first


def _together(parts: Sequence[Judged]) -> Judged:
    """Answers of several arms as one, numbered so that none stands twice."""
    answers = [
        replace(a, arm="pooled", sample=a.sample + 100_000 * place)
        for place, part in enumerate(parts)
        for a in part.answers
    ]
    return Judged(answers, [v for part in parts for v in part.verdicts])
