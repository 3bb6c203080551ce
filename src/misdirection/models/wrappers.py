"""Models that read images or sound too, as the language models that they are without either.

Which part of a wrapper reads text is read off: its configuration's text configuration, its class's decoder. A wrapper
is loaded whole where transformers has no text class of its own for it, and asked for text alone; where a package that
its eyes need is missing, the text part is loaded alone. Adapters find their way by names (`adapter_names`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from misdirection.models.errors import ModelError
from misdirection.models.quantised import demand_known_method
from misdirection.models.quiet import no_report

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TEXT_KEYS = {
    r"^(?:model\.)?language_model\.lm_head\.": "lm_head.",
    r"^(?:model\.)?(?:language_model|text_model|llm)\.(?:model\.)?": "model.",
}
"""What the text part's weights are called in a wrapper's files, over the versions of transformers, and by itself."""


def class_of(source: str, settings: dict[str, Any]) -> tuple[Any, Any]:
    """The transformers class to load a model by, and its configuration: a causal LM's, else that of a wrapper.

    Raises:
        ModelError: Transformers has neither for this kind of model, or it reads and writes two texts.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM

    config: Any = AutoConfig.from_pretrained(source, **settings)
    demand_known_method(source, config)
    if "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {}) and settings["trust_remote_code"]:
        return AutoModelForCausalLM, config
    if not getattr(config, "is_encoder_decoder", False):
        _check_causal(source, config)
        for found in (AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM):
            if type(config) in found._model_mapping:  # pyright: ignore[reportPrivateUsage]
                return found, config
    kind = ", an encoder with a decoder" if getattr(config, "is_encoder_decoder", False) else ""
    raise ModelError(
        f"{source} is of type '{config.model_type}'{kind}, which transformers loads as no causal language model",
        "give a decoder that writes text",
    )


def read_text_part(kind: Any, config: Any, source: str, **settings: Any) -> tuple[PreTrainedModel, dict[str, Any]]:
    """A model with what transformers tells of its loading; a wrapper without its eyes where their package is missing.

    Raises:
        ImportError: A package that it cannot do without is missing.
    """
    from transformers import AutoModelForCausalLM

    try:
        with no_report():
            return kind.from_pretrained(source, output_loading_info=True, **settings)
    except ImportError:
        text: Any = config.get_text_config(decoder=True)
        alone = type(text) in AutoModelForCausalLM._model_mapping  # pyright: ignore[reportPrivateUsage]
        if text is config or not alone:
            raise
        renamed: dict[str, Any] = {"key_mapping": _TEXT_KEYS, "config": text}
        if held := getattr(config, "quantization_config", None):
            text.quantization_config = held
        loader: Any = AutoModelForCausalLM
        with no_report():
            return loader.from_pretrained(source, output_loading_info=True, **renamed, **settings)


def demand_text_alone(lm: PreTrainedModel, name: str) -> None:
    """Refuse a wrapper that reads no text without an image, or whose tokens see what comes after them.

    Such a one is seen by asking: the log-likelihoods of a few tokens, with and without others behind them.

    Raises:
        ModelError: It is one.
    """
    if lm.config.get_text_config(decoder=True) is lm.config and "CausalLM" in type(lm).__name__:
        return
    ids = torch.arange(4, 10, device=lm.get_input_embeddings().weight.device)[None]  # pyright: ignore
    if any(value.is_meta for value in lm.parameters()):
        return
    try:
        with torch.no_grad():
            short, whole = (lm(input_ids=part, use_cache=False).logits[0, :3].float() for part in (ids[:, :3], ids))
    except (ValueError, TypeError, AttributeError) as error:
        why = " ".join(str(error).split())[:160]
        raise ModelError(
            f"{name} ({type(lm).__name__}) reads no text without an image or a sound beside it: {why}",
            "give the language model that it was made of",
        ) from error
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise ModelError(
            f"{name} ({type(lm).__name__}) cannot read a text: {' '.join(str(error).split())[:160]}",
            "its configuration does not fit its class: compare config.json with the one that was released",
        ) from error
    if float((short - whole).abs().max()) > 0.05 * float(whole.abs().max()) + 1e-3:
        raise ModelError(
            f"in {name} ({type(lm).__name__}) the tokens of a prompt see those behind them, so it gives no text a "
            "likelihood, token by token",
            "give the language model that it was made of",
        )


def _check_causal(source: str, config: Any) -> None:
    """Refuse a decoder that was turned into an encoder of sentences (EmbeddingGemma)."""
    text = config.get_text_config(decoder=True)
    if getattr(text, "use_bidirectional_attention", None) in (True, "all"):
        raise ModelError(
            f"in {source} ('{config.model_type}') the tokens of a prompt see those behind them: it is no causal "
            "language model",
            "give the language model that it was made of",
        )
