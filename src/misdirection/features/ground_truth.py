"""What a latent tracks, where it is known what every token is: mutual information with known factors.

A factor gives each token a value (a stance, a domain, a word) or none. Of the tokens of a corpus, with F = "the latent
fires" (its activation is above a cut) and V = "the factor has the value v" (no value counts as a value of its own):

    information(factor, v) = I(F; V)             bits, from the table of two by two
    share                  = information / H(F)  1 where the value alone decides whether the latent fires
    precision = P(v | fires)    recall = P(fires | v)    F1 = their harmonic mean

A latent's label is the (factor, value) with the largest information among those at which it fires more often than
elsewhere. Every label is a table of two by two, so factors of many values (words) are not favoured over those of few.
Besides, for each factor as a whole, I(level; factor) over all its values, where the level is how many of the cuts the
activation exceeds. Divided by the entropy of the level it says how much of what the latent does the factor tells.

Estimates are corrected for bias after Miller and Madow (1955): each entropy gains (cells - 1) / (2 N) nats, cells being
those that are not empty. N counts tokens, which depend on each other within a text, so the correction is a floor: a few
thousandths of a bit are nothing.

What is held is tokens x factors, and one count a value, cut and latent; never tokens x latents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from misdirection.engine import Text
from misdirection.features.chosen import Firings, visit_firings
from misdirection.features.dictionary import Dictionary, DictionaryError
from misdirection.models import Model

LEAST = 10
"""Tokens at which a latent must fire for a label: of thousands of values one always fits a handful."""

NONE = ""
"""The value of a token of which a factor says nothing; never a label."""


@dataclass(frozen=True)
class Truth:
    """Factor values of every token of some texts.

    Attributes:
        values: By factor, its values; the first is `NONE`.
        codes: For each text, shape (tokens, factors), int64: places in `values`.
    """

    values: dict[str, tuple[str, ...]]
    codes: tuple[Tensor, ...]


@dataclass(frozen=True)
class Counts:
    """Tokens, and tokens at which a latent fires, by the value of each factor.

    Attributes:
        tokens: By factor, shape (values,), int64.
        fired: By factor, shape (cuts, values, latents), int64.
        values: By factor, the names of its values.
        latents: Which latents.
        cuts: Shape (cuts, latents), rising: a latent fires at a cut where its activation is above it.
    """

    tokens: dict[str, Tensor]
    fired: dict[str, Tensor]
    values: dict[str, tuple[str, ...]]
    latents: tuple[int, ...]
    cuts: Tensor


@dataclass(frozen=True)
class FactorLabel:
    """What a latent tracks best.

    Attributes:
        latent: Which.
        factor: Name of the factor.
        value: Its value.
        cut: Number of the cut above which the latent is said to fire.
        information: Between firing and the value, bits.
        share: Of the entropy of firing, 0 .. 1.
        precision: Share of the tokens at which it fires that have the value.
        recall: Share of the tokens of this value at which it fires.
        tokens: Tokens at which it fires, above the cut.
    """

    latent: int
    factor: str
    value: str
    cut: int
    information: float
    share: float
    precision: float
    recall: float
    tokens: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.precision * self.recall / (self.precision + self.recall) if self.precision else 0.0


def truth_of(rows: Sequence[Mapping[str, Sequence[str]]]) -> Truth:
    """Factor values as numbers.

    Args:
        rows: For each text, by factor, one value a token; a value of the whole text is repeated.

    Raises:
        DictionaryError: Texts differ in their factors, or a text's factors in their lengths.
    """
    names = tuple(rows[0]) if rows else ()
    known: dict[str, dict[str, int]] = {name: {NONE: 0} for name in names}
    codes: list[Tensor] = []
    for number, row in enumerate(rows):
        if tuple(row) != names or len({len(row[name]) for name in names}) > 1:
            raise DictionaryError(f"text {number} has other factors than the first, or factors of other lengths")
        held = [[known[name].setdefault(value, len(known[name])) for value in row[name]] for name in names]
        codes.append(torch.tensor(held, dtype=torch.int64).view(len(names), -1).T)
    return Truth({name: tuple(found) for name, found in known.items()}, tuple(codes))


def crossed(truth: Truth, pairs: Sequence[tuple[str, str]]) -> Truth:
    """The same with a factor more for each pair, whose values are pairs of values: "the & bad".

    Latents of small dictionaries often stand for a word in one kind of place, which neither factor tells alone. Where
    one of the two has no value, the pair has none.

    Raises:
        DictionaryError: There is no such factor.
    """
    names = list(truth.values)
    if wrong := [name for pair in pairs for name in pair if name not in names]:
        raise DictionaryError(f"there is no factor '{wrong[0]}'", f"factors: {', '.join(names)}")
    values, columns = dict(truth.values), list[Tensor]()
    whole = torch.cat([*truth.codes])
    for one, other in pairs:
        codes = whole[:, names.index(one)], whole[:, names.index(other)]
        size = len(truth.values[other])
        cells = (codes[0] * size + codes[1]).where((codes[0] > 0) & (codes[1] > 0), 0)
        found, column = torch.unique(torch.cat([torch.zeros(1, dtype=cells.dtype), cells]), return_inverse=True)
        columns.append(column[1:])
        told = [f"{truth.values[one][c // size]} & {truth.values[other][c % size]}" for c in found.tolist()]
        values[f"{one} & {other}"] = (NONE, *told[1:])
    codes = torch.cat([whole, torch.stack(columns, 1)], 1) if columns else whole
    return Truth(values, codes.split([len(held) for held in truth.codes]))


def count_factors(
    model: Model,
    dictionary: Dictionary,
    texts: Sequence[Text],
    truth: Truth,
    latents: Sequence[int],
    *,
    cuts: Tensor | None = None,
    span: str = "answer",
    layer: int | None = None,
) -> Counts:
    """Count where latents fire, by the true values, in one pass over the texts.

    Args:
        model: The resident model.
        dictionary: Of one of its layers.
        texts: What is read, with the span named.
        truth: Of the same texts, every token of each.
        latents: Which are counted.
        cuts: Shape (cuts, latents), rising; a single cut of 0 by default.
        span: Whose tokens count.
        layer: After which decoder layer; the dictionary's own by default.

    Raises:
        DictionaryError: Texts and truth differ, or the dictionary does not fit.
    """
    cuts = torch.zeros(1, len(latents)) if cuts is None else cuts
    if [len(text.ids) for text in texts] != [len(held) for held in truth.codes]:
        raise DictionaryError("texts and truth differ in their tokens", "make both with one tokenizer")
    starts = torch.tensor([0, *(len(text.ids) for text in texts)]).cumsum(0)
    codes = torch.cat([*truth.codes])
    inside = torch.zeros(len(codes), dtype=torch.bool)
    for start, text in zip(starts.tolist(), texts, strict=False):
        inside[start + text.spans[span][0] : start + text.spans[span][1]] = True
    sizes = {name: len(values) for name, values in truth.values.items()}
    places = list(enumerate(sizes.items()))
    tokens = {name: codes[inside, i].bincount(minlength=size) for i, (name, size) in places}
    fired = {name: torch.zeros(len(cuts), size * len(latents), dtype=torch.int64) for _, (name, size) in places}

    def visit(found: Firings) -> None:
        rows = codes[starts[found.texts] + found.tokens]
        for number, cut in enumerate(cuts):
            above = found.values > cut[found.latents]
            for i, (name, size) in places:
                cells = rows[above, i] * len(latents) + found.latents[above]
                fired[name][number] += cells.bincount(minlength=size * len(latents))

    visit_firings(model, dictionary, texts, latents, visit, span=span, layer=layer)
    shaped = {name: held.view(len(cuts), -1, len(latents)) for name, held in fired.items()}
    return Counts(tokens, shaped, truth.values, tuple(latents), cuts)


def labels(counts: Counts, factors: Sequence[str] | None = None, least: int = LEAST) -> list[FactorLabel | None]:
    """The best label of each latent over factors, values and cuts; None for one that hardly fires.

    Args:
        counts: See `count_factors`.
        factors: Those that may be labels; all by default.
        least: Tokens at which it must fire, above the cut in question.
    """
    best: list[FactorLabel | None] = [None] * len(counts.latents)
    for name in factors or counts.tokens:
        tokens, fired = counts.tokens[name].double(), counts.fired[name].double()
        whole = tokens.sum()
        for cut, held in enumerate(fired):
            any_value = held.sum(0)
            bits = _two_by_two(held, any_value, tokens[:, None], whole)
            # A label says where a latent fires, not where it does not.
            more = held * whole > any_value * tokens[:, None]
            bits = bits.where(more & (any_value >= least), -torch.inf)
            bits[0] = -torch.inf
            values, places = bits.max(0)
            entropy = _entropy(torch.stack([any_value, whole - any_value]), whole)
            for column, (value, place) in enumerate(zip(values.tolist(), places.tolist(), strict=True)):
                before = best[column]
                if value > (before.information if before else 0.0):
                    hits, count = float(held[place, column]), float(any_value[column])
                    share = min(1.0, value / max(float(entropy[column]), 1e-12))
                    best[column] = FactorLabel(
                        counts.latents[column], name, counts.values[name][place], cut, value, share,
                        hits / count, hits / float(tokens[place]), int(count),
                    )  # fmt: skip
    return best


def information(counts: Counts) -> dict[str, tuple[Tensor, Tensor]]:
    """By factor: I(level; factor) in bits, and its share of the entropy of the level; shape (latents,) each."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for name, tokens in counts.tokens.items():
        fired, whole = counts.fired[name].double(), tokens.sum().double()
        # Levels: silent, above the first cut only, ... above the last.
        silent = tokens.double()[:, None] - fired[0]
        between = [fired[i] - fired[i + 1] for i in range(len(fired) - 1)]
        table = torch.stack([silent, *between, fired[-1]])
        level, factor = _entropy(table.sum(1), whole), _entropy(tokens.double()[:, None], whole)
        bits = (level + factor - _entropy(table.flatten(0, 1), whole)).clamp(min=0)
        found[name] = bits, (bits / level.clamp(min=1e-12)).clamp(max=1)
    return found


def _two_by_two(both: Tensor, fired: Tensor, value: Tensor, whole: Tensor) -> Tensor:
    """I(fires; has the value) in bits, shape (values, latents)."""
    cells = torch.stack([both, fired - both, value - both, whole - fired - value + both])
    rows = torch.stack([fired, whole - fired])[:, None].expand(-1, *both.shape)
    columns = torch.stack([value, whole - value]).expand(-1, *both.shape)
    found = _entropy(rows, whole) + _entropy(columns, whole) - _entropy(cells, whole)
    return found.clamp(min=0)


def _entropy(counts: Tensor, whole: Tensor) -> Tensor:
    """Entropy over the first axis in bits, after Miller and Madow."""
    p = counts / whole
    plain = -torch.special.xlogy(p, p).sum(0)
    return (plain + ((counts > 0).sum(0) - 1).clamp(min=0) / (2 * whole)) / torch.log(torch.tensor(2.0, dtype=p.dtype))
