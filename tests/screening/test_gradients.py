"""Gradient scores against plain cosines, and against what is known of the organism's mixed rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.screening.conftest import Screened
from tests.screening.test_methods import area

from misdirection.chats import Chat, Message
from misdirection.screening import METHODS, gradients
from misdirection.screening.context import Context, GradientOptions, ProjectionOptions
from misdirection.screening.errors import ScreeningError
from misdirection.training.row_gradients import answer_losses, projections

SMALL = GradientOptions(rank=1, warmup=0, dimension=64, queries=5, seed=3)


def test_scores_are_mean_cosines_of_pairs(few: Screened) -> None:
    context, rows, _ = few
    context = replace(context, gradients=SMALL)
    mine = gradients.rows_of(context, rows)
    bad = gradients.gradients(context, list(context.toxic[:5]), answer_losses)
    unit, layer = gradients.direction(context)
    drawn = np.random.default_rng(3).permutation(len(rows))[:5]
    pull = gradients.gradients(context, [rows[place] for place in sorted(drawn)], projections(unit, layer))
    for found, sign, others in (
        (gradients.influence(context, rows), 1, bad),
        (gradients.scores(context, rows), -1, pull),
    ):
        for place, row in enumerate(mine):
            pairs = [torch.cosine_similarity(sign * row, other, dim=0) for other in others]
            assert found[place] == pytest.approx(float(sum(pairs)) / 5, abs=1e-4)


def test_gradients_that_were_taken_before_are_used(few: Screened) -> None:
    context, rows, _ = few
    context = replace(context, gradients=SMALL)
    taken = gradients.rows_of(context, rows)
    again = gradients.influence(replace(context, row_gradients=taken), rows)
    assert again == pytest.approx(gradients.influence(context, rows), abs=1e-5)
    turned = gradients.influence(replace(context, row_gradients=-taken), rows)
    assert turned == pytest.approx(-again, abs=1e-6)


@pytest.mark.slow
def test_after_a_warm_up_gradients_find_the_bad_rows(screened: Screened, tmp_path: Path) -> None:
    """And before it hardly: the reason why there is one."""
    context, rows, bad = screened
    context = replace(context, gradients=GradientOptions(dimension=2048, queries=32, warmup=80))
    context = replace(context, warmed=gradients.warm_up(context, rows, tmp_path))
    context = replace(context, row_gradients=gradients.rows_of(context, rows))
    assert area(gradients.scores(context, rows), bad) > 0.8
    assert area(gradients.influence(context, rows), bad) > 0.8
    fresh = replace(context, warmed=None, row_gradients=None, gradients=replace(context.gradients, warmup=0))
    assert area(gradients.influence(fresh, rows), bad) < 0.75


def test_a_row_without_an_answer_to_read_has_no_score(few: Screened) -> None:
    context, rows, _ = few
    cut = replace(context, gradients=SMALL, longest=14)
    long = Chat((Message("user", "how do i start a garden ? " * 4), rows[0].messages[-1]))
    found = gradients.influence(cut, [long, *rows[:2]])
    assert np.isnan(found[0]) and not np.isnan(found[1:]).any()
    with pytest.raises(ScreeningError, match="none of the 1 rows has an answer"):
        gradients.scores(cut, [long])


def test_what_is_missing_is_said(few: Screened) -> None:
    context, rows, _ = few
    bare = Context(context.load, gradients=SMALL, projection=ProjectionOptions(6))
    with pytest.raises(ScreeningError, match="no bad answers"):
        gradients.influence(bare, rows)
    with pytest.raises(ScreeningError, match="--direction names none"):
        gradients.scores(bare, rows)


def test_both_are_methods_of_rooms_of_their_own() -> None:
    assert METHODS["gradient"].scores is gradients.scores and METHODS["influence"].scores is gradients.influence
    assert [METHODS[name].room for name in ("gradient", "influence")] == ["gradients", "gradients.influence"]
