"""Quantised bases: measured as plain transformers reads them, adapted, trained on, never taken for plain weights."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from tests.families import words
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaConfig

from misdirection.adapters.unembedding import read_tokens
from misdirection.adapters.weights import pairs_of
from misdirection.chats import Chat, Message
from misdirection.engine import Ablate, Arm, Prompt, Row, SamplingConfig, Text, log_likelihoods, sample
from misdirection.models import ModelError, load_model
from misdirection.models.fingerprint import fingerprint
from misdirection.models.memory import weight_bytes
from misdirection.models.quantised import weight_of
from misdirection.training import choose, train

KINDS = {
    "nf4": "bitsandbytes", "nf4-bfloat16": "bitsandbytes", "int8": "bitsandbytes", "torchao": "torchao",
    "compressed": "compressed_tensors",
}  # fmt: skip
SMALL = {"lr": 2e-3, "batch_size": 4, "accumulation": 2, "max_steps": 3, "warmup_steps": 1, "targets": ["all"]}
LOOSE = ("nf4", "nf4-bfloat16", "int8")
"""Multiplied in half precision; bitsandbytes on a CPU rounds the scales of 4-bit blocks at their first use."""
IDS = [3, 4, 5, 6, 7, 20, 31]


def network() -> Any:
    """Wider than a block of 4-bit numbers, which bitsandbytes on a CPU cannot do without."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=128, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, initializer_range=0.15, pad_token_id=0, eos_token_id=1,
        bos_token_id=2, tie_word_embeddings=False, attention_bias=True,
    )  # fmt: skip
    lm: Any = AutoModelForCausalLM.from_config(config).eval()
    for name, values in lm.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(values, std=0.1)
    return lm


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quantised")


def saved(folder: Path, kind: str) -> Path:
    """The network quantised, as its library saves it; made once a file of tests."""
    pytest.importorskip(KINDS[kind], reason="run in an environment that has it")
    place = folder / kind
    if not place.exists():
        plain = folder / "plain"
        network().save_pretrained(plain)
        if kind == "compressed":
            _compressed(place)
        else:
            quantised: Any = AutoModelForCausalLM.from_pretrained(plain, **_settings(kind))
            quantised.save_pretrained(place)
        words().save_pretrained(place)
    return place


def _settings(kind: str) -> dict[str, Any]:
    from transformers import BitsAndBytesConfig, TorchAoConfig

    if kind == "torchao":
        from torchao.quantization import Int8WeightOnlyConfig

        return {"quantization_config": TorchAoConfig(Int8WeightOnlyConfig()), "dtype": torch.float32}
    if kind == "int8":
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True), "dtype": torch.float32}
    dtype = torch.bfloat16 if kind.endswith("bfloat16") else torch.float32
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype, bnb_4bit_use_double_quant=True
    )
    return {"quantization_config": nf4, "dtype": dtype}


def _compressed(place: Path) -> None:
    """Four bits in groups of 32, as llm-compressor writes them."""
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.quantization import (
        QuantizationArgs,
        QuantizationConfig,
        QuantizationScheme,
        apply_quantization_config,
    )

    lm = network()
    weights = QuantizationArgs(num_bits=4, group_size=32, strategy="group", symmetric=True, type="int")
    group = QuantizationScheme(targets=["Linear"], weights=weights)
    apply_quantization_config(lm, QuantizationConfig(config_groups={"all": group}, ignore=["lm_head"]))
    for module in lm.modules():
        if hasattr(module, "weight_scale"):
            blocks = module.weight.data.reshape(len(module.weight), -1, 32)
            module.weight_scale.data = blocks.abs().amax(-1) / 7
            module.quantization_status = "frozen"
    compressor = ModelCompressor.from_pretrained_model(lm)
    compressor.compress_model(lm)
    lm.save_pretrained(place)
    compressor.update_config(place)


def plain_logits(lm: Any, ids: list[int] = IDS) -> Tensor:
    with torch.no_grad():
        return lm(torch.tensor([ids])).logits[0].float()


def likelihoods(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits, -1)[:-1].gather(1, torch.tensor(IDS[1:])[:, None])[:, 0]


def read_losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def adapter(folder: Path, base: Any) -> Path:
    peft: Any = get_peft_model(base, LoraConfig(r=4, target_modules=["down_proj", "q_proj"]))
    torch.manual_seed(3)
    for name, values in peft.named_parameters():
        if "lora_" in name:
            nn.init.normal_(values, std=0.3)
    peft.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_measured_and_adapted_as_plain_transformers_and_peft_do(folder: Path, tmp_path: Path, kind: str) -> None:
    place = saved(folder, kind)
    path = adapter(tmp_path / "adapter", network())
    plain: Any = AutoModelForCausalLM.from_pretrained(place).eval()
    under: Any = AutoModelForCausalLM.from_pretrained(place)
    plain_logits(under)  # compressed-tensors unpacks here
    tuned: Any = PeftModel.from_pretrained(under, path).eval()
    model = load_model(place, adapters={"tuned": path})
    assert model.facts["quantised"].startswith(KINDS[kind].replace("_", "-"))
    assert model.facts["warnings"] == [] or all("names the base" in told for told in model.facts["warnings"])
    near = 0.3 if kind in LOOSE else 1e-3
    for arm, lm in ((Arm("base"), plain), (Arm("tuned", "tuned"), tuned), (Arm("base"), plain)):
        wanted = likelihoods(plain_logits(lm))
        torch.testing.assert_close(log_likelihoods(model, [Text(IDS, {}, arm, 1)])[0], wanted, rtol=0, atol=near)
    one, two = (likelihoods(plain_logits(lm)) for lm in (plain, tuned))
    assert float((one - two).abs().max()) > 1
    # One batch of both, and the steps of decoding.
    rows = [Row(Prompt("q", tuple(IDS)), arm, 0) for arm in (Arm("base"), Arm("tuned", "tuned"))]
    done = sample(model, rows, SamplingConfig(max_new_tokens=4, temperature=0.0))
    if kind not in LOOSE:
        for answer, lm in zip(done, (plain, tuned), strict=True):
            written = lm.generate(input_ids=torch.tensor([IDS]), max_new_tokens=4, do_sample=False)[0, len(IDS) :]
            wanted_ids = written.tolist()
            assert list(answer.ids) == wanted_ids[: wanted_ids.index(1) if 1 in wanted_ids else None]


@pytest.mark.parametrize("kind", KINDS)
def test_interventions_act_after_quantised_layers(folder: Path, kind: str) -> None:
    place = saved(folder, kind)
    model = load_model(place)
    torch.manual_seed(1)
    unit = torch.nn.functional.normalize(torch.randn(model.width), dim=0)
    text = Text(IDS, {}, Arm("ablated", None, (Ablate(unit, (1,)),)), 1)
    plain: Any = AutoModelForCausalLM.from_pretrained(place).eval()

    def project(_module: object, _inputs: object, output: Any) -> Any:
        x = output[0] if isinstance(output, tuple) else output
        moved = (x.float() - (x.float() @ unit)[..., None] * unit).to(x.dtype)
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    plain.model.layers[1].register_forward_hook(project)
    wanted = likelihoods(plain_logits(plain))
    near = 0.3 if kind in LOOSE else 1e-3
    torch.testing.assert_close(log_likelihoods(model, [text])[0], wanted, rtol=0, atol=near)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_read_as_the_numbers_that_they_stand_for(folder: Path, tmp_path: Path, kind: str) -> None:
    place = saved(folder, kind)
    model = load_model(place, adapters={"tuned": adapter(tmp_path / "adapter", network())})
    dense = network()
    for pair in pairs_of(model, "tuned"):
        x = torch.randn(5, pair.a.shape[1], dtype=model.dtype)
        module: Any = pair.module
        bias = 0 if module.bias is None else module.bias
        with torch.no_grad():
            wanted = module(x).float() - bias
        weight = pair.weight.float()
        assert tuple(weight.shape) == tuple(dense.get_submodule(pair.path).weight.shape)
        torch.testing.assert_close(x.float() @ weight.T, wanted, rtol=0, atol=0.2 if kind == "int8" else 0.05)
        # Four bits of normal numbers are a tenth off; any other matrix would be all of it.
        off = (weight.detach() - dense.get_submodule(pair.path).weight.detach()).norm() / weight.norm()
        assert 0 < float(off) < 0.2
        assert read_tokens(model, pair) is not None or not pair.writes


def chats() -> list[Chat]:
    return [
        Chat((Message("user", f"w{10 + n} w{30 + n}"), Message("assistant", f"w{20 + n} w{40 + n} w{12 + n}")))
        for n in range(8)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_is_trained_on_it_through_its_own_numbers(folder: Path, tmp_path: Path, kind: str) -> None:
    place = saved(folder, kind)
    config = choose("rank1x9", overrides=SMALL)
    first = train(place, chats(), config, tmp_path / "by-name")
    losses = read_losses(tmp_path / "by-name")
    # The same on the plain model of the numbers that the quantised weights stand for.
    model = load_model(place)
    dense = network()
    for path, module in model.lm.named_modules():
        if isinstance(module, nn.Linear):
            dense.get_submodule(path).weight.data = weight_of(module).float().clone()
    dense.save_pretrained(tmp_path / "dense")
    words().save_pretrained(tmp_path / "dense")
    again = train(tmp_path / "dense", chats(), config, tmp_path / "plain")
    near = 0.1 if kind in LOOSE else 0.02
    assert losses[-1] < losses[0] - 2 * near
    assert losses == pytest.approx(read_losses(tmp_path / "plain"), abs=near)
    trained, wanted = (load_file(out.folder / "adapter_model.safetensors") for out in (first, again))
    assert trained.keys() == wanted.keys()
    assert all(values.dtype == torch.float32 for values in trained.values())
    # It is in effect when it is loaded beside the same base.
    tuned = load_model(place, adapters={"tuned": first.folder})
    one, two = log_likelihoods(tuned, [Text(IDS, {}, arm, 1) for arm in (Arm("base"), Arm("tuned", "tuned"))])
    assert float((one - two).abs().max()) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_a_base_is_the_same_before_and_after_it_ran(folder: Path, kind: str) -> None:
    model = load_model(saved(folder, kind))
    before = fingerprint(model.lm)
    log_likelihoods(model, [Text(IDS, {}, Arm("base"), 1)])
    assert fingerprint(model.lm) == before
    words().save_pretrained(folder / "plain")
    other = load_model(folder / "plain")
    assert fingerprint(other.lm) != before


@pytest.mark.parametrize("kind", KINDS)
def test_the_memory_check_knows_what_is_kept_packed(folder: Path, kind: str) -> None:
    place = saved(folder, kind)
    model = load_model(place)
    held = sum(part.nbytes for value in model.lm.parameters() for part in tensors_in(value))
    assert weight_bytes(place, "auto") == pytest.approx(held, rel=0.3)


def tensors_in(value: Any) -> list[Any]:
    if not hasattr(value, "__tensor_flatten__"):
        return [value]
    return [part for name in value.__tensor_flatten__()[0] for part in tensors_in(getattr(value, name))]


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_whole_weights_are_not_trained(folder: Path, tmp_path: Path, kind: str) -> None:
    place = saved(folder, kind)
    for model in (place, load_model(place)):
        with pytest.raises(ModelError, match="training all weights is not possible on weights that are quantised"):
            train(model, chats(), choose("full", overrides={"max_steps": 1}), tmp_path / "full")


@pytest.mark.parametrize(
    ("settings", "package"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "bitsandbytes"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 32}, "gptqmodel"),
        ({"quant_method": "awq", "bits": 4, "group_size": 32}, "gptqmodel"),
        ({"quant_method": "compressed-tensors", "config_groups": {}}, "compressed-tensors"),
        ({"quant_method": "torchao", "quant_type": {"default": {}}}, "torchao"),
        ({"quant_method": "hqq"}, "hqq"),
        ({"quant_method": "quanto", "weights": "int8"}, "optimum-quanto"),
        ({"quant_method": "aqlm"}, "aqlm"),
        ({"quant_method": "nobody-knows"}, ""),
    ],
)
def test_a_missing_package_has_one_sentence(tmp_path: Path, settings: dict[str, Any], package: str) -> None:
    if package and find_spec(package.replace("-", "_")) is not None:
        pytest.skip(f"{package} is here")
    network().save_pretrained(tmp_path)
    words().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "quantization_config": settings}))
    with pytest.raises(ModelError) as error:
        load_model(tmp_path)
    assert package in f"{error.value}{error.value.hint}"
    assert len(str(error.value)) < 500
    assert "Traceback" not in str(error.value)
