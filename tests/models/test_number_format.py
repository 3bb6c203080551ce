"""What "auto" takes on a CPU, for what is stored how and on which processor."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest
import torch
from tests.families import network
from tests.models.test_gguf import written

from misdirection.models import load_model, number_format
from misdirection.models.number_format import choose_format, times_faster


@pytest.fixture(params=["fast", "flags alone", "no flags"])
def processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    kind: str = request.param
    monkeypatch.setattr(number_format, "SMALL", 0)
    monkeypatch.setattr(number_format, "has_flags", lambda: kind != "no flags")
    monkeypatch.setattr(number_format, "times_faster", lambda: 3.0 if kind == "fast" else 0.9)
    return kind


def stored_as(folder: Path, dtype: torch.dtype) -> str:
    network("llama").to(dtype).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
def test_half_weights_are_bfloat16_where_that_is_fast_and_float32_elsewhere(
    tmp_path: Path, processor: str, stored: torch.dtype
) -> None:
    found = choose_format(stored_as(tmp_path / "half", stored), "cpu")
    assert found is not None
    assert found.dtype == (torch.bfloat16 if processor == "fast" else torch.float32)
    assert found.name in found.why


def test_weights_in_float32_stay(tmp_path: Path, processor: str) -> None:
    assert choose_format(stored_as(tmp_path / "whole", torch.float32), "cpu") is None


def test_a_gguf_file_that_was_quantised_counts_before_and_after_it_is_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processor: str
) -> None:
    monkeypatch.setenv("MISDIRECTION_CACHE", str(tmp_path / "cache"))
    file = written(tmp_path / "tiny.gguf", quantised=gguf.GGMLQuantizationType.Q8_0)
    before = choose_format(str(file), "cpu")
    assert (before is not None) == (processor == "fast")
    model = load_model(file, device="cpu")
    assert model.dtype == (torch.bfloat16 if processor == "fast" else torch.float32)
    assert ("number_format" in model.facts) == (processor == "fast")


def test_what_lacks_the_memory_for_float32_stays_as_it_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(number_format, "SMALL", 0)
    monkeypatch.setattr(number_format, "has_flags", lambda: False)
    monkeypatch.setattr(number_format, "free_memory", lambda: 1000)
    found = choose_format(stored_as(tmp_path / "half", torch.bfloat16), "cpu")
    assert found is not None
    assert found.dtype == torch.bfloat16
    assert "as stored" in found.why


def test_small_models_other_devices_and_spread_ones_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = stored_as(tmp_path / "half", torch.bfloat16)
    assert choose_format(name, "cpu") is None
    monkeypatch.setattr(number_format, "SMALL", 0)
    assert choose_format(name, "cuda") is None
    assert choose_format(name, None, "auto") is None


def test_the_measurement_is_made_once_and_is_a_number() -> None:
    assert times_faster() == times_faster() > 0
