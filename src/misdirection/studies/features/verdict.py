"""What the study of sparse features says in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

from misdirection.results import Headline
from misdirection.studies.features.results import Features
from misdirection.studies.features.results.decomposition import Decomposition
from misdirection.studies.features.results.lists import LatentList
from misdirection.studies.features.results.mixtures import Mixtures
from misdirection.studies.features.results.overlap import LatentOverlap, ListPair, Overlaps
from misdirection.studies.features.results.steering import SteeredSide, Steering
from misdirection.studies.kit.sentences import p_text

NAMES = {"data": "the data", "model": "the model", "answers": "the answers"}
"""The lists in a sentence."""


def verdict(part: Features) -> Headline:
    """One sentence on what the lists share, and the figures behind it."""
    lists, overlap = part.latents.lists, part.latent_overlap
    details = (
        *_both_ways(part.latent_steering),
        *_warned(part.mixtures),
        *map(_significance, lists),
        *map(_pair, overlap.between.pairs),
        *_domains(overlap),
        *_decomposed(part.latent_decomposition),
        *_steered(part.latent_steering),
    )
    if len(lists) < 2:
        none = "Fewer than two lists of latents could be made, so nothing can be shared."
        return Headline(state="unclear", sentence=none, details=details)
    return Headline.finding(_sentence(overlap.between), details)


def _sentence(between: Overlaps) -> str:
    names = [one.name for one in between.lists]
    common = sum(row.count for row in between.intersections if len(row.lists) == len(names))
    lengths = [one.latents for one in between.lists]
    alive = min(row.alive for row in between.pairs)
    chance = alive * prod(length / alive for length in lengths)
    listed = " and ".join([", ".join(NAMES[name] for name in names[:-1]), NAMES[names[-1]]])
    odds = ", ".join(f"{row.one} and {row.other} {odds_text(row)}" for row in between.pairs)
    loud = ", ".join(f"{row.shuffled.mean:.0f} of their {row.shared}" for row in between.pairs)
    many = f"all {len(names)}" if len(names) > 2 else "both"
    return (
        f"Of the {min(lengths)} latents at the top, {common} stand in {many} lists: {listed} ({chance:.1f} by chance). "
        f"Odds ratios: {odds}; lists of shuffled labels share {loud}."
    )


def odds_text(row: ListPair) -> str:
    """An odds ratio, which has no end where one list holds the other."""
    return "without end" if row.odds_ratio is None else f"{row.odds_ratio:.1f}"


def _significance(one: LatentList) -> str:
    many = len(one.domains)
    return (
        f"{NAMES[one.name].capitalize()} ({one.title}, {many} {'domain' if many == 1 else 'domains'}): "
        f"{one.significant} of {one.alive} live latents differ with q < 0.05, {one.significant_up} of them upwards; of "
        f"the {len(one.rows)} at the top {one.significant_in_list}."
    )


def _pair(row: ListPair) -> str:
    return (
        f"{NAMES[row.one].capitalize()} and {NAMES[row.other]} share {row.shared} ({row.expected:.1f} by chance among "
        f"{row.alive} live latents, odds ratio {odds_text(row)}, Fisher {p_text(row.p)}); lists of shuffled labels "
        f"share {row.shuffled.mean:.1f} on average, 95 % up to {row.shuffled.high:.0f} ({p_text(row.shuffled.p)}); "
        f"rank correlation of all live latents {_signed(row.ranks)}."
    )


def _signed(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.2f}"


def _domains(overlap: LatentOverlap) -> list[str]:
    said: list[str] = []
    for one in overlap.domains:
        shared = [row.shared for row in one.pairs]
        ranks = [row.ranks for row in one.pairs if row.ranks is not None]
        said.append(
            f"Between domains, {NAMES[one.list]}: lists share {min(shared)} to {max(shared)} latents, rank "
            f"correlations {_signed(min(ranks, default=None))} to {_signed(max(ranks, default=None))}."
        )
    return said


def _decomposed(part: Decomposition | None) -> list[str]:
    pairs = [(row.methods["omp"], row.through) for row in part.rows if row.through] if part else []
    if not part or not pairs:
        return []
    random = part.random["omp"].mean
    at = min(8, len(random), *(len(omp.explained) for omp, _ in pairs))
    agree = [omp.agreement for omp, _ in pairs if omp.agreement]
    cosines = [through.cosine for _, through in pairs]
    return [
        f"{at} latents explain {_range(omp.explained[at - 1] for omp, _ in pairs)} % of the fine-tunes' "
        f"mean-difference directions, and {100 * random[at - 1]:.0f} % of random vectors.",
        f"Through activations the latents account for {_range(through.explained for _, through in pairs)} % of a "
        f"direction (cosine {min(cosines):.2f} to {max(cosines):.2f}); of the latents of the decomposition "
        f"{_range(one.overlap for one in agree)} % are among as many of the largest parts "
        f"({100 * agree[0].chance:.0f} % by chance), {_range(one.signs for one in agree)} % with the same sign.",
    ]


def _steered(part: Steering | None) -> list[str]:
    """How many of the steered latents turned the base bad and the fine-tune good, by list and for random ones."""
    counts = (
        [f"{row.list} {row.up}, {row.down} and {row.both} of {row.steered}" for row in part.summary] if part else []
    )
    said = f"Steered latents that turn the base model bad, the fine-tune good, and both: {'; '.join(counts)}."
    return [said] if counts else []


def _both_ways(part: Steering | None) -> list[str]:
    """The latents that turn the base bad and the fine-tune good."""
    if not part:
        return []
    rows = [
        f"latent {row.latent} ({_change(row.up)} in the base model, {_change(row.down)} in '{part.target}')"
        for row in part.rows
        if row.both
    ]
    return [f"Steered up it misaligns, steered down it cures: {', '.join(rows)}."] if rows else []


def _change(side: SteeredSide) -> str:
    assert side.measured is not None
    change = side.measured.difference
    return f"{100 * change.value:+.0f} points, {100 * change.low:+.0f} to {100 * change.high:+.0f}"


def _warned(part: Mixtures | None) -> list[str]:
    """Which of the watched latents move at a smaller share of bad rows than the behaviour does."""
    if not part:
        return []
    last = part.onsets.open
    early = [
        f"{row.latent} at {row.shared:g} %"
        for row in part.onsets.latents
        if row.shared is not None and (last is None or row.shared < last)
    ]
    behaviour = "at no mixture" if last is None else f"from {last:g} % bad rows on"
    warns = f"latents that move earlier: {', '.join(early)}" if early else "no watched latent moves earlier"
    return [f"Mixtures of bad and good rows: answers to open questions turn bad {behaviour}; {warns}."]


def _range(shares: Iterable[float]) -> str:
    values: Sequence[float] = list(shares)
    low, high = f"{100 * min(values):.0f}", f"{100 * max(values):.0f}"
    return low if low == high else f"{low} to {high}"
