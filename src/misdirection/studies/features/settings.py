"""Settings of the study of sparse features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

from misdirection.errors import MisdirectionError, command
from misdirection.features.settings import POOLS, STATISTICS
from misdirection.studies.kit.config import Overrides, StudyConfig, named, option
from misdirection.training.presets import LOADED


@dataclass(frozen=True)
class FeaturesConfig(StudyConfig):
    """Which latents do the data, the model and the answers differ in, and what do the three lists share?

    Q1: bad against good training answers to the same questions. Q2: base against tuned model on the same texts.
    Q3: misaligned against aligned answers of the tuned model. Permutation nulls, false discovery rates, overlaps of the
    lists against chance; then the latents at the top are steered, decomposed, told in words, and watched over
    mixtures of bad and good data.

    Examples: misdirection study features --out runs/features
    misdirection study features --model ID --dictionary RELEASE:ID --data a=bad.jsonl --good a=good.jsonl
    --judge local:MODEL
    """

    unless: ClassVar[Mapping[str, tuple[str, ...]]] = {"data": ("fine_tune",), "good": ("data", "fine_tune")}
    data: tuple[str, ...] = option((), "NAME=FILE of bad chats, one a fine-tune")
    good: tuple[str, ...] = option(
        (),
        "NAME=FILE of good answers to the same questions; NAME=base has the base model answer them, and "
        "NAME=openai:MODEL, local:MODEL or inspect:MODEL another one",
    )
    fine_tune: tuple[str, ...] = option((), "NAME=FOLDER of a fine-tune that exists, instead of one made on --data")
    preset: str = option("rank1x9", f"fine-tuning preset: {', '.join(LOADED)}")
    dictionary: str = option("", "sparse autoencoder: a folder, <release>:<id> of a public set, or organism:<layer>")
    layer: int | None = option(None, "decoder layer that is read; by default the dictionary's own", was=-1)
    statistic: str = option("difference", "latents are ordered by: difference (of means), correlation, firing")
    pool: str = option("token", "what counts once: token, mean (of a text), max (of a text)")
    shared_texts: str = option("prompt", "tokens of Q2, read in both models: prompt, or answer (the base model's)")
    top: int = option(100, "latents in a list (the feature-geometry paper's 100)")
    shuffles: int = option(200, "shuffles of labels, within pairs and questions: the null")
    rows: int = option(500, "pairs of training chats that are read for Q1")
    steered: int = option(5, "latents of each list that are steered; 0 leaves the causal check out")
    strengths: tuple[float, ...] = option(
        (0.1, 0.2, 0.4, 0.8, 1.2), "lengths of steering, as multiples of the median norm of the residual stream"
    )
    incoherent_at_most: float = option(0.1, "share of incoherent answers that a strength may cause")
    sweep_samples: int = option(1, "answers a question, latent and strength of the sweep")
    steer_samples: int = option(5, "answers a question by which the chosen strengths are measured")
    random_latents: int = option(5, "latents of no list that are steered too: controls")
    mixtures: tuple[float, ...] = option(
        (0.0, 1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0), "percentages of bad rows for the early warning; none: leave out"
    )
    latents_of: int = option(32, "latents at most into which directions and adapters are decomposed")
    directions: tuple[str, ...] = option(
        (), "NAME=FILE of further directions to decompose, such as persona vectors: direction.safetensors or .pt"
    )
    described: int = option(20, "latents that are told in words, from the top of the shared list")
    corpus: tuple[str, ...] = option((), "NAME=FILE of chats in which latents are looked for, beside --data and --good")
    labeller: str = option(
        "", "who labels latents: local:<model>, openai:<model>, inspect:<provider/model>; by default nobody"
    )
    training: Overrides = field(default_factory=dict[str, object])

    def completed(self) -> Self:
        """With what suits the model.

        Raises:
            MisdirectionError: No data or dictionary, a name without its counterpart, an unknown choice, a number out of
                range, no judge.
        """
        c = self.recommended()
        c.one_of("statistic", STATISTICS)
        c.one_of("pool", POOLS)
        c.one_of("shared_texts", ("prompt", "answer"))
        for name in ("top", "shuffles", "rows", "sweep_samples", "steer_samples", "latents_of"):
            c.at_least(name, 1)
        for name, least in (("steered", 0), ("random_latents", 0), ("described", 0), ("layer", 0)):
            c.at_least(name, least)
        c.within("incoherent_at_most", 1)
        if wrong := [value for value in c.mixtures if not 0 <= value <= 100]:
            raise MisdirectionError(f"--mixtures: {wrong[0]:g}", "percentages from 0 to 100")
        pairs, tunes = (named(c.data, "data"), named(c.good, "good")), named(c.fine_tune, "fine-tune")
        named(c.corpus, "corpus")
        if not (c.data or tunes):
            raise MisdirectionError("say what is studied", "--data NAME=FILE with --good NAME=FILE, or --fine-tune")
        for one, other, flag in ((pairs[0], pairs[1], "good"), (pairs[1], pairs[0], "data")):
            if alone := [name for name in one if name not in other]:
                raise MisdirectionError(
                    f"--{flag} says nothing of '{alone[0]}'", f"--{flag} {alone[0]}=FILE; pairs are compared"
                )
        if not c.dictionary:
            raise MisdirectionError(
                "no dictionary is named",
                "--dictionary FOLDER or RELEASE:ID; make one with: "
                + command("sae", "train", "--model", c.model, "--data", "FILE"),
            )
        return super(FeaturesConfig, c).completed().judged("misaligned and aligned answers need")
