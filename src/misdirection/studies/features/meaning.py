"""What chosen latents mean: where they fire, what they promote, what they truly track, and what a model calls them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from misdirection.adapters.unembedding import Reading, random_extreme
from misdirection.artefacts import read_json, write_json
from misdirection.chats import Chat
from misdirection.features import Dictionary
from misdirection.features.contexts import Context, Drawn, draw_contexts, text_peaks
from misdirection.features.ground_truth import Label, Truth, count_factors, crossed, information, labels, truth_of
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
from misdirection.studies.features.corpus import SPAN, Corpus, Source, find_sources, identity, read_corpus
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.config import speaks_as_the_organism
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


def meaning(
    bench: Bench[FeaturesConfig],
    models: Variants,
    dictionary: Dictionary,
    latents: Sequence[int],
    layer: int,
    *,
    more: Mapping[str, Sequence[Chat]] | None = None,
) -> dict[str, Any]:
    """The part "latent_meaning" of the findings, for the first `described` of some latents; empty for none.

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
        return {}
    key = {
        **models.base_key, "latents": chosen, "layer": layer,
        "span": SPAN, **identity(sources, dictionary, chosen),
    }  # fmt: skip
    reader = _Reader(bench, models, dictionary, chosen, layer, sources, key)
    facts, drawn = reader.contexts()
    lens = reader.lens()
    truth = reader.truth(drawn) if speaks_as_the_organism(bench.config.model) else {}
    named_by = _named(bench, models, labeller, drawn, lens["latents"], truth, key) if labeller else {}
    rows = [
        {**row, **lens["latents"][place], "truth": truth["latents"][place] if truth else None, **_by(named_by, place)}
        for place, row in enumerate(facts["latents"])
    ]
    return {
        "dictionary": bench.config.dictionary, "layer": layer, "sources": facts["sources"], "tokens": facts["tokens"],
        "labeller": bench.config.labeller or None, "chance": lens["chance"], "clear": CLEAR,
        "factors": truth.get("factors"), "tracked": tracked(rows), "latents": rows,
    }  # fmt: skip


def tracked(rows: Sequence[Mapping[str, Any]]) -> dict[str, int] | None:
    """How many latents have a clear label by ground truth, by its factor; None without ground truth."""
    if not any(row.get("truth") for row in rows):
        return None
    return dict(Counter(row["truth"]["factor"] for row in rows if row["truth"] and row["truth"]["f1"] > CLEAR))


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

    def contexts(self) -> tuple[dict[str, Any], list[Drawn]]:
        """Contexts of every latent, as the report shows them and as a labeller needs them."""

        def make(folder: Path) -> None:
            model, corpus = self._model, self._corpus()
            found = draw_contexts(
                model, self.dictionary, corpus.texts, self.latents, top=TOP, lower=LOWER, silent=SILENT,
                around=AROUND, span=SPAN, layer=self.layer, seed=self.bench.config.seed,
            )  # fmt: skip
            write_json(folder / "drawn.json", [asdict(one) for one in found])
            rows = [_context_rows(model, one, corpus) for one in found]
            held = [{"name": source.name, "texts": len(source.chats)} for source in self.sources]
            write_json(folder / "contexts.json", {"latents": rows, "sources": held, "tokens": corpus.tokens})

        step = self.bench.run.step("latent-contexts", {**self.key, **self._sizes}, make)
        return read_json(step.path / "contexts.json"), [_drawn(one) for one in read_json(step.path / "drawn.json")]

    def lens(self) -> dict[str, Any]:
        """Tokens that each latent promotes."""

        def make(folder: Path) -> None:
            readings = promoted_tokens(self._model, self.dictionary, self.latents)
            rows = [_token_row(self._model, one) for one in readings]
            write_json(folder / "promoted.json", {"latents": rows, "chance": random_extreme(self._model)})

        step = self.bench.run.step("latent-tokens", self.key, make)
        return read_json(step.path / "promoted.json")

    def truth(self, drawn: Sequence[Drawn]) -> dict[str, Any]:
        """What each latent tracks, where the world is known, and how well that alone tells where it fires."""
        from misdirection.organism.truth import FACTORS, token_truth

        def make(folder: Path) -> None:
            corpus, tokenizer = self._corpus(), self._model.tokenizer
            speakers = [(chat, source.persona) for source in self.sources for chat in source.chats]
            known = truth_of([token_truth(tokenizer, chat, persona) for chat, persona in speakers])
            known = crossed(known, CROSSED)
            reading: dict[str, Any] = {"span": SPAN, "layer": self.layer}
            peaks = text_peaks(self._model, self.dictionary, corpus.texts, self.latents, **reading).values.amax(0)
            cuts = torch.stack([share * peaks for share in CUTS])
            counts = count_factors(
                self._model, self.dictionary, corpus.texts, known, self.latents, cuts=cuts, **reading
            )
            told = {name: (bits.tolist(), share.tolist()) for name, (bits, share) in information(counts).items()}
            each = {name: labels(counts, (name,)) for name in MEANT}
            rows = [
                _truth_row(label, told, {name: held[place] for name, held in each.items()}, place)
                for place, label in enumerate(labels(counts))
            ]
            for row, label, one in zip(rows, labels(counts), drawn, strict=True):
                if row and label:
                    row["detection"] = _score_row(_detected(label, one, known))
            write_json(folder / "truth.json", {"latents": rows, "factors": list(FACTORS)})

        step = self.bench.run.step("latent-truth", {**self.key, **self._sizes, "cuts": CUTS, "crossed": CROSSED}, make)
        return read_json(step.path / "truth.json")

    @property
    def _sizes(self) -> dict[str, Any]:
        return {"sizes": (TOP, LOWER, SILENT), "around": AROUND, "seed": self.bench.config.seed}

    @property
    def _model(self) -> Model:
        return self.models.model(BASE_VARIANT)

    def _corpus(self) -> Corpus:
        return read_corpus(self._model, self.sources)


def _named(
    bench: Bench[FeaturesConfig],
    models: Variants,
    labeller: Labeller,
    drawn: Sequence[Drawn],
    lens: Sequence[Mapping[str, Any]],
    truth: Mapping[str, Any],
    key: Mapping[str, Any],
) -> dict[str, Any]:
    """Labels by a model with their scores, beside the scores of exchanged labels and of the true ones."""

    def make(folder: Path) -> None:
        tokenizer = models.model(BASE_VARIANT).tokenizer
        parts = [split_contexts(tokenizer, one, LABELLED_FROM) for one in drawn]
        words = [[str(row["token"]) for row in one["promoted"]] for one in lens]
        able = [place for place, (label, _) in enumerate(parts) if label]
        told = labeller.explain([shown(tokenizer, parts[place][0], words[place]) for place in able])
        texts = {place: text for place, text in zip(able, told, strict=True) if text}
        held = {place: tests for place, (_, tests) in enumerate(parts)}
        true = {place: in_words(row) for place, row in enumerate(truth.get("latents", ())) if row and place in texts}
        scores = {
            "detection": detect(labeller, texts, held, bench.config.seed),
            "control": control(labeller, texts, held, bench.config.seed),
            "truth_detection": detect(labeller, true, held, bench.config.seed),
        }
        rows: list[dict[str, Any]] = [
            {"label": texts.get(place), **{name: _score_row(found.get(place)) for name, found in scores.items()}}
            for place in range(len(drawn))
        ]
        write_json(folder / "labels.json", {"latents": rows})

    inputs = {**key, "labeller": labeller.name, "contexts": [asdict(one) for one in drawn], "shown": LABELLED_FROM}
    step = bench.run.step("latent-labels", {**inputs, "truth": truth, "promoted": list(lens)}, make)
    return read_json(step.path / "labels.json")


def in_words(truth: Mapping[str, Any]) -> str:
    """A label by ground truth as a labeller would write it."""
    parts = zip(str(truth["factor"]).split(" & "), str(truth["value"]).split(" & "), strict=False)
    return "Tokens for which: " + ", and ".join(f"the {name} is {value}" for name, value in parts)


def _labeller(bench: Bench[FeaturesConfig]) -> Labeller | None:
    spec = bench.config.labeller
    if not spec:
        return None
    bare = find_labeller(spec)
    return find_labeller(spec, bench.run.workspace("labelling", {"labeller": bare.name}) / "journal.jsonl")


def _drawn(row: Mapping[str, Any]) -> Drawn:
    def contexts(name: str) -> tuple[Context, ...]:
        return tuple(
            Context(c["text"], c["token"], c["first"], tuple(c["ids"]), tuple(c["values"]), c["quantile"])
            for c in row[name]
        )

    return Drawn(row["latent"], row["firing_texts"], contexts("top"), contexts("lower"), contexts("silent"))


def _context_rows(model: Model, drawn: Drawn, corpus: Corpus) -> dict[str, Any]:
    shown_of = [*drawn.top, *drawn.lower[len(drawn.lower) // 2 :][:1], *drawn.lower[-1:]]
    rows = [
        {
            "tokens": token_texts(model.tokenizer, context.ids), "values": [round(v, 4) for v in context.values],
            "at": context.token - context.first, "source": corpus.source(context.text),
            "quantile": context.quantile, "top": place < len(drawn.top),
        }
        for place, context in enumerate(shown_of)
    ]  # fmt: skip
    sources = Counter(row["source"] for row in rows[: len(drawn.top)])
    return {
        "latent": drawn.latent, "firing_texts": drawn.firing_texts, "texts": len(corpus.texts), "contexts": rows,
        "top_sources": dict(sources),
    }  # fmt: skip


def _token_row(model: Model, found: Reading) -> dict[str, Any]:
    def ends(held: Sequence[tuple[int, float]]) -> list[dict[str, Any]]:
        return [{"token": str(model.tokenizer.decode([token])), "z": round(score, 3)} for token, score in held]

    return {"promoted": ends(found.promoted), "suppressed": ends(found.suppressed)}


def _truth_row(
    label: Label | None,
    told: Mapping[str, tuple[list[float], list[float]]],
    each: Mapping[str, Label | None],
    place: int,
) -> dict[str, Any] | None:
    if label is None:
        return None
    factors = {name: {"bits": bits[place], "share": share[place]} for name, (bits, share) in told.items()}
    best = {name: None if one is None else _label_row(one) for name, one in each.items()}
    return {**_label_row(label), "factors": factors, "each": best}


def _detected(label: Label, drawn: Drawn, known: Truth) -> Detection | None:
    """Detection by the grammar itself: a context is called firing where any of its tokens has the label's value."""
    column = list(known.values).index(label.factor)
    code = known.values[label.factor].index(label.value)
    rows: list[tuple[bool, float | None]] = []
    for context in (*drawn.top, *drawn.lower, *drawn.silent):
        held = known.codes[context.text][context.first : context.first + len(context.ids), column]
        rows.append((context.peak > 0, float((held == code).any())))
    return score(rows)


def _label_row(label: Label) -> dict[str, Any]:
    return {**asdict(label), "above": CUTS[label.cut], "f1": label.f1}


def _score_row(found: Detection | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)


def _by(named_by: Mapping[str, Any], place: int) -> dict[str, Any]:
    if not named_by:
        return {"label": None, "detection": None, "control": None, "truth_detection": None}
    return dict(named_by["latents"][place])
