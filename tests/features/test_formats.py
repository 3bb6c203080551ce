"""Each published layout, written here as its loaders describe it, encodes by its own formula."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from misdirection.features import DictionaryError, load_dictionary
from misdirection.features.formats import FORMATS

D, F = 8, 24
G = torch.Generator().manual_seed(7)
W_ENC, W_DEC = torch.randn(D, F, generator=G), torch.randn(F, D, generator=G)
B_ENC, B_DEC = torch.randn(F, generator=G), torch.randn(D, generator=G)
THRESHOLD = torch.rand(F, generator=G)
X = torch.randn(11, D, generator=G)


def jump(before: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    return torch.where(before > threshold, before, torch.zeros(()))


def top(before: torch.Tensor, k: int) -> torch.Tensor:
    floor = before.sort(dim=-1, descending=True).values[:, k - 1 : k]
    return torch.where(before >= floor, before.relu(), torch.zeros(()))


def write_json(path: Path, held: dict) -> None:
    path.write_text(json.dumps(held))


def gemma_scope(folder: Path) -> torch.Tensor:
    arrays = {"W_enc": W_ENC, "W_dec": W_DEC, "b_enc": B_ENC, "b_dec": B_DEC, "threshold": THRESHOLD}
    np.savez(folder / "params.npz", **{name: value.numpy() for name, value in arrays.items()})
    return jump(X @ W_ENC + B_ENC, THRESHOLD)


def gemma_scope_2(folder: Path) -> torch.Tensor:
    tensors = {"w_enc": W_ENC, "w_dec": W_DEC, "b_enc": B_ENC, "b_dec": B_DEC, "threshold": THRESHOLD}
    save_file(tensors, folder / "params.safetensors")
    write_json(folder / "config.json", {"architecture": "jump_relu", "hf_hook_point_in": "model.layers.5.output"})
    return jump(X @ W_ENC + B_ENC, THRESHOLD)


def linear(threshold: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    held = {"encoder.weight": W_ENC.T, "decoder.weight": W_DEC.T, "encoder.bias": B_ENC, "decoder.bias": B_DEC}
    held |= {} if threshold is None else {"log_jumprelu_threshold": threshold.log()}
    return {name: value.contiguous() for name, value in held.items()}


def llama_scope(folder: Path) -> torch.Tensor:
    (folder / "checkpoints").mkdir()
    save_file(linear(), folder / "checkpoints" / "final.safetensors")
    norms = {
        "jump_relu_threshold": 0.4,
        "dataset_average_activation_norm": {"in": 9.0},
        "hook_point_in": "blocks.3.hook_resid_post",
    }
    write_json(folder / "hyperparams.json", norms)
    scale = D**0.5 / 9.0
    return jump((X * scale) @ W_ENC + B_ENC, torch.tensor(0.4 * scale))


def llama_scope_r1(folder: Path) -> torch.Tensor:
    hook = "blocks.15.hook_resid_post"
    norm = {f"dataset_average_activation_norm.{hook}": torch.tensor(0.5)}
    save_file(linear(THRESHOLD) | norm, folder / "sae_weights.safetensors")
    write_json(folder / "config.json", {"hook_point_in": hook, "norm_activation": "dataset-wise"})
    return jump((X * D**0.5 / 0.5) @ W_ENC + B_ENC, THRESHOLD)


def learned(kind: str) -> Callable[[Path], torch.Tensor]:
    def write(folder: Path) -> torch.Tensor:
        held = {"encoder.weight": W_ENC.T, "decoder.weight": W_DEC.T, "encoder.bias": B_ENC, "b_dec": B_DEC}
        if kind == "MatryoshkaBatchTopKSAE":
            held = {
                "W_enc": W_ENC,
                "W_dec": W_DEC,
                "b_enc": B_ENC,
                "b_dec": B_DEC,
                "group_sizes": torch.tensor([8, 16]),
            }
        torch.save({**held, "threshold": torch.tensor(0.7), "k": torch.tensor(3)}, folder / "ae.pt")
        write_json(folder / "config.json", {"trainer": {"dict_class": kind, "k": 3, "layer": 15, "lm_name": "m"}})
        before = (X - B_DEC) @ W_ENC + B_ENC
        return top(before, 3) if kind == "AutoEncoderTopK" else jump(before, torch.tensor(0.7))

    return write


def gated_learned(folder: Path) -> torch.Tensor:
    scale = torch.randn(F, generator=torch.Generator().manual_seed(3)) / 2
    held = {"encoder.weight": W_ENC.T, "decoder.weight": W_DEC.T, "decoder_bias": B_DEC, "r_mag": scale}
    torch.save({**held, "gate_bias": B_ENC, "mag_bias": THRESHOLD}, folder / "ae.pt")
    write_json(folder / "config.json", {"trainer": {"dict_class": "GatedAutoEncoder", "layer": 15}})
    before = (X - B_DEC) @ W_ENC
    return torch.where(before + B_ENC > 0, (before * scale.exp() + THRESHOLD).relu(), torch.zeros(()))


def jumprelu_learned(folder: Path) -> torch.Tensor:
    held = {"W_enc": W_ENC, "W_dec": W_DEC, "b_enc": B_ENC, "b_dec": B_DEC, "threshold": THRESHOLD}
    torch.save(held, folder / "ae.pt")
    write_json(folder / "config.json", {"trainer": {"dict_class": "JumpReluAutoEncoder", "layer": 15}})
    return jump(X @ W_ENC + B_ENC, THRESHOLD)


def goodfire(folder: Path) -> torch.Tensor:
    names = {"encoder_linear.weight": W_ENC.T, "decoder_linear.weight": W_DEC.T}
    torch.save({**names, "encoder_linear.bias": B_ENC, "decoder_linear.bias": B_DEC}, folder / "sae-l19.pth")
    return (X @ W_ENC + B_ENC).relu()


def qwen_scope(folder: Path) -> torch.Tensor:
    torch.save({"W_enc": W_ENC.T, "W_dec": W_DEC.T, "b_enc": B_ENC, "b_dec": B_DEC}, folder / "layer9.sae.pt")
    return top(X @ W_ENC + B_ENC, 4)


def sparsify(folder: Path) -> torch.Tensor:
    held = {"encoder.weight": W_ENC.T.contiguous(), "W_dec": W_DEC, "encoder.bias": B_ENC, "b_dec": B_DEC}
    save_file(held, folder / "sae.safetensors")
    write_json(folder / "cfg.json", {"k": 6, "normalize_decoder": True, "d_in": D})
    return top((X - B_DEC) @ W_ENC + B_ENC, 6)


def saved(architecture: str, **rest) -> Callable[[Path], torch.Tensor]:
    def write(folder: Path) -> torch.Tensor:
        held = {"W_enc": W_ENC, "W_dec": W_DEC, "b_enc": B_ENC, "b_dec": B_DEC}
        held |= {"threshold": THRESHOLD} if architecture == "jumprelu" else {}
        save_file(held, folder / "sae_weights.safetensors")
        settings = {
            "architecture": architecture,
            "d_in": D,
            "d_sae": F,
            "apply_b_dec_to_input": True,
            "dtype": "float32",
        }
        told = {"metadata": {"hook_name": "blocks.2.hook_resid_post"}, "device": "cpu", "normalize_activations": "none"}
        write_json(folder / "cfg.json", {**settings, **told, **rest})
        before = (X - B_DEC) @ W_ENC + B_ENC
        if architecture == "topk":
            norms = W_DEC.norm(dim=-1) if rest.get("rescale_acts_by_decoder_norm") else torch.ones(F)
            return top(before * norms, rest["k"])
        return jump(before, THRESHOLD) if architecture == "jumprelu" else before.relu()

    return write


WRITERS: dict[str, tuple[str, int | None, Callable[[Path], torch.Tensor]]] = {
    "gemma_scope": ("gemma_scope", 12, gemma_scope),
    "gemma_scope_2": ("gemma_scope_2", 5, gemma_scope_2),
    "llama_scope": ("llama_scope", 3, llama_scope),
    "llama_scope_r1": ("llama_scope_r1", 15, llama_scope_r1),
    "batch_topk": ("dictionary_learning", 15, learned("BatchTopKSAE")),
    "matryoshka": ("dictionary_learning", 15, learned("MatryoshkaBatchTopKSAE")),
    "gated_learned": ("dictionary_learning", 15, gated_learned),
    "auto_topk": ("dictionary_learning", 15, learned("AutoEncoderTopK")),
    "jumprelu_learned": ("dictionary_learning", 15, jumprelu_learned),
    "goodfire": ("goodfire", 19, goodfire),
    "qwen_scope": ("qwen_scope", 9, qwen_scope),
    "sparsify": ("sparsify", 12, sparsify),
    "standard": ("sae_lens", 2, saved("standard")),
    "jumprelu": ("sae_lens", 2, saved("jumprelu")),
    "topk": ("sae_lens", 2, saved("topk", k=5, rescale_acts_by_decoder_norm=False)),
    "topk_rescaled": ("sae_lens", 2, saved("topk", k=5, rescale_acts_by_decoder_norm=True)),
}


def place(tmp_path: Path) -> Path:
    folder = tmp_path / "SAE-Res-Qwen3-1.7B-Base-W32K-L0_4" / "layer_12"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("name", WRITERS)
def test_layout_is_known_and_encodes_by_its_formula(tmp_path: Path, name: str):
    layout, layer, write = WRITERS[name]
    folder = place(tmp_path)
    wanted = write(folder)
    assert next(key for key, (matches, _) in FORMATS.items() if matches(folder)) == layout
    held = load_dictionary(folder)
    assert held.facts["format"] == layout and held.layer == layer
    assert torch.allclose(held.encode(X), wanted, atol=1e-5)
    assert (wanted != 0).any()


def test_every_layout_has_a_case():
    assert {layout for layout, _, _ in WRITERS.values()} | {"misdirection"} == set(FORMATS)


def test_errors_name_what_is_wrong(tmp_path: Path):
    folder = place(tmp_path)
    with pytest.raises(DictionaryError, match="known layout"):
        load_dictionary(folder)
    with pytest.raises(DictionaryError, match="no public set is called 'nothing'"):
        load_dictionary("nothing:1")
    with pytest.raises(DictionaryError, match="holds many dictionaries"):
        load_dictionary("gemma-scope-2b-pt-res")
    gemma_scope(folder)
    with pytest.raises(DictionaryError, match="no layout is called"):
        load_dictionary(folder, "other")
    with pytest.raises(DictionaryError, match="not laid out as"):
        load_dictionary(folder, "goodfire")
    (folder / "params.npz").write_bytes(b"broken")
    with pytest.raises(DictionaryError, match="cannot be read"):
        load_dictionary(folder)


def test_a_pickle_that_holds_more_than_tensors_is_refused(tmp_path: Path):
    folder = place(tmp_path)
    torch.save({"encoder_linear.weight": Path}, folder / "sae.pt")
    with pytest.raises(DictionaryError, match="more than tensors"):
        load_dictionary(folder)


def test_a_public_set_that_cannot_be_fetched_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DictionaryError, match="cannot be fetched"):
        load_dictionary("gemma-scope-2b-pt-res:layer_12/width_16k/average_l0_0")
