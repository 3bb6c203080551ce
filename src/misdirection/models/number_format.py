"""What `dtype="auto"` means on a CPU: bfloat16 where it multiplies faster, float32 where it does not.

A GPU computes in whatever a checkpoint stores. A CPU does not: with instructions for bfloat16 (AVX-512 BF16, AMX) a
matrix product takes half the time of float32 or less; without them several times as long. So the processor's flags are
read, and where they promise bfloat16 a product is measured, once on a machine, before the promise is believed.

Only weights that were stored in half precision, or came out of a GGUF file that quantised them, change their format:
a checkpoint in float32 is read as it is, and so is a model so small that nothing is gained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from misdirection.hub import prepare_hub
from misdirection.measured import measured
from misdirection.models import products
from misdirection.models.families import numbers_in
from misdirection.models.gguf import gguf_facts, gguf_file, is_gguf, read_header
from misdirection.models.memory import free_memory, weight_bytes
from misdirection.processor import processor_words

STORED = "stored"
"""What `load_model` takes for the checkpoint's own format, whatever the processor."""

SMALL = 50_000_000
"""Weights below which a model stays as it is stored: overhead decides there, not products."""

FASTER = 1.2
"""How many times faster a product in bfloat16 must have been measured."""

_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
_HALF = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Choice:
    """Another number format than the stored one, or the stored one on purpose.

    Attributes:
        dtype: The format.
        stored: The one in the file.
        why: One line for the reader.
    """

    dtype: torch.dtype
    stored: torch.dtype
    why: str

    @property
    def name(self) -> str:
        """As `load_model` takes it."""
        return str(self.dtype).removeprefix("torch.")


def choose_format(
    name: str, device: str | None = None, device_map: object = None, trust_remote_code: bool = False
) -> Choice | None:
    """The number format that "auto" stands for, None where that is simply the stored one.

    Args:
        name: What `load_model` takes; a GGUF file need not have been converted.
        device: As there; None is the GPU where there is one.
        device_map: As there.
        trust_remote_code: As there.
    """
    on_a_cpu = device == "cpu" or (device is None and not torch.cuda.is_available())
    if not on_a_cpu or device_map is not None:
        return None
    stored, numbers = _stored(name, trust_remote_code)
    if stored is None or numbers < SMALL:
        return None
    if has_flags() and (times := times_faster()) >= FASTER:
        why = f"bfloat16: this CPU multiplies it {times:.1f} times faster than float32; --dtype float32 for exactness"
        return Choice(torch.bfloat16, stored, why)
    if stored not in _HALF:
        return None
    kind, needed = str(stored).removeprefix("torch."), 4 * numbers
    if needed > 0.8 * free_memory():
        why = f"{kind}, as stored: float32 is faster on this CPU, but its weights take {needed / 1e9:.1f} GB"
        return Choice(stored, stored, why)
    return Choice(torch.float32, stored, f"float32: this CPU is slow in {kind}, in which the weights are stored")


def has_flags() -> bool:
    """Whether the processor says that it multiplies bfloat16; other systems than Linux do not tell."""
    return bool(processor_words() & _FLAGS)


@cache
def times_faster() -> float:
    """How many times faster a product of 64 rows is in bfloat16 than in float32, each by its faster way."""
    return measured("bfloat16-over-float32", torch.__version__, _times_faster)


def _times_faster() -> float:
    made = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(n, products.WIDTH, generator=made) for n in (products.ROWS, products.INNER))
    half = x.bfloat16(), weight.bfloat16()
    with torch.inference_mode():
        whole = products.best_time(lambda: products.linear(x, weight))
        return whole / products.best_time(lambda: torch.nn.functional.linear(*half))


def _stored(name: str, trust_remote_code: bool) -> tuple[torch.dtype | None, int]:
    """The stored format, None where it is to stay, and how many weights there are."""
    if is_gguf(name):
        header = read_header(gguf_file(name))
        return (torch.float32 if header.dtype is None else _only_half(header.dtype)), header.numbers
    folder = Path(name)
    if not folder.is_dir():
        return _of_the_hub(name, trust_remote_code)
    file = folder / "config.json"
    held: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    stored = _named(held)
    numbers = weight_bytes(folder, torch.float32) // 4
    if gguf_facts(name).get("dequantised"):
        return stored, numbers
    return _only_half(stored), numbers


def _named(config: Mapping[str, Any]) -> torch.dtype | None:
    """The format that a configuration names; None also for quantised weights, which stay what they are."""
    if config.get("quantization_config"):
        return None
    text: Mapping[str, Any] = config.get("text_config") or {}
    for part in (config, text):
        named = part.get("dtype") or part.get("torch_dtype")
        found = getattr(torch, str(named).removeprefix("torch."), None)
        if isinstance(found, torch.dtype):
            return found
    return None


def _only_half(stored: torch.dtype | None) -> torch.dtype | None:
    return stored if stored in _HALF else None


def _of_the_hub(name: str, trust_remote_code: bool) -> tuple[torch.dtype | None, int]:
    """What the configuration says, its size reckoned from it; nothing where it cannot be had: loading says why."""
    from transformers import AutoConfig

    prepare_hub(name)
    try:
        config: Any = AutoConfig.from_pretrained(name, trust_remote_code=trust_remote_code)
    except Exception:
        return None, 0
    text = config.get_text_config(decoder=True)
    width, layers = int(getattr(text, "hidden_size", 0) or 0), int(getattr(text, "num_hidden_layers", 0) or 0)
    inner = max(numbers_in(text, "intermediate_size"), default=4 * width)
    numbers = layers * width * (3 * width + 3 * inner) + int(getattr(text, "vocab_size", 0)) * width
    return _only_half(_named(config.to_dict())), numbers
