"""What each adapter reads at each answer token, as a table of tokens x columns (arXiv 2506.11618 section 4.1).

A column is one canonical pair of one adapted module (`canonical`): its scalar s_i v_i . x; at rank 1 it is the paper's
A x up to sign and length. Texts are read chunk by chunk, and of each token only its scalars are kept: the table grows
with tokens x columns, never with tokens x width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from misdirection.adapters.canonical import turn
from misdirection.adapters.weights import AdapterError, labels_of, pairs_of
from misdirection.engine import Text, capture_scalars
from misdirection.models import Model

CHUNK = 256
"""Texts whose raw scalars are held at a time."""

COLUMNS = 128
"""About how many columns are read where nothing else is asked for: the probes grow slow beyond."""


@dataclass(frozen=True)
class Column:
    """One adapter of rank 1.

    Attributes:
        name: For tables: "layer 3", with module and pair behind it where a layer has several.
        path: Module path.
        layer: Decoder layer.
        pair: Index of the canonical pair, the largest singular value first.
    """

    name: str
    path: str
    layer: int
    pair: int


@dataclass(frozen=True, eq=False)
class ScalarTable:
    """Scalars of answer tokens.

    Attributes:
        columns: What the columns of `values` are.
        values: Shape (tokens, columns), float32.
        texts: Index of each token's text, shape (tokens,), in the order in which they came.
        positions: Position of each token in its text, shape (tokens,).
    """

    columns: tuple[Column, ...]
    values: Tensor
    texts: Tensor
    positions: Tensor


def columns_of(model: Model, adapter: str, pairs: int | None = None) -> tuple[Column, ...]:
    """The columns of an adapter.

    Args:
        model: The resident model.
        adapter: Which adapter.
        pairs: Leading canonical pairs of each module that are read; None takes so many that about `COLUMNS` columns
            come of it, at least one a module.

    Raises:
        AdapterError: `pairs` is less than 1, or the adapter is not there.
    """
    if pairs is not None and pairs < 1:
        raise AdapterError(f"{pairs} pairs of a module cannot be read", "give 1 or more, or none at all")
    held = pairs_of(model, adapter)
    labels = labels_of([pair.path for pair in held])
    most = pairs or max(1, COLUMNS // len(held))
    return tuple(
        Column(labels[p.path] + (f" pair {index}" if p.rank > 1 else ""), p.path, p.layer, index)
        for p in held
        for index in range(min(most, p.rank, *p.a.shape, *p.b.shape))
    )


def read_scalars(model: Model, adapter: str, texts: Iterable[Text], columns: Sequence[Column]) -> ScalarTable:
    """The scalars of every answer token (from `Text.start` on) of given texts.

    Args:
        model: The resident model.
        adapter: Which adapter; every text's arm has it on.
        texts: Texts that end with their answer; may be a generator.
        columns: What to read, see `columns_of`.

    Raises:
        AdapterError: A column is not of this adapter.
    """
    readers = _readers(model, adapter, columns)
    values: list[Tensor] = [torch.zeros(0, len(columns))]
    places: list[tuple[int, int, int]] = []
    for chunk in chunks(texts):
        for text, held in zip(chunk, capture_scalars(model, chunk, adapter), strict=True):
            table = torch.empty(len(text.ids) - text.start, len(columns))
            for path, (matrix, at) in readers.items():
                table[:, at] = (held[path][text.start :].double() @ matrix.T).float()
            values.append(table)
            places.append((len(places), text.start, len(text.ids)))
    numbers = [torch.full((past - first,), number) for number, first, past in places]
    positions = [torch.arange(first, past) for _, first, past in places]
    empty = torch.zeros(0, dtype=torch.long)
    return ScalarTable(tuple(columns), torch.cat(values), torch.cat([empty, *numbers]), torch.cat([empty, *positions]))


def _readers(model: Model, adapter: str, columns: Sequence[Column]) -> dict[str, tuple[Tensor, list[int]]]:
    """For each module, the rows of its turning matrix that columns want, and which columns these are."""
    held = {pair.path: pair for pair in pairs_of(model, adapter)}
    if wrong := [column.path for column in columns if column.path not in held]:
        raise AdapterError(f"'{adapter}' has no adapter at {wrong[0]}", f"it has them at {', '.join(held)}")
    found: dict[str, tuple[Tensor, list[int]]] = {}
    for path in dict.fromkeys(column.path for column in columns):
        at = [place for place, column in enumerate(columns) if column.path == path]
        found[path] = (turn(held[path])[[columns[place].pair for place in at]], at)
    return found


def chunks(texts: Iterable[Text]) -> Iterator[list[Text]]:
    """Texts, so many at a time that what is read of them stays small."""
    rest = iter(texts)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
