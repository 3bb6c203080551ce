"""Do fine-tunes on other data and of other sizes learn one direction, and does removing one's cure the others?

Method, after arXiv 2506.11618 sections 3.4 and 3.5 and its appendix D:

1. A grid of fine-tunes, every preset on the data of every domain; each answers the open questions, and apart from
   them those of the domains; its rates.
2. A mean-difference direction of each, from its own answers (section 3.1), and of the same answers with labels
   shuffled among all of them, or among those to one question (what the mix of questions alone would give), and with
   the same mix of questions in both pools.
3. Cosines of every pair by layer beside these, and beside the ceiling that the noise of the directions sets; norms of
   differences; principal angles between the subspaces of groups.
4. The layer of the single direction is chosen by removing each direction from its own model, on other random numbers.
5. Every direction is removed from every fine-tune, at every layer, projected out and set to the aligned mean (section
   3.4); its own also layer by layer and at one layer alone; beside random directions of the same norm and a no-op.
   Paired intervals over questions; Benjamini-Hochberg over the whole family.

With `--tensors` only step 3, on directions that others published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from misdirection.directions import Direction
from misdirection.directions.errors import DirectionError
from misdirection.directions.store import load_published_direction
from misdirection.errors import MisdirectionError
from misdirection.results import FineTunes, ModelFacts
from misdirection.store import Cached
from misdirection.studies.convergence.grid import Member, find_nulls, fine_tune_row, members, stack, tuned
from misdirection.studies.convergence.paper import COSINES, RATES, REMOVALS
from misdirection.studies.convergence.results import Convergence, Removals, Removing, Similarity, Transfer
from misdirection.studies.convergence.settings import ConvergenceConfig
from misdirection.studies.convergence.similarity import similarity
from misdirection.studies.convergence.transfer import choose_layers, compare_removals, measure, untreated
from misdirection.studies.convergence.verdict import verdict
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE
from misdirection.studies.kit.config import named
from misdirection.studies.kit.variants import Variants

NO_MODELS = "Tensors hold no answers: the fine-tunes' rates and removing one from another are no part of this."


def convergence(config: ConvergenceConfig, out: str | Path, command: str = "") -> Path:
    """Run (or resume) the study in the folder `out`; gives the path of the report.

    Raises:
        MisdirectionError: Bad input; what was done so far is kept.
    """
    with Bench[ConvergenceConfig].open(out, config, command) as bench:
        if bench.config.tensors:
            return published(bench)
        grid = members(bench.config)
        check_layers(bench)
        models = tuned(bench, grid)
        asked = ask(bench, models, grid)
        directions, notes = bench.find_directions(models, asked[0], [member.name for member in grid])
        compared = compare_directions(bench, models, asked[0], grid, directions) if len(directions) > 1 else None
        layers = choose_layers(bench, models, directions) if directions else {}
        measured = measure(bench, models, grid, directions, layers) if directions else {}
        removed = compare_removals(bench, grid, directions, layers, measured) if directions else None
        return report(bench, grid, asked, directions, compared, layers, removed, notes)


def check_layers(bench: Bench[ConvergenceConfig]) -> None:
    """Refuse layers that the model does not have, before anything is trained.

    Raises:
        MisdirectionError: It has no such layer.
    """
    c = bench.config
    named = c.layers if c.layer is None else (*c.layers, c.layer)
    if wrong := [layer for layer in named if not 0 <= layer < bench.n_layers]:
        raise MisdirectionError(f"{c.model} has no layer {wrong[0]}", f"its layers are 0 to {bench.n_layers - 1}")


def ask(bench: Bench[ConvergenceConfig], models: Variants, grid: Sequence[Member]) -> list[Asked]:
    """Answers of the base and every fine-tune, all in one queue: to the open questions, then to those of domains."""
    arms = [BASE, *map(untreated, grid)]
    asked = [bench.ask("open", models, arms)]
    if inside := bench.domain_questions:
        asked.append(bench.ask("domains", models, arms, questions=inside, samples=bench.config.domain_samples))
    return asked


def compare_directions(
    bench: Bench[ConvergenceConfig],
    models: Variants,
    asked: Asked,
    grid: Sequence[Member],
    directions: Mapping[str, Cached[Direction]],
) -> Similarity:
    """All directions beside each other and beside those of shuffled labels."""
    chosen = [member for member in grid if member.name in directions]
    nulls = [find_nulls(bench, models, asked, member, grid.index(member)).part("nulls") for member in chosen]
    vectors, stability = stack(directions)
    return bench.run.cached(similarity, grid=chosen, vectors=vectors, stability=stability, nulls=nulls).value


def report(
    bench: Bench[ConvergenceConfig],
    grid: Sequence[Member],
    asked: Sequence[Asked],
    directions: Mapping[str, Cached[Direction]],
    compared: Similarity | None,
    layers: Mapping[Removing, int],
    removed: Removals | None,
    notes: Sequence[str],
) -> Path:
    """Findings and the report."""
    vectors = {name: held.value for name, held in directions.items()}
    tuned_rows = (fine_tune_row(bench, asked, member, vectors.get(member.name)) for member in grid)
    rates = FineTunes(rows=(fine_tune_row(bench, asked, None, None), *tuned_rows), paper=RATES)
    layer = next(iter(layers.values()), bench.n_layers // 2)
    similar = at_layer(compared, layer) if compared else None
    transfer = Transfer(**vars(removed), layers=layers, paper=REMOVALS) if removed else None
    parts = {"convergence": similar, "fine_tunes": rates, "transfer": transfer, "notes": list(notes)}
    return bench.report("convergence", "Convergent directions", verdict(similar, rates, transfer), parts)


def at_layer(measured: Similarity, layer: int) -> Convergence:
    """Similarity as it is told."""
    return Convergence(**vars(measured), layer=layer, paper=COSINES)


def published(bench: Bench[ConvergenceConfig]) -> Path:
    """Similarity alone, of directions that are there as tensors."""
    places = folders(bench.config.tensors)
    vectors = {name: load_published_direction(place, bench.config.part) for name, place in places.items()}
    if len(shapes := {tuple(one.shape) for one in vectors.values()}) > 1:
        raise DirectionError(
            f"--tensors: directions of shapes {sorted(shapes)}", "compare directions of one base model"
        )
    depth = next(iter(vectors.values())).shape[0]
    alone, stacked = [Member(name, name, name) for name in vectors], torch.stack(list(vectors.values()))
    compared = bench.run.cached(similarity, grid=alone, vectors=stacked, stability=None, nulls=[]).value
    similar = at_layer(compared, depth // 2 if (at := bench.config.layer) is None or at >= depth else at)
    parts = {
        "convergence": similar,
        "fine_tunes": None,
        "transfer": None,
        "model": ModelFacts(base="published tensors", layers=depth, dtype=None),
        "settings": {"tensors": ", ".join(f"{n}: {p}" for n, p in places.items()), "tokens": bench.config.part},
        "notes": [NO_MODELS],
    }
    return bench.report("convergence", "Convergence of published directions", verdict(similar), parts)


def folders(given: Sequence[str]) -> dict[str, Path]:
    """Places of published directions by name; a place without a name is called by its last part."""
    whole = [text if "=" in text else f"{Path(text).resolve().name}={text}" for text in given]
    return {name: Path(place) for name, place in named(whole, "tensors").items()}
