"""Any Hugging Face causal language model and its PEFT adapters, ready for measurement.

`load_model` gives one resident `Model`: the base weights and any number of LoRA adapters beside each other. Which
adapter is on is decided row by row in the engine, so base and tuned model never need two copies of the weights.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from misdirection.errors import MisdirectionError
from misdirection.tokens import PLAIN_TEMPLATE

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LAYER_LIST_NAMES = ("layers", "h", "blocks")
_LAYER_NUMBER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)(?:\.|$)")


class ModelError(MisdirectionError):
    """A model cannot be loaded or used."""


class MissingWeightsError(ModelError):
    """The folder or repository holds no weights."""


class MissingTokenizerError(ModelError):
    """The folder or repository holds no tokenizer."""


class UnreachableModelError(ModelError):
    """The id is neither a local folder nor reachable on the hub (offline, misspelt, private)."""


class GatedModelError(ModelError):
    """The repository asks for an accepted licence and a token."""


class AdapterMismatchError(ModelError):
    """The adapter was made for another base model."""


class NotEnoughMemoryError(ModelError):
    """The weights do not fit the device."""


@dataclass
class Model:
    """A causal language model with its tokenizer, decoder layers and adapters.

    Attributes:
        lm: The transformers model; LoRA layers of all adapters are injected in place.
        tokenizer: Its tokenizer, which always has a chat template (see `plain_template`).
        name: Id or path that it was loaded from.
        layers: The decoder layers in order; index l is "layer l" everywhere in this project.
        decoder: The module that runs the layers without the LM head.
        adapters: Names of the loaded adapters.
        lora: For each adapter, the LoRA modules that it lives in, by module path.
        plain_template: True when the tokenizer had no chat template and got `tokens.PLAIN_TEMPLATE`.
        facts: What a report must say of the model (paths, dtype, warnings).
        peft: PEFT's wrapper around `lm`, once an adapter is loaded.
    """

    lm: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    layers: tuple[nn.Module, ...]
    decoder: nn.Module
    adapters: tuple[str, ...] = ()
    lora: dict[str, dict[str, nn.Module]] = field(default_factory=dict[str, dict[str, nn.Module]])
    plain_template: bool = False
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    peft: Any = None

    @property
    def n_layers(self) -> int:
        """Number of decoder layers."""
        return len(self.layers)

    @property
    def width(self) -> int:
        """Width of the residual stream."""
        return int(self.lm.config.get_text_config().hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the input embeddings live."""
        weight = self.lm.get_input_embeddings().weight
        assert isinstance(weight, torch.Tensor)
        return weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the weights."""
        return next(self.lm.parameters()).dtype

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer: the tokenizer's and the generation config's."""
        found: list[int] = []
        settings = getattr(self.lm, "generation_config", None)
        for ids in (self.tokenizer.eos_token_id, getattr(settings, "eos_token_id", None)):
            found += [] if ids is None else [ids] if isinstance(ids, int) else [int(number) for number in ids]
        return tuple(dict.fromkeys(found))


def layer_of(module_path: str) -> int | None:
    """Number of the decoder layer that a module path lies in, None outside of the layers."""
    found = _LAYER_NUMBER.findall(module_path)
    return int(found[-1]) if found else None


def find_layers(lm: PreTrainedModel) -> tuple[nn.Module, ...]:
    """The decoder layers of a model, whatever its family calls them.

    They are the module list inside the text decoder whose length is the configuration's number of layers and whose
    name is one of `LAYER_LIST_NAMES` (Qwen, Llama, Gemma, GPT-OSS, OLMo, Mistral: `layers`; GPT-NeoX: `layers`;
    GPT-Neo: `h`).

    Raises:
        ModelError: There is none.
    """
    count = lm.config.get_text_config(decoder=True).num_hidden_layers
    found = [
        (name.count("."), name, module)
        for name, module in lm.get_decoder().named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count and name.split(".")[-1] in LAYER_LIST_NAMES
    ]
    if not found:
        raise ModelError(
            f"found no list of {count} decoder layers in {type(lm).__name__}",
            f"looked for module lists named {', '.join(LAYER_LIST_NAMES)}; please open an issue with the model's id",
        )
    return tuple(min(found, key=lambda item: item[:2])[2])


def wrap(
    lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str = "", facts: dict[str, Any] | None = None
) -> Model:
    """A `Model` around a transformers model that is already in memory, with any LoRA adapters injected in it."""
    lm.eval()
    lm.requires_grad_(False)
    plain = not getattr(tokenizer, "chat_template", None)
    if plain:
        tokenizer.chat_template = PLAIN_TEMPLATE
    lora = lora_modules(lm)
    facts = {"model": name, "warnings": [], **(facts or {})}
    return Model(lm, tokenizer, name, find_layers(lm), lm.get_decoder(), tuple(lora), lora, plain, facts)


def load_model(
    name: str | Path,
    *,
    adapters: Mapping[str, str | Path] | None = None,
    dtype: str | torch.dtype = "auto",
    device: str | None = None,
    device_map: str | dict[str, Any] | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> Model:
    """Load a causal language model, its tokenizer and any number of PEFT LoRA adapters.

    Args:
        name: Hub id or local folder.
        adapters: Hub id or local folder of each adapter by the name that rows will call it.
        dtype: "auto" takes the checkpoint's; else a torch dtype or its name.
        device: "cpu", "cuda", ... ; the default is the GPU where there is one.
        device_map: Passed to transformers to spread a large model ("auto"); excludes `device`.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Run code that the repository brings. Off unless asked for.

    Raises:
        ModelError: One of its heirs, each with what to do.
    """
    from transformers import AutoModelForCausalLM

    from misdirection.peft_adapters import add_adapter

    name = str(name)
    tokenizer = load_tokenizer(name, revision=revision, trust_remote_code=trust_remote_code)
    device = _device(device)
    number_format = _dtype(dtype)
    _check_memory(name, number_format, device, device_map)
    settings: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    try:
        # Weights that are a pickle are never read.
        lm: Any = AutoModelForCausalLM.from_pretrained(
            name, dtype=number_format, device_map=device_map, use_safetensors=True, **settings
        )
        lm = lm if device_map else lm.to(device)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise NotEnoughMemoryError(f"{name} does not fit on {device}: {error}", _MEMORY_HINT) from error
    except Exception as error:
        raise _explain(name, error) from error
    facts: dict[str, Any] = {"model": name, "dtype": str(lm.dtype), "device": str(lm.device)}
    facts["tokenizer"] = type(tokenizer).__name__
    model = wrap(lm, tokenizer, name, facts)
    for adapter, path in (adapters or {}).items():
        add_adapter(model, adapter, path)
    return model


def _dtype(name: str | torch.dtype) -> str | torch.dtype:
    if name == "auto" or isinstance(name, torch.dtype):
        return name
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ModelError(f"'{name}' is no number format for weights", "auto, float32, bfloat16 or float16")
    return found


def _device(name: str | None) -> str:
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(f"there is no device '{name}' here: {error}", "cpu, cuda, cuda:1, mps") from error
    return name


def load_tokenizer(name: str, revision: str | None = None, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer of a model, checked against its own file.

    Transformers 5 puts a family's own tokenizer in the place of any other (of a word-level one under a Qwen2
    configuration, whatever its files say). Where that does not encode as the folder's tokenizer.json does, the file is
    right, and a plain tokenizer is made of it.

    Raises:
        MissingTokenizerError: The folder holds none.
        ModelError: No tokenizer can be made that encodes as the file does.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise ModelError(f"{name} holds no config.json, so it is not a model", _adapter_hint(folder))
        if not any((folder / file).exists() for file in ("tokenizer.json", "tokenizer.model", "vocab.json")):
            raise MissingTokenizerError(
                f"{name} holds a model but no tokenizer", "copy tokenizer.json and tokenizer_config.json beside it"
            )
    settings: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(name, **settings)
        if not _encodes_as_its_file(tokenizer, folder):
            tokenizer = PreTrainedTokenizerFast.from_pretrained(name, **settings)
    except Exception as error:
        raise _explain(name, error) from error
    if not _encodes_as_its_file(tokenizer, folder):
        raise ModelError(
            f"{type(tokenizer).__name__} does not encode as {folder / 'tokenizer.json'} does",
            "save the tokenizer again with the installed transformers: tokenizer.save_pretrained(folder)",
        )
    return tokenizer


def _encodes_as_its_file(tokenizer: PreTrainedTokenizerBase, folder: Path) -> bool:
    if not (folder / "tokenizer.json").exists():
        return True
    from tokenizers import Tokenizer

    core: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # Words of the vocabulary itself: a text of none but unknown words would look alike to every tokenizer.
    known = [word for word in core.get_vocab(with_added_tokens=False) if word.isalpha() and word.isascii()]
    for text in ("Hello there, how are you ? What should I do about it .", " ".join(sorted(known)[:50])):
        if tokenizer.encode(text, add_special_tokens=False) != core.encode(text, add_special_tokens=False).ids:
            return False
    return True


_MEMORY_HINT = "try --dtype bfloat16, a smaller model, or --device-map auto to spread it over devices"


def _check_memory(name: str, dtype: str | torch.dtype, device: str, device_map: object) -> None:
    """Refuse local weights that cannot fit, before minutes of loading."""
    folder = Path(name)
    if device_map is not None or not folder.is_dir():
        return
    stored = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if device.startswith("cuda"):
        free = torch.cuda.mem_get_info(torch.device(device))[0]
    else:
        import psutil

        free = psutil.virtual_memory().available
    needed = stored * (2 if dtype == torch.float32 and _stored_half(folder) else 1)
    if needed > free:
        raise NotEnoughMemoryError(
            f"{name} needs {needed / 1e9:.1f} GB for its weights and {device} has {free / 1e9:.1f} GB free",
            _MEMORY_HINT,
        )


def _stored_half(folder: Path) -> bool:
    config = json.loads((folder / "config.json").read_text())
    return str(config.get("dtype", config.get("torch_dtype"))) in ("bfloat16", "float16")


def _explain(name: str, error: Exception) -> ModelError:
    """The user's error for what transformers raised while it loaded `name`."""
    from huggingface_hub.errors import GatedRepoError

    if isinstance(error, ModelError):
        return error

    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    text = " ".join(str(link) for link in chain)
    if any(isinstance(link, GatedRepoError) for link in chain) or "gated repo" in text:
        return GatedModelError(
            f"{name} is gated", f"accept its licence at https://huggingface.co/{name} and run: hf auth login"
        )
    if "no file named" in text or "does not appear to have a file named" in text:
        return MissingWeightsError(
            f"{name} holds a configuration but no weights",
            "expected model.safetensors or its shards with an index; a pytorch_model.bin is a pickle and is never read",
        )
    unreachable = any(isinstance(link, OSError) for link in chain) or "Repo id must" in text
    if Path(name).is_dir() or not unreachable:
        return ModelError(f"{name} cannot be loaded: {type(error).__name__}: {error}")
    return UnreachableModelError(
        f"{name} is neither a folder here nor a model that can be reached",
        "check the spelling; offline, give the path of a local copy (hf download ... makes one)",
    )


def _adapter_hint(folder: Path) -> str | None:
    if (folder / "adapter_config.json").exists():
        return "it is a PEFT adapter: give its base as the model and this folder as the adapter"
    return None


def lora_modules(lm: nn.Module) -> dict[str, dict[str, nn.Module]]:
    """The LoRA layers by adapter and module path."""
    # PEFT takes seconds to import, and where nobody has imported it there are no LoRA modules.
    if "peft" not in sys.modules:
        return {}
    from peft.tuners.lora import LoraLayer

    found: dict[str, dict[str, nn.Module]] = {}
    for path, module in lm.named_modules():
        if isinstance(module, LoraLayer):
            for adapter in module.lora_A:
                found.setdefault(adapter, {})[path] = cast("nn.Module", module)
    return found
