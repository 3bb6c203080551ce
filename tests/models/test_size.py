"""Each weight is counted once: tied, stored twice, in two quantisations; two matrices are two."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.families import config, words
from transformers import AutoModelForCausalLM, PreTrainedModel

from misdirection.models import count_parameters, load_model
from misdirection.models.memory import weight_bytes
from misdirection.studies.audit.speed import parameters_of


def made(tied: bool, family: str = "llama") -> PreTrainedModel:
    torch.manual_seed(0)
    settings = config(family)
    settings.tie_word_embeddings = tied
    return AutoModelForCausalLM.from_config(settings)


def head_of(lm: PreTrainedModel) -> torch.nn.Parameter:
    return lm.get_output_embeddings().weight


@pytest.mark.parametrize("family", ["llama", "gpt-neox", "gemma2"])
def test_a_tied_head_is_none_of_its_own_and_another_matrix_is(family: str) -> None:
    tied, apart = made(True, family), made(False, family)
    slow = sum({weight.data_ptr(): weight.numel() for weight in tied.parameters()}.values())
    assert count_parameters(tied) == slow
    assert count_parameters(apart) == slow + head_of(apart).numel()


def test_the_embeddings_in_another_quantisation_are_no_second_matrix() -> None:
    lm = made(False)
    alone = count_parameters(made(True))
    embeddings = lm.get_input_embeddings().weight.data
    for bits in (8, 4):
        # Blocks of numbers with a scale each, as quantised files have them.
        blocks = embeddings.reshape(-1, 16)
        scale = blocks.abs().amax(-1, keepdim=True).clamp_min(1e-9) / (2 ** (bits - 1) - 1)
        head_of(lm).data = ((blocks / scale).round() * scale).reshape(embeddings.shape)
        assert not torch.equal(head_of(lm), embeddings)
        assert count_parameters(lm) == alone
    head_of(lm).data = embeddings.roll(1, 0)
    assert count_parameters(lm) == alone + embeddings.numel(), "the same rows of other tokens are another matrix"


def save_with_its_copy(lm: PreTrainedModel, folder: Path, head: str = "lm_head.weight") -> int:
    """A folder whose file holds the head too; gives the bytes of the file's weights without it."""
    lm.save_pretrained(folder)
    words().save_pretrained(folder)
    file = folder / "model.safetensors"
    held = load_file(file)
    assert head not in held
    save_file({**held, head: head_of(lm).detach().clone()}, file, metadata={"format": "pt"})
    return sum(value.nbytes for value in held.values())


def test_memory_is_asked_for_one_of_two_stored_copies_of_a_tied_matrix(tmp_path: Path) -> None:
    alone = save_with_its_copy(made(True), tmp_path)
    assert weight_bytes(tmp_path, "auto") == weight_bytes(tmp_path, torch.float32) == alone
    assert weight_bytes(tmp_path, torch.bfloat16) == alone // 2
    lm = load_model(tmp_path).lm
    assert sum(weight.nbytes for weight in lm.parameters()) == alone, "as it is loaded"


def test_a_forecast_counts_one_of_two_stored_copies_and_one_of_two_sets_of_files(tmp_path: Path) -> None:
    """The time of an audit is told by `parameters_of`, which reads headers alone."""
    alone = save_with_its_copy(made(True), tmp_path)
    assert parameters_of(tmp_path) == alone // 4 == count_parameters(load_model(tmp_path).lm)
    (tmp_path / "consolidated.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes())
    assert parameters_of(tmp_path) == alone // 4, "Mistral's second copy"
    apart = made(False)
    apart.save_pretrained(tmp_path / "apart")
    assert parameters_of(tmp_path / "apart") == sum(weight.numel() for weight in apart.parameters())
    assert parameters_of(tmp_path / "none") == 0


def test_a_family_that_ties_without_a_word_is_known(tmp_path: Path) -> None:
    import json

    alone = save_with_its_copy(made(True, "gemma2"), tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    settings.pop("tie_word_embeddings", None)
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert weight_bytes(tmp_path, "auto") == alone


def test_two_matrices_that_are_not_tied_both_need_memory(tmp_path: Path) -> None:
    made(False).save_pretrained(tmp_path)
    held = load_file(tmp_path / "model.safetensors")
    assert weight_bytes(tmp_path, "auto") == sum(value.nbytes for value in held.values())
