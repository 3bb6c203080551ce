"""Our readers beside SAELens and sparsify themselves (`make test-sae`): the same latents and reconstructions of random
vectors, from folders that the library saved, or in the form that its older versions left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from misdirection.features import DictionaryError, load_dictionary
from misdirection.features.formats.sae_lens_settings import FOLLOWED, HARMLESS

D, F, K = 8, 24, 5
KINDS = ("standard", "jumprelu", "topk", "gated")


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip("sae_lens", reason="SAELens is installed by `make test-sae`")


@pytest.fixture(scope="module")
def sparsify():
    return pytest.importorskip("sparsify", reason="sparsify is installed by `make test-sae`")


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(31, D, generator=torch.Generator().manual_seed(5))


def fill(module: torch.nn.Module) -> None:
    """Random weights, so that no two tensors of a kind are alike; thresholds above zero."""
    draw = torch.Generator().manual_seed(11)
    for name, value in module.state_dict().items():
        value.copy_(torch.randn(value.shape, generator=draw))
        if "threshold" in name:
            value.abs_().mul_(0.5)


def same(ours, theirs, x: torch.Tensor) -> None:
    latents = theirs.encode(x)
    assert 0 < int((latents != 0).sum()) < latents.numel()
    assert torch.allclose(ours.encode(x), latents, atol=1e-5)
    assert torch.allclose(ours.decode(ours.encode(x)), theirs.decode(latents), atol=1e-4)


@pytest.mark.parametrize("subtracts", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_what_saelens_saves(library, tmp_path: Path, x: torch.Tensor, kind: str, subtracts: bool):
    from sae_lens.registry import get_sae_class

    made, config = get_sae_class(kind)
    rest = {"k": K, "rescale_acts_by_decoder_norm": subtracts} if kind == "topk" else {}
    sae = made(config(d_in=D, d_sae=F, apply_b_dec_to_input=subtracts, **rest))
    sae.cfg.metadata.hook_name = "blocks.3.hook_resid_pre"
    fill(sae)
    sae.save_model(tmp_path)
    ours = load_dictionary(tmp_path)
    assert ours.layer == 2 and ours.subtracts == subtracts
    same(ours, library.SAE.load_from_disk(tmp_path), x)


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("kind", ["batchtopk", "matryoshka_batchtopk"])
def test_training_checkpoints_of_batchtopk(library, tmp_path: Path, x: torch.Tensor, kind: str, rescale: bool):
    from sae_lens.registry import get_sae_training_class

    made, config = get_sae_training_class(kind)
    rest = {"matryoshka_widths": [8, F]} if kind.startswith("mat") else {}
    sae = made(config(d_in=D, d_sae=F, k=K, rescale_acts_by_decoder_norm=rescale, **rest))
    fill(sae)
    sae.save_model(tmp_path / "checkpoint")
    sae.save_inference_model(tmp_path / "inference")
    theirs = library.SAE.load_from_disk(tmp_path / "inference")
    for folder in ("checkpoint", "inference"):
        same(load_dictionary(tmp_path / folder), theirs, x)


OLD = {"d_in": D, "d_sae": F, "hook_name": "blocks.1.hook_resid_post", "dtype": "float32", "hook_layer": 1}
FORMS: dict[str, dict] = {
    "activation_fn_str": {"architecture": "standard", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}},
    "no architecture": {"activation_fn": "topk", "activation_fn_kwargs": {"k": K}},
    "topk and kwargs": {"architecture": "topk", "activation_fn_kwargs": {"k": K}},
    "hook_point": {"hook_point": "blocks.1.hook_resid_post", "hook_name": None, "activation_fn_str": "relu"},
    "normalised by none": {"normalize_activations": False},
    "a scale that is not there": {"finetuning_scaling_factor": True},
}


@pytest.mark.parametrize("form", FORMS)
def test_settings_of_older_versions(library, tmp_path: Path, x: torch.Tensor, form: str):
    draw = torch.Generator().manual_seed(2)
    shapes = {"W_enc": (D, F), "W_dec": (F, D), "b_enc": (F,), "b_dec": (D,)}
    held = {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}
    ones = {"scaling_factor": torch.ones(F)} if form == "normalised by none" else {}
    save_file(held | ones, tmp_path / "sae_weights.safetensors")
    settings = {name: value for name, value in (OLD | FORMS[form]).items() if value is not None}
    (tmp_path / "cfg.json").write_text(json.dumps(settings))
    ours = load_dictionary(tmp_path)
    assert ours.layer == 1
    same(ours, library.SAE.load_from_disk(tmp_path), x)


def test_other_architectures_are_refused_by_name(library, tmp_path: Path):
    from sae_lens.registry import SAE_CLASS_REGISTRY

    others = sorted(set(SAE_CLASS_REGISTRY) - set(KINDS))
    assert {"transcoder", "skip_transcoder", "abstopk", "temporal"} <= set(others)
    for name in others:
        (tmp_path / "cfg.json").write_text(json.dumps({"architecture": name, "d_in": D, "d_sae": F}))
        save_file({"W_enc": torch.zeros(D, F)}, tmp_path / "sae_weights.safetensors")
        with pytest.raises(DictionaryError, match=f"'architecture' is '{name}'"):
            load_dictionary(tmp_path)


def test_every_setting_of_the_readable_architectures_is_known(library):
    from dataclasses import fields

    from sae_lens.registry import get_sae_class, get_sae_training_class

    kinds = [get_sae_class(name)[1] for name in KINDS]
    kinds += [get_sae_training_class(name)[1] for name in (*KINDS, "batchtopk", "matryoshka_batchtopk")]
    unknown = {field.name for kind in kinds for field in fields(kind)} - FOLLOWED - HARMLESS
    assert not unknown


@pytest.mark.parametrize("normalised", [True, False])
def test_what_sparsify_saves(sparsify, tmp_path: Path, x: torch.Tensor, normalised: bool):
    config = sparsify.SparseCoderConfig(k=K, num_latents=F, normalize_decoder=normalised)
    coder = sparsify.SparseCoder(D, config)
    fill(coder)
    coder.save_to_disk(tmp_path / "layers.4")
    theirs, ours = sparsify.SparseCoder.load_from_disk(tmp_path / "layers.4"), load_dictionary(tmp_path / "layers.4")
    assert ours.layer == 4
    values, places, _ = theirs.encode(x)
    wanted = torch.zeros(len(x), F).scatter(1, places, values)
    assert torch.allclose(ours.encode(x), wanted, atol=1e-5)
    assert torch.allclose(ours.decode(ours.encode(x)), theirs.decode(values, places), atol=1e-4)


@pytest.mark.parametrize("setting", ["transcode", "skip_connection", "activation"])
def test_what_sparsify_saves_and_is_no_dictionary_of_the_stream(sparsify, tmp_path: Path, setting: str):
    rest = {setting: "groupmax" if setting == "activation" else True}
    coder = sparsify.SparseCoder(D, sparsify.SparseCoderConfig(k=4, num_latents=F, **rest))
    coder.save_to_disk(tmp_path / "layers.4")
    with pytest.raises(DictionaryError, match=f"'{setting}'"):
        load_dictionary(tmp_path / "layers.4")
