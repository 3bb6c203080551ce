"""A whole tuned model beside its base: whether it was made from it, and both asked alike."""

from __future__ import annotations

from misdirection.errors import MisdirectionError
from misdirection.models import Model


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
