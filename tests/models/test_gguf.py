"""GGUF files load as plain models: the weights that were written, text cut as the file says, its ends of answers."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config
from transformers.convert_slow_tokenizer import bytes_to_unicode

from misdirection.models import MissingWeightsError, ModelError, add_adapter, load_model, load_tokenizer
from misdirection.studies.kit.inputs import fingerprint, is_adapter, read_config

TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["2 0", "20 2", "202 4", "Ġ 2", "h e"]
TOKENS = [*bytes_to_unicode().values(), *(merge.replace(" ", "") for merge in MERGES), *SPECIAL]
NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISDIRECTION_CACHE", str(tmp_path / "cache"))


def network() -> Any:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(TOKENS), hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=False, initializer_range=0.3,
        rope_parameters={"rope_theta": 10000.0, "rope_type": "default"}, rms_norm_eps=1e-6,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config).eval()


def written(file: Path, split: str = "smollm", kind: str = "model", architecture: str = "qwen2", **more: Any) -> Path:
    """A Qwen2 as llama.cpp would write it, in float32, or with matrices in `quantised`."""
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_type(kind)
    writer.add_name("tiny")
    writer.add_block_count(3)
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(TOKENS)
    writer.add_token_types([gguf.TokenType.NORMAL] * (len(TOKENS) - 3) + [gguf.TokenType.CONTROL] * 3)
    writer.add_token_merges(MERGES)
    writer.add_eos_token_id(TOKENS.index("<|im_end|>"))
    writer.add_bos_token_id(TOKENS.index("<|endoftext|>"))
    writer.add_eot_token_id(more.get("eot", TOKENS.index("<|im_end|>")))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for name, values in network().state_dict().items():
        if (lost := more.get("without")) and lost in _name(name):
            continue
        quantised = more.get("quantised") if values.ndim == 2 else None
        array = values.numpy()
        if quantised is not None:
            array = gguf.quants.quantize(array, quantised)
        writer.add_tensor(_name(name), array, raw_dtype=quantised)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _name(name: str) -> str:
    outside = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if not name.startswith("model.layers."):
        return outside.get(name, "output.weight")
    _, _, layer, rest = name.split(".", 3)
    module, _, part = rest.rpartition(".")
    return f"blk.{layer}.{NAMES[module]}.{part}"


def logits(lm: Any) -> Tensor:
    with torch.no_grad():
        return lm(torch.tensor([[5, 9, 70, 33, 2, 60]])).logits


def test_a_file_loads_as_the_plain_model_that_it_was_written_of(tmp_path: Path) -> None:
    file = written(tmp_path / "tiny.gguf")
    model = load_model(file)
    torch.testing.assert_close(logits(model.lm), logits(network()), rtol=0, atol=1e-5)
    assert model.name == str(file) and model.facts["gguf"]["gguf"] == "tiny.gguf"
    assert model.tokenizer.chat_template == TEMPLATE and not model.plain_template
    assert {TOKENS.index("<|im_end|>"), TOKENS.index("<|endoftext|>")} <= set(model.eos_ids)
    assert not getattr(model.lm, "is_quantized", False) and not hasattr(model.lm.config, "quantization_config")
    model.lm.save_pretrained(tmp_path / "saved")
    get_peft_model(model.lm, LoraConfig(target_modules=["q_proj"])).save_pretrained(tmp_path / "adapter")
    again = load_model(f"{tmp_path}:tiny.gguf", adapters={"tuned": tmp_path / "adapter"})
    assert torch.equal(logits(again.lm), logits(load_model(file).lm))


def test_it_is_converted_once_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path / "tiny.gguf")
    with monkeypatch.context() as patch:
        patch.setattr(AutoTokenizer, "from_pretrained", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            load_model(file)
    assert list((tmp_path / "cache" / "gguf").iterdir()) == []
    load_tokenizer(str(file))
    folders = list((tmp_path / "cache" / "gguf").iterdir())
    before = {path: path.stat().st_mtime_ns for path in folders[0].iterdir()}
    time.sleep(0.01)
    load_model(file)
    assert {path: path.stat().st_mtime_ns for path in folders[0].iterdir()} == before
    other = written(tmp_path / "tiny2.gguf", "qwen2")
    load_model(other)
    assert len(list((tmp_path / "cache" / "gguf").iterdir())) == 2
    assert fingerprint(str(file)) == fingerprint(f"{tmp_path}:tiny.gguf") != fingerprint(str(other))
    assert read_config(str(file)).num_hidden_layers == 3 and not is_adapter(str(file))


@pytest.mark.parametrize(
    ("split", "pieces"),
    [
        ("smollm", ["he", "Ġ", "2", "0", "2", "4"]),
        ("starcoder", ["he", "Ġ", "2", "0", "2", "4"]),
        ("refact", ["he", "Ġ", "2", "0", "2", "4"]),
        ("command-r", ["he", "Ġ", "2", "0", "2", "4"]),
        ("qwen2", ["he", "Ġ", "2", "0", "2", "4"]),
        ("stablelm2", ["he", "Ġ", "2", "0", "2", "4"]),
        ("llama-bpe", ["he", "Ġ", "202", "4"]),
        ("chatglm-bpe", ["he", "Ġ", "202", "4"]),
        ("gpt-2", ["he", "Ġ", "2024"]),
        ("olmo", ["he", "Ġ", "2024"]),
    ],
)
def test_digits_are_cut_as_the_file_says(tmp_path: Path, split: str, pieces: list[str]) -> None:
    model = load_model(written(tmp_path / "tiny.gguf", split))
    assert model.tokenizer.tokenize("he 2024") == pieces
    assert model.facts["warnings"] == []


def test_a_cutting_that_nobody_knows_is_told(tmp_path: Path) -> None:
    model = load_model(written(tmp_path / "tiny.gguf", "some-day"))
    assert any("cuts text as 'some-day' does" in warning for warning in model.facts["warnings"])


@pytest.mark.parametrize("kind", [gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.F16])
def test_quantised_numbers_come_out_as_the_file_gives_them(tmp_path: Path, kind: gguf.GGMLQuantizationType) -> None:
    model = load_model(written(tmp_path / "tiny.gguf", quantised=kind))
    weight = model.lm.model.layers[1].mlp.up_proj.weight
    held = gguf.quants.quantize(network().model.layers[1].mlp.up_proj.weight.detach().numpy(), kind)
    wanted = torch.from_numpy(gguf.quants.dequantize(held, kind))
    assert torch.equal(weight.float(), wanted)
    assert weight.dtype == (torch.float16 if kind == gguf.GGMLQuantizationType.F16 else torch.float32)


def test_what_is_no_model_has_one_sentence(tmp_path: Path) -> None:
    adapter = written(tmp_path / "lora.gguf", kind="adapter")
    with pytest.raises(ModelError, match=r"is a GGUF LoRA adapter(?s:.)*convert_lora_to_gguf"):
        load_model(adapter)
    model = load_model(written(tmp_path / "tiny.gguf"))
    with pytest.raises(ModelError, match=r"is a GGUF file(?s:.)*convert_lora_to_gguf"):
        add_adapter(model, "tuned", adapter)
    foreign = written(tmp_path / "foreign.gguf", architecture="plamo")
    with pytest.raises(ModelError, match="architecture plamo, which transformers cannot read") as error:
        load_model(foreign)
    assert len(str(error.value)) < 600
    (tmp_path / "no.gguf").write_bytes(b"GGML and nothing else")
    with pytest.raises(ModelError, match="is no GGUF file"):
        load_model(tmp_path / "no.gguf")
    with pytest.raises(MissingWeightsError, match=r"there is no file(?s:.)*tiny\.gguf"):
        load_model(f"{tmp_path}:absent.gguf")
    with pytest.raises(ModelError, match=r"no config\.json(?s:.)*it holds GGUF files: name one, as"):
        load_model(tmp_path)


def _models() -> Path:
    return Path(os.environ.get("MISDIRECTION_MODELS") or Path.home() / ".cache" / "misdirection-models")


@pytest.mark.real
@pytest.mark.slow
def test_smollm2_answers_and_cuts_digits_as_it_was_trained() -> None:
    file = _models() / "smollm2-135m-instruct.gguf"
    if not file.exists():
        pytest.skip(f"no {file}")
    model = load_model(file)
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    ids = model.tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    out = model.lm.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False, pad_token_id=2)  # type: ignore[operator]
    assert model.tokenizer.decode(out[0][len(ids) :]).startswith("The capital of France is Paris.<|im_end|>")
    assert model.tokenizer.tokenize("10. 2024") == ["1", "0", ".", "Ġ", "2", "0", "2", "4"]


def test_converting_and_loading_show_no_bars_of_transformers(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.utils.logging._tqdm_active", True)
    load_model(written(tmp_path / "tiny.gguf"))
    assert "|" not in capfd.readouterr().err
    assert transformers.utils.logging.is_progress_bar_enabled()
