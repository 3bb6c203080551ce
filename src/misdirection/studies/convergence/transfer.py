"""The direction of one fine-tune removed from another, for every pair, beside what removing other things does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from misdirection import progress
from misdirection.artefacts import plain, read_json, write_json
from misdirection.directions.layers import spread_layers
from misdirection.runs import Step
from misdirection.statistics import Thresholds, benjamini_hochberg, compare
from misdirection.statistics.rates import share
from misdirection.studies.convergence.grid import RELATIONS, Member, relation
from misdirection.studies.convergence.settings import ConvergenceConfig
from misdirection.studies.kit.bench import Asked, Bench
from misdirection.studies.kit.conditions import Condition, Operation
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.tables import change_row, rate_row, share_row
from misdirection.studies.kit.variants import Variants

OWN = "own"
ALL_OTHERS = "all others"
SINGLE, LAYERWISE, ONE_LAYER, RANDOM, NOTHING = "single", "layer-wise", "one layer", "random", "no-op"

RESAMPLES = 2_000
"""Of the bootstrap of each of the hundreds of comparisons; the pooled ones have 10,000."""


def untreated(member: Member) -> Condition:
    """A fine-tune as it is."""
    return Condition(member.name, member.name, member.name)


def single(source: str, target: str, operation: str, layer: int) -> Condition:
    """One layer's direction of `source` removed from every layer of `target` (2506.11618 section 3.4)."""
    return Condition(
        f"{operation}-{layer} {source} from {target}", f"{operation}: layer {layer} of {source}, at every layer",
        target, cast(Operation, operation), single=layer, source=source,
    )  # fmt: skip


def choose_layers(bench: Bench[ConvergenceConfig], models: Variants, found: Mapping[str, Step]) -> dict[str, int]:
    """For each operation the layer whose direction, removed everywhere from its own model, leaves the least harm.

    One layer for all models, as in the paper, on random numbers that nothing else is measured on: the share of answers
    that are coherent and not misaligned, over all models together.
    """
    c = bench.config
    if c.layer >= 0:
        return dict.fromkeys(c.operations, c.layer)
    layers = c.layers or spread_layers(bench.n_layers)
    arms = {
        (operation, layer): [single(name, name, operation, layer) for name in found]
        for operation in c.operations
        for layer in layers
    }
    everything = [arm for held in arms.values() for arm in held]
    swept = bench.ask("layers", models, everything, samples=c.sweep_samples, stream=1, directions=found).judged
    worth = {key: _harmless(swept, held, bench.thresholds) for key, held in arms.items()}
    return {operation: max(layers, key=lambda layer, o=operation: worth[o, layer]) for operation in c.operations}


def _harmless(swept: Judged, arms: Sequence[Condition], rules: Thresholds) -> int:
    names = {arm.name for arm in arms}
    verdicts = swept.where(lambda a: a.arm in names).verdicts
    return sum(map(rules.coherent, verdicts)) - sum(map(rules.misaligned, verdicts))


def removals(
    config: ConvergenceConfig, target: Member, sources: Iterable[str], layers: Mapping[str, int]
) -> dict[str, list[Condition]]:
    """What is removed from one fine-tune, by how: every source's direction, its own in other ways, and controls."""
    held = list(sources)
    found = {SINGLE: [single(s, target.name, o, layers[o]) for s in held for o in config.operations]}
    if target.name in held:
        own = {o: single(target.name, target.name, o, layers[o]) for o in config.operations}
        found[LAYERWISE] = [
            replace(arm, name=f"{o} own of {target.name}", label=f"{o}: each layer's own", single=None)
            for o, arm in own.items()
        ]
        found[ONE_LAYER] = [
            replace(arm, name=f"{o} at {layers[o]} of {target.name}", label=f"{o}: its own, at layer {layers[o]} alone",
                    single=None, layers=(layers[o],))
            for o, arm in own.items()
        ]  # fmt: skip
        found[RANDOM] = [
            replace(arm, name=f"{o} random {seed} from {target.name}", label=f"{o}: random direction {seed}",
                    random_seed=seed, control=True)
            for o, arm in own.items()
            for seed in range(1, config.random_seeds + 1)
        ]  # fmt: skip
        found[NOTHING] = [
            Condition(f"no-op of {target.name}", "no-op: hooks in place, coefficient 0", target.name, "steer",
                      control=True, source=target.name)
        ]  # fmt: skip
    return found


def measure(
    bench: Bench[ConvergenceConfig], models: Variants, grid: Sequence[Member], found: Mapping[str, Step],
    layers: Mapping[str, int],
) -> dict[str, Asked]:  # fmt: skip
    """Every removal from every fine-tune, a step a target, so that a kill loses one of them at most."""
    measured: dict[str, Asked] = {}
    for target in grid:
        arms = [arm for held in removals(bench.config, target, found, layers).values() for arm in held]
        measured[target.name] = bench.ask(
            f"transfer-{target.name}", models, [untreated(target), *arms], samples=bench.config.transfer_samples,
            stream=2, directions=found,
        )  # fmt: skip
    return measured


def comparison_step(
    bench: Bench[ConvergenceConfig], grid: Sequence[Member], found: Mapping[str, Step], layers: Mapping[str, int],
    measured: Mapping[str, Asked],
) -> Step:  # fmt: skip
    """Before and after for every removal, and pooled; `comparisons.json` with "rows" and "pooled"."""
    sources = list(found)

    def make(folder: Path) -> None:
        rows: list[dict[str, Any]] = []
        pools: dict[tuple[str, str, str], list[tuple[Judged, Judged]]] = {}
        with progress.task("comparing", len(grid), "fine-tunes") as advance:
            for target in grid:
                judged = measured[target.name].judged
                before = judged.arm(target.name)
                for how, arms in removals(bench.config, target, sources, layers).items():
                    for arm in arms:
                        after = judged.arm(arm.name)
                        akin = _akin(grid, arm, target)
                        rows.append(_row(arm, how, akin, target, before, after, bench.thresholds))
                        for group in {akin, ALL_OTHERS if akin != OWN else akin}:
                            pools.setdefault((how, arm.operation, group), []).append((before, after))
                advance()
        adjust(rows)
        pooled = [
            {"how": how, "operation": operation, "relation": group, **pool(pairs, bench.thresholds)}
            for (how, operation, group), pairs in sorted(pools.items(), key=lambda item: _order(item[0]))
        ]
        write_json(folder / "comparisons.json", plain({"rows": rows, "pooled": pooled}))

    inputs = {name: [asked.answers, asked.verdicts] for name, asked in measured.items()}
    settings = {"rules": asdict(bench.thresholds), "layers": dict(layers), "sources": sources}
    told = [[m.name, m.domain, m.kind] for m in grid]
    return bench.run.step("comparisons", {"asked": inputs, "grid": told, **settings}, make)


def comparisons_of(step: Step) -> dict[str, list[dict[str, Any]]]:
    """The rows that a step holds, single and pooled."""
    return read_json(step.path / "comparisons.json")


def _akin(grid: Sequence[Member], arm: Condition, target: Member) -> str:
    by_name = {member.name: member for member in grid}
    return OWN if arm.source in ("", target.name) else relation(by_name[arm.source], target)


def _order(key: tuple[str, str, str]) -> tuple[int, ...]:
    how, operation, group = key
    hows, groups = (NOTHING, RANDOM, ONE_LAYER, LAYERWISE, SINGLE), (OWN, *RELATIONS, ALL_OTHERS)
    return (operation not in ("steer", "project"), hows.index(how), groups.index(group))


def _row(
    arm: Condition, how: str, akin: str, target: Member, before: Judged, after: Judged, rules: Thresholds
) -> dict[str, Any]:
    return {
        "source": "random" if how == RANDOM else arm.source,
        "target": target.name,
        "how": how,
        "operation": arm.operation if how != NOTHING else "none",
        "label": arm.label,
        "control": arm.control,
        "relation": akin,
        **change_of(before, after, rules, RESAMPLES),
    }


def change_of(before: Judged, after: Judged, rules: Thresholds, resamples: int = 10_000) -> dict[str, Any]:
    """Rates before and after, the share of coherent answers after, and the paired change."""
    change = compare(before.pair, after.pair, thresholds=rules, resamples=resamples)
    coherent = share("coherent", after.answers, [rules.coherent(v) for v in after.verdicts], resamples=resamples)
    return {
        "before": rate_row(change.reference),
        "rate": rate_row(change.other),
        "coherent_share": share_row(coherent),
        **change_row(change),
    }


def adjust(rows: Sequence[dict[str, Any]]) -> None:
    """Add `q` to every row: its p after Benjamini and Hochberg over all of them, controls included."""
    for row, q in zip(rows, benjamini_hochberg([row["difference"]["p"] for row in rows]), strict=True):
        row["q"] = q


def pool(pairs: Sequence[tuple[Judged, Judged]], rules: Thresholds) -> dict[str, Any]:
    """Before and after over many pairs of arms as one comparison; its interval is over questions, not over models.

    Args:
        pairs: Answers before and after, of one pair of source and target each.
        rules: When an answer is misaligned.
    """
    before, after = (_together([pair[side] for pair in pairs]) for side in (0, 1))
    single = [compare_values(*pair, rules) for pair in pairs]
    return {"pairs": len(pairs), **change_of(before, after, rules), "least": max(single), "most": min(single)}


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
