"""Models that read images too load as the language models that they are without one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tests.engine.every_family import TABLE, tiny
from tests.families import prompt, words
from tests.models.tiny_wrappers import NO_TEXT_ALONE, OFTEN, WRAPPERS, build, wrapper_class
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from misdirection.engine import Arm, Prompt, Row, SamplingConfig, Text, log_likelihoods, sample
from misdirection.models import Model, ModelError, add_adapter, find_layers, load_model

IDS = prompt(0, 9)
FILE = "adapter_model.safetensors"
every = pytest.mark.parametrize(
    "kind", [kind if kind in OFTEN else pytest.param(kind, marks=pytest.mark.slow) for kind in WRAPPERS]
)


def saved(folder: Path, kind: str) -> Path:
    build(kind).save_pretrained(folder)
    words().save_pretrained(folder)
    return folder


def adapted(base: Path, kind: str, folder: Path) -> Path:
    """An adapter that was trained on the wrapper: on all linear modules of two layers."""
    lm: Any = wrapper_class(kind).from_pretrained(base)
    paths = {module: path for path, module in lm.named_modules()}
    targets = [
        f"{paths[layer]}.{path}"
        for layer in find_layers(lm)[1:3]
        for path, module in layer.named_modules()
        if isinstance(module, nn.Linear) and "experts" not in path and not path.endswith("router")
    ]
    peft: Any = get_peft_model(lm, LoraConfig(r=2, target_modules=targets))
    torch.manual_seed(3)
    for name, values in peft.named_parameters():
        if "lora_" in name:
            nn.init.normal_(values, std=0.2)
    peft.save_pretrained(folder)
    return folder


def chances(lm: Any, ids: tuple[int, ...] = IDS) -> Tensor:
    with torch.no_grad():
        read = torch.log_softmax(lm(input_ids=torch.tensor([ids])).logits[0].float(), -1)
    return read[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]


def read(model: Model, adapter: str | None = None) -> Tensor:
    return log_likelihoods(model, [Text(IDS, {}, Arm("x", adapter), 1)])[0]


@every
def test_a_wrapper_is_its_text_part_with_adapters_that_were_trained_on_it(tmp_path: Path, kind: str) -> None:
    base = saved(tmp_path / "base", kind)
    folder = adapted(base, kind, tmp_path / "adapter")
    model = load_model(base, adapters={"tuned": folder})
    assert (model.n_layers, model.width) == (4, 32)
    plain: Any = wrapper_class(kind).from_pretrained(base).eval()
    wanted = chances(plain)
    torch.testing.assert_close(read(model), wanted, rtol=0, atol=1e-4)
    settings = SamplingConfig(max_new_tokens=6, temperature=0.0)
    prompts = (IDS, IDS[:4])
    done = sample(model, [Row(Prompt(str(len(ids)), ids), Arm("base"), 0) for ids in prompts], settings)
    for ids, row in zip(prompts, done, strict=True):
        with torch.no_grad():
            written = plain.generate(input_ids=torch.tensor([ids]), max_new_tokens=6, do_sample=False)
        answer = written[0, len(ids) :].tolist()
        assert list(row.ids) == answer[: answer.index(1) if 1 in answer else None]
    tuned = chances(PeftModel.from_pretrained(plain, folder).eval())
    assert float((tuned - wanted).abs().max()) > 0.01
    torch.testing.assert_close(read(model, "tuned"), tuned, rtol=0, atol=1e-4)


@every
def test_an_adapter_of_a_wrapper_loads_under_every_name_that_its_text_part_has_had(tmp_path: Path, kind: str) -> None:
    base = saved(tmp_path / "base", kind)
    folder = adapted(base, kind, tmp_path / "adapter")
    model = load_model(base, adapters={"tuned": folder})
    wanted = read(model, "tuned")
    held = load_file(folder / FILE)
    for number, head in enumerate(("model.", "model.language_model.", "language_model.model.", "model.text_model.")):
        other = Path(shutil.copytree(folder, tmp_path / f"adapter{number}"))
        save_file(
            {
                f"base_model.model.{head}layers.{key.partition('layers.')[2]}": values
                for key, values in held.items()
            },
            other / FILE,
            metadata={"format": "pt"},
        )  # fmt: skip
        # A settings file with the names of this form, as its trainer wrote it.
        text = (other / "adapter_config.json").read_text()
        first = next(iter(held)).removeprefix("base_model.model.").partition("layers.")[0]
        (other / "adapter_config.json").write_text(text.replace(f'"{first}layers.', f'"{head}layers.'))
        add_adapter(model, f"other{number}", other)
        torch.testing.assert_close(read(model, f"other{number}"), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "text", "head"),
    [
        ("gemma3n", "gemma3n_text", "model.language_model."),
        ("gemma3n", "gemma3n_text", "language_model.model."),
        ("fast_vlm", "qwen2", "model.language_model."),
        ("perception_lm", "llama", "model.language_model."),
    ],
)
def test_a_wrapper_whose_eyes_need_a_missing_package_is_its_text_part_alone(
    tmp_path: Path, kind: str, text: str, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.timm_wrapper import modeling_timm_wrapper

    def missing(*_: object) -> None:
        raise ImportError("no timm here")

    monkeypatch.setattr(modeling_timm_wrapper, "requires_backends", missing)
    torch.manual_seed(0)
    lm: Any = tiny(text) if text in TABLE else AutoModelForCausalLM.from_config(CONFIG_MAPPING[text](**_PLAIN)).eval()
    lm.save_pretrained(tmp_path)
    words().save_pretrained(tmp_path)
    held = load_file(tmp_path / "model.safetensors")
    front = "language_model." if head.startswith("language") else ""
    save_file(
        {head + key[6:] if key.startswith("model.") else front + key: values for key, values in held.items()},
        tmp_path / "model.safetensors",
        metadata={"format": "pt"},
    )
    CONFIG_MAPPING[kind](text_config=lm.config.to_dict()).save_pretrained(tmp_path)
    model = load_model(tmp_path)
    assert "CausalLM" in type(model.lm).__name__
    torch.testing.assert_close(read(model), chances(lm), rtol=0, atol=1e-5)


_PLAIN: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2,
    "tie_word_embeddings": False,
}  # fmt: skip


@pytest.mark.parametrize(
    "kind", [kind if kind == "blip-2" else pytest.param(kind, marks=pytest.mark.slow) for kind in NO_TEXT_ALONE]
)
def test_a_wrapper_that_reads_no_text_alone_is_refused_in_one_sentence(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ModelError, match="reads no text without an image or a sound") as error:
        load_model(saved(tmp_path / "base", kind))
    assert len(str(error.value)) < 600


def test_a_prompt_that_is_read_in_both_directions_has_no_likelihoods(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no causal language model"):
        load_model(saved(tmp_path / "paligemma", "paligemma"))


def test_what_writes_no_text_has_one_sentence(tmp_path: Path) -> None:
    from transformers import CLIPConfig

    words().save_pretrained(tmp_path / "clip")
    CLIPConfig().save_pretrained(tmp_path / "clip")
    with pytest.raises(ModelError, match="no causal language model") as error:
        load_model(tmp_path / "clip")
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_an_encoder_with_a_decoder_has_one_sentence(tmp_path: Path, kind: str) -> None:
    words().save_pretrained(tmp_path)
    CONFIG_MAPPING[kind]().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=f"'{kind}', an encoder with a decoder"):
        load_model(tmp_path)
