"""Where latents fire, as windows of text: the strongest contexts, weaker ones by quantile, and silent ones.

Top contexts alone show a latent at its best; how well a description fits is measured on contexts over the whole range
of its activations and on texts in which it is silent (Bills et al. 2023; Paulo et al. 2410.13928).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

import torch
from torch import Tensor

from misdirection.engine import Text
from misdirection.features.chosen import Firings, visit_firings
from misdirection.features.dictionary import Dictionary
from misdirection.models import Model

WINDOW = "window"
FIRST = 1
"""Tokens at the start of a text that are in no window: states there are outliers, as in `corpus.read_corpus`."""

TRIES = 12
"""Random windows read for each silent one that is wanted: most latents are silent in most of them."""


@dataclass(frozen=True)
class Context:
    """A window of a text, with the activation of one latent at each of its tokens.

    Attributes:
        text: Index of the text.
        token: Place in the text of the token that the window stands around.
        first: Place in the text of the window's first token.
        ids: Token ids of the window.
        values: Activations, as many; 0 where the latent is silent.
        quantile: Share of the texts in which the latent fires that have a larger activation; None where it is silent.
    """

    text: int
    token: int
    first: int
    ids: tuple[int, ...]
    values: tuple[float, ...]
    quantile: float | None = None

    @property
    def peak(self) -> float:
        """The largest activation in the window."""
        return max(self.values, default=0.0)


@dataclass(frozen=True)
class DrawnContexts:
    """Contexts of one latent, no two of them the same words.

    Attributes:
        latent: Which.
        firing_texts: In how many texts it fires.
        top: The strongest, falling.
        lower: Of the other texts in which it fires, evenly over the ranks, falling.
        silent: Random windows in which it does not fire; fewer than asked for where it fires nearly everywhere.
    """

    latent: int
    firing_texts: int
    top: tuple[Context, ...]
    lower: tuple[Context, ...]
    silent: tuple[Context, ...]


@dataclass(frozen=True)
class Peaks:
    """The largest activation of each chosen latent in each text, and where; shape (texts, chosen)."""

    values: Tensor
    tokens: Tensor

    def places(self, column: int) -> list[tuple[int, int]]:
        """(Text, token) of the texts in which it fires, strongest first; ties by the order of texts."""
        order = self.values[:, column].argsort(descending=True, stable=True).tolist()
        tokens = self.tokens[:, column].tolist()
        return [(text, tokens[text]) for text in order if self.values[text, column] > 0]


def text_peaks(
    model: Model,
    dictionary: Dictionary,
    texts: Sequence[Text],
    latents: Sequence[int],
    *,
    span: str = "answer",
    layer: int | None = None,
) -> Peaks:
    """Where each chosen latent is largest in every text, in one pass.

    Raises:
        DictionaryError, CaptureError: See `visit_firings`.
    """
    values = torch.zeros(len(texts), len(latents))
    tokens = torch.zeros(len(texts), len(latents), dtype=torch.int64)

    def visit(found: Firings) -> None:
        cells = found.texts * len(latents) + found.latents
        largest, places = values.view(-1), tokens.view(-1)
        before = largest[cells]
        largest.scatter_reduce_(0, cells, found.values, "amax")
        wins = (found.values > before) & (found.values == largest[cells])
        places[cells[wins]] = found.tokens[wins]

    visit_firings(model, dictionary, texts, latents, visit, span=span, layer=layer)
    return Peaks(values, tokens)


def draw_contexts(
    model: Model,
    dictionary: Dictionary,
    texts: Sequence[Text],
    latents: Sequence[int],
    *,
    top: int = 8,
    lower: int = 0,
    silent: int = 0,
    around: tuple[int, int] = (24, 8),
    span: str = "answer",
    layer: int | None = None,
    seed: int = 0,
) -> list[DrawnContexts]:
    """Contexts of each chosen latent: two passes, one over all texts and one over the windows.

    Args:
        model: The resident model.
        dictionary: Of one of its layers.
        texts: What is read, each under its arm, with the span named.
        latents: The chosen ones.
        top: Strongest contexts of each.
        lower: Contexts of the other texts in which it fires.
        silent: Random windows in which it is silent throughout.
        around: Tokens of a window before and after its own, as far as the text goes.
        span: Whose tokens may be a window's own; those around it may be others.
        layer: After which decoder layer; the dictionary's own by default.
        seed: Of the random windows.

    Raises:
        DictionaryError, CaptureError: See `visit_firings`.
    """
    peaks = text_peaks(model, dictionary, texts, latents, span=span, layer=layer)
    chosen: dict[int, list[tuple[int, int]]] = {}
    ranks: list[dict[tuple[int, int], float]] = []
    for column in range(len(latents)):
        places = _distinct(texts, peaks.places(column), around)
        ranks.append({place: rank / len(places) for rank, place in enumerate(places)})
        chosen[column] = places[:top] + _spread(places[top:], lower)
    other = _random_places(texts, span, TRIES * silent, seed)
    read = read_windows(model, dictionary, texts, latents, chosen | {-1: other}, around=around, layer=layer)
    found: list[DrawnContexts] = []
    for column, latent in enumerate(latents):
        firing = [
            replace(window, quantile=ranks[column][(window.text, window.token)]) for window in read[column][column]
        ]
        quiet = [window for window in read[-1][column] if window.peak == 0][:silent] if silent else []
        count = int((peaks.values[:, column] > 0).sum())
        found.append(DrawnContexts(latent, count, tuple(firing[:top]), tuple(firing[top:]), tuple(quiet)))
    return found


def read_windows(
    model: Model,
    dictionary: Dictionary,
    texts: Sequence[Text],
    latents: Sequence[int],
    places: Mapping[int, Sequence[tuple[int, int]]],
    *,
    around: tuple[int, int] = (24, 8),
    layer: int | None = None,
) -> dict[int, list[list[Context]]]:
    """Activations of chosen latents in windows around some tokens.

    Args:
        model: The resident model.
        dictionary: Of one of its layers.
        texts: What the places are in.
        latents: The chosen ones.
        places: By name, (text, token) pairs: under the place of a latent in `latents` for that one, under -1 for all.
        around: Tokens before and after.
        layer: After which decoder layer.

    Returns:
        By the name of the places, for each latent (in the order of `latents`) its contexts in the order of the places;
        empty for latents that the name does not ask for.
    """
    jobs = [(name, text, token) for name, held in places.items() for text, token in held]
    windows = [_window(texts[text], token, around) for _, text, token in jobs]
    cut = [
        replace(texts[text], ids=texts[text].ids[:past], spans={WINDOW: (first, past)})
        for (_, text, _), (first, past) in zip(jobs, windows, strict=True)
    ]
    wanted = [_columns(name, len(latents)) for name, _, _ in jobs]
    values = [
        {column: [0.0] * (past - first) for column in w} for w, (first, past) in zip(wanted, windows, strict=True)
    ]

    def visit(found: Firings) -> None:
        parts = (found.texts, found.tokens, found.latents, found.values)
        for job, token, column, value in zip(*(part.tolist() for part in parts), strict=True):
            if column in values[job]:
                values[job][column][token - windows[job][0]] = value

    visit_firings(model, dictionary, cut, latents, visit, span=WINDOW, layer=layer)
    out: dict[int, list[list[Context]]] = {name: [[] for _ in latents] for name in places}
    for (name, text, token), (first, past), held in zip(jobs, windows, values, strict=True):
        for column, numbers in held.items():
            out[name][column].append(Context(text, token, first, texts[text].ids[first:past], tuple(numbers)))
    return out


def _columns(name: int, count: int) -> range:
    return range(count) if name < 0 else range(name, name + 1)


def _window(text: Text, token: int, around: tuple[int, int]) -> tuple[int, int]:
    return min(max(FIRST, token - around[0]), token), min(len(text.ids), token + around[1] + 1)


def _distinct(
    texts: Sequence[Text], places: Iterable[tuple[int, int]], around: tuple[int, int]
) -> list[tuple[int, int]]:
    """Places whose windows are not the same words around the same token."""
    seen: dict[tuple[int, tuple[int, ...]], tuple[int, int]] = {}
    for text, token in places:
        first, past = _window(texts[text], token, around)
        seen.setdefault((token - first, texts[text].ids[first:past]), (text, token))
    return list(seen.values())


def _spread(places: Sequence[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """Some of them, evenly over their order."""
    if len(places) <= most:
        return list(places)
    return [places[int((number + 0.5) * len(places) / most)] for number in range(most)]


def _random_places(texts: Sequence[Text], span: str, most: int, seed: int) -> list[tuple[int, int]]:
    rng = Random(f"{seed}/silent")
    able = [index for index, text in enumerate(texts) if text.spans[span][0] < text.spans[span][1]]
    drawn = [(index, rng.randrange(*texts[index].spans[span])) for index in rng.choices(able, k=most)] if able else []
    return list(dict.fromkeys(drawn))
