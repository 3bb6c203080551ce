"""Which latents bad data, good data and toxic texts raise, layer by layer, and how near their decoder vectors lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from misdirection.chats.pairs import PairedChats, pair
from misdirection.engine import Arm, Text
from misdirection.errors import MisdirectionError
from misdirection.features import Dictionary, DictionaryError
from misdirection.features.corpus import SPAN, chat_texts, read_corpus
from misdirection.features.differences import Differences, Side, compare_texts, overlap
from misdirection.features.geometry import exchange_test, firing_bins, nearness, separate
from misdirection.features.lens import Lens
from misdirection.features.settings import REDUCTIONS, Statistic
from misdirection.models import Model
from misdirection.results import ListOverlap, row_of
from misdirection.statistics import benjamini_hochberg
from misdirection.store import Cached
from misdirection.studies.geometry.results.similarity import Control, Exchanged, Lists, SetSimilarity, Sharing, Target
from misdirection.studies.geometry.settings import GeometryConfig
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.config import ORGANISM, named
from misdirection.studies.kit.inputs import resolve_chats
from misdirection.studies.kit.lens import open_lens
from misdirection.studies.kit.variants import BASE_VARIANT, Variants

SHUFFLES = 20
"""Of labels, for the latents' q values; lists are made by the statistic alone."""

RANDOM = 10
"""Random control latents for each inducing one, at most."""


@dataclass(frozen=True)
class Listed:
    """How every latent differs between two classes of texts; shapes (latents,).

    Attributes:
        differences: The statistic.
        rates: Firing rate over both classes.
        texts: Of the first class and of the second.
    """

    differences: Differences
    rates: Tensor
    texts: tuple[int, int]


@dataclass(frozen=True)
class Comparing:
    """Settings of the comparison of lists, as `GeometryConfig` has them."""

    top: int
    reduction: str
    nearest: int
    shared: str
    bins: int
    permutations: int
    risen: int
    seed: int


def open_lenses(bench: Bench[GeometryConfig]) -> list[Lens]:
    """The dictionaries by layer, the lowest first; refused before anything is read where one does not fit.

    Raises:
        DictionaryError: One's layer is not known or not the model's, two read one layer, or a width differs.
    """
    c = bench.config
    lenses: list[Lens] = []
    for name in c.dictionaries:
        found = open_lens(c, name)
        if any(lens.layer == found.layer for lens in lenses):
            raise DictionaryError(f"two dictionaries read layer {found.layer}", "give one a layer")
        lenses.append(found)
    return sorted(lenses, key=lambda lens: lens.layer)


def pairs_of(bench: Bench[GeometryConfig]) -> dict[str, PairedChats]:
    """Bad and good chats by domain."""
    c = bench.config
    bad, good = named(c.data, "data"), named(c.good, "good")
    sides = {name: [resolve_chats((s,), seed=c.seed).chats for s in (bad[name], good[name])] for name in bad}
    return {name: pair(one, other, c.rows, c.seed) for name, (one, other) in sides.items()}


def domain_lists(
    bench: Bench[GeometryConfig], models: Variants, lens: Lens, chats: Mapping[str, PairedChats]
) -> dict[str, Cached[Listed]]:
    """Bad against good answers of each domain, read in the base model."""
    c = bench.config
    return {
        name: bench.run.cached(
            data_list, f"latents-{name}-{lens.layer}", models=models, lens=lens, pairs=pairs, statistic=c.statistic,
            pool=c.pool, seed=c.seed,
        )
        for name, pairs in chats.items()
    }  # fmt: skip


def toxic_list(bench: Bench[GeometryConfig], models: Variants, lens: Lens) -> Cached[Listed]:
    """Toxic against harmless texts, read in the base model."""
    c = bench.config
    toxic, harmless = (
        [s if s.startswith(f"{ORGANISM}:") else Path(s) for s in names] for names in (c.toxic, c.harmless)
    )
    return bench.run.cached(
        text_list, f"latents-toxic-{lens.layer}", models=models, lens=lens, toxic=toxic, harmless=harmless,
        most=c.toxic_rows, statistic=c.statistic, pool=c.pool, seed=c.seed,
    )  # fmt: skip


def data_list(models: Variants, lens: Lens, pairs: PairedChats, statistic: str, pool: str, seed: int) -> Listed:
    """How the latents of the base model differ between bad and good answers."""
    model = models.model(BASE_VARIANT)
    bad, good = (chat_texts(side, model.tokenizer, Arm(BASE_VARIANT)) for side in (pairs.bad, pairs.good))
    return _compared(lens, Side(model, bad), Side(model, good), "answer", pairs.groups, statistic, pool, seed)


def text_list(
    models: Variants, lens: Lens, toxic: Sequence[str | Path], harmless: Sequence[str | Path], most: int,
    statistic: str, pool: str, seed: int,
) -> Listed:  # fmt: skip
    """How they differ between toxic and harmless texts, at most so many of each."""
    model = models.model(BASE_VARIANT)
    first, second = (Side(model, _texts_of(model, names, most, seed)) for names in (toxic, harmless))
    return _compared(lens, first, second, SPAN, None, statistic, pool, seed)


def _texts_of(model: Model, names: Sequence[str | Path], most: int, seed: int) -> list[Text]:
    """Texts of files, or answers of the organism's personas ("organism:villain"); at most so many, drawn."""
    arm, texts = Arm(BASE_VARIANT), list[Text]()
    for name in names:
        if isinstance(name, str):
            from misdirection.organism import persona_chats

            chats = persona_chats(name.partition(":")[2], most, seed=seed)
            answers = chat_texts(chats, model.tokenizer, arm)
            texts += [Text(text.ids, {SPAN: text.spans["answer"]}, arm, text.start) for text in answers]
        else:
            texts += read_corpus([name], model.tokenizer, span="answer").texts(arm)
    if not texts:
        raise MisdirectionError(f"{', '.join(map(str, names))} hold no text")
    return [texts[i] for i in sorted(np.random.default_rng(seed).permutation(len(texts))[:most].tolist())]


def _compared(
    lens: Lens, first: Side, second: Side, span: str, groups: Sequence[str] | None, statistic: str, pool: str, seed: int
) -> Listed:
    found = compare_texts(
        lens.dictionary, first, second, span=span, groups=groups, statistic=cast(Statistic, statistic), pool=pool,
        shuffles=SHUFFLES, seed=seed, layer=lens.layer, places=1,
    )  # fmt: skip
    rates = found.statistics.fired[:2].sum(0) / found.statistics.counts["token"][:2].sum()
    return Listed(found.differences, rates, (len(first.texts), len(second.texts)))


def find_similarity(
    bench: Bench[GeometryConfig], lens: Lens, domains: Mapping[str, Cached[Listed]], toxic: Cached[Listed]
) -> Lists:
    """Similarities of one layer with their tests, and how many latents the lists share."""
    name, how = f"similarity-{lens.layer}", row_of(Comparing, bench.config)
    return bench.run.cached(similarity, name, lens=lens, domains=domains, toxic=toxic, c=how).value


def similarity(lens: Lens, domains: Mapping[str, Listed], toxic: Listed, c: Comparing) -> Lists:
    """The same of lists that are there."""
    rows = tuple(row for name, listed in domains.items() for row in _tests(c, lens, name, listed, toxic))
    return Lists(rows=rows, lists=tuple(_sharing(c, lens, *one, toxic) for one in domains.items()))


def _tests(c: Comparing, lens: Lens, domain: str, listed: Listed, toxic: Listed) -> list[SetSimilarity]:
    """Every reduction, control and target of a domain."""
    whole = lens.dictionary.directions.double().cpu()
    inducing, good = listed.differences.top(c.top), listed.differences.top(c.top, -1)
    alive = listed.differences.alive
    bins = firing_bins(listed.rates, alive, c.bins)
    named_toxic, harmless = toxic.differences.top(c.top), toxic.differences.top(c.top, -1)
    beside = without(whole, toxic_direction(lens.dictionary, toxic.differences))
    targets: dict[Target, tuple[Tensor, list[int]]] = {
        "toxic": (whole, named_toxic), "beside": (beside, named_toxic), "harmless": (whole, harmless)
    }  # fmt: skip
    others = random_like(alive, bins, inducing, {*good, *named_toxic, *harmless}, c.seed)
    controls: dict[Control, list[int]] = {"good": good, "random": others}
    rows: list[SetSimilarity] = []
    for target, (units, named_latents) in targets.items():
        for control, latents in controls.items():
            sets = separate(inducing, latents, named_latents, c.shared)
            for reduction in REDUCTIONS:
                one, two = (
                    nearness(units, side, sets.toxic, reduction, c.nearest).numpy()
                    for side in (sets.inducing, sets.control)
                )
                test = _exchange(c, one, two, bins[list(sets.inducing)], bins[list(sets.control)])
                rows.append(
                    SetSimilarity(
                        layer=lens.layer, domain=domain, target=target, control=control, reduction=reduction,
                        shared_inducing=sets.shared_inducing, shared_control=sets.shared_control, test=test,
                    )
                )  # fmt: skip
    return rows


def toxic_direction(dictionary: Dictionary, differences: Differences) -> Tensor:
    """The decoded difference of toxic and harmless texts, sum_j value_j d_j over live latents; length 1, (width,)."""
    value = differences.value.double().masked_fill(~differences.alive, 0)
    return torch.nn.functional.normalize(value @ dictionary.decoder.double().cpu(), dim=0)


def without(units: Tensor, direction: Tensor) -> Tensor:
    """Vectors with a unit direction projected out, of length 1 again; shape (latents, width)."""
    return torch.nn.functional.normalize(units - (units @ direction)[:, None] * direction, dim=1)


def _exchange(c: Comparing, *parts: NDArray[Any]) -> Exchanged | None:
    """The test; None where nothing is left to exchange."""
    one, two, first, second = parts
    try:
        test = exchange_test(one, two, (first, second), permutations=c.permutations, seed=c.seed)
    except MisdirectionError:
        return None
    return row_of(Exchanged, test)


def random_like(
    alive: Tensor, bins: NDArray[Any], like: Sequence[int], taken: set[int], seed: int, times: int = RANDOM
) -> list[int]:
    """Live latents that are not taken, up to `times` as many as `like` has in each bin of firing rate."""
    generator, chosen = np.random.default_rng(seed), list[int]()
    free = np.array([i for i in alive.nonzero()[:, 0].tolist() if i not in taken and i not in set(like)], dtype=int)
    for name in np.unique(bins[list(like)]):
        most = times * int((bins[list(like)] == name).sum())
        chosen += sorted(generator.permutation(free[bins[free] == name])[:most].tolist())
    return chosen


def _sharing(c: Comparing, lens: Lens, domain: str, listed: Listed, toxic: Listed) -> Sharing:
    """How many latents the inducing, and the good data's, list shares with the toxic one, against chance."""
    alive = int((listed.differences.alive | toxic.differences.alive).sum())

    def with_toxic(sign: int) -> ListOverlap:
        return row_of(ListOverlap, overlap(listed.differences.top(c.top, sign), toxic.differences.top(c.top), alive))

    return Sharing(
        layer=lens.layer, domain=domain, alive=alive, top=c.top,
        significant=int((listed.differences.q < 0.05).sum()), texts=listed.texts, inducing=with_toxic(1),
        good=with_toxic(-1),
    )  # fmt: skip


def corrected(rows: Sequence[SetSimilarity]) -> tuple[SetSimilarity, ...]:
    """The rows with q after Benjamini and Hochberg, over layers, domains and controls of one target and reduction."""
    q: dict[int, float] = {}
    for family in {(row.target, row.reduction) for row in rows}:
        p = {i: r.test.p for i, r in enumerate(rows) if (r.target, r.reduction) == family and r.test}
        q |= zip(p, benjamini_hochberg(list(p.values())), strict=True)
    return tuple(replace(row, q=q.get(i)) for i, row in enumerate(rows))
