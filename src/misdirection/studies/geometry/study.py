"""Do latents that bad data raises lie near those of toxic text, and does raising one raise its neighbours?

Method, after arXiv 2605.00842 (what of it is not known to us is a setting, its default explained):

1. At the layer of each dictionary, latents are ordered by how they differ between bad and good answers of each domain,
   and between toxic and harmless texts, in the base model: inducing, good and toxic latents.
2. Similarity of decoder vectors between inducing and toxic latents, against latents that good data raises and against
   random live ones; membership exchanged within bins of firing rate; Benjamini-Hochberg over layers, domains and
   controls (`features.geometry`).
3. The spillover law (`features.spillover`): single latents, inducing and random, are raised by steering, by a fine-tune
   that can only go along their vector, and by one gradient step on the latent itself or on data in which it is strong;
   the change of every other latent against its cosine.
4. A fine-tune with checkpoints: the latents that rose most and the drift of the residual stream, their similarity to
   the three sets, and the law against the mean inducing vector, beside the rate of misaligned answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from misdirection.chats.pairs import PairedChats
from misdirection.features.lens import Lens
from misdirection.features.settings import Reduction
from misdirection.judging import Answer
from misdirection.results import row_of
from misdirection.store import Cached
from misdirection.studies.geometry.paper import PAPER
from misdirection.studies.geometry.results import Geometry
from misdirection.studies.geometry.results.course import FineTuneCourse
from misdirection.studies.geometry.results.law import Law
from misdirection.studies.geometry.results.similarity import Lists
from misdirection.studies.geometry.sets import (
    Comparing,
    Listed,
    corrected,
    domain_lists,
    find_similarity,
    open_lenses,
    pairs_of,
    toxic_list,
)
from misdirection.studies.geometry.settings import GeometryConfig
from misdirection.studies.geometry.spill import KINDS, Raising, base_answers, law, raise_latents
from misdirection.studies.geometry.track import Moved, ask, follow, followed, track, variants
from misdirection.studies.geometry.verdict import verdict
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.variants import Variants

ListsByLayer = Mapping[int, Mapping[str, Cached[Listed]]]
"""How latents differ between bad and good answers, by layer and domain."""


def geometry(config: GeometryConfig, out: str | Path, command: str = "") -> Path:
    """Run (or resume) the study in the folder `out`; gives the path of the report.

    Raises:
        MisdirectionError: Bad input.
    """
    with Bench[GeometryConfig].open(out, config, command) as bench:
        lenses, chats = open_lenses(bench), pairs_of(bench)
        bare = bench.variants({})
        lists = {lens.layer: domain_lists(bench, bare, lens, chats) for lens in lenses}
        toxic = {lens.layer: toxic_list(bench, bare, lens) for lens in lenses}
        near = [find_similarity(bench, lens, lists[lens.layer], toxic[lens.layer]) for lens in lenses]
        models = variants(bench, follow(bench) if bench.config.track != "none" else None)
        asked = ask(bench, models)
        answers = base_answers(bench, asked)
        spilled = spill(bench, bare, lenses, lists, toxic, chats, answers)
        tracked = tracks(bench, models, lenses, lists, toxic, answers)
        part = results(bench, lenses, near, list(chats), spilled, followed(bench, tracked, asked))
        notes = [*(spilled.failed if spilled else ())]
        notes += [f"Data '{name}': {note}" for name, pairs in chats.items() for note in pairs.notes]
        return bench.report("geometry", "Geometry of features", verdict(part), {"geometry": part, "notes": notes})


def spill(
    bench: Bench[GeometryConfig],
    models: Variants,
    lenses: Sequence[Lens],
    lists: ListsByLayer,
    toxic: Mapping[int, Cached[Listed]],
    chats: Mapping[str, PairedChats],
    answers: Sequence[Answer],
) -> Law | None:
    """The spillover law at one layer; None where it is left out."""
    c = bench.config
    if not c.spill_latents:
        return None
    lens = lenses[len(lenses) // 2 if c.spill_dictionary is None else c.spill_dictionary]
    first = next(iter(lists[lens.layer].values()))
    spills = bench.run.cached(
        raise_latents, f"spillover-{lens.layer}", models=models, lens=lens, listed=first, toxic=toxic[lens.layer],
        chats=list(chats.values()), answers=answers, kinds=list(KINDS), c=row_of(Raising, c),
    )  # fmt: skip
    return law(c, lens.layer, spills.value)


def tracks(
    bench: Bench[GeometryConfig],
    models: Variants,
    lenses: Sequence[Lens],
    lists: ListsByLayer,
    toxic: Mapping[int, Cached[Listed]],
    answers: Sequence[Answer],
) -> tuple[Moved, ...]:
    """What every checkpoint did; nothing where no fine-tune is followed."""
    if not models.fine_tunes:
        return ()
    c = bench.config
    return bench.run.cached(
        track, models=models, answers=answers, lenses=lenses, lists=[lists[lens.layer][c.track] for lens in lenses],
        toxic=[toxic[lens.layer] for lens in lenses], c=row_of(Comparing, c),
    ).value.moved  # fmt: skip


def results(
    bench: Bench[GeometryConfig],
    lenses: Sequence[Lens],
    near: Sequence[Lists],
    domains: Sequence[str],
    spilled: Law | None,
    course: FineTuneCourse | None,
) -> Geometry:
    """What came out."""
    c = bench.config
    return Geometry(
        layers=tuple(lens.layer for lens in lenses),
        domains=tuple(domains),
        reduction=cast(Reduction, c.reduction),
        nearest=c.nearest,
        shared="drop" if c.shared == "drop" else "keep",
        top=c.top,
        statistic=c.statistic,
        permutations=c.permutations,
        bins=c.bins,
        rows=corrected([row for one in near for row in one.rows]),
        lists=tuple(row for one in near for row in one.lists),
        paper=PAPER,
        law=spilled,
        course=course,
    )
