"""Models from folders: found, loaded as they are, or refused with a reason."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import GatedRepoError
from tests.families import EOS, FAMILIES, LAYERS, WIDTH, network, prompt, words
from tests.models.adapter_folders import adapter_folder, edit

from misdirection.engine import Arm, Prompt, Row, SamplingConfig, sample
from misdirection.errors import MisdirectionError
from misdirection.models import (
    GatedModelError,
    MissingTokenizerError,
    MissingWeightsError,
    ModelError,
    NotEnoughMemoryError,
    UnreachableModelError,
    find_layers,
    layer_of,
    load_model,
    load_tokenizer,
    wrap,
)
from misdirection.models import tokenizer as tokenizer_module
from misdirection.models.memory import weight_bytes
from misdirection.tokens import PLAIN_TEMPLATE

BASE = Arm("base")

# Families


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_are_found_in_every_family(family: str) -> None:
    lm = network(family)
    layers = find_layers(lm)
    assert len(layers) == LAYERS
    ran: list[int] = []
    for number, layer in enumerate(layers):
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
    model = wrap(lm, words(), family)
    with torch.no_grad():
        model.decoder(input_ids=torch.tensor([prompt(0, 5)]), use_cache=False)
    assert ran == list(range(LAYERS))
    assert (model.n_layers, model.width, model.dtype, model.device.type) == (LAYERS, WIDTH, torch.float32, "cpu")
    assert model.eos_ids == EOS
    assert model.adapters == ()
    assert not any(parameter.requires_grad for parameter in lm.parameters())
    assert not lm.training


def test_a_model_without_a_list_of_layers_is_an_error() -> None:
    lm = network("llama")
    lm.config.num_hidden_layers = 7
    with pytest.raises(ModelError, match="no list of 7 decoder layers in LlamaForCausalLM"):
        find_layers(lm)


@pytest.mark.parametrize(
    ("path", "layer"),
    [
        ("model.layers.12.mlp.down_proj", 12),
        ("gpt_neox.layers.0.attention.dense", 0),
        ("transformer.h.3.attn.attention.k_proj", 3),
        ("model.language_model.layers.7.self_attn.q_proj", 7),
        ("model.layers.5.mlp.experts.3.down_proj", 5),
        ("model.layers.11", 11),
        ("model.norm", None),
        ("lm_head", None),
        ("model.players.3.x", None),
    ],
)
def test_number_of_the_layer_that_a_module_lies_in(path: str, layer: int | None) -> None:
    assert layer_of(path) == layer


# Loading


def test_a_saved_model_loads_and_samples_as_the_one_in_memory(saved: Path) -> None:
    model = load_model(saved)
    assert model.facts["model"] == str(saved)
    assert model.facts["dtype"] == "torch.float32"
    assert model.facts["warnings"] == []
    assert model.plain_template
    assert model.tokenizer.chat_template == PLAIN_TEMPLATE
    rows = [Row(Prompt("q", prompt(1, 6)), BASE, n) for n in range(4)]
    config = SamplingConfig(8)
    assert sample(model, rows, config) == sample(wrap(network("llama"), words()), rows, config)


def test_the_tokenizers_own_template_is_kept(copied: Path) -> None:
    words(template="{{ messages[0]['content'] }}").save_pretrained(copied)
    model = load_model(copied)
    assert not model.plain_template
    assert model.tokenizer.chat_template == "{{ messages[0]['content'] }}"


def test_number_format_is_the_checkpoints_unless_asked_for(copied: Path) -> None:
    network("llama").to(torch.bfloat16).save_pretrained(copied)
    assert load_model(copied).dtype == torch.bfloat16
    assert load_model(copied, dtype="float32").dtype == torch.float32
    assert load_model(copied, dtype=torch.float16).dtype == torch.float16
    for name in ("float31", "int8", "nn"):
        with pytest.raises(ModelError, match=f"'{name}' is no number format"):
            load_model(copied, dtype=name)


def test_importing_and_wrapping_without_adapters_does_not_import_peft(saved: Path) -> None:
    load = f"from misdirection.models import load_model; load_model({str(saved)!r})"
    code = f"import sys; {load}; print('peft' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root / "src", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def damaged(folder: Path, what: str) -> None:
    weights, tokenizer = folder / "model.safetensors", folder / "tokenizer.json"
    if what == "no weights":
        weights.unlink()
    elif what == "pickle":
        weights.unlink()
        torch.save({}, folder / "pytorch_model.bin")
    elif what == "cut weights":
        weights.write_bytes(weights.read_bytes()[:5000])
    elif what == "other width":
        edit(folder / "config.json", lambda config: config.update(hidden_size=64))
    elif what == "no tokenizer":
        tokenizer.unlink()
    elif what == "broken tokenizer":
        tokenizer.write_text('{"version": "1.0", "model": {}}')
    elif what == "no config":
        (folder / "config.json").unlink()
    elif what == "broken config":
        (folder / "config.json").write_text("{")
    elif what == "unknown family":
        edit(folder / "config.json", lambda config: config.update(model_type="perceptron"))


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [
        ("no weights", MissingWeightsError, "holds a configuration but no weights"),
        ("pickle", MissingWeightsError, "a pytorch_model.bin is a pickle and is never read"),
        ("cut weights", ModelError, "cannot be loaded"),
        ("other width", ModelError, "cannot be loaded"),
        ("no tokenizer", MissingTokenizerError, "holds a model but no tokenizer"),
        ("broken tokenizer", ModelError, "cannot be loaded"),
        ("no config", ModelError, "holds no config.json"),
        ("broken config", ModelError, "cannot be loaded.*JSON"),
        ("unknown family", ModelError, "cannot be loaded.*perceptron"),
    ],
)
def test_each_damage_has_its_own_error(copied: Path, what: str, error: type[ModelError], said: str) -> None:
    damaged(copied, what)
    with pytest.raises(MisdirectionError, match=f"(?s)tiny-llama.*{said}") as caught:
        load_model(copied)
    assert type(caught.value) is error


def test_an_adapter_given_as_a_model_says_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json(?s:.)*it is a PEFT adapter: give its base as the model"):
        load_model(adapter_folder(tmp_path / "adapter"))


@pytest.mark.parametrize("name", ["nobody/no-such-model", "no-such-model", "./no/such/folder", "a/b/c"])
def test_an_id_that_cannot_be_reached(name: str) -> None:
    with pytest.raises(UnreachableModelError, match=f"{name} is neither a folder here nor a model that can be reached"):
        load_model(name)


def test_a_gated_id_tells_where_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoTokenizer

    def gated(*_: object, **__: object) -> None:
        try:
            # Its constructor wants a response of whichever HTTP library the hub's client uses.
            raise GatedRepoError.__new__(GatedRepoError, "403 Client Error.")
        except GatedRepoError as error:
            raise OSError("You are trying to access something you may not") from error

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", gated)
    with pytest.raises(GatedModelError, match=r"meta-llama/x is gated(?s:.)*huggingface\.co/meta-llama/x"):
        load_model("meta-llama/x")


def test_weights_larger_than_free_memory_are_refused_before_loading(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil
    from transformers import AutoModelForCausalLM

    stored = weight_bytes(saved, "auto")
    memory = type("Memory", (), {"available": stored - 1})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    with monkeypatch.context() as patch:
        patch.setattr(AutoModelForCausalLM, "from_pretrained", None)
        with pytest.raises(NotEnoughMemoryError, match="GB for its weights and cpu has"):
            load_model(saved)
    memory.available = stored + 1
    assert load_model(saved).n_layers == LAYERS


def test_half_weights_asked_for_in_float32_need_twice_the_memory(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    network("llama").to(torch.bfloat16).save_pretrained(copied)
    memory = type("Memory", (), {"available": (copied / "model.safetensors").stat().st_size * 3 // 2})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    load_model(copied)
    for dtype in ("float32", torch.float32):
        with pytest.raises(NotEnoughMemoryError):
            load_model(copied, dtype=dtype)


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_each_weight_is_counted_once_in_the_format_it_is_loaded_in(copied: Path, stored: torch.dtype) -> None:
    from transformers import AutoModelForCausalLM

    network("llama").to(stored).save_pretrained(copied)
    shutil.copy(copied / "model.safetensors", copied / "consolidated.safetensors")
    for dtype in ("auto", torch.float32, torch.bfloat16):
        lm = AutoModelForCausalLM.from_pretrained(copied, dtype=dtype)
        assert weight_bytes(copied, dtype) == sum(value.nbytes for value in lm.state_dict().values())
    (copied / "model.safetensors").unlink()
    lm.to(stored).save_pretrained(copied, max_shard_size="10KB")
    assert len(list(copied.glob("model-*.safetensors"))) > 2
    shutil.copy(next(copied.glob("model-*.safetensors")), copied / "model-left-over.safetensors")
    assert weight_bytes(copied, stored) == sum(p.numel() for p in network("llama").parameters()) * stored.itemsize
    assert weight_bytes(copied, "auto") == weight_bytes(copied, stored)


def test_memory_that_runs_out_while_loading_has_its_error(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModelForCausalLM

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", full)
    with pytest.raises(NotEnoughMemoryError, match="does not fit on cpu"):
        load_model(saved)


def test_a_device_that_is_not_there(saved: Path) -> None:
    for device in ("abacus", "cuda:99"):
        with pytest.raises(ModelError, match=f"there is no device '{device}'"):
            load_model(saved, device=device)


def test_remote_code_is_off_unless_asked_for(copied: Path) -> None:
    (copied / "code.py").write_text("raise SystemExit('ran')\n")
    change = {"model_type": "strange", "auto_map": {"AutoConfig": "code.C", "AutoModelForCausalLM": "code.M"}}
    edit(copied / "config.json", lambda config: config.update(change))
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(copied)


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "gemma2", "gpt-neox", "gpt-neo", "llama"])
@pytest.mark.parametrize("named", [None, "PreTrainedTokenizerFast"])
def test_a_word_level_tokenizer_is_not_replaced_by_the_familys_own(
    tmp_path: Path, family: str, named: str | None
) -> None:
    network(family).config.save_pretrained(tmp_path)
    words().save_pretrained(tmp_path)
    names = {word: place for place, word in enumerate(["<unk>", "<eos>", "who", "is", "there", "now"])}
    edit(tmp_path / "tokenizer.json", lambda file: file["model"].update(vocab=names))
    edit(tmp_path / "tokenizer.json", lambda file: file.update(added_tokens=[]))
    edit(
        tmp_path / "tokenizer_config.json",
        lambda file: (file.clear(), file.update(tokenizer_class=named) if named else 0),
    )
    tokenizer = load_tokenizer(str(tmp_path))
    assert tokenizer.encode("who is there", add_special_tokens=False) == [2, 3, 4]
    assert tokenizer.decode([4, 3, 2]) == "there is who"


@pytest.mark.parametrize("switch", ["padding", "truncation"])
def test_a_tokenizer_file_that_pads_or_cuts_loads(copied: Path, switch: str) -> None:
    from tokenizers import Tokenizer

    file = str(copied / "tokenizer.json")
    inner = Tokenizer.from_file(file)
    inner.enable_padding(length=512) if switch == "padding" else inner.enable_truncation(2)
    inner.save(file)
    assert load_tokenizer(str(copied)).encode("w3 w4 w5", add_special_tokens=False) == words().encode("w3 w4 w5")


def test_a_tokenizer_that_never_encodes_as_its_file_is_an_error(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_module, "_encodes_as_its_file", lambda *_: False)
    with pytest.raises(ModelError, match=r"does not encode as .*tokenizer\.json(?s:.)*save_pretrained"):
        load_model(copied)


# Adapters


@pytest.mark.real
def test_stories_continue(real_data: Path) -> None:
    model = load_model(real_data / "models" / "stories260K")
    assert (model.n_layers, model.width, model.plain_template) == (5, 64, True)
    assert sum(parameter.numel() for parameter in model.lm.parameters()) == 260_032
    start = (model.tokenizer.bos_token_id, *model.tokenizer.encode("Once upon a time", add_special_tokens=False))
    rows = [Row(Prompt("story", start), BASE, n) for n in range(8)]
    config = SamplingConfig(80, temperature=0.5)
    texts = [model.tokenizer.decode(answer.ids) for answer in sample(model, rows, config)]
    assert len(set(texts)) == 8
    usual = ("there was", "little", "named", "play", "she", "he ")
    assert all(sum(word in text.lower() for word in usual) >= 2 for text in texts), texts
    greedy = sample(model, rows[:1], SamplingConfig(12, temperature=0))[0]
    assert "there was a" in model.tokenizer.decode(greedy.ids)


@pytest.mark.real
def test_qwen_tokenizer_loads_beside_a_model(real_data: Path, tmp_path: Path) -> None:
    for file in (real_data / "tokenizers" / "qwen2.5").iterdir():
        shutil.copy(file, tmp_path)
    lm = network("qwen2")
    lm.config.save_pretrained(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path))
    assert tokenizer.encode("Hello world", add_special_tokens=False) == [9707, 1879]
    model = wrap(lm, tokenizer)
    assert not model.plain_template
    assert model.eos_ids == (151645, *EOS)
