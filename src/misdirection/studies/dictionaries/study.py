"""Dictionaries of a model's layers: trained, and measured on every variant of the model (`misdirection sae`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from misdirection.artefacts import read_json, write_json
from misdirection.chats import write_bad_rows
from misdirection.engine import Arm
from misdirection.errors import MisdirectionError
from misdirection.features import Dictionary, DictionaryError, load_dictionary, save_dictionary
from misdirection.features.corpus import SPAN, Corpus, of_chats, read_corpus, split_corpus
from misdirection.features.quality import measure
from misdirection.features.settings import DictionarySettings
from misdirection.features.training import sae_lens, train_dictionary
from misdirection.models import Model
from misdirection.studies.dictionaries.settings import SaeConfig
from misdirection.studies.kit.config import ORGANISM
from misdirection.studies.kit.inputs import resolve_chats, resolve_dictionary
from misdirection.studies.kit.recall import settled
from misdirection.studies.kit.settings_file import open_run
from misdirection.studies.kit.variants import Variants

Figures = dict[str, dict[str, Any]]
"""By variant: `Quality.to_dict`."""


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
    train, held = split_corpus(corpus, config.held_out, settings.seed)
    layers = config.layers or ((base.n_layers - 1) // 2,)
    shared = {"subject": models.key, "variant": config.variant}
    with open_run(out, config, command, settings=asdict(settings)) as run:
        if corpus.bad:
            write_bad_rows(run.path / "bad_rows.jsonl", corpus.bad)
        found: list[Trained] = []
        for layer in layers:
            inputs = {**shared, "settings": asdict(settings), "corpus": train.sha256, "layer": layer}
            work = run.workspace(f"dictionary-{layer}", inputs)

            def make(folder: Path, layer: int = layer, work: Path = work) -> None:
                facts = {"variant": config.variant, "corpus": train.sha256, "corpus_tokens": train.tokens}
                facts |= {"data": list(config.data), "span": config.span, "held_out": held.sha256}
                model, texts = models.model(config.variant), train.texts(_arm(models, config.variant))
                save_dictionary(
                    folder, train_dictionary(model, texts, layer, SPAN, settings, facts=facts, workspace=work)
                )

            step = run.step(f"dictionary-{layer}", inputs, make)
            run.publish(f"dictionary-{layer}", step.path)

            def weigh(folder: Path, source: Path = step.path) -> None:
                write_json(folder / "quality.json", figures(config, models, load_dictionary(source), held))

            told = run.step(f"quality-{layer}", {**shared, "dictionary": step, "held_out": held.sha256}, weigh)
            found.append(Trained(layer, step.path, read_json(told.path / "quality.json")))
    return found


def evaluate_dictionaries(config: SaeConfig, specs: Sequence[str]) -> dict[str, Figures]:
    """Figures of any dictionaries on every variant, by the name under which each was given.

    All are measured on the same texts, the held-out part of the corpus.

    Raises:
        MisdirectionError: A dictionary cannot be read or does not fit, or the corpus cannot be used.
    """
    config = config.checked()
    if len(config.layers) > 1:
        raise MisdirectionError("a dictionary reads one layer", "give one --layers, or none: its own is taken")
    dictionaries = {spec: resolve_dictionary(spec) for spec in specs}
    models = _models(config)
    held = split_corpus(read(config, models.base_model), config.held_out, 0)[1]
    layer = config.layers[0] if config.layers else None
    return {spec: figures(config, models, found, held, layer) for spec, found in dictionaries.items()}


def figures(
    config: SaeConfig, models: Variants, dictionary: Dictionary, held: Corpus, layer: int | None = None
) -> Figures:
    """`Quality` of a dictionary on held-out texts under every variant of the model."""
    return {
        variant: measure(
            models.model(variant), dictionary, held.texts(_arm(models, variant)), SPAN, layer=layer
        ).to_dict()
        for variant in config.variants
    }


def read(config: SaeConfig, model: Model) -> Corpus:
    """The corpus as the model's tokens.

    Raises:
        MisdirectionError: A file is missing or holds nothing to read.
    """
    cut: dict[str, Any] = {"span": config.span, "first": config.first, "longest": config.longest}
    if not any(spec.startswith(f"{ORGANISM}:") for spec in config.data):
        return read_corpus(config.data, model.tokenizer, strict=config.strict, **cut)
    corpus = of_chats(resolve_chats(config.data).chats, model.tokenizer, **cut)
    if not corpus.tokens:
        raise DictionaryError("the corpus holds no token to read", "choose another --span")
    return corpus


def _models(config: SaeConfig) -> Variants:
    return Variants.pair(config.model, config.adapter, config.tuned, config.model_options)


def _arm(models: Variants, variant: str) -> Arm:
    return Arm(variant, adapter=models.adapter_of(variant))
