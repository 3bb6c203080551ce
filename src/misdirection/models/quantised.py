"""Bases whose weights are kept in few bits: what made them, what it needs, and the numbers that they stand for."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor, nn

from misdirection.models.errors import ModelError

_NEEDS = {
    "bitsandbytes": "bitsandbytes", "gptq": "optimum and gptqmodel", "awq": "gptqmodel",
    "compressed-tensors": "compressed-tensors", "torchao": "torchao", "hqq": "hqq", "quanto": "optimum-quanto",
    "mxfp4": "kernels", "aqlm": "aqlm", "eetq": "kernels", "fbgemm_fp8": "fbgemm-gpu", "vptq": "vptq",
    "quark": "amd-quark", "auto-round": "auto-round",
}  # fmt: skip
"""Packages beyond transformers that a way of quantising needs, by the name that configurations give it."""

_CHUNK = 1024
"""Rows of the identity that a layer is asked for at once."""


def method_of(config: Any) -> str | None:
    """What a configuration says that the weights were quantised with, as "bitsandbytes nf4"; None where they are plain.

    Args:
        config: A model's configuration.
    """
    held: Any = getattr(config, "quantization_config", None)
    if held is None:
        return None
    facts: dict[str, Any] = dict(held) if isinstance(held, dict) else held.to_dict()
    method = facts.get("quant_method", "bitsandbytes" if "load_in_4bit" in facts else "an unnamed method")
    method = str(getattr(method, "value", method))
    if method == "bitsandbytes":
        return f"{method} {facts.get('bnb_4bit_quant_type', 'fp4') if facts.get('load_in_4bit') else 'int8'}"
    bits = facts.get("bits")
    return f"{method} {bits} bit" if isinstance(bits, int) else method


def demand_known_method(name: str, config: Any) -> None:
    """Refuse a way of quantising that transformers passes over: its weights would be drawn at random.

    Raises:
        ModelError: It is one.
    """
    from transformers.quantizers.auto import AutoHfQuantizer

    held: Any = getattr(config, "quantization_config", None)
    if held is None:
        return
    facts: dict[str, Any] = dict(held) if isinstance(held, dict) else held.to_dict()
    try:
        known = AutoHfQuantizer.supports_quant_method(facts)
    except ValueError:
        known = False
    if not known:
        raise ModelError(
            f"{name} is quantised with {method_of(config)}, which the installed transformers does not read",
            "give the model as it was released, in bfloat16",
        )


def missing_package(name: str, method: str, error: ImportError) -> ModelError:
    """The error for a quantised model whose library is not there."""
    why = " ".join(str(error).split())
    return ModelError(
        f"{name} is quantised with {method}, and a package that reads it is missing: {why.partition('. ')[0]}",
        f"pip install {_NEEDS.get(method.split()[0], 'the package that its model card names')}, "
        "or give the model as it was released, in bfloat16",
    )


def settle(lm: Any) -> None:
    """Bring a quantised model into the state that it is measured in, and hush what is said at every product.

    Compressed-tensors unpacks in the first forward pass: before it, layers have no weights that PEFT could look at.
    """
    method = method_of(lm.config)
    if method == "bitsandbytes int8":
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    if method is not None and method.startswith("compressed-tensors"):
        with torch.no_grad():
            lm(torch.zeros(1, 1, dtype=torch.long, device=lm.device))


def stored_parts(value: Tensor) -> list[Tensor]:
    """The plain tensors that a parameter is kept as, the same before and after it was first used."""
    if hasattr(value, "__tensor_flatten__"):
        names, _ = value.__tensor_flatten__()  # pyright: ignore
        return [part for name in names for part in stored_parts(getattr(value, name))]
    if value.dtype == torch.uint8:
        # Two numbers of 4 bits a byte, which bitsandbytes moves about in the first forward pass on a CPU.
        flat = value.reshape(-1)
        return [torch.bincount(flat & 15, minlength=16) + torch.bincount(flat >> 4, minlength=16)]
    return [value]


def demand_plain_weights(lm: Any, what: str, hint: str) -> None:
    """Refuse what needs weights that can be written, where the base's are quantised.

    Args:
        lm: The transformers model.
        what: Would change them, as "training all weights".
        hint: What to do.

    Raises:
        ModelError: They are.
    """
    method = method_of(lm.config)
    if method is not None and (getattr(lm, "is_quantized", False) or getattr(lm, "hf_quantizer", None) is not None):
        raise ModelError(f"{what} is not possible on weights that are quantised ({method})", hint)


def demand_trainable(lm: Any) -> None:
    """Refuse quantised weights that let no gradient through, and tell the trainer of transformers of the adapters.

    Raises:
        ModelError: They let none through.
    """
    if not getattr(lm, "is_quantized", False):
        return
    if not getattr(getattr(lm, "hf_quantizer", None), "is_trainable", True):
        raise ModelError(
            f"no adapter can be trained on weights that are quantised with {method_of(lm.config)}: they let no "
            "gradient through",
            "give the model as it was released, or quantised by bitsandbytes",
        )
    # It looks for this alone, and takes injected adapters for a quantised model without any.
    lm._hf_peft_config_loaded = True


def weight_of(module: nn.Module) -> Tensor:
    """The matrix that a linear layer multiplies by, shape (outputs, inputs), whatever it is kept as.

    Of a quantised layer, column i is what it makes of the i-th unit vector: each kernel's own numbers, exactly, in the
    format that it computes in. GPT-2's Conv1D keeps its weight the other way round.
    """
    held: Any = module
    weight: Any = getattr(held, "weight", None)
    if type(module).__name__ == "Conv1D":
        return held.weight.detach().T
    if type(weight) in (nn.Parameter, Tensor) and weight.ndim == 2 and weight.dtype in _PLAIN:
        return weight.detach()
    return _by_unit_vectors(held)


_PLAIN = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def _by_unit_vectors(module: Any) -> Tensor:
    inputs = int(module.in_features)
    bias = getattr(module, "bias", None)
    places = [value for value in (*module.parameters(), *module.buffers())]
    device = places[0].device
    dtype = next((value.dtype for value in places if value.dtype in _PLAIN), torch.float32)
    training = module.training
    module.eval()
    try:
        module.bias = None
        with torch.no_grad():
            rows = [
                module(torch.eye(min(_CHUNK, inputs - at), inputs, device=device, dtype=dtype).roll(at, 1))
                for at in range(0, inputs, _CHUNK)
            ]
    finally:
        module.bias = bias
        module.train(training)
    return torch.cat(rows).T
