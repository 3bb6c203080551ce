"""A model in memory: the base weights, its decoder layers, and any number of LoRA adapters beside each other."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from misdirection.models.errors import ModelError
from misdirection.models.families import LAYER_LIST_NAMES
from misdirection.tokens import PLAIN_TEMPLATE, end_token

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_LAYER_NUMBER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)(?:\.|$)")


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

    def __canonical__(self) -> Any:
        """What it is among the arguments of a measurement: its weights and how it is asked, as they are now."""
        from misdirection.models.contents import contents_of

        return contents_of(self)

    def warn(self, told: str) -> None:
        """Add a sentence to what a report must say of the model, once."""
        if told not in self.facts.setdefault("warnings", []):
            self.facts["warnings"].append(told)

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
        """Tokens that end an answer: the tokenizer's, the generation config's and the one that the template writes."""
        found: list[int] = []
        settings = getattr(self.lm, "generation_config", None)
        written = end_token(self.tokenizer)
        for ids in (self.tokenizer.eos_token_id, getattr(settings, "eos_token_id", None), written):
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
