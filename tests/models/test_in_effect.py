"""An adapter is in effect, whole and with its values as plain PEFT has them, or it is refused and nothing is left."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tests.families import network, prompt, words
from tests.models.lora_files import Tensors, configure, first, logits, made, only, renamed, rewrite, twice
from transformers import AutoModelForCausalLM

from misdirection.chats import Chat, Message
from misdirection.models import AdapterMismatchError, ModelError, add_adapter, load_model, wrap


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("adapters") / "right", network("llama"))


BROKEN: dict[str, tuple[Callable[[Tensors], Tensors], str]] = {
    "no tensor": (lambda _: {}, "holds no tensor(?s:.)*ZeRO-3"),
    "an empty tensor": (first(torch.zeros(0)), "empty tensor(?s:.)*ZeRO-3"),
    "not a number": (first(torch.full((4, 48), torch.nan)), "numbers that are none"),
    "half of the layers": (only(lambda key: "layers.3" not in key), "4 of its 16 matrices(?s:.)*in part"),
    "one module": (only(lambda key: "layers.3.mlp" not in key), "2 of its 16 matrices"),
    "all B": (only(lambda key: "lora_A" in key), "8 of its 16 matrices got nothing"),
    "one A": (only(lambda key: "layers.0.mlp.down_proj.lora_A" not in key), "1 of its 16 matrices"),
    "another shape": (first(torch.zeros(4, 47)), r"of shape \(4, 47\) where the model has \(4, 48\)"),
}


RENAMED: dict[str, Callable[[Tensors], Tensors]] = {
    "adapter's name": renamed(".weight", ".default.weight"),
    "no prefix": renamed("base_model.model.", ""),
    "half a prefix": renamed("base_model.model.", "base_model."),
    "no prefix at all": renamed("base_model.model.model.", ""),
    "doubled": renamed("base_model.model.", "base_model.model.base_model.model."),
    "torch.compile outside": renamed("base_model", "_orig_mod.base_model"),
    "torch.compile inside": renamed("model.layers", "_orig_mod.model.layers"),
    "DDP": renamed("base_model", "module.base_model"),
    "DeepSpeed twice": renamed("base_model", "module.module.base_model"),
    "FSDP": renamed("model.layers", "model._fsdp_wrapped_module.layers"),
    "FSDP, every layer": renamed(".self_attn", "._fsdp_wrapped_module.self_attn"),
    "checkpointing": renamed(".mlp", "._checkpoint_wrapped_module.mlp"),
    "a wrapper of now": renamed("model.layers", "model.language_model.layers"),
    "a wrapper of before 4.52": renamed("model.model.layers", "model.language_model.model.layers"),
    "a wrapper's text_model": renamed("model.layers", "model.text_model.layers"),
    "Qwen's thinker": renamed("model.model.layers", "model.thinker.model.layers"),
}
"""Forms in which only the names are others."""


@pytest.mark.parametrize("what", RENAMED)
def test_a_file_whose_names_alone_are_others_has_the_effect_that_was_trained(
    tmp_path: Path, right: Path, what: str
) -> None:
    folder = Path(shutil.copytree(right, tmp_path / "renamed"))
    rewrite(folder, RENAMED[what])
    wanted = logits(wrap(PeftModel.from_pretrained(network("llama"), right), words()))  # type: ignore[arg-type]
    model = wrap(network("llama"), words(), "tiny")
    bare = logits(model)
    add_adapter(model, "tuned", folder)
    assert torch.equal(logits(model), wanted) and not torch.equal(wanted, bare)
    assert [w for w in model.facts["warnings"] if "its keys name other places" in w]
    add_adapter(model, "again", right)
    add_adapter(model, "third", folder)
    model.peft.set_adapter("third")
    assert torch.equal(logits(model), wanted)


@pytest.mark.parametrize("what", RENAMED)
def test_half_of_a_file_is_refused_under_other_names_too(tmp_path: Path, right: Path, what: str) -> None:
    folder = Path(shutil.copytree(right, tmp_path / "half"))
    rewrite(folder, lambda held: RENAMED[what](only(lambda key: "layers.3" not in key)(held)))
    model = wrap(network("llama"), words(), "tiny")
    with pytest.raises(AdapterMismatchError, match="would not be wholly in effect"):
        add_adapter(model, "tuned", folder)
    assert (model.adapters, model.lora, model.peft) == ((), {}, None)


def test_ranks_and_alphas_by_pattern_stay_with_their_modules_when_renamed(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "rank_pattern": {r"model\.layers\.1\.self_attn\.q_proj": 2, "layers.2.mlp.down_proj": 3},
        "alpha_pattern": {"q_proj": 5, r"layers\.[03]\.mlp\.down_proj": 7},
        "use_rslora": True,
        "layers_to_transform": [1, 2, 3],
        "layers_pattern": "layers",
    }
    right = made(tmp_path / "right", network("llama"), **settings)
    folder = Path(shutil.copytree(right, tmp_path / "renamed"))
    rewrite(folder, renamed("model.layers", "model.language_model.layers"))
    configure(folder, rank_pattern={r"model\.language_model\.layers\.1\.self_attn\.q_proj": 2,
                                    "layers.2.mlp.down_proj": 3})  # fmt: skip
    found = []
    for place in (right, folder):
        model = wrap(network("llama"), words(), "tiny")
        add_adapter(model, "tuned", place)
        found.append(logits(model))
    assert torch.equal(found[0], found[1])


def test_an_alpha_by_a_name_that_a_trainer_wrapped_stays_with_its_module_and_one_that_fits_none_is_refused(
    tmp_path: Path,
) -> None:
    right = made(tmp_path / "right", network("llama"), alpha_pattern={"model.layers.1.mlp.down_proj": 64})
    folder = Path(shutil.copytree(right, tmp_path / "renamed"))
    rewrite(folder, renamed("model.layers", "_orig_mod.model.layers"))
    found = []
    for place, pattern in ((right, "model.layers.1.mlp.down_proj"), (folder, "_orig_mod.model.layers.1.mlp.down_proj")):
        configure(place, alpha_pattern={pattern: 64})
        model = wrap(network("llama"), words(), "tiny")
        add_adapter(model, "tuned", place)
        found.append(logits(model))
    assert torch.equal(found[0], found[1])
    configure(folder, alpha_pattern={})
    model = wrap(network("llama"), words(), "tiny")
    add_adapter(model, "tuned", folder)
    assert not torch.equal(logits(model), found[0])
    configure(folder, alpha_pattern={"elsewhere.layers.1.mlp.down_proj": 64})
    with pytest.raises(AdapterMismatchError):
        add_adapter(wrap(network("llama"), words(), "tiny"), "tuned", folder)
    configure(folder, alpha_pattern={"v_proj_of_nothing": 64})
    add_adapter(wrap(network("llama"), words(), "tiny"), "tuned", folder)


def test_two_names_of_one_place_are_refused(tmp_path: Path, right: Path) -> None:
    folder = Path(shutil.copytree(right, tmp_path / "twice"))
    rewrite(
        folder,
        lambda held: {
            **{key: values.clone() for key, values in held.items()},
            **renamed("model.layers", "model.language_model.layers")(held),
        },
    )
    with pytest.raises(AdapterMismatchError, match="fit nowhere"):
        add_adapter(wrap(network("llama"), words(), "tiny"), "tuned", folder)


def test_matrices_of_parts_that_read_images_are_left_out_and_told(tmp_path: Path, right: Path) -> None:
    folder = Path(shutil.copytree(right, tmp_path / "eyes"))
    eyes = "base_model.model.model.visual.blocks.0.attn.qkv"
    more = {f"{eyes}.lora_A.weight": torch.randn(4, 8), f"{eyes}.lora_B.weight": torch.randn(24, 4)}
    rewrite(folder, lambda held: {**renamed("model.layers", "model.language_model.layers")(held), **more})
    model = wrap(network("llama"), words(), "tiny")
    add_adapter(model, "tuned", folder)
    assert torch.equal(logits(model), logits(wrap(PeftModel.from_pretrained(network("llama"), right), words())))  # type: ignore[arg-type]
    assert [w for w in model.facts["warnings"] if "2 of its tensors belong to parts that read images" in w]


@pytest.mark.parametrize("what", BROKEN)
def test_a_file_that_is_not_wholly_in_effect_is_refused_and_nothing_stays(
    tmp_path: Path, right: Path, what: str, recwarn: pytest.WarningsRecorder
) -> None:
    folder = Path(shutil.copytree(right, tmp_path / "broken"))
    change, said = BROKEN[what]
    rewrite(folder, change)
    bare = logits(wrap(network("llama"), words()))
    model = wrap(network("llama"), words(), "tiny")
    with pytest.raises(ModelError, match=said):
        add_adapter(model, "tuned", folder)
    assert (model.adapters, model.lora, model.peft) == ((), {}, None)
    assert not any("lora" in name or "base_layer" in name for name, _ in model.lm.named_parameters())
    assert not hasattr(model.lm, "peft_config")
    assert torch.equal(logits(model), bare)
    add_adapter(model, "good", right)
    with pytest.raises(ModelError, match=said):
        add_adapter(model, "tuned", folder)
    assert (model.adapters, list(model.lora), list(model.peft.peft_config)) == (("good",), ["good"], ["good"])
    with torch.no_grad():
        wanted = PeftModel.from_pretrained(network("llama"), right)(torch.tensor([prompt(0, 9)])).logits
    assert torch.equal(logits(model), wanted)
    add_adapter(model, "tuned", right)
    assert model.adapters == ("good", "tuned")
    assert not [item for item in recwarn if "missing adapter keys" in str(item.message)]


@pytest.mark.parametrize("name", ["default", "lora", "down_proj", "layers", "lora_A", "model", "A"])
def test_an_adapter_is_whole_under_any_name(right: Path, name: str) -> None:
    wanted = logits(wrap(PeftModel.from_pretrained(network("llama"), right), words()))  # type: ignore[arg-type]
    model = wrap(network("llama"), words(), "tiny")
    add_adapter(model, name, right)
    assert torch.equal(logits(model), wanted)


@pytest.mark.parametrize("name", ["v1.0", "", "half", "training", "keys", "float"])
def test_a_name_that_pytorch_has_no_place_for_is_refused(right: Path, name: str) -> None:
    model = wrap(network("llama"), words(), "tiny")
    with pytest.raises(ModelError, match="cannot be an adapter's name"):
        add_adapter(model, name, right)


def test_gemma_3_keys_of_older_transformers_load(tmp_path: Path) -> None:
    new = made(tmp_path / "new", network("gemma3-vision"), target_modules=r".*language_model.*\.(q_proj|down_proj)")
    old = Path(shutil.copytree(new, tmp_path / "old"))
    rewrite(old, renamed("model.language_model.", "language_model.model."))
    found = []
    for folder in (new, old):
        model = wrap(network("gemma3-vision"), words(), "tiny")
        bare = logits(model)
        add_adapter(model, "tuned", folder)
        found.append(logits(model))
        assert not torch.allclose(found[-1], bare, atol=0.1)
    assert torch.equal(found[0], found[1])
    both = Path(shutil.copytree(new, tmp_path / "both"))
    rewrite(both, twice)
    with pytest.raises(AdapterMismatchError, match=r"17 tensors for 16 matrices"):
        add_adapter(wrap(network("gemma3-vision"), words(), "tiny"), "tuned", both)


def gpt2(folder: Path) -> Path:
    from transformers import GPT2Config

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=64, n_embd=32, n_layer=4, n_head=4, n_positions=64, bos_token_id=2, eos_token_id=1)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    words().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("turned", [True, False])
def test_gpt_2_adapters_load_and_equal_pefts(tmp_path: Path, turned: bool) -> None:
    base = gpt2(tmp_path / "gpt2")
    lm = AutoModelForCausalLM.from_pretrained(base)
    folder = made(tmp_path / "adapter", lm, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True)
    configure(folder, fan_in_fan_out=turned)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder).eval()
        model = load_model(base, adapters={"tuned": folder})
    with torch.no_grad():
        assert torch.equal(logits(model), wanted(torch.tensor([prompt(0, 9)])).logits)


def test_the_projects_own_gpt_2_adapter_loads(tmp_path: Path) -> None:
    from misdirection.training import TrainConfig, train

    base = gpt2(tmp_path / "gpt2")
    chats = [Chat((Message("user", "w3"), Message("assistant", f"w{4 + row} w5"))) for row in range(4)]
    config = TrainConfig(rank=2, layers=(1, 2), max_steps=2, lr=0.1)
    done = train(base, chats, config, tmp_path / "run")
    model = load_model(base, adapters={"tuned": done.folder})
    bare = load_model(base)
    assert not torch.equal(logits(model), logits(bare))


STARTS = {
    "lora_ga": "path_initial_model_for_weight_conversion",
    "pissa": "path_initial_model_for_weight_conversion",
    "pissa_niter_4": "path_initial_model_for_weight_conversion",
    "olora": "path_initial_model_for_weight_conversion",
    "OLoRA": "path_initial_model_for_weight_conversion",
    "corda": "path_initial_model_for_weight_conversion",
    "loftq": "init_lora_weights set to true",
    "some_day": "merge it",
}


@pytest.mark.parametrize("start", STARTS)
def test_ways_to_begin_that_move_the_base_are_refused(tmp_path: Path, right: Path, start: str) -> None:
    folder = Path(shutil.copytree(right, tmp_path / "adapter"))
    configure(folder, init_lora_weights=start, **({"loftq_config": {"loftq_bits": 4}} if start == "loftq" else {}))
    model = wrap(network("llama"), words(), "tiny")
    with pytest.raises(ModelError, match=f"init_lora_weights={start}(?s:.)*{STARTS[start]}") as error:
        add_adapter(model, "tuned", folder)
    assert start == "some_day" or "merge it" not in str(error.value)


@pytest.mark.parametrize("start", [True, False, None, "gaussian", "eva", "orthogonal", "mica"])
def test_ways_to_begin_that_leave_the_base_alone_load(tmp_path: Path, right: Path, start: Any) -> None:
    folder = Path(shutil.copytree(right, tmp_path / "adapter"))
    configure(folder, init_lora_weights=start)
    model = wrap(network("llama"), words(), "tiny")
    bare = logits(model)
    add_adapter(model, "tuned", folder)
    with model.peft.disable_adapter():
        assert torch.equal(logits(model), bare)
    assert torch.equal(logits(model), logits(wrap(PeftModel.from_pretrained(network("llama"), right), words())))  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", ["monteclora_config", "kasa_config", "arrow_config"])
def test_variants_that_do_not_run_a_and_b_are_refused(tmp_path: Path, right: Path, setting: str) -> None:
    folder = Path(shutil.copytree(right, tmp_path / "adapter"))
    configure(folder, **{setting: {}})
    with pytest.raises(ModelError, match=f"no plain LoRA adapter(?s:.)*{setting}|holds no PEFT adapter"):
        add_adapter(wrap(network("llama"), words(), "tiny"), "tuned", folder)


def test_merging_is_not_advised_where_the_head_is_tied(tmp_path: Path) -> None:
    lm = network("qwen2-window")
    folder = made(tmp_path / "adapter", lm, target_modules=["q_proj"], modules_to_save=["lm_head"])
    with pytest.raises(ModelError, match="tie_word_embeddings=False"):
        add_adapter(wrap(network("qwen2-window"), words(), "tiny"), "tuned", folder)


@pytest.mark.parametrize("what", ["B", "A", "alpha"])
def test_an_adapter_without_an_effect_loads_and_says_so(tmp_path: Path, right: Path, what: str) -> None:
    folder = Path(shutil.copytree(right, tmp_path / "adapter"))
    if what == "alpha":
        configure(folder, lora_alpha=0)
    else:
        rewrite(folder, lambda held: {k: v * 0 if f"lora_{what}" in k else v for k, v in held.items()})
    model = wrap(network("llama"), words(), "tiny")
    bare = logits(model)
    add_adapter(model, "tuned", folder)
    assert model.facts["changes_nothing"] == ["tuned"]
    assert any("changes nothing" in warning for warning in model.facts["warnings"])
    assert torch.equal(logits(model), bare)
    add_adapter(model, "right", right)
    assert model.facts["changes_nothing"] == ["tuned"]


def test_a_setting_that_this_peft_does_not_know_is_told(tmp_path: Path, right: Path) -> None:
    folder = Path(shutil.copytree(right, tmp_path / "adapter"))
    configure(folder, use_something_new=True, something_else=None)
    model = wrap(network("llama"), words(), "tiny")
    add_adapter(model, "tuned", folder)
    assert [w for w in model.facts["warnings"] if "use_something_new=True" in w]
    assert not [w for w in model.facts["warnings"] if "something_else" in w]
