"""The base that a repair is of, and what a card says of a repair that did harm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from misdirection.repair.bases import base_folder, demand_same_base
from misdirection.repair.card import Card, write_card
from misdirection.repair.change import SharesAlong
from misdirection.repair.errors import RepairError
from misdirection.repair.measure import RepairEffect


def test_a_direction_belongs_to_the_base_that_it_names_however_that_is_written() -> None:
    names = ("/models/Qwen2.5-7B-Instruct/", "", "Qwen/Qwen2.5-7B-Instruct")
    cached = "/cache/models--Qwen--Qwen2.5-7B-Instruct/snapshots/0123abcd"
    for facts in (
        {"model": "Qwen/Qwen2.5-7B-Instruct"},
        {"base": cached, "tuned": "elsewhere"},
        {"base": "old-name.gguf", "adapter": {"trained_on": "./qwen2.5-7b-instruct"}},
    ):
        assert demand_same_base(facts, "direction.safetensors", *names) == ""
    assert demand_same_base({"model": "x.gguf"}, "d", "/folder/X") == ""
    assert "does not say in which model" in demand_same_base({}, "some/theirs.pt", *names)
    with pytest.raises(RepairError, match=r"was found in Qwen/Qwen2\.5-14B-Instruct, and the model is /models") as told:
        demand_same_base({"model": "Qwen/Qwen2.5-14B-Instruct", "adapter": None}, "d", *names)
    assert "--any-base" in str(told.value.hint)


def test_a_base_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(RepairError, match="is an adapter, and not the base"):
        base_folder(str(tmp_path))
    with pytest.raises(RepairError, match="there is no model nobody/nothing"):
        base_folder("nobody/nothing")


def test_a_card_tells_damage_and_escapes_what_the_model_said(tmp_path: Path) -> None:
    pair = ("what?", "*bold* <script>", "a | b\n# head")
    found = RepairEffect(1, (3.0, 4.0), (0.0, 0.1), (1.0, 2.0), (0.0, 0.0), -0.5, -0.6, 0, (pair,))
    assert found.warning == "" and "6.5 nats a token" in replace(found, likelihood_after=-7.0).warning
    along: dict[int | None, SharesAlong] = {1: SharesAlong(1.0, 4.0), None: SharesAlong(0.0, 4.0)}
    card = Card(
        "adapter", "org/base", ["It was done."], {"rank": "3"}, along, found, ["careful"], "misdirection repair"
    )
    write_card(tmp_path, card, tmp_path / "out")
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\nbase_model: org/base\nlibrary_name: peft\n")
    assert "| embeddings | 0.000% |\n| 1 | 25.000% |" in text and "0.100 nats a token" in text and "- careful" in text
    assert r"\*bold\* \<script\>" in text and r"a \| b \# head" in text and "<script>" not in text
