"""Our side of the benchmark of seven traits on a tiny model, against a plain loop; other vectors give no figure."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benchmarks import extraction
from benchmarks.extraction_sides import PAIRS, Persona
from benchmarks.measure import UnequalError
from tests.models.test_gguf import TOKENS, written
from transformers import AutoModelForCausalLM, Qwen2Config

from misdirection.answers import read_back
from misdirection.models import load_model, wrap


@pytest.fixture
def persona(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Persona:
    monkeypatch.setenv("MISDIRECTION_CACHE", str(tmp_path / "cache"))
    tokenizer = load_model(written(tmp_path / "tiny.gguf")).tokenizer
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(TOKENS), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=8192,
    )  # fmt: skip
    return Persona(wrap(AutoModelForCausalLM.from_config(config).eval(), tokenizer, "tiny"), 2, 6, 5)


def test_vectors_are_means_of_answers_behind_their_own_prompts(persona: Persona) -> None:
    found = persona.ours()
    assert list(found) == list(PAIRS)
    count, tokens = persona.texts
    assert tokens > 5 * count > 0
    for trait in PAIRS:
        sides = [[persona.answers[place] for place in places] for places in persona._kept(trait)]
        means: list[torch.Tensor] = []
        for answers in sides:
            each: list[torch.Tensor] = []
            for one in read_back(persona.model, answers).encoded:
                with torch.no_grad():
                    states = persona.model.lm(torch.tensor([one.ids]), output_hidden_states=True).hidden_states
                each.append(states[1][0, one.start : one.stop].mean(0))
            means.append(torch.stack(each).mean(0))
        assert torch.allclose(found[trait][0], means[0] - means[1], atol=1e-5)


def test_other_vectors_give_no_figure(capsys: pytest.CaptureFixture[str]) -> None:
    ours = {"one": torch.eye(3), "other": torch.ones(3, 3)}
    extraction.demand_equal("itself", ours, ours, torch.float32)
    assert "2 vectors at 3 layers, cosine 1.000000 at worst" in capsys.readouterr().out
    turned = {**ours, "other": torch.tensor([[1.0, 1, 1], [1, 1, 1], [1, 1, 0.8]])}
    with pytest.raises(UnequalError, match=r"0\.99"):
        extraction.demand_equal("another", ours, turned, torch.float32)
    with pytest.raises(UnequalError):
        extraction.demand_equal("none", ours, {**ours, "one": torch.full((3, 3), torch.nan)}, torch.bfloat16)


def test_sides_run_in_turning_order_and_ratios_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    order: list[str] = []
    spent, found = extraction.in_turn({"ours": lambda: order.append("a"), "theirs": lambda: order.append("b")}, 2)
    assert order == ["a", "b", "b", "a"] and list(found) == ["ours", "theirs"]
    assert [len(times) for times in spent.values()] == [2, 2]
    extraction.tell("reading", {"ours": [1.0, 2.0], "theirs": [4.0, 4.0]})
    assert "3.00 times faster (2.00 to 4.00)  (target 3 x: met)" in capsys.readouterr().out
