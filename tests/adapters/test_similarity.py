"""B against a direction and what both do downstream, against closed forms and slow references."""

from __future__ import annotations

import pytest
import torch
from tests.families import LAYERS, WIDTH, prompt, shared

from misdirection.adapters.similarity import SPAN, b_cosine, chance, downstream, spread, written
from misdirection.adapters.weights import pairs_of
from misdirection.engine import Arm, Text
from misdirection.errors import MisdirectionError

MODEL = "llama"


@pytest.fixture(scope="module")
def texts() -> dict[str, list[Text]]:
    def text(seed: int) -> Text:
        ids = prompt(seed, 9 + seed % 3)
        return Text(ids, {SPAN: (4, len(ids))}, Arm("read", "one"), 4)

    return {"misaligned": [text(i) for i in range(5)], "aligned": [text(i) for i in range(10, 16)]}


@pytest.fixture(scope="module")
def vectors() -> torch.Tensor:
    return torch.randn(LAYERS, WIDTH, generator=torch.Generator().manual_seed(2))


def test_cosine_of_one_column_and_of_a_span() -> None:
    b = torch.tensor([[3.0, 0.0], [4.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    assert b_cosine(b[:, :1], torch.tensor([0.0, 5.0, 0.0, 0.0])) == pytest.approx(0.8)
    assert b_cosine(-b[:, :1], torch.tensor([0.0, 5.0, 0.0, 0.0])) == pytest.approx(-0.8)
    assert b_cosine(b, torch.tensor([3.0, 4.0, 1.0, 0.0])) == pytest.approx(1.0)
    assert b_cosine(b, torch.tensor([0.0, 0.0, 1.0, 1.0])) == pytest.approx(0.5**0.5)
    # Columns that span less than they are many.
    assert b_cosine(torch.cat([b, b], 1), torch.tensor([0.0, 0.0, 0.0, 2.0])) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("rank", [1, 2, 8])
def test_chance_is_what_random_directions_give(rank: int) -> None:
    generator = torch.Generator().manual_seed(rank)
    b = torch.randn(64, rank, generator=generator)
    drawn = [abs(b_cosine(b, torch.randn(64, generator=generator))) for _ in range(600)]
    share = sum(value < chance(64, rank) for value in drawn) / len(drawn)
    assert 0.92 < share < 0.98
    assert chance(8, 8) == 1.0


def test_the_push_is_the_mean_of_what_the_module_adds_along_the_direction(texts, vectors) -> None:
    model = shared(MODEL)
    rows = {row["path"]: row for row in written(model, "one", vectors, texts)}
    assert [row["layer"] for row in rows.values()] == [1, 2]
    for pair in pairs_of(model, "one"):
        unit = vectors[pair.layer] / vectors[pair.layer].norm()
        for kind, held in texts.items():
            pushes = torch.cat([_added(model, pair.path, text) @ unit for text in held])
            assert rows[pair.path]["push"][kind] == pytest.approx(float(pushes.mean()), rel=1e-3, abs=1e-5)
        assert rows[pair.path]["cosine"] == pytest.approx(float(pair.b[:, 0] @ unit / pair.b.norm()), abs=1e-5)


def _added(model, path: str, text: Text) -> torch.Tensor:
    """What an adapter adds at each answer token: its module with and without it, on the same input."""
    module, held = model.lora["one"][path], []
    model.peft.set_adapter("one")
    hook = module.register_forward_hook(lambda _m, inputs, out: held.append(out - module.get_base_layer()(inputs[0])))
    with torch.inference_mode():
        model.decoder(input_ids=torch.tensor([text.ids]), use_cache=False)
    hook.remove()
    first, past = text.spans[SPAN]
    return held[0][0, first:past]


def test_at_its_own_layer_an_adapter_moves_along_b(texts, vectors) -> None:
    model = shared(MODEL)
    pairs = {pair.layer: pair for pair in pairs_of(model, "one")}
    effects = downstream(model, "one", vectors, texts, (1, 2), seeds=(1,))
    assert [(effect.layer, effect.at) for effect in effects] == [(None, 2), (1, 1), (2, 2)]
    for effect in effects[1:]:
        b = pairs[effect.at].b[:, 0]
        cosine = float(torch.nn.functional.cosine_similarity(b, vectors[effect.at], dim=0))
        for kind in texts:
            assert effect.cosine[kind][: effect.at] == [None] * effect.at
            assert abs(effect.cosine[kind][effect.at] or 0) == pytest.approx(abs(cosine), abs=2e-4)
            assert len(effect.cosine[kind]) == LAYERS


def test_steering_with_b_itself_does_what_the_adapter_does(texts) -> None:
    """The direction is what the adapter adds at its layer, on the mean: cosine 1 there, and near it further on."""
    model = shared(MODEL)
    b = torch.zeros(LAYERS, WIDTH)
    rows = {row["layer"]: row for row in written(model, "one", torch.ones(LAYERS, WIDTH), texts)}
    for pair in pairs_of(model, "one"):
        b[pair.layer] = 1e-2 * pair.b[:, 0] * torch.sign(torch.tensor(rows[pair.layer]["scalar"]["aligned"]))
    effect = downstream(model, "one", b, texts, (1, 2), seeds=(1, 2))[1]
    assert effect.cosine["aligned"][1] == pytest.approx(1.0, abs=1e-4)
    assert all(
        (v or 0) > (r or 0) for v, r in zip(effect.cosine["aligned"][1:], effect.random["aligned"][1:], strict=True)
    )


def test_nothing_to_look_at_is_refused(texts, vectors) -> None:
    model = shared(MODEL)
    with pytest.raises(MisdirectionError, match="needs a layer"):
        downstream(model, "one", vectors, texts, ())
    with pytest.raises(MisdirectionError, match="an answer to read"):
        downstream(model, "one", vectors, {"aligned": []}, (1,))


def test_layers_are_spread_over_the_depth() -> None:
    pairs = pairs_of(shared(MODEL), "all")
    assert spread(pairs, 9) == (0, 1, 2, 3)
    assert spread(pairs, 2) == (0, 3)
    assert spread(pairs, 1) == (0,)
