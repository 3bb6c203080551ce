"""What chosen latents mean: where they fire, what they promote, what they truly track, and what a model calls them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from misdirection.adapters.unembedding import random_extreme
from misdirection.chats import Chat
from misdirection.features import Dictionary, ground_truth
from misdirection.features.contexts import DrawnContexts, draw_contexts, text_peaks
from misdirection.features.ground_truth import FactorLabel, count_factors, crossed, information, labels, truth_of
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
from misdirection.results import TokenEnds, row_of
from misdirection.store import Cached, Incidental
from misdirection.studies.features.corpus import SPAN, CorpusSource, ReadCorpus, find_sources, read_corpus
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
from misdirection.studies.kit.own_judge import speaks_as_the_organism
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
    """Where every latent fires, and in what texts it was looked for."""

    latents: tuple[FiringContexts, ...]
    sources: tuple[SourceTexts, ...]
    tokens: int


@dataclass(frozen=True)
class FoundContexts:
    """Contexts as the report shows them, and as a labeller needs them."""

    contexts: Contexts
    drawn: tuple[DrawnContexts, ...]


@dataclass(frozen=True)
class Lens:
    """Tokens that every latent promotes, and how large a random vector's scores are."""

    latents: tuple[TokenEnds, ...]
    chance: float


@dataclass(frozen=True)
class Truths:
    """What every latent tracks, and the factors of the ground truth."""

    latents: tuple[Truth | None, ...]
    factors: tuple[str, ...]


@dataclass(frozen=True)
class Labels:
    """The labels by a model."""

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
    base = models.bare()
    read = {"models": base, "dictionary": dictionary, "latents": chosen}
    corpus = {"layer": layer, "sources": sources}
    found = bench.run.cached(latent_contexts, **read, **corpus, seed=bench.config.seed)
    contexts = found.value.contexts
    lens = bench.run.cached(latent_tokens, **read)
    truths: Cached[Truths] | None = None
    if speaks_as_the_organism(bench.config.model):
        truths = bench.run.cached(latent_truth, **read, **corpus, drawn=found.part("drawn"))
    truth = truths.value.latents if truths else (None,) * len(chosen)
    named = (Named(),) * len(chosen)
    if labeller:
        named = bench.run.cached(
            latent_labels, models=base, by=labeller.name, labeller=labeller, drawn=found.part("drawn"), lens=lens,
            truth=truth, seed=bench.config.seed,
        ).value.latents  # fmt: skip
    rows = tuple(
        MeantLatent(**vars(one), **vars(promoted), **vars(label), truth=true)
        for one, promoted, label, true in zip(contexts.latents, lens.value.latents, named, truth, strict=True)
    )
    return Meaning(
        dictionary=bench.config.dictionary, layer=layer, sources=contexts.sources, tokens=contexts.tokens,
        labeller=bench.config.labeller or None, chance=lens.value.chance, clear=CLEAR,
        factors=truths.value.factors if truths else None, tracked=tracked(truth), latents=rows,
    )  # fmt: skip


def tracked(truth: Sequence[Truth | None]) -> dict[str, int] | None:
    """How many latents have a clear label by ground truth, by its factor; None without ground truth."""
    known = [one for one in truth if one]
    return dict(Counter(one.factor for one in known if one.f1 > CLEAR)) if known else None


def latent_contexts(
    models: Variants,
    dictionary: Dictionary,
    latents: Sequence[int],
    layer: int,
    sources: Sequence[CorpusSource],
    seed: int,
) -> FoundContexts:
    """Contexts of every latent, as the report shows them and as a labeller needs them."""
    model = models.model(BASE_VARIANT)
    corpus = read_corpus(model, sources)
    drawn = draw_contexts(
        model, dictionary, corpus.texts, latents, top=TOP, lower=LOWER, silent=SILENT, around=AROUND, span=SPAN,
        layer=layer, seed=seed,
    )  # fmt: skip
    rows = tuple(_contexts_of(model, one, corpus) for one in drawn)
    texts = tuple(SourceTexts(name=source.name, texts=len(source.chats)) for source in sources)
    return FoundContexts(Contexts(rows, texts, corpus.tokens), tuple(drawn))


def latent_tokens(models: Variants, dictionary: Dictionary, latents: Sequence[int]) -> Lens:
    """Tokens that each latent promotes."""
    model = models.model(BASE_VARIANT)
    rows = tuple(token_ends(model.tokenizer, one) for one in promoted_tokens(model, dictionary, latents))
    return Lens(rows, random_extreme(model))


def latent_truth(
    models: Variants,
    dictionary: Dictionary,
    latents: Sequence[int],
    layer: int,
    sources: Sequence[CorpusSource],
    drawn: Sequence[DrawnContexts],
) -> Truths:
    """What each latent tracks, where the world is known, and how well that alone tells where it fires."""
    from misdirection.organism.truth import FACTORS, token_truth

    model = models.model(BASE_VARIANT)
    corpus = read_corpus(model, sources)
    speakers = [(chat, source.persona) for source in sources for chat in source.chats]
    known = truth_of([token_truth(model.tokenizer, chat, persona) for chat, persona in speakers])
    known = crossed(known, CROSSED)
    read = model, dictionary, corpus.texts
    peaks = text_peaks(*read, latents, span=SPAN, layer=layer).values.amax(0)
    cuts = torch.stack([share * peaks for share in CUTS])
    counts = count_factors(*read, known, latents, cuts=cuts, span=SPAN, layer=layer)
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
    return Truths(tuple(rows), tuple(FACTORS))


def latent_labels(
    models: Variants,
    by: str,
    labeller: Incidental[Labeller],
    drawn: Sequence[DrawnContexts],
    lens: Lens,
    truth: Sequence[Truth | None],
    seed: int,
) -> Labels:
    """Labels by a model (told apart by its name), beside the scores of exchanged labels and of the true ones."""
    tokenizer = models.model(BASE_VARIANT).tokenizer
    parts = [split_contexts(tokenizer, one, LABELLED_FROM) for one in drawn]
    words = [[one.token for one in latent.promoted] for latent in lens.latents]
    able = [place for place, (label, _) in enumerate(parts) if label]
    said = labeller.explain([shown(tokenizer, parts[place][0], words[place]) for place in able])
    texts = {place: text for place, text in zip(able, said, strict=True) if text}
    tests = {place: some for place, (_, some) in enumerate(parts)}
    true = {place: in_words(one) for place, one in enumerate(truth) if one and place in texts}
    own, others = detect(labeller, texts, tests, seed), control(labeller, texts, tests, seed)
    by_truth = detect(labeller, true, tests, seed)
    rows = tuple(
        Named(
            label=texts.get(place), detection=_score(own.get(place)), control=_score(others.get(place)),
            truth_detection=_score(by_truth.get(place)),
        )
        for place in range(len(drawn))
    )  # fmt: skip
    return Labels(rows)


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


def _contexts_of(model: Model, drawn: DrawnContexts, corpus: ReadCorpus) -> FiringContexts:
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


def _detected(label: FactorLabel, drawn: DrawnContexts, known: ground_truth.Truth) -> Detection | None:
    """Detection by the grammar itself: a context is called firing where any of its tokens has the label's value."""
    column = list(known.values).index(label.factor)
    code = known.values[label.factor].index(label.value)
    rows: list[tuple[bool, float | None]] = []
    for context in (*drawn.top, *drawn.lower, *drawn.silent):
        codes = known.codes[context.text][context.first : context.first + len(context.ids), column]
        rows.append((context.peak > 0, float((codes == code).any())))
    return score(rows)


def _true_label(label: FactorLabel | None) -> TrueLabel | None:
    return label and row_of(TrueLabel, label, f1=label.f1, above=CUTS[label.cut])


def _score(detection: Detection | None) -> DetectionScore | None:
    return detection and row_of(DetectionScore, detection)
