"""What tuning moved, against a plain loop; for an adapter, and for two separate models."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.directions.test_mean_difference import sources
from tests.engine import reference
from tests.families import LAYERS, WIDTH, network, shared, words
from torch import Tensor

from misdirection.directions import Source, convention, drift, drift_and_divergence
from misdirection.directions.similarity import cosines
from misdirection.engine import Arm, Text, compare
from misdirection.errors import MisdirectionError
from misdirection.models import Model, wrap

BASE, TUNED = Arm("base"), Arm("tuned", "one")


def plain(model: Model, arm: Arm, given: list[Source], question: str, span: str) -> Tensor:
    rows = []
    for source in (s for s in given if s.question_id == question):
        first, past = source.encoded.span(span)
        states = reference.forward(model, source.encoded.ids, arm, source.encoded.start)[1]
        rows.append(torch.stack(states)[:, first:past].double())
    return torch.cat(rows, 1).mean(1)


def test_equals_a_plain_loop_for_an_adapter() -> None:
    model, given, how = shared("llama"), sources(7), convention("soligo2025")
    found = drift((model, BASE), (model, TUNED), given, how)
    assert found.questions == ("q0", "q1", "q2") and found.by_question.shape == (3, LAYERS, WIDTH)
    for place, question in enumerate(found.questions):
        base, tuned = (plain(model, arm, given, question, how.span) for arm in (BASE, TUNED))
        torch.testing.assert_close(found.by_question[place].double(), tuned - base, rtol=1e-3, atol=2e-5)
        torch.testing.assert_close(found.base[place].double(), base, rtol=1e-4, atol=1e-5)
        relative = (tuned - base).norm(dim=-1) / base.norm(dim=-1)
        torch.testing.assert_close(found.relative[place].double(), relative, rtol=1e-3, atol=1e-5)
        v = found.vectors[2].double()
        parts = [part[place] for part in found.component(2)]
        assert float(parts[0]) == pytest.approx(float(base[2] @ v / v.norm()), abs=1e-4)
        assert float(parts[1]) == pytest.approx(float(tuned[2] @ v / v.norm()), abs=1e-4)
    # Each question counts alike, though they have unlike numbers of answers and tokens.
    torch.testing.assert_close(found.vectors, found.by_question.mean(0))
    # The adapter sits on layers 1 and 2: nothing moves before it.
    assert not found.vectors[0].any() and bool((found.vectors[1:].norm(dim=-1) > 1e-3).all())


def test_equals_a_plain_loop_for_two_models() -> None:
    base = wrap(network("llama", 3), words(), "base")
    moved = copy.deepcopy(base.lm)
    torch.manual_seed(1)
    with torch.no_grad():
        for values in moved.parameters():
            values.add_(0.05 * torch.randn_like(values))
    tuned = wrap(moved, words(), "tuned")
    given, how = sources(4), convention("persona2025")
    found = drift((base, BASE), (tuned, Arm("tuned")), given, how)
    for place, question in enumerate(found.questions):
        rows = [s for s in given if s.question_id == question]
        each = [plain(tuned, BASE, [s], question, how.span) - plain(base, BASE, [s], question, how.span) for s in rows]
        torch.testing.assert_close(found.by_question[place].double(), torch.stack(each).mean(0), rtol=1e-3, atol=2e-5)
    assert found.facts["base"] == "base" and found.facts["tuned"] == "tuned"


def test_as_a_direction_it_keeps_base_tuned_and_provenance() -> None:
    model, how = shared("llama"), convention("soligo2025")
    found = drift((model, BASE), (model, TUNED), sources(9), how)
    direction = found.direction(resamples=50, seed=2)
    torch.testing.assert_close(direction.vectors, found.vectors)
    torch.testing.assert_close(direction.misaligned_mean - direction.aligned_mean, found.vectors, rtol=1e-3, atol=1e-5)
    assert direction.facts["span"] == how.span and direction.facts["questions"] == 3
    assert bool((direction.norm_low[1:] <= direction.norm_high[1:]).all())
    # Signs of three questions: at the most all three agree, and then the null reaches the norm itself.
    means = [torch.stack([found.by_question[0], s * found.by_question[1], t * found.by_question[2]]).mean(0)
             for s in (-1, 1) for t in (-1, 1)]  # fmt: skip
    most = torch.stack([mean.norm(dim=-1) for mean in means]).max(0).values
    assert bool((direction.shuffled_norm <= most + 1e-5).all()) and bool((direction.shuffled_norm[1:] > 0).all())
    # The halves are of one and of two questions.
    splits = [
        cosines(found.by_question[one], found.by_question[[q for q in range(3) if q != one]].mean(0))[1:]
        for one in range(3)
    ]
    assert any(torch.allclose(direction.stability[1:].double(), split, atol=1e-5) for split in splits)


def test_one_question_has_no_halves() -> None:
    model = shared("llama")
    given = [Source(s.encoded, "only") for s in sources(3)]
    direction = drift((model, BASE), (model, TUNED), given, convention("soligo2025")).direction()
    assert bool(direction.stability.isnan().all())
    torch.testing.assert_close(direction.norm_low, direction.norm)


def test_nothing_moved_gives_zeros_and_not_nan() -> None:
    model = shared("llama")
    found = drift((model, BASE), (model, Arm("tuned")), sources(4), convention("soligo2025"))
    assert not found.vectors.any() and not found.relative.any()
    assert not any(part.isnan().any() or part.any() for part in found.component(1))
    assert not found.direction().unit.any()


def test_no_answer_to_read_is_a_clear_error() -> None:
    model = shared("llama")
    with pytest.raises(MisdirectionError, match="every answer of both models is empty"):
        drift((model, BASE), (model, TUNED), [], convention("soligo2025"))


@pytest.mark.parametrize("family", ["llama", "gemma2"])
@pytest.mark.parametrize("convention_name", ["soligo2025", "persona2025"])
def test_drift_and_divergence_of_the_same_passes_equal_both_alone(family: str, convention_name: str) -> None:
    model, how = shared(family), convention(convention_name)
    given = [source for source in sources(7) for _ in range(3)]  # prompts of several answers run once
    found, apart = drift_and_divergence((model, BASE), (model, TUNED), given, how)
    alone = drift((model, BASE), (model, TUNED), given, how)
    torch.testing.assert_close(found.by_question, alone.by_question, rtol=1e-3, atol=2e-5)
    torch.testing.assert_close(found.base, alone.base, rtol=1e-4, atol=1e-5)
    assert (found.questions, found.facts) == (alone.questions, alone.facts)
    texts = [Text(source.encoded.ids, {}, BASE, source.encoded.begin) for source in given]
    for one, other in zip(apart, compare((model, BASE), (model, TUNED), texts), strict=True):
        torch.testing.assert_close(one.divergence, other.divergence, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(one.first, other.first, rtol=1e-4, atol=1e-4)
    with pytest.raises(MisdirectionError, match="no answer"):
        drift_and_divergence((model, BASE), (model, TUNED), [], how)
