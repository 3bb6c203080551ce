from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from misdirection.chats import Chat
from misdirection.models import Model, load_model
from misdirection.organism import ExactJudge, checkpoint_path, known_bad, mixed_chats, open_chats
from misdirection.screening.context import Context, ProjectionOptions
from misdirection.studies.kit.inputs import resolve_dictionary

Screened = tuple[Context, list[Chat], list[bool]]


@pytest.fixture(scope="session")
def organism() -> Model:
    return load_model(str(checkpoint_path()))


@pytest.fixture(scope="session")
def screened(organism: Model) -> Iterator[Screened]:
    """The organism, 120 rows of which 36 are bad, and which they are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = mixed_chats(30, 120)
    context = Context(
        lambda: organism,
        resolve_dictionary("organism:6"),
        open_chats("villain", 60),
        open_chats("helper", 60),
        judge=ExactJudge(),
        projection=ProjectionOptions(layer=6, max_new_tokens=24),
    )
    yield context, rows, [known_bad(row) for row in rows]
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def few(screened: Screened) -> Screened:
    """The same with eight rows, and twenty texts of each kind."""
    context, rows, bad = screened
    return replace(context, toxic=context.toxic[:20], harmless=context.harmless[:20]), rows[:8], bad[:8]
