"""The geometry over the course of a fine-tune: which latents rise, and whether near inducing and toxic ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from misdirection.artefacts import read_json, write_json
from misdirection.engine import Arm
from misdirection.errors import MisdirectionError
from misdirection.features.geometry import Reduction, exchange_test, firing_bins, nearness
from misdirection.features.lens import Lens
from misdirection.features.spillover import Change, change_of, fit_line, read_states
from misdirection.runs import Step
from misdirection.studies.geometry.sets import Listed, random_like
from misdirection.studies.geometry.settings import GeometryConfig
from misdirection.studies.geometry.spill import held_texts
from misdirection.studies.kit.bench import Asked, Bench, FineTune
from misdirection.studies.kit.conditions import BASE, Condition
from misdirection.studies.kit.config import named
from misdirection.studies.kit.tables import effect_row
from misdirection.studies.kit.variants import BASE_VARIANT, Variants
from misdirection.training.course import Course, course_of

SETS = {"inducing": "latents that bad data raises", "good": "latents that good data raises", "toxic": "toxic latents"}


def follow(bench: Bench[GeometryConfig]) -> Course:
    """The fine-tune on one domain's bad data, with its checkpoints."""
    c = bench.config
    data = (named(c.data, "data")[c.track],)
    return course_of("main", bench.train(FineTune(c.preset, data, c.run(), c.seed), "main").path)


def variants(bench: Bench[GeometryConfig], course: Course | None) -> Variants:
    """The base with every checkpoint."""
    return bench.variants({} if course is None else {f"step-{s}": course.folders[s] for s in sorted(course.folders)})


def ask(bench: Bench[GeometryConfig], models: Variants) -> Asked:
    """Answers of the base and of every checkpoint; the base's alone where nobody judges."""
    c = bench.config
    if c.judge == "none":
        return bench.ask("answers", models, [BASE], samples=c.text_samples)
    arms = [Condition(name, name.replace("-", " "), name) for name in models.fine_tunes]
    return bench.ask("answers", models, [BASE, *arms], samples=max(c.samples, c.text_samples))


def track_step(
    bench: Bench[GeometryConfig],
    models: Variants,
    lenses: Sequence[Lens],
    lists: Mapping[int, Mapping[str, Listed]],
    toxic: Mapping[int, Listed],
    asked: Asked,
) -> Step:
    """Every checkpoint at every layer on the base's own answers; `track.json`."""
    c = bench.config

    def make(folder: Path) -> None:
        rows: list[dict[str, Any]] = []
        for lens in lenses:
            sets = set_lists(c, lists[lens.layer][c.track], toxic[lens.layer])
            before = _states(bench, models, BASE_VARIANT, asked, lens, folder)
            for variant in models.fine_tunes:
                after = _states(bench, models, variant, asked, lens, folder)
                change = change_of(lens.dictionary, before, after)
                place = {"layer": lens.layer, "step": int(variant.removeprefix("step-"))}
                rows.append(place | measured(c, lens, change, sets, lists[lens.layer][c.track]))
        write_json(folder / "track.json", rows)

    names = ("top", "reduction", "nearest", "bins", "permutations", "risen", "text_samples", "track", "seed")
    inputs: dict[str, Any] = {name: getattr(c, name) for name in names}
    inputs |= {"models": models.key, "answers": asked.answers, "dictionaries": [lens.key for lens in lenses]}
    inputs |= {"lists": [lists[lens.layer][c.track].step for lens in lenses], "toxic": [t.step for t in toxic.values()]}
    return bench.run.step("track", inputs, make)


def set_lists(c: GeometryConfig, listed: Listed, toxic: Listed) -> dict[str, list[int]]:
    """The three sets that risen latents are compared with."""
    held = listed.differences
    return {"inducing": held.top(c.top), "good": held.top(c.top, -1), "toxic": toxic.differences.top(c.top)}


def _states(
    bench: Bench[GeometryConfig], models: Variants, variant: str, asked: Asked, lens: Lens, folder: Path
) -> Tensor:
    model = models.model(variant)
    arm = Arm(variant, models.adapter_of(variant))
    return read_states(model, held_texts(model, bench, asked, arm, folder), lens.layer)


def measured(
    c: GeometryConfig, lens: Lens, change: Change, sets: Mapping[str, Sequence[int]], listed: Listed
) -> dict[str, Any]:
    """What one checkpoint did at one layer: its risen latents, its drift, and the law against the inducing ones."""
    units = lens.dictionary.directions.double().cpu()
    alive = listed.differences.alive | (change.fired > 0)
    order = change.mean.masked_fill(~alive, -torch.inf).argsort(descending=True)
    risen = [i for i in order[: c.risen].tolist() if float(change.mean[i]) > 0]
    drift = torch.nn.functional.normalize(change.moved, dim=0)
    found: dict[str, Any] = {"size": change.size, "risen": risen, "sets": {}}
    for name, latents in sets.items():
        told: dict[str, Any] = {"drift": float((units[list(latents)] @ drift).mean()),
                                "among": len(set(risen) & set(latents)) / max(1, len(risen))}  # fmt: skip
        told |= _near(c, units, risen, latents, alive, firing_bins(listed.rates, alive, c.bins))
        found["sets"][name] = told
    direction = torch.nn.functional.normalize(units[list(sets["inducing"])].mean(0), dim=0)
    seen = change.fired >= 20
    seen[list(sets["inducing"])] = False
    found["law"] = asdict(fit_line((units @ direction)[seen], change.steady[seen] / max(change.size, 1e-12)))
    return found


def _near(
    c: GeometryConfig, units: Tensor, risen: Sequence[int], latents: Sequence[int], alive: Tensor, bins: Any
) -> dict[str, Any]:
    """Similarity of the risen latents to a set, beside random live ones of like firing rate; None where none rose."""
    others = random_like(alive, bins, risen, set(risen), c.seed) if risen else []
    if not others:
        return {"first": None, "second": None, "p": None}
    how = cast(Reduction, c.reduction)
    one, two = (nearness(units, side, latents, how, c.nearest).numpy() for side in (risen, others))
    try:
        test = exchange_test(one, two, (bins[risen], bins[others]), permutations=c.permutations, seed=c.seed)
    except MisdirectionError:
        return {"first": float(one.mean()), "second": None, "p": None}
    return asdict(test)


def course_part(bench: Bench[GeometryConfig], models: Variants, step: Step, asked: Asked) -> dict[str, Any]:
    """Lines over steps by layer, the rate of misaligned answers beside them, and how their ranks agree."""
    c = bench.config
    rows = read_json(step.path / "track.json")
    steps = sorted({row["step"] for row in rows})
    rates: list[dict[str, Any]] = []
    if c.judge != "none":
        ids = {question.id for question in bench.open_questions}
        judged = asked.judged.where(lambda a: a.question_id in ids)
        arms = {0: BASE_VARIANT, **{s: f"step-{s}" for s in steps}}
        rates = [{"step": s, **effect_row(judged.arm(arm), bench.thresholds)} for s, arm in arms.items()]
    layers = [
        _layer(layer, [row for row in rows if row["layer"] == layer], rates)
        for layer in dict.fromkeys(row["layer"] for row in rows)
    ]
    return {"domain": c.track, "preset": c.preset, "steps": steps, "reduction": c.reduction, "risen": c.risen,
            "layers": layers, "rates": rates}  # fmt: skip


def _layer(layer: int, rows: Sequence[Mapping[str, Any]], rates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    held = sorted(rows, key=lambda row: row["step"])
    em = {row["step"]: row["rate"]["value"] for row in rates}
    sets: dict[str, Any] = {}
    for name in SETS:
        mine = [row["sets"][name] for row in held]
        curves = {
            "similarity": [m["first"] for m in mine],
            "low": [_add(m, "low") for m in mine],
            "high": [_add(m, "high") for m in mine],
            "p": [m["p"] for m in mine],
            "drift": [m["drift"] for m in mine],
            "among": [m["among"] for m in mine],
        }
        ranks = {part: _rank([em.get(row["step"]) for row in held], curves[part])
                 for part in ("similarity", "drift", "among")}  # fmt: skip
        sets[name] = {**curves, "ranks": ranks}
    return {"layer": layer, "steps": [row["step"] for row in held], "sets": sets,
            "law": [row["law"] for row in held], "size": [row["size"] for row in held]}  # fmt: skip


def _add(test: Mapping[str, Any], edge: str) -> float | None:
    return None if test["second"] is None else test["second"] + test[edge]


def _rank(rates: Sequence[float | None], values: Sequence[float | None]) -> dict[str, Any] | None:
    """Spearman's correlation over checkpoints; None with fewer than four, or where one side is constant."""
    from scipy.stats import spearmanr

    both = [(r, v) for r, v in zip(rates, values, strict=True) if r is not None and v is not None]
    if len(both) < 4 or any(len(set(side)) == 1 for side in zip(*both, strict=True)):
        return None
    told: Any = spearmanr([r for r, _ in both], [v for _, v in both])
    return {"value": float(told.statistic), "p": float(told.pvalue), "n": len(both)}
