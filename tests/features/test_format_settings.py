"""Settings that change what a dictionary computes or where it reads are followed, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from misdirection.features import Dictionary, DictionaryError, load_dictionary
from misdirection.features.formats.hooks import layer_of_hook, layer_of_path

D, F = 8, 16
G = torch.Generator().manual_seed(1)
W = {"W_enc": torch.randn(D, F, generator=G), "W_dec": torch.randn(F, D, generator=G)}
W |= {"b_enc": torch.randn(F, generator=G), "b_dec": torch.randn(D, generator=G)}
X = torch.randn(9, D, generator=G)
LINEAR = {"encoder.weight": W["W_enc"].T, "decoder.weight": W["W_dec"].T, "encoder.bias": W["b_enc"]}
LINEAR = {name: value.contiguous() for name, value in LINEAR.items()}
HOOK = {"hook_name": "blocks.2.hook_resid_post"}


def sae_lens(folder: Path, settings: dict, tensors: dict | None = None) -> Dictionary:
    folder.mkdir(exist_ok=True)
    save_file(W | (tensors or {}), folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(settings))
    return load_dictionary(folder)


def sparsify(folder: Path, settings: dict, tensors: dict | None = None) -> Dictionary:
    folder.mkdir(exist_ok=True)
    rest = {"W_dec": W["W_dec"], "b_dec": W["b_dec"]}
    held = {name: value for name, value in LINEAR.items() if name != "decoder.weight"} | rest
    save_file(held | (tensors or {}), folder / "sae.safetensors")
    (folder / "cfg.json").write_text(json.dumps({"d_in": D, "k": 4, **settings}))
    return load_dictionary(folder)


def llama_scope(folder: Path, settings: dict, tensors: dict | None = None) -> Dictionary:
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    save_file(LINEAR | {"decoder.bias": W["b_dec"]} | (tensors or {}), folder / "checkpoints" / "final.safetensors")
    (folder / "hyperparams.json").write_text(json.dumps(settings))
    return load_dictionary(folder)


def learned(folder: Path, trainer: dict, buffer: dict | None = None) -> Dictionary:
    folder.mkdir(exist_ok=True)
    torch.save(LINEAR | {"bias": W["b_dec"]}, folder / "ae.pt")
    settings = {"trainer": {"dict_class": "AutoEncoder", **trainer}, "buffer": buffer or {}}
    (folder / "config.json").write_text(json.dumps(settings))
    return load_dictionary(folder)


def gemma(folder: Path, settings: dict, tensors: dict | None = None) -> Dictionary:
    folder.mkdir(exist_ok=True)
    save_file(W | {"threshold": torch.ones(F)} | (tensors or {}), folder / "params.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": "jump_relu", **settings}))
    return load_dictionary(folder)


HOOKS: dict[str, int | None] = {
    "blocks.7.hook_resid_post": 7, "blocks.7.hook_resid_pre": 6, "blocks.7.hook_out": 7, "blocks.7.hook_in": 6,
    "model.layers.7": 7, "model.layers.7.output": 7, "model.layers.7.input": 6, "transformer.h.3": 3,
    "gpt_neox.layers.5": 5, "layers.12": 12, "resid_post_layer_15": 15, "resid_pre_layer_15": 14,
    "blocks.0.hook_resid_pre": None, "blocks.7.hook_resid_mid": None, "blocks.7.hook_mlp_out": None,
    "blocks.7.hook_attn_out": None, "blocks.7.attn.hook_z": None, "blocks.7.mlp.hook_post": None,
    "blocks.7.ln2.hook_normalized": None, "hook_embed": None, "model.embed_tokens": None, "model.layers.7.mlp": None,
    "model.layers.7.self_attn.o_proj.input": None, "model.layers.7.post_feedforward_layernorm.output": None,
    "attn_out_layer_3": None, "something": None,
}  # fmt: skip


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_a_layer_or_refused_by_its_name(tmp_path: Path, hook: str):
    right = HOOKS[hook]
    if right is None:
        with pytest.raises(DictionaryError, match=hook.replace(".", r"\.")):
            layer_of_hook(hook, "here")
        with pytest.raises(DictionaryError, match=hook.replace(".", r"\.")):
            sae_lens(tmp_path / "dictionary", {"hook_name": hook})
    else:
        assert layer_of_hook(hook, "here") == right
        assert sae_lens(tmp_path / "dictionary", {"metadata": {"hook_name": hook}}).layer == right


def test_the_name_of_a_folder_tells_the_layer():
    paths = {
        "x/layer_12/width_16k/average_l0_82": 12, "layers.7": 7, "Llama3_1-8B-Base-L15R-8x": 15, "resid_pre_layer_4": 3,
        "Llama-3.1-8B-Instruct-SAE-l19": 19, "resid_post/layer_3_width_16k_l0_big": 3, "somewhere": None, "h.3": 3,
    }  # fmt: skip
    assert {path: layer_of_path(path) for path in paths} == paths
    for path in (
        "layers.7.mlp",
        "mlp_out/layer_3_width_16k",
        "layers.3.self_attn",
        "embed_tokens",
        "resid_pre_layer_0",
    ):
        with pytest.raises(DictionaryError, match=path.split("/")[-1]):
            layer_of_path(path)


REFUSED = {
    "architecture": {"architecture": "transcoder"},
    "activation_fn_str": {"activation_fn_str": "tanh-relu"},
    "activation 'topk'": {"architecture": "jumprelu", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}},
    "does not say its k": {"architecture": "topk"},
    "k is 4 in k, 5 in activation_fn_kwargs.k": {"architecture": "topk", "k": 4, "activation_fn_kwargs": {"k": 5}},
    "setting 'signed'": {"architecture": "topk", "activation_fn_kwargs": {"k": 5, "signed": True}},
    "normalize_activations": {"normalize_activations": "layer_norm"},
    "'normalize_activations' is True": {"normalize_activations": True},
    "expected_average_only_in": {"normalize_activations": "expected_average_only_in"},
    "rescale_acts_by_decoder_norm": {"rescale_acts_by_decoder_norm": True},
    "reshape_activations": {"reshape_activations": "hook_z"},
    "hook_head_index": {"hook_head_index": 3},
    "is a transcoder": {"hook_name_out": "blocks.2.hook_mlp_out"},
    "apply_b_dec_to_input": {"apply_b_dec_to_input": "yes"},
    "'a_new_switch' \\(1\\) is not known": {"a_new_switch": 1},
    "'d_sae' is 99": {"d_sae": 99},
}


@pytest.mark.parametrize("words", REFUSED)
def test_saelens_settings_that_are_not_followed(tmp_path: Path, words: str):
    with pytest.raises(DictionaryError, match=words):
        sae_lens(tmp_path, HOOK | REFUSED[words])


@pytest.mark.parametrize("name", ["scaling_factor", "finetuning_scaling_factor", "W_skip", "b_gate"])
def test_a_tensor_that_changes_what_is_computed_is_refused(tmp_path: Path, name: str):
    with pytest.raises(DictionaryError, match="finetuning_scaling_factor" if name == "scaling_factor" else name):
        sae_lens(tmp_path, HOOK, {name: torch.full((F,), 2.0)})


def test_what_only_tells_of_the_training_is_passed_over(tmp_path: Path):
    told = {"l1_coefficient": 5, "lr": 1e-3, "context_size": 128, "device": "cuda", "seed": 1, "a_new_one": None}
    held = sae_lens(tmp_path, HOOK | told, {"scaling_factor": torch.ones(F)})
    assert torch.allclose(held.encode(X), ((X - W["b_dec"]) @ W["W_enc"] + W["b_enc"]).relu(), atol=1e-5)


def test_a_centred_stream_is_said(tmp_path: Path):
    with pytest.warns(UserWarning, match="center_writing_weights"):
        sae_lens(tmp_path, HOOK | {"model_from_pretrained_kwargs": {"center_writing_weights": True}})


@pytest.mark.parametrize("setting", ["transcode", "skip_connection", "signed", "activation", "unheard_of"])
def test_sparsify_settings_that_are_not_followed(tmp_path: Path, setting: str):
    with pytest.raises(DictionaryError, match=f"'{setting}'"):
        sparsify(tmp_path / "layers.3", {setting: "groupmax" if setting == "activation" else True})
    with pytest.raises(DictionaryError, match="W_skip"):
        sparsify(tmp_path / "layers.3", {}, {"W_skip": torch.zeros(D, D)})
    with pytest.raises(DictionaryError, match=r"layers\.3\.mlp"):
        sparsify(tmp_path / "layers.3.mlp", {})


def test_openmoss_settings_are_followed(tmp_path: Path):
    norms = W["W_dec"].norm(dim=-1)
    hook = {"hook_point_in": "blocks.5.hook_resid_post", "hook_point_out": "blocks.5.hook_resid_post"}
    norm = {"dataset_average_activation_norm": {"in": 2.0, "out": 2.0}}
    scale = D**0.5 / 2
    raw, scaled = X @ W["W_enc"] + W["b_enc"], X * scale @ W["W_enc"] + W["b_enc"]
    told = hook | norm | {"jump_relu_threshold": 0.6}
    assert torch.allclose(llama_scope(tmp_path, told).encode(X), scaled * (scaled > 0.6 * scale), atol=1e-5)
    counted = llama_scope(tmp_path, told | {"sparsity_include_decoder_norm": True})
    assert torch.allclose(counted.encode(X), scaled * (scaled * norms > 0.6 * scale), atol=1e-5)
    plain = llama_scope(tmp_path, told | {"norm_activation": "none", "act_fn": "relu"})
    assert plain.input_scale == 1 and torch.allclose(plain.encode(X), raw.relu(), atol=1e-5)
    top = llama_scope(tmp_path, told | {"act_fn": "topk", "top_k": 3, "apply_decoder_bias_to_pre_encoder": True})
    before = (X * scale - W["b_dec"]) @ W["W_enc"] + W["b_enc"]
    assert torch.allclose(top.encode(X).sort().values[:, -3:], before.topk(3).values.relu().flip(1), atol=1e-5)


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ("is a transcoder", {"hook_point_out": "blocks.5.hook_mlp_out"}),
        ("blocks.5.hook_mlp_out", {"hook_point_in": "blocks.5.hook_mlp_out", "hook_point_out": None}),
        ("use_glu_encoder", {"use_glu_encoder": True}),
        ("norm_activation", {"norm_activation": "token-wise"}),
        ("not told", {"norm_activation": "dataset-wise"}),
        ("act_fn", {"act_fn": "batchtopk"}),
        ("no threshold", {"act_fn": "jumprelu"}),
        ("sae_type", {"sae_type": "clt"}),
        ("'news'", {"news": 3}),
    ],
)
def test_openmoss_settings_that_are_not(tmp_path: Path, words: str, settings: dict):
    hook = {"hook_point_in": "blocks.5.hook_resid_post", "hook_point_out": "blocks.5.hook_resid_post"}
    with pytest.raises(DictionaryError, match=words):
        llama_scope(tmp_path, hook | settings)


def test_dictionary_learning_reads_where_it_says(tmp_path: Path):
    assert learned(tmp_path, {"submodule_name": "resid_post_layer_3", "layer": 3}).layer == 3
    assert learned(tmp_path, {"submodule_name": "resid_pre", "layer": 3}, {"io": "out"}).layer == 2
    for words, trainer, buffer in (
        ("mlp_out_layer_3", {"submodule_name": "mlp_out_layer_3", "layer": 3}, {}),
        ("one of them is wrong", {"submodule_name": "resid_post_layer_4", "layer": 3}, {}),
        ("'io' is 'in_and_out'", {"layer": 3}, {"io": "in_and_out"}),
        ("dict_class", {"layer": 3, "dict_class": "CrossCoder"}, {}),
        ("'apply_b_dec_to_input'", {"layer": 3, "apply_b_dec_to_input": True}, {}),
        ("k is 4 in trainer.k", {"layer": 3, "dict_class": "AutoEncoderTopK", "k": 4.5}, {}),
    ):
        with pytest.raises(DictionaryError, match=words.replace("4 in", r"4\.5 in")):
            learned(tmp_path, trainer, buffer)


def test_gemma_scopes_read_where_they_say(tmp_path: Path):
    assert gemma(tmp_path / "a", {"hf_hook_point_in": "model.layers.5.output"}).layer == 5
    for words, settings in (
        ("o_proj", {"hf_hook_point_in": "model.layers.5.self_attn.o_proj.input"}),
        ("is a transcoder", {"hf_hook_point_in": "model.layers.5.output", "hf_hook_point_out": "elsewhere"}),
        ("is a transcoder", {"affine_connection": True}),
        ("'type' is 'crosscoder'", {"type": "crosscoder"}),
        ("'width' is|'latents' is 99", {"width": 99}),
    ):
        with pytest.raises(DictionaryError, match=words):
            gemma(tmp_path / "a", settings)
    for place in ("gemma-scope-2b-pt-mlp/layer_3", "gemma-scope-2b-pt-res/embedding/width_4k"):
        (tmp_path / place).mkdir(parents=True)
        arrays = {name: value.numpy() for name, value in W.items()}
        np.savez(tmp_path / place / "params.npz", **arrays, threshold=np.ones(F))
        with pytest.raises(DictionaryError, match=r"'(mlp|embedding)'"):
            load_dictionary(tmp_path / place)


def test_a_folder_of_several_dictionaries_is_not_one(tmp_path: Path):
    folder = tmp_path / "SAE-Res-Qwen3-1.7B-Base-W32K-L0_4"
    folder.mkdir()
    held = {"W_enc": W["W_enc"].T, "W_dec": W["W_dec"].T, "b_enc": W["b_enc"], "b_dec": W["b_dec"]}
    torch.save(held, folder / "layer9.sae.pt")
    assert load_dictionary(folder).layer == 9
    torch.save(held, folder / "layer10.sae.pt")
    with pytest.raises(DictionaryError, match="holds 2 dictionaries"):
        load_dictionary(folder)


def test_our_own_file_holds_no_more_than_is_known(tmp_path: Path):
    from misdirection.artefacts import write_tensors

    tensors = {"encoder": W["W_enc"], "decoder": W["W_dec"], "encoder_bias": W["b_enc"], "decoder_bias": W["b_dec"]}
    for words, rule, more in (
        ("'news'", {"activation": "relu", "news": 3}, {}),
        ("no activation is called 'tanh'", {"activation": "tanh"}, {}),
        ("holds 'skip'", {"activation": "relu"}, {"skip": torch.zeros(D)}),
    ):
        write_tensors(tmp_path / "dictionary.safetensors", tensors | more, {"rule": rule})
        with pytest.raises(DictionaryError, match=words):
            load_dictionary(tmp_path)
