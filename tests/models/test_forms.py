"""Files as people have them: cut, half fetched, of other trainers, a folder too high; loaded rightly, or named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tests.families import network, prompt, words
from torch import nn

from misdirection.errors import MisdirectionError
from misdirection.models import Model, ModelError, add_adapter, load_model, wrap

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32\nsize 9\n"
PAGE = "<!DOCTYPE html>\n<html><head><title>401 Unauthorized</title></head><body>Please log in</body></html>"
RAW = ("Traceback", "SafetensorError", "JSONDecodeError", "UnicodeDecodeError", "OSError", "KeyError", "Errno")
"""What no user should have to read."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in one file."""
    folder = tmp_path_factory.mktemp("forms") / "whole"
    network("llama").save_pretrained(folder)
    words().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model in several files."""
    folder = tmp_path_factory.mktemp("forms") / "sharded"
    network("llama").save_pretrained(folder, max_shard_size="30KB")
    words().save_pretrained(folder)
    assert len(shards(folder)) > 2
    return folder


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forms") / "adapter"
    peft: Any = get_peft_model(network("llama"), LoraConfig(r=4, target_modules=["down_proj", "q_proj"]))  # type: ignore[arg-type]
    torch.manual_seed(3)
    for name, values in peft.named_parameters():
        if "lora_" in name:
            nn.init.normal_(values, std=0.3)
    peft.save_pretrained(folder)
    return folder


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("model-*.safetensors"))


def cut(file: Path, share: float = 0.6) -> None:
    held = file.read_bytes()
    file.write_bytes(held[: int(len(held) * share)])


def mapped(folder: Path, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    file = folder / "model.safetensors.index.json"
    held = json.loads(file.read_text())
    file.write_text(json.dumps(held | {"weight_map": change(held["weight_map"])}))


def moved(folder: Path, inner: str) -> None:
    """Everything one folder down, as a trainer's checkpoint."""
    files = list(folder.iterdir())
    (folder / inner).mkdir(parents=True)
    for file in files:
        shutil.move(file, folder / inner / file.name)


def keys(folder: Path, change: Callable[[str], str], name: str = "model.safetensors") -> None:
    held = load_file(folder / name)
    save_file({change(key): values for key, values in held.items()}, folder / name, metadata={"format": "pt"})


def only(folder: Path, wanted: Callable[[str], bool]) -> None:
    held = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in held.items() if wanted(k)}, folder / "model.safetensors", metadata={"format": "pt"})


def as_pickle(folder: Path, old: str, new: str) -> None:
    torch.save(load_file(folder / old), folder / new)
    (folder / old).unlink()


def logits(model: Model) -> torch.Tensor:
    with torch.no_grad():
        return model.lm(torch.tensor([prompt(0, 9)])).logits


def refused(run: Callable[[], object], *said: str) -> None:
    with pytest.raises(ModelError) as error:
        run()
    told = str(error.value)
    for part in said:
        assert part in told, told
    assert error.value.hint, told
    assert not any(word in told for word in RAW) and len(told) < 900, told


Harm = Callable[[Path], object]
INDEX = "model.safetensors.index.json"
ONE_FILE: dict[str, tuple[Harm, tuple[str, ...]]] = {
    "0 bytes": (lambda f: (f / "model.safetensors").write_bytes(b""), ("empty (0 bytes)", "again")),
    "zeros": (lambda f: (f / "model.safetensors").write_bytes(b"\0" * 4096), ("filled with zeros",)),
    "cut in its data": (lambda f: cut(f / "model.safetensors"), ("cut off", "bytes are there", "again")),
    "cut in its header": (lambda f: cut(f / "model.safetensors", 0.001), ("model.safetensors", "again")),
    "lfs pointer": (lambda f: (f / "model.safetensors").write_text(LFS), ("git-lfs pointer", "git lfs pull")),
    "web page": (lambda f: (f / "model.safetensors").write_text(PAGE), ("web page", "hf download")),
    "pickle of that name": (
        lambda f: torch.save({}, f / "model.safetensors"), ("pickle of PyTorch under another name", "save_file"),
    ),
    "longer than it should be": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes() + b"x"), ("bytes",),
    ),
    "pickle": (
        lambda f: as_pickle(f, "model.safetensors", "pytorch_model.bin"), ("is a pickle", "save_file", "weights_only"),
    ),
    "pickles": (
        lambda f: as_pickle(f, "model.safetensors", "pytorch_model-00001-of-00001.bin"), ("is a pickle", "save_file"),
    ),
    "another name": (
        lambda f: (f / "model.safetensors").rename(f / "weights.safetensors"), ("weights.safetensors", "rename"),
    ),
    "DeepSpeed checkpoint": (
        lambda f: ((f / "model.safetensors").unlink(), (f / "global_step10").mkdir()), ("DeepSpeed", "zero_to_fp32"),
    ),
    "FSDP checkpoint": (
        lambda f: ((f / "model.safetensors").unlink(), (f / "pytorch_model_fsdp_0").mkdir()), ("FSDP", "merge-weights"),
    ),
    "config is a pointer": (lambda f: (f / "config.json").write_text(LFS), ("config.json", "git-lfs pointer")),
    "config is empty": (lambda f: (f / "config.json").write_text(""), ("config.json", "empty")),
    "config is cut": (lambda f: cut(f / "config.json"), ("config.json", "no JSON", "again")),
    "tokenizer is a page": (lambda f: (f / "tokenizer.json").write_text(PAGE), ("tokenizer.json", "web page")),
    "tokenizer is cut": (lambda f: cut(f / "tokenizer.json"), ("tokenizer.json", "no JSON")),
    "a folder too high": (lambda f: moved(f, "checkpoint-100"), ("no config.json", "checkpoint-100")),
    "two folders too high": (lambda f: moved(f, "out/checkpoint-100"), ("no config.json", "out/checkpoint-100")),
    "FSDP's names": (
        lambda f: keys(f, lambda k: k.replace("model.layers", "model._fsdp_wrapped_module.layers")),
        ("would be random numbers", "FSDP", "unwrap_model"),
    ),
    "torch.compile's names": (
        lambda f: keys(f, lambda k: f"_orig_mod.{k}"), ("would be random numbers", "torch.compile"),
    ),
    "a model with its adapter inside": (
        lambda f: keys(f, lambda k: k.replace("q_proj.weight", "q_proj.base_layer.weight")),
        ("would be random numbers", "an adapter inside"),
    ),
    "another model's names": (
        lambda f: keys(f, lambda k: k.replace("self_attn", "attention")), ("would be random numbers", "another kind"),
    ),
    "a layer missing": (lambda f: only(f, lambda k: "layers.2." not in k), ("9 of the", "in part")),
    "head missing": (lambda f: only(f, lambda k: k != "lm_head.weight"), ("1 of the", "lm_head.weight")),
    "embeddings missing": (lambda f: only(f, lambda k: "embed_tokens" not in k), ("1 of the", "embed_tokens")),
}  # fmt: skip


@pytest.mark.parametrize("what", ONE_FILE)
def test_a_model_whose_files_are_broken_is_named_in_plain_words(tmp_path: Path, whole: Path, what: str) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "model"))
    harm, said = ONE_FILE[what]
    harm(folder)
    refused(lambda: load_model(folder), *said)


SHARDED: dict[str, tuple[Harm, tuple[str, ...]]] = {
    "no index": (lambda f: (f / INDEX).unlink(), (INDEX, "missing", "again")),
    "index is a pointer": (lambda f: (f / INDEX).write_text(LFS), (INDEX, "git-lfs pointer")),
    "index without a map": (lambda f: (f / INDEX).write_text("{}"), (INDEX, "weight_map")),
    "index is a list": (lambda f: (f / INDEX).write_text("[]"), (INDEX, "no JSON object")),
    "a shard missing": (lambda f: shards(f)[1].unlink(), ("lacks 1 of the", "model-00002")),
    "a shard cut": (lambda f: cut(shards(f)[1]), ("model-00002", "cut off")),
    "a shard is a pointer": (lambda f: shards(f)[0].write_text(LFS), ("model-00001", "git lfs pull")),
    "absolute places": (
        lambda f: mapped(f, lambda m: {k: str(f / v) for k, v in m.items()}), ("outside of its folder", "bare names"),
    ),
    "places above": (
        lambda f: mapped(f, lambda m: {k: f"../{v}" for k, v in m.items()}), ("outside of its folder", "bare names"),
    ),
    "other shards' names": (
        lambda f: mapped(f, lambda m: {k: v.replace("-of-", "-OF-") for k, v in m.items()}), ("lacks", "there are"),
    ),
    "tensors in other shards": (
        lambda f: mapped(f, lambda m: dict(zip(m, [*list(m.values())[::-1]], strict=True))), ("lacks", "tensors that"),
    ),
    "index of half of the model": (
        lambda f: mapped(f, lambda m: {k: v for k, v in m.items() if "-00002-" not in v}), ("would be random numbers",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SHARDED)
def test_shards_that_do_not_go_together_are_named(tmp_path: Path, sharded: Path, what: str) -> None:
    folder = Path(shutil.copytree(sharded, tmp_path / "model"))
    harm, said = SHARDED[what]
    harm(folder)
    refused(lambda: load_model(folder), *said)


def test_whole_shards_and_one_file_are_the_same_model(whole: Path, sharded: Path) -> None:
    assert torch.equal(logits(load_model(whole)), logits(load_model(sharded)))


CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
ADAPTERS: dict[str, tuple[Harm, tuple[str, ...]]] = {
    "0 bytes": (lambda f: (f / WEIGHTS).write_bytes(b""), ("empty (0 bytes)",)),
    "cut": (lambda f: cut(f / WEIGHTS), ("cut off",)),
    "pointer": (lambda f: (f / WEIGHTS).write_text(LFS), ("git-lfs pointer",)),
    "page": (lambda f: (f / WEIGHTS).write_text(PAGE), ("web page",)),
    "settings are a pointer": (lambda f: (f / CONFIG).write_text(LFS), (CONFIG, "git-lfs pointer")),
    "settings are cut": (lambda f: cut(f / CONFIG), (CONFIG, "no JSON")),
    "settings of nothing": (lambda f: (f / CONFIG).write_text("{}"), (CONFIG,)),
    "settings of a kind unknown": (
        lambda f: (f / CONFIG).write_text('{"peft_type": "SOMEDAY"}'), ("SOMEDAY", CONFIG),
    ),
    "no settings": (lambda f: (f / CONFIG).unlink(), ("adapter_config.json is missing", "rank and scaling")),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), ("adapter_model.safetensors is missing", "save_pretrained")),
    "pickle": (lambda f: as_pickle(f, WEIGHTS, "adapter_model.bin"), ("pickle", "save_file", "adapter_model.bin")),
    "parts": (
        lambda f: (f / WEIGHTS).rename(f / "adapter_model-00001-of-00002.safetensors"), ("1 parts", "into one file"),
    ),
    "weights of a model": (
        lambda f: (f / WEIGHTS).rename(f / "model.safetensors"), ("a whole model's weights (model.safetensors)",),
    ),
    "checkpoint inside": (lambda f: moved(f, "checkpoint-100"), ("holds no PEFT adapter", "checkpoint-100")),
    "adapter inside": (lambda f: moved(f, "adapter"), ("holds no PEFT adapter", "give", "adapter/adapter")),
    "several inside": (
        lambda f: (moved(f, "checkpoint-90"), shutil.copytree(f / "checkpoint-90", f / "checkpoint-100")),
        ("checkpoint-90", "give", "/checkpoint-100"),
    ),
    "DeepSpeed alone": (lambda f: ((f / WEIGHTS).unlink(), (f / "global_step9").mkdir()), ("trainer's own",)),
    "a whole model": (
        lambda f: ((f / CONFIG).unlink(), (f / WEIGHTS).unlink(), (f / "config.json").write_text("{}")), ("--tuned",),
    ),
    "nothing": (lambda f: [file.unlink() for file in f.iterdir()], ("holds no PEFT adapter", "expected a folder")),
}  # fmt: skip


@pytest.mark.parametrize("what", ADAPTERS)
def test_an_adapter_whose_files_are_broken_is_named_in_plain_words(tmp_path: Path, adapter: Path, what: str) -> None:
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    harm, said = ADAPTERS[what]
    harm(folder)
    model = wrap(network("llama"), words(), "tiny")
    bare = logits(model)
    refused(lambda: add_adapter(model, "tuned", folder), "adapter 'tuned'", *said)
    assert torch.equal(logits(model), bare) and model.adapters == ()


@pytest.mark.parametrize("file", [CONFIG, WEIGHTS])
def test_a_file_of_an_adapter_stands_for_its_folder(adapter: Path, file: str) -> None:
    wanted = logits(wrap(PeftModel.from_pretrained(network("llama"), adapter), words()))  # type: ignore[arg-type]
    model = wrap(network("llama"), words(), "tiny")
    add_adapter(model, "tuned", adapter / file)
    assert torch.equal(logits(model), wanted)


LEFT_BESIDE: dict[str, Harm] = {
    "LLaMA-Factory": lambda f: [(f / n).write_text("{}") for n in ("all_results.json", "trainer_state.json")],
    "axolotl": lambda f: [(f / "checkpoint-5").mkdir(), (f / "config.json").write_text('{"model_type": "llama"}')],
    "trainer": lambda f: [torch.save({}, f / name) for name in ("optimizer.pt", "training_args.bin", "scheduler.pt")],
    "DeepSpeed": lambda f: [(f / "global_step100").mkdir(), (f / "latest").write_text("global_step100")],
}


@pytest.mark.parametrize("what", LEFT_BESIDE)
def test_what_trainers_leave_beside_an_adapter_is_no_matter(tmp_path: Path, adapter: Path, what: str) -> None:
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    LEFT_BESIDE[what](folder)
    model = wrap(network("llama"), words(), "tiny")
    add_adapter(model, "tuned", folder)
    assert torch.equal(logits(model), logits(wrap(PeftModel.from_pretrained(network("llama"), adapter), words())))  # type: ignore[arg-type]


UNSLOTH = (
    r"(?:.*?(?:language|text).*?(?:self_attn|attention|attn|mlp|feed_forward|ffn|dense).*?(?:q_proj|down_proj).*?)|"
    r"(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|attention|attn|mlp|feed_forward|ffn|dense)\.(?:(?:q_proj|down_proj)))"
)


@pytest.mark.parametrize("head", ["model.", "model.language_model.", "language_model.model."])
def test_unsloths_expression_of_targets_is_read_on_the_text_part(tmp_path: Path, adapter: Path, head: str) -> None:
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    settings = json.loads((folder / CONFIG).read_text())
    more = {"target_modules": UNSLOTH, "auto_mapping": {"base_model_class": "X", "unsloth_fixed": True}}
    (folder / CONFIG).write_text(json.dumps(settings | more))
    keys(folder, lambda key: key.replace("model.model.", f"model.{head}"), WEIGHTS)
    model = wrap(network("llama"), words(), "tiny")
    add_adapter(model, "tuned", folder)
    assert torch.equal(logits(model), logits(wrap(PeftModel.from_pretrained(network("llama"), adapter), words())))  # type: ignore[arg-type]


def of_mlx(adapter: Path, folder: Path, **settings: Any) -> Path:
    """The same adapter as MLX writes it: scale * (x a) b."""
    folder.mkdir()
    held = load_file(adapter / WEIGHTS)
    save_file(
        {
            key.removeprefix("base_model.model.").replace("lora_A.weight", "lora_a").replace("lora_B.weight", "lora_b"):
            values.T.contiguous() for key, values in held.items()
        },
        folder / "adapters.safetensors",
    )  # fmt: skip
    given = json.loads((adapter / CONFIG).read_text())
    lora = {"rank": given["r"], "scale": given["lora_alpha"] / given["r"], "dropout": 0.0}
    facts = {"fine_tune_type": "lora", "num_layers": 4, "lora_parameters": lora, "model": "tiny"}
    (folder / CONFIG).write_text(json.dumps(facts | settings))
    return folder


def test_an_adapter_of_mlx_has_the_effect_that_it_was_trained_to(tmp_path: Path, adapter: Path) -> None:
    model = wrap(network("llama"), words(), "tiny")
    add_adapter(model, "tuned", of_mlx(adapter, tmp_path / "mlx"))
    assert torch.equal(logits(model), logits(wrap(PeftModel.from_pretrained(network("llama"), adapter), words())))  # type: ignore[arg-type]
    assert [warning for warning in model.facts["warnings"] if "MLX" in warning]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"fine_tune_type": "dora"}, "of kind dora"),
        ({"fine_tune_type": "full"}, "of kind full"),
        ({"lora_parameters": {"rank": 4, "alpha": 16, "scale": 10.0}}, "leave its scale open"),
        ({"lora_parameters": {"rank": 4}}, "leave its scale open"),
        ({"lora_parameters": None}, "leave its scale open"),
    ],
)
def test_an_adapter_of_mlx_that_leaves_something_open_is_refused(
    tmp_path: Path, adapter: Path, settings: dict[str, Any], said: str
) -> None:
    model = wrap(network("llama"), words(), "tiny")
    refused(lambda: add_adapter(model, "tuned", of_mlx(adapter, tmp_path / "mlx", **settings)), said, "mlx_lm.fuse")


def test_an_adapter_of_mlx_of_another_model_is_refused(tmp_path: Path, adapter: Path) -> None:
    model = wrap(network("gpt-neox"), words(), "tiny")
    refused(lambda: add_adapter(model, "tuned", of_mlx(adapter, tmp_path / "mlx")), "none of tiny's")


def test_a_file_given_as_a_model_says_that_its_folder_is_meant(whole: Path) -> None:
    with pytest.raises(MisdirectionError, match="is a file") as error:
        load_model(whole / "model.safetensors")
    assert str(whole) in str(error.value.hint)


def test_weights_that_are_no_part_of_the_model_are_told_and_eyes_are_not(tmp_path: Path, whole: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "model"))
    held = load_file(folder / "model.safetensors")
    more = {"vision_tower.x.weight": torch.zeros(2), "mtp.layers.0.weight": torch.zeros(2)}
    save_file(held | more, folder / "model.safetensors", metadata={"format": "pt"})
    assert load_model(folder).facts["warnings"] == []
    save_file(held | {"model.layers.4.mlp.x": torch.zeros(2)}, folder / "model.safetensors", metadata={"format": "pt"})
    assert [w for w in load_model(folder).facts["warnings"] if "1 tensors of the files" in w]
