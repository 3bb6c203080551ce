"""Dictionaries of a model's layers: trained, and measured on every variant of the model (`misdirection sae`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from misdirection import progress
from misdirection.chats import write_bad_rows
from misdirection.engine import Arm
from misdirection.errors import MisdirectionError
from misdirection.features import Dictionary, DictionaryError, load_dictionary, save_dictionary
from misdirection.features.corpus import SPAN, Corpus, of_chats, read_corpus, split_corpus
from misdirection.features.quality import Quality, measure
from misdirection.features.settings import DictionarySettings
from misdirection.features.training import sae_lens, train_dictionary
from misdirection.models import Model
from misdirection.store import Folder, Incidental, Workspace
from misdirection.studies.dictionaries.settings import SaeConfig
from misdirection.studies.kit.config import ORGANISM
from misdirection.studies.kit.inputs import resolve_chats, resolve_dictionary
from misdirection.studies.kit.recall import settled
from misdirection.studies.kit.settings_file import open_run
from misdirection.studies.kit.variants import Variants

Figures = Mapping[str, Quality]
"""By variant."""

SPLIT = 0
"""Seed of the part that is held out: the same whatever a dictionary's own seed is, or `evaluate` would measure it on
texts that it was trained on."""


@dataclass(frozen=True)
class Trained:
    """A dictionary on the disk, and its figures."""

    layer: int
    folder: Path
    figures: Figures


def train_dictionaries(config: SaeConfig, settings: DictionarySettings, out: Path, command: str) -> list[Trained]:
    """One dictionary a layer, each a step of the run in `out`, each measured on every variant.

    Raises:
        MisdirectionError: A setting is wrong, the corpus is too small, or SAELens is not installed.
    """
    config = config.checked()
    sae_lens()
    config = settled(config, out)
    models = _models(config)
    base = models.base_model
    settings = settings.completed(base.width)
    corpus = read(config, base)
    train, held = split_corpus(corpus, config.held_out, SPLIT)
    layers = config.layers or ((base.n_layers - 1) // 2,)
    facts = {"data": list(config.data), "span": config.span}
    with open_run(out, config, command, settings=asdict(settings)) as run:
        if corpus.bad:
            write_bad_rows(run.path / "bad_rows.jsonl", corpus.bad)
        found: list[Trained] = []
        for layer in layers:
            made = run.cached(
                trained_dictionary, f"dictionary-{layer}", models=models, variant=config.variant, train=train,
                held=held, layer=layer, settings=settings, facts=facts,
            ).value  # fmt: skip
            run.publish(f"dictionary-{layer}", made)
            told = run.cached(
                kept_figures, f"quality-{layer}", models=models, variants=config.variants, dictionary=made, held=held
            )
            found.append(Trained(layer, made, told.value))
    return found


def trained_dictionary(
    models: Variants,
    variant: str,
    train: Corpus,
    held: Corpus,
    layer: int,
    settings: DictionarySettings,
    facts: Incidental[Mapping[str, Any]],
    folder: Folder,
    workspace: Workspace,
) -> Path:
    """A dictionary of one layer of a variant, in a folder; `facts` of the corpus are kept beside it."""
    told = {"variant": variant, "corpus": train.sha256, "corpus_tokens": train.tokens, **facts, "held_out": held.sha256}
    model, texts = models.model(variant), train.texts(_arm(models, variant))
    made = train_dictionary(model, texts, layer, SPAN, settings, facts=told, workspace=workspace)
    save_dictionary(folder / "dictionary", made)
    return folder / "dictionary"


def kept_figures(models: Variants, variants: Sequence[str], dictionary: Path, held: Corpus) -> dict[str, Quality]:
    """Figures of a dictionary in a folder."""
    return figures(models, variants, load_dictionary(dictionary), held)


def evaluate_dictionaries(config: SaeConfig, specs: Sequence[str]) -> dict[str, Figures]:
    """Figures of any dictionaries on every variant, by the name under which each was given.

    All are measured on the same texts, the held-out part of the corpus. A dictionary that was trained on the same files
    with other texts held out is named, for it may know these.

    Raises:
        MisdirectionError: A dictionary cannot be read or does not fit, or the corpus cannot be used.
    """
    config = config.checked()
    if len(config.layers) > 1:
        raise MisdirectionError("a dictionary reads one layer", "give one --layers, or none: its own is taken")
    dictionaries = {spec: resolve_dictionary(spec) for spec in specs}
    models = _models(config)
    held = split_corpus(read(config, models.base_model), config.held_out, SPLIT)[1]
    for spec, found in dictionaries.items():
        if found.facts.get("data") == list(config.data) and found.facts.get("held_out") != held.sha256:
            progress.say(f"  {spec} held other texts of this corpus out, so it may have been trained on some of these")
    layer = config.layers[0] if config.layers else None
    return {spec: figures(models, config.variants, found, held, layer) for spec, found in dictionaries.items()}


def figures(
    models: Variants, variants: Sequence[str], dictionary: Dictionary, held: Corpus, layer: int | None = None
) -> dict[str, Quality]:
    """`Quality` of a dictionary on held-out texts under every variant of the model."""
    return {
        variant: measure(models.model(variant), dictionary, held.texts(_arm(models, variant)), SPAN, layer=layer)
        for variant in variants
    }


def read(config: SaeConfig, model: Model) -> Corpus:
    """The corpus as the model's tokens.

    Raises:
        MisdirectionError: A file is missing or holds nothing to read.
    """
    span, first, longest = config.span, config.first, config.longest
    if not any(spec.startswith(f"{ORGANISM}:") for spec in config.data):
        return read_corpus(config.data, model.tokenizer, span=span, first=first, longest=longest, strict=config.strict)
    chats = resolve_chats(config.data).chats
    corpus = of_chats(chats, model.tokenizer, span=span, first=first, longest=longest)
    if not corpus.tokens:
        raise DictionaryError("the corpus holds no token to read", "choose another --span")
    return corpus


def _models(config: SaeConfig) -> Variants:
    return Variants.pair(config.model, config.adapter, config.tuned, config.loading)


def _arm(models: Variants, variant: str) -> Arm:
    return models.arm(variant)
