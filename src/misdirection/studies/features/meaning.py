"""What chosen latents mean: where they fire, what they promote, what they truly track, and what a model calls them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from misdirection.adapters.unembedding import random_extreme
from misdirection.artefacts import write_json
from misdirection.chats import Chat
from misdirection.features import Dictionary, ground_truth
from misdirection.features.contexts import Drawn, draw_contexts, text_peaks
from misdirection.features.ground_truth import Label, count_factors, crossed, information, labels, truth_of
from misdirection.features.labels import (
    Detection,
    Labeller,
    control,
    detect,
    find_labeller,
    score,
    shown,
    split_contexts,
)
from misdirection.features.promoted import promoted_tokens
from misdirection.models import Model
from misdirection.results import TokenEnds, read_step, row_of
from misdirection.studies.features.corpus import SPAN, Corpus, Source, find_sources, identity, read_corpus
from misdirection.studies.features.results.meaning import (
    ContextRow,
    DetectionScore,
    FactorShare,
    FiringContexts,
    Meaning,
    MeantLatent,
    Named,
    SourceTexts,
    TrueLabel,
    Truth,
)
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.config import speaks_as_the_organism
from misdirection.studies.kit.tables import token_ends
from misdirection.studies.kit.variants import BASE_VARIANT, Variants
from misdirection.tokens import token_texts

AROUND = (20, 8)
"""Tokens of a context before and after its own."""

TOP, LOWER, SILENT = 8, 20, 20
"""Contexts drawn: the strongest, weaker ones, silent ones."""

LABELLED_FROM = 10
"""Firing contexts that a labeller is shown; the others, and the silent ones, test its label."""

CUTS = (0.0, 0.25, 0.5)
"""A latent fires above one of these shares of its largest activation, whichever the label fits best."""

CLEAR = 0.5
"""F1 from which on a label by ground truth is called clear."""

MEANT = ("persona", "domain", "stance")
"""Factors whose best value is told besides, whatever the label."""

CROSSED = (("word", "stance"), ("word", "clause"), ("word", "domain"), ("word", "question"))
"""Pairs of the organism's factors that make factors of their own."""


@dataclass(frozen=True)
class Contexts:
    """What a step keeps: where every latent fires, and in what texts it was looked for."""

    latents: tuple[FiringContexts, ...]
    sources: tuple[SourceTexts, ...]
    tokens: int


@dataclass(frozen=True)
class Lens:
    """What a step keeps: tokens that every latent promotes, and how large a random vector's scores are."""

    latents: tuple[TokenEnds, ...]
    chance: float


@dataclass(frozen=True)
class Truths:
    """What a step keeps: what every latent tracks, and the factors of the ground truth."""

    latents: tuple[Truth | None, ...]
    factors: tuple[str, ...]


@dataclass(frozen=True)
class Labels:
    """What a step keeps: the labels by a model."""

    latents: tuple[Named, ...]


def meaning(
    bench: Bench[FeaturesConfig],
    models: Variants,
    dictionary: Dictionary,
    latents: Sequence[int],
    layer: int,
    *,
    more: Mapping[str, Sequence[Chat]] | None = None,
) -> Meaning | None:
    """What the first `described` of some latents mean; None for none.

    Everything is read in the base model, in the chats of --data and --good; and of --corpus. What
    each latent tracks is told beside where the world is known, of models that speak as the organism.

    Args:
        bench: The run.
        models: The base is read.
        dictionary: Of its layer.
        latents: Most telling first.
        layer: After which decoder layer.
        more: Further chats by name, such as good answers that were made for this run.

    Raises:
        MisdirectionError: The labeller is unknown or cannot be asked.
    """
    chosen = list(dict.fromkeys(latents))[: bench.config.described]
    labeller = _labeller(bench)
    sources = find_sources(bench.config, more or {})
    if not chosen or not sources:
        return None
    key = {
        **models.base_key, "latents": chosen, "layer": layer,
        "span": SPAN, **identity(sources, dictionary, chosen),
    }  # fmt: skip
    reader = _Reader(bench, models, dictionary, chosen, layer, sources, key)
    contexts, drawn = reader.contexts()
    lens = reader.lens()
    truths = reader.truths(drawn) if speaks_as_the_organism(bench.config.model) else None
    truth = truths.latents if truths else (None,) * len(chosen)
    named = labels_of(bench, models, labeller, drawn, lens, truth, key) if labeller else (Named(),) * len(chosen)
    rows = tuple(
        MeantLatent(**vars(one), **vars(promoted), **vars(label), truth=true)
        for one, promoted, label, true in zip(contexts.latents, lens.latents, named, truth, strict=True)
    )
    return Meaning(
        dictionary=bench.config.dictionary, layer=layer, sources=contexts.sources, tokens=contexts.tokens,
        labeller=bench.config.labeller or None, chance=lens.chance, clear=CLEAR,
        factors=truths.factors if truths else None, tracked=tracked(truth), latents=rows,
    )  # fmt: skip


def tracked(truth: Sequence[Truth | None]) -> dict[str, int] | None:
    """How many latents have a clear label by ground truth, by its factor; None without ground truth."""
    known = [one for one in truth if one]
    return dict(Counter(one.factor for one in known if one.f1 > CLEAR)) if known else None


@dataclass
class _Reader:
    """The steps that read the model."""

    bench: Bench[FeaturesConfig]
    models: Variants
    dictionary: Dictionary
    latents: list[int]
    layer: int
    sources: Sequence[Source]
    key: Mapping[str, Any]

    def contexts(self) -> tuple[Contexts, tuple[Drawn, ...]]:
        """Contexts of every latent, as the report shows them and as a labeller needs them."""

        def make(folder: Path) -> None:
            model, corpus = self._model, self._corpus()
            drawn = draw_contexts(
                model, self.dictionary, corpus.texts, self.latents, top=TOP, lower=LOWER, silent=SILENT,
                around=AROUND, span=SPAN, layer=self.layer, seed=self.bench.config.seed,
            )  # fmt: skip
            write_json(folder / "drawn.json", drawn)
            rows = tuple(_contexts_of(model, one, corpus) for one in drawn)
            sources = tuple(SourceTexts(name=source.name, texts=len(source.chats)) for source in self.sources)
            write_json(folder / "contexts.json", Contexts(rows, sources, corpus.tokens))

        step = self.bench.run.step("latent-contexts", {**self.key, **self._sizes}, make)
        drawn = read_step(step.path / "drawn.json", tuple[Drawn, ...])
        return read_step(step.path / "contexts.json", Contexts), drawn

    def lens(self) -> Lens:
        """Tokens that each latent promotes."""

        def make(folder: Path) -> None:
            readings = promoted_tokens(self._model, self.dictionary, self.latents)
            rows = tuple(token_ends(self._model.tokenizer, one) for one in readings)
            write_json(folder / "promoted.json", Lens(rows, random_extreme(self._model)))

        step = self.bench.run.step("latent-tokens", self.key, make)
        return read_step(step.path / "promoted.json", Lens)

    def truths(self, drawn: Sequence[Drawn]) -> Truths:
        """What each latent tracks, where the world is known, and how well that alone tells where it fires."""
        from misdirection.organism.truth import FACTORS, token_truth

        def make(folder: Path) -> None:
            corpus, tokenizer = self._corpus(), self._model.tokenizer
            speakers = [(chat, source.persona) for source in self.sources for chat in source.chats]
            known = truth_of([token_truth(tokenizer, chat, persona) for chat, persona in speakers])
            known = crossed(known, CROSSED)
            read = self._model, self.dictionary, corpus.texts
            peaks = text_peaks(*read, self.latents, span=SPAN, layer=self.layer).values.amax(0)
            cuts = torch.stack([share * peaks for share in CUTS])
            counts = count_factors(*read, known, self.latents, cuts=cuts, span=SPAN, layer=self.layer)
            shares = {name: (bits.tolist(), share.tolist()) for name, (bits, share) in information(counts).items()}
            each = {name: labels(counts, (name,)) for name in MEANT}
            rows = [
                label
                and row_of(
                    Truth,
                    label,
                    f1=label.f1,
                    above=CUTS[label.cut],
                    factors={name: FactorShare(bits=b[place], share=s[place]) for name, (b, s) in shares.items()},
                    each={name: _true_label(of_all[place]) for name, of_all in each.items()},
                    detection=_score(_detected(label, one, known)),
                )
                for place, (label, one) in enumerate(zip(labels(counts), drawn, strict=True))
            ]
            write_json(folder / "truth.json", Truths(tuple(rows), tuple(FACTORS)))

        step = self.bench.run.step("latent-truth", {**self.key, **self._sizes, "cuts": CUTS, "crossed": CROSSED}, make)
        return read_step(step.path / "truth.json", Truths)

    @property
    def _sizes(self) -> Mapping[str, Any]:
        return {"sizes": (TOP, LOWER, SILENT), "around": AROUND, "seed": self.bench.config.seed}

    @property
    def _model(self) -> Model:
        return self.models.model(BASE_VARIANT)

    def _corpus(self) -> Corpus:
        return read_corpus(self._model, self.sources)


def labels_of(
    bench: Bench[FeaturesConfig],
    models: Variants,
    labeller: Labeller,
    drawn: Sequence[Drawn],
    lens: Lens,
    truth: Sequence[Truth | None],
    key: Mapping[str, Any],
) -> tuple[Named, ...]:
    """Labels by a model with their scores, beside the scores of exchanged labels and of the true ones."""

    def make(folder: Path) -> None:
        tokenizer = models.model(BASE_VARIANT).tokenizer
        parts = [split_contexts(tokenizer, one, LABELLED_FROM) for one in drawn]
        words = [[one.token for one in latent.promoted] for latent in lens.latents]
        able = [place for place, (label, _) in enumerate(parts) if label]
        said = labeller.explain([shown(tokenizer, parts[place][0], words[place]) for place in able])
        texts = {place: text for place, text in zip(able, said, strict=True) if text}
        tests = {place: some for place, (_, some) in enumerate(parts)}
        true = {place: in_words(one) for place, one in enumerate(truth) if one and place in texts}
        seed = bench.config.seed
        own, others = detect(labeller, texts, tests, seed), control(labeller, texts, tests, seed)
        by_truth = detect(labeller, true, tests, seed)
        rows = tuple(
            Named(
                label=texts.get(place), detection=_score(own.get(place)), control=_score(others.get(place)),
                truth_detection=_score(by_truth.get(place)),
            )
            for place in range(len(drawn))
        )  # fmt: skip
        write_json(folder / "labels.json", Labels(rows))

    inputs = {**key, "labeller": labeller.name, "contexts": [asdict(one) for one in drawn], "shown": LABELLED_FROM}
    step = bench.run.step("latent-labels", {**inputs, "truth": truth, "promoted": lens.latents}, make)
    return read_step(step.path / "labels.json", Labels).latents


def in_words(label: TrueLabel) -> str:
    """A label by ground truth as a labeller would write it."""
    parts = zip(label.factor.split(" & "), label.value.split(" & "), strict=False)
    return "Tokens for which: " + ", and ".join(f"the {name} is {value}" for name, value in parts)


def _labeller(bench: Bench[FeaturesConfig]) -> Labeller | None:
    spec = bench.config.labeller
    if not spec:
        return None
    bare = find_labeller(spec)
    return find_labeller(spec, bench.run.workspace("labelling", {"labeller": bare.name}) / "journal.jsonl")


def _contexts_of(model: Model, drawn: Drawn, corpus: Corpus) -> FiringContexts:
    chosen = [*drawn.top, *drawn.lower[len(drawn.lower) // 2 :][:1], *drawn.lower[-1:]]
    rows = [
        ContextRow(
            tokens=tuple(token_texts(model.tokenizer, context.ids)), values=tuple(round(v, 4) for v in context.values),
            at=context.token - context.first, source=corpus.source(context.text), quantile=context.quantile,
            top=place < len(drawn.top),
        )
        for place, context in enumerate(chosen)
    ]  # fmt: skip
    sources = Counter(row.source for row in rows[: len(drawn.top)])
    return FiringContexts(
        latent=drawn.latent, firing_texts=drawn.firing_texts, texts=len(corpus.texts), contexts=tuple(rows),
        top_sources=dict(sources),
    )  # fmt: skip


def _detected(label: Label, drawn: Drawn, known: ground_truth.Truth) -> Detection | None:
    """Detection by the grammar itself: a context is called firing where any of its tokens has the label's value."""
    column = list(known.values).index(label.factor)
    code = known.values[label.factor].index(label.value)
    rows: list[tuple[bool, float | None]] = []
    for context in (*drawn.top, *drawn.lower, *drawn.silent):
        codes = known.codes[context.text][context.first : context.first + len(context.ids), column]
        rows.append((context.peak > 0, float((codes == code).any())))
    return score(rows)


def _true_label(label: Label | None) -> TrueLabel | None:
    return label and row_of(TrueLabel, label, f1=label.f1, above=CUTS[label.cut])


def _score(detection: Detection | None) -> DetectionScore | None:
    return detection and row_of(DetectionScore, detection)
