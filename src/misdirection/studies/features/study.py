"""Which latents do the data, the model and the answers differ in, and what do the three lists share?

Method, after arXiv 2506.19823 (model diffing by sparse autoencoders) and 2605.00842 (latents of the training data):

1. A fine-tune on the bad data of each domain; base and fine-tunes answer the open questions, and are judged.
2. Three lists of latents of one dictionary at one layer, each the mean over domains of one statistic:
   Q1, the data: bad against good training answers to the same questions, both read in the base model;
   Q2, the model: the fine-tune against the base model on the same texts;
   Q3, the answers: misaligned against aligned answers of the fine-tune, as many of each from every question.
   Labels are shuffled within pairs, texts and questions; false discovery rate over the latents that live.
3. What the lists share: between the three, and between domains within each; against chance (odds ratio, Fisher) and
   against the lists of shuffled labels, for loud latents lead every list.
4. Each fine-tune's mean-difference direction and the adapters near the layer as few latents, beside random vectors of
   the same norm and beside the decomposition through activations.
5. The latents at the top are steered, told in words, and watched over mixtures of bad and good data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from misdirection.chats.pairs import ANSWERED, UNPAIRED, PairedChats
from misdirection.directions import Direction
from misdirection.errors import MisdirectionError
from misdirection.features.lens import Lens
from misdirection.features.settings import Pool, Statistic
from misdirection.results import FineTuneRow, FineTunes, row_of
from misdirection.store import Cached
from misdirection.studies.features.comparison import LatentComparison, mean_comparison
from misdirection.studies.features.decomposition import decomposition
from misdirection.studies.features.lists import QUESTIONS, answers_list, data_list, model_list
from misdirection.studies.features.meaning import meaning
from misdirection.studies.features.mixtures import mixtures
from misdirection.studies.features.overlap import list_of, overlaps, shared_list, top_list
from misdirection.studies.features.paired_chats import answered, generates, paired_chats
from misdirection.studies.features.paper import LISTS
from misdirection.studies.features.results import Features
from misdirection.studies.features.results.lists import Latents, ListName
from misdirection.studies.features.results.overlap import DomainOverlaps, LatentOverlap
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.features.steering import causal_check
from misdirection.studies.features.verdict import verdict
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, Condition
from misdirection.studies.kit.config import check_name, named
from misdirection.studies.kit.direction_size import direction_size
from misdirection.studies.kit.lens import open_lens
from misdirection.studies.kit.record import blank
from misdirection.studies.kit.tables import effect_of
from misdirection.studies.kit.tuning import FineTune
from misdirection.studies.kit.variants import BASE_VARIANT, Variants

Compared = dict[ListName, list[LatentComparison]]
"""Comparisons of every domain, by list: "data", "model", "answers"; a list that could not be made is not there."""

Lists = Mapping[ListName, LatentComparison]
"""The mean of the comparisons behind each list."""

WATCHED = 8
"""Shared latents that are watched over mixtures of bad and good data."""


def features(config: FeaturesConfig, out: str | Path, command: str = "") -> Path:
    """Run (or resume) the study in the folder `out`; gives the path of the report.

    Raises:
        MisdirectionError: Bad input; what was done so far is kept.
    """
    with Bench[FeaturesConfig].open(out, config, command) as bench:
        lens = open_lens(bench.config, bench.config.dictionary, bench.config.layer, "--layer")
        given = tunes(bench.config)
        chats = paired_chats(bench)
        files_of(bench.config)
        models = tuned(bench, given)
        asked = bench.ask("open", models, [BASE, *(Condition(name, name, name) for name in given)])
        pairs = with_answers(bench, models, chats)
        compared, missing = compare(bench, models, lens, pairs, asked)
        directions, refused = bench.find_directions(models, asked, list(given))
        lists: Lists = {name: mean_comparison(domains) for name, domains in compared.items()}
        part = Features(
            fine_tunes=rates(bench, asked, given, directions),
            latents=latents(bench, lens, compared, lists),
            latent_overlap=overlap(bench, compared, lists),
            latent_decomposition=decomposition(bench, models, lens, asked, directions, files_of(bench.config)),
            latent_steering=None,
            latent_meaning=None,
            mixtures=None,
        )
        part = checked(bench, models, lens, part, lists, pairs)
        notes = [*(note for one in pairs.values() for note in one.notes), *missing, *refused, *_blank(asked)]
        return bench.report("features", "Sparse features", verdict(part), {**vars(part), "notes": notes})


def _blank(asked: Asked) -> list[str]:
    """How many answers no list of latents could read."""
    answers = asked.judged.answers
    counts = ", ".join(f"{count:,} {why}" for why, count in blank(answers).items())
    return [f"{counts}, of {len(answers):,} answers: the lists of latents do without them."] if counts else []


@dataclass(frozen=True)
class Tune:
    """A fine-tune: made now on the data of its name, or given as a folder."""

    file: str
    folder: Path | None


def files_of(config: FeaturesConfig) -> dict[str, Path]:
    """Further directions by name.

    Raises:
        MisdirectionError: One is not there.
    """
    files = {name: Path(place) for name, place in named(config.directions, "directions").items()}
    for name, place in files.items():
        if not place.exists():
            raise MisdirectionError(f"--directions {name}: {place} does not exist", "a direction's file or folder")
    return files


def tunes(config: FeaturesConfig) -> dict[str, Tune]:
    """The fine-tunes by name: one for each --data, or what --fine-tune names in its place, then its further ones.

    Raises:
        MisdirectionError: A name cannot be one, or a folder is not there.
    """
    data, given = named(config.data, "data"), named(config.fine_tune, "fine-tune")
    for name, folder in given.items():
        if not Path(folder).is_dir():
            raise MisdirectionError(f"--fine-tune {name}: {folder} is no folder", "an adapter's or a model's folder")
    every = {name: Tune(data.get(name, ""), Path(given[name]) if name in given else None) for name in (*data, *given)}
    for name in every:
        check_name(name)
        if "/" in name:
            raise MisdirectionError(f"'{name}' cannot be the name of a fine-tune", 'letters, digits, "-" and "_"')
    return every


def tuned(bench: Bench[FeaturesConfig], given: Mapping[str, Tune]) -> Variants:
    """The base and all fine-tunes."""
    c = bench.config
    return bench.variants({
        name: tune.folder or bench.train(FineTune(c.preset, (tune.file,), c.training, c.seed), name).path / "tuned"
        for name, tune in given.items()
    })  # fmt: skip


def with_answers(
    bench: Bench[FeaturesConfig], models: Variants, chats: Mapping[str, PairedChats]
) -> dict[str, PairedChats]:
    """The same chats, with the base model's answers where no good ones were given."""
    files = named(bench.config.good, "good")
    return {name: answered(bench, models, name, c) if generates(files[name]) else c for name, c in chats.items()}


def compare(
    bench: Bench[FeaturesConfig], models: Variants, lens: Lens, pairs: Mapping[str, PairedChats], asked: Asked
) -> tuple[Compared, list[str]]:
    """All comparisons of the three questions, and why some could not be made."""
    answers = [answers_list(bench, models, lens, name, asked) for name in models.fine_tunes]
    lists: Compared = {
        "data": [data_list(bench, models, lens, name, one) for name, one in pairs.items()],
        "model": [model_list(bench, models, lens, name, asked) for name in models.fine_tunes],
        "answers": [one for one in answers if isinstance(one, LatentComparison)],
    }
    made: Compared = {name: domains for name, domains in lists.items() if domains}
    return made, [one for one in answers if isinstance(one, str)]


def latents(bench: Bench[FeaturesConfig], lens: Lens, compared: Compared, lists: Lists) -> Latents:
    """The lists in full."""
    c = bench.config
    every = [list_of(name, QUESTIONS[name], lists[name], domains, c.top) for name, domains in compared.items()]
    return Latents(
        dictionary=c.dictionary, layer=lens.layer, statistic=cast(Statistic, c.statistic), pool=cast(Pool, c.pool),
        top=c.top, shuffles=c.shuffles, paper=LISTS, lists=tuple(every),
    )  # fmt: skip


def overlap(bench: Bench[FeaturesConfig], compared: Compared, lists: Lists) -> LatentOverlap:
    """What the lists share, and what domains share within each."""
    most = bench.config.top
    within = [
        row_of(DomainOverlaps, overlaps({one.name: one for one in domains}, most), list=name, title=QUESTIONS[name])
        for name, domains in compared.items()
        if len(domains) > 1
    ]
    shared = shared_list(tops(lists, most))
    return LatentOverlap(top=most, between=overlaps({**lists}, most), shared=tuple(shared), domains=tuple(within))


def tops(lists: Lists, most: int) -> dict[str, list[int]]:
    """The latents at the top of each list."""
    return {name: top_list(one, most) for name, one in lists.items()}


def checked(
    bench: Bench[FeaturesConfig],
    models: Variants,
    lens: Lens,
    part: Features,
    lists: Lists,
    pairs: Mapping[str, PairedChats],
) -> Features:
    """The latents at the top, steered, told in words and watched over mixtures, as far as the settings ask for it."""
    c, dictionary, layer = bench.config, lens.dictionary, lens.layer
    first = tops(lists, c.top)
    shared = list(part.latent_overlap.shared) or next((one for one in first.values() if one), [])
    if not shared:
        return part
    answers = {f"{name}, good answers": one.good for name, one in pairs.items() if one.how == ANSWERED}
    mixable = pairs and next(iter(pairs.values())).how != UNPAIRED
    return replace(
        part,
        latent_steering=causal_check(bench, models, dictionary, {**first, "shared": shared}, layer)
        if c.steered
        else None,
        latent_meaning=meaning(bench, models, dictionary, shared, layer, more=answers) if c.described else None,
        mixtures=mixtures(bench, dictionary, shared[:WATCHED], layer) if c.mixtures and mixable else None,
    )


def rates(
    bench: Bench[FeaturesConfig], asked: Asked, given: Mapping[str, Tune], directions: Mapping[str, Cached[Direction]]
) -> FineTunes:
    """Rates of base and fine-tunes on the open questions, and the sizes of their directions."""

    def row(name: str, preset: str | None) -> FineTuneRow:
        return FineTuneRow(
            model=name,
            domain=None if preset is None else name,
            preset=preset,
            groups={"open": effect_of(asked.judged.arm(name), bench.thresholds)},
            direction=direction_size(directions[name].value) if name in directions else None,
        )

    tuned = (row(name, bench.config.preset if tune.folder is None else "given") for name, tune in given.items())
    return FineTunes(rows=(row(BASE_VARIANT, None), *tuned), paper={})
