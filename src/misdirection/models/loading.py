"""`load_model`: any Hugging Face decoder, its tokenizer and its adapters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from misdirection import progress
from misdirection.models.adapters import add_adapter
from misdirection.models.asking import ask_as_trained, read_beside, set_asking
from misdirection.models.errors import ModelError, NotEnoughMemoryError
from misdirection.models.explain import explain
from misdirection.models.gguf import gguf_facts, local_folder
from misdirection.models.memory import MEMORY_HINT, check_memory
from misdirection.models.number_format import STORED, choose_format
from misdirection.models.quantised import method_of, missing_package, settle
from misdirection.models.quiet import no_bars
from misdirection.models.resident import Model, wrap
from misdirection.models.tokenizer import load_tokenizer
from misdirection.models.weight_files import check_settings, check_weights
from misdirection.models.whole import check_whole
from misdirection.models.wrappers import class_of, demand_text_alone, read_text_part


@progress.told("loading")
def load_model(
    name: str | Path,
    *,
    adapters: Mapping[str, str | Path] | None = None,
    dtype: str | torch.dtype = "auto",
    device: str | None = None,
    device_map: str | dict[str, Any] | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    chat_template: str | Path | None = None,
    thinking: bool | None = None,
    date: str | None = None,
    trained: str | Path | None = None,
) -> Model:
    """Load a causal language model, its tokenizer and any number of PEFT LoRA adapters.

    Args:
        name: Hub id, local folder, or GGUF file (`file.gguf`, `folder:file.gguf`), which is converted once.
        adapters: Hub id or local folder of each adapter by the name that rows will call it.
        dtype: "auto" takes the checkpoint's, and on a CPU what that is fast in (see `number_format`); "stored" the
            checkpoint's wherever it is; else a torch dtype or its name.
        device: "cpu", "cuda", ... ; the default is the GPU where there is one.
        device_map: Passed to transformers to spread a large model ("auto"); excludes `device`.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Run code that the repository brings. Off unless asked for.
        chat_template: File with a chat template that goes before the model's and the adapters' own.
        thinking: The template's switch for thoughts; None leaves it at its default.
        date: Today (YYYY-MM-DD), for templates that write it; `tokens.DATE` by default.
        trained: A whole model made of this one, as whose files say the model is asked.

    Raises:
        ModelError: One of its heirs, each with what to do.
    """
    name = str(name)
    source = local_folder(name)
    local = Path(source).is_dir()
    if local:
        check_settings(Path(source))
    tokenizer = load_tokenizer(source, revision=revision, trust_remote_code=trust_remote_code)
    settings: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    try:
        kind, config = class_of(source, settings)
    except Exception as error:
        raise explain(name, error) from error
    method = method_of(config)
    if local:
        check_weights(Path(source))
    device = _device(device)
    chosen = choose_format(source, device, device_map, trust_remote_code) if dtype == "auto" else None
    number_format = chosen.dtype if chosen else _dtype(dtype)
    check_memory(source, number_format, device, device_map)
    lm: Any
    try:
        # Weights that are a pickle are never read.
        # Quantised weights are made on the device where they stay; most cannot be moved.
        place = device_map or ({"": device} if method else None)
        with no_bars():
            lm, info = read_text_part(
                kind, config, source, dtype=number_format, device_map=place, use_safetensors=True, **settings
            )
        unread = check_whole(lm, name, info)
        lm = lm if place else lm.to(device)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise NotEnoughMemoryError(f"{name} does not fit on {device}: {error}", MEMORY_HINT) from error
    except ImportError as error:
        raise missing_package(name, method, error) if method else explain(name, error) from error
    except Exception as error:
        raise explain(name, error) from error
    settle(lm)
    demand_text_alone(lm, name)
    facts: dict[str, Any] = {"model": name, "dtype": str(lm.dtype), "device": str(lm.device)}
    facts["tokenizer"] = type(tokenizer).__name__
    if chosen:
        facts["number_format"] = chosen.why
        progress.say(chosen.why, once=True)
    if method and getattr(lm, "is_quantized", False):
        facts["quantised"] = method
    if made := gguf_facts(source):
        facts |= {"gguf": made, "warnings": list(made["warnings"])}
    model = wrap(lm, tokenizer, name, facts)
    if unread:
        model.warn(unread)
    if trained is not None:
        beside = read_beside(local_folder(str(trained)))
        if beside is not None and chat_template is not None:
            set_asking(model, chat_template)
            beside = replace(beside, template=model.tokenizer.chat_template)
        ask_as_trained(model, beside, "the tuned model")
    for adapter, path in (adapters or {}).items():
        add_adapter(model, adapter, path)
    set_asking(model, chat_template, thinking, date)
    return model


def _dtype(name: str | torch.dtype) -> str | torch.dtype:
    if isinstance(name, torch.dtype):
        return name
    if name in ("auto", STORED):
        return "auto"
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ModelError(f"'{name}' is no number format for weights", "auto, stored, float32, bfloat16 or float16")
    return found


def _device(name: str | None) -> str:
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(f"there is no device '{name}' here: {error}", "cpu, cuda, cuda:1, mps") from error
    return name
