"""What a study looks at: a base model and its tuned variant, loaded when first needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from misdirection.errors import MisdirectionError
from misdirection.hub import offline_hint, prepare_hub
from misdirection.models import STORED, Model, load_model, local_folder
from misdirection.models.asking import read_template
from misdirection.studies.kit.inputs import fingerprint, resolve_model
from misdirection.tokens import DATE

ADAPTER = "tuned"


class Models(Protocol):
    """Variants of a model by name: "base", and what was made of it."""

    @property
    def key(self) -> dict[str, Any]:
        """What identifies them among a step's inputs."""
        ...

    def model(self, variant: str) -> Model:
        """The resident model of a variant."""
        ...

    def adapter_of(self, variant: str) -> str | None:
        """Name of the adapter that is on under a variant."""
        ...


@dataclass
class Subject:
    """A base model and what was made of it: an adapter on it, or a model of its own.

    Nothing is loaded until a step that has not been done asks for it, so that a finished run is reopened in no time.

    Attributes:
        base: Id or folder of the base model.
        adapter: Id or folder of a PEFT adapter, None where the tuned model is a whole one.
        tuned: Id or folder of the whole tuned model, None where it is an adapter.
        options: Passed to `load_model` (dtype, device, device_map, revision, trust_remote_code).
    """

    base: str
    adapter: str | None = None
    tuned: str | None = None
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def key(self) -> dict[str, Any]:
        """What identifies the subject among a step's inputs."""
        return self._key

    @cached_property
    def _key(self) -> dict[str, Any]:
        return {
            "base": fingerprint(resolve_model(self.base)),
            "adapter": self.adapter and fingerprint(self.adapter),
            "tuned": self.tuned and fingerprint(resolve_model(self.tuned)),
            "dtype": key_of_format(self.options),
            "asking": asking_key(self.options),
        }

    @cached_property
    def base_model(self) -> Model:
        """The resident base model, with the adapter beside it where there is one."""
        adapters = {ADAPTER: self.adapter} if self.adapter else None
        trained = resolve_model(self.tuned) if self.tuned else None
        return load_model(resolve_model(self.base), adapters=adapters, trained=trained, **self.options)

    @cached_property
    def tuned_model(self) -> Model:
        """The model that answers as the tuned one: the same object where the tuned model is an adapter.

        Raises:
            MisdirectionError: The tuned model was not made from this base: its size or its tokenizer differs.
        """
        if not self.tuned:
            return self.base_model
        tuned = load_model(resolve_model(self.tuned), **self.options)
        check_same_kind(self.base_model, tuned)
        ask_alike(self.base_model, tuned)
        return tuned

    def model(self, variant: str) -> Model:
        """The resident model of a variant."""
        return self.base_model if variant == "base" else self.tuned_model

    def adapter_of(self, variant: str) -> str | None:
        """Name of the adapter that is on under a variant."""
        return ADAPTER if variant == "tuned" and self.adapter else None


def key_of_format(options: Mapping[str, Any]) -> str:
    """The number format among a step's inputs: "auto" is the checkpoint's own, as it was before others were chosen."""
    name = str(options.get("dtype", "auto"))
    return "auto" if name == STORED else name


def check_same_kind(base: Model, tuned: Model) -> None:
    """Refuse a tuned model that was not made from the base.

    Raises:
        MisdirectionError: Its size or its tokenizer differs.
    """
    sizes = [f"{model.n_layers} layers of width {model.width}" for model in (base, tuned)]
    hint = "--model must be the model that the tuned one was made from"
    if sizes[0] != sizes[1]:
        raise MisdirectionError(f"{base.name} has {sizes[0]} and {tuned.name} {sizes[1]}", hint)
    _check_tokens(base, tuned, hint)


def ask_alike(base: Model, tuned: Model) -> None:
    """Ask a tuned model under its base's chat template where it brings none of its own, or another than the base got.

    The base was given the tuned model's (`load_model(trained=...)`), so that both are asked alike.
    """
    if base.tokenizer.chat_template == tuned.tokenizer.chat_template:
        return
    why = (
        "brings no chat template" if tuned.plain_template else "has another chat template than its base is asked under"
    )
    tuned.warn(f"{tuned.name} {why}: both are asked under that of {base.facts.get('asked', {}).get('from', base.name)}")
    tuned.tokenizer.chat_template = base.tokenizer.chat_template
    tuned.plain_template = base.plain_template


def asking_key(options: Mapping[str, Any]) -> dict[str, Any]:
    """How the options ask the model, as part of a step's key; the models' own files are in their fingerprints."""
    file = options.get("chat_template")
    return {
        "template": None if file is None else read_template(file),
        "thinking": options.get("thinking"),
        "date": options.get("date") or DATE,
    }


def _check_tokens(base: Model, tuned: Model, hint: str) -> None:
    """Refuse other tokenizers; a few tokens more or fewer, or a reserved one by another name, are told."""
    one, two = base.tokenizer.get_vocab(), tuned.tokenizer.get_vocab()
    both = one.keys() & two.keys()
    moved = next((token for token in sorted(both) if one[token] != two[token]), None)
    if moved is not None or len(both) < 0.9 * min(len(one), len(two)):
        why = "they have few tokens in common" if moved is None else f"'{moved}' is {one[moved]} and {two[moved]}"
        raise MisdirectionError(f"{base.name} and {tuned.name} have different tokenizers: {why}", hint)
    alone = sorted(one.keys() ^ two.keys())
    if alone:
        tuned.facts["warnings"].append(
            f"the tokenizers of base and tuned model differ in {len(alone)} tokens ({', '.join(alone[:3])}"
            f"{', ...' if len(alone) > 3 else ''}); all others are the same"
        )


def read_config(name: str, trust_remote_code: bool = False) -> Any:
    """The text configuration of a model (layers, width) without its weights.

    Raises:
        MisdirectionError: There is none, or it cannot be reached.
    """
    from transformers import AutoConfig

    prepare_hub(name)
    try:
        return AutoConfig.from_pretrained(local_folder(name), trust_remote_code=trust_remote_code).get_text_config()
    except (OSError, ValueError) as error:
        raise MisdirectionError(
            f"the configuration of {name} cannot be read",
            offline_hint() or "give a folder with config.json, or the id of a model",
        ) from error
