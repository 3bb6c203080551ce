"""Adapters beside a resident base: as many as there is room for, by the folder of each, and the same answers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from misdirection import ask
from misdirection.engine import Arm, SamplingConfig
from misdirection.models import drop_adapter, load_model
from misdirection.questions import Question
from misdirection.studies.kit import adapter_room
from misdirection.studies.kit.adapter_room import bytes_of, lay_out, portions, room_of
from misdirection.studies.kit.conditions import BASE, Condition
from misdirection.studies.kit.drawing import draw_answers
from misdirection.studies.kit.loading import Loading
from misdirection.studies.kit.variants import Variants

ASKED = (Question("q", ("w10 w11",)), Question("r", ("w20",)))
HOW = SamplingConfig(6)


@pytest.fixture(scope="module")
def several(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Five adapters of one form and five contents."""
    folder = tmp_path_factory.mktemp("several")
    for place in range(5):
        one = shutil.copytree(tiny / "adapter", folder / f"a{place}")
        held = load_file(one / "adapter_model.safetensors")
        save_file({name: (1 + place) * value for name, value in held.items()}, one / "adapter_model.safetensors")
    yield {path.name: path for path in sorted(folder.iterdir())}


def variants(tiny: Path, adapters: dict[str, Path]) -> Variants:
    return Variants.of(str(tiny / "base"), dict(adapters), Loading(device="cpu"))


def said(models: Variants, name: str) -> list[str]:
    return [answer.answer for answer in ask(models.model(name), "w10 w11", Arm(name, name), 3, HOW)]


def test_an_adapter_that_was_dropped_leaves_the_others_and_the_base_as_they_were(
    tiny: Path, several: dict[str, Path]
) -> None:
    alone = load_model(tiny / "base", device="cpu")
    model = load_model(tiny / "base", adapters={"a0": several["a0"], "a1": several["a1"]}, device="cpu")
    ids = torch.tensor([[2, 10, 11]])
    before = {name: ask(model, "w10", Arm(str(name), name), 3, HOW) for name in (None, "a0", "a1")}
    drop_adapter(model, "a0")
    assert model.adapters == ("a1",) == tuple(model.lora) and bytes_of(model, "a0") == 0 < bytes_of(model, "a1")
    assert not any(weight.requires_grad for weight in model.lm.parameters())
    assert {name: ask(model, "w10", Arm(str(name), name), 3, HOW) for name in (None, "a1")} == {
        name: before[name] for name in (None, "a1")
    }
    drop_adapter(model, "a1")
    assert model.adapters == () and torch.equal(model.lm(ids).logits, alone.lm(ids).logits)
    lay_out(model, {"a0": str(several["a0"])})
    assert ask(model, "w10", Arm("a0", "a0"), 3, HOW) == before["a0"]


def test_those_that_came_first_go_where_all_would_take_too_much_and_what_is_wanted_stays(
    tiny: Path, several: dict[str, Path]
) -> None:
    model = load_model(tiny / "base", adapters={"a0": several["a0"]}, device="cpu")
    room = int(2.5 * bytes_of(model, "a0"))
    paths = {name: str(path) for name, path in several.items()}
    for name in ("a1", "a2", "a3"):
        lay_out(model, {name: paths[name]}, room)
    assert model.adapters == ("a2", "a3")
    lay_out(model, paths, room)
    assert sorted(model.adapters) == sorted(several), "all that is asked for at once is there"
    lay_out(model, {"a1": paths["a1"]}, room)
    assert sorted(model.adapters) == sorted(several), "nothing is loaded, so nothing has to go"


def test_a_name_that_means_another_folder_by_now_is_loaded_from_there(tiny: Path, several: dict[str, Path]) -> None:
    first = variants(tiny, {"tuned": several["a0"]})
    other = first.only(()).beside({"tuned": several["a4"]})
    wanted = [said(variants(tiny, {"tuned": several[name]}), "tuned") for name in ("a0", "a4", "a0")]
    assert wanted[0] != wanted[1], "the two fine-tunes say other things"
    assert [said(models, "tuned") for models in (first, other, first)] == wanted
    assert first.resident is other.resident, "all on one resident base"


def test_answers_of_portions_are_those_of_all_at_once(
    tiny: Path, several: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Conditions stand in another order than their adapters, and one adapter is asked twice."""
    arms = [Condition(name, name, name) for name in ("a3", "a0", "a4", "a1", "a2")]
    arms = [arms[0], BASE, *arms[1:], Condition("again", "again", "a3")]
    calm = variants(tiny, several)
    wanted = draw_answers(calm, ASKED, arms, 3, HOW)
    assert sorted(calm.base_model.adapters) == sorted(several)
    assert [one.arm for one in wanted.answers[:: 3 * len(ASKED)]] == [arm.name for arm in arms]
    size = bytes_of(calm.base_model, "a0")
    monkeypatch.setattr(adapter_room, "LEAST", 2 * size)
    monkeypatch.setattr(adapter_room, "SHARE", 10**9)
    tight = variants(tiny, several)
    most: list[int] = []
    kept = adapter_room._make_room

    def watched(model, *given) -> None:
        kept(model, *given)
        most.append(len(model.adapters))

    monkeypatch.setattr(adapter_room, "_make_room", watched)
    assert draw_answers(tight, ASKED, arms, 3, HOW) == wanted
    assert len(most) == len(several) and max(most) <= 2


def test_portions_are_as_large_as_fits_and_keep_the_order(several: dict[str, Path]) -> None:
    paths = {name: str(path) for name, path in several.items()}
    one = 2 * sum(file.stat().st_size for file in several["a0"].glob("*.safetensors"))
    assert portions(paths, 10 * one) == [[*several]]
    assert portions(paths, 2 * one) == [["a0", "a1"], ["a2", "a3"], ["a4"]]
    assert portions(paths, 1) == [[name] for name in several], "one that fits nowhere is asked all the same"
    assert portions({}, one) == [] and portions({"hub": "owner/adapter"}, 1) == [["hub"]]


def test_room_is_a_fact_of_the_base_whatever_lies_beside_it(tiny: Path, several: dict[str, Path]) -> None:
    model = load_model(tiny / "base", device="cpu")
    plain = sum(weight.nbytes for weight in model.lm.parameters())
    assert room_of(model) == adapter_room.LEAST
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter_room, "LEAST", 0)
        before = room_of(model)
        lay_out(model, {name: str(path) for name, path in several.items()})
        assert room_of(model) == before == plain // adapter_room.SHARE
