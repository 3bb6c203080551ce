"""Early warning: how much bad data moves a latent, and how much the behaviour? After arXiv 2506.19823.

1. The first --data domain, whose good answers are to the same questions: fine-tunes on mixtures with 0 to 100 % bad
   rows, equal in questions, order, optimiser steps and seed. What is bad at 5 % is bad at 10 % too.
2. Base and mixtures answer the open questions and, apart from them, those of the domain.
3. The mean activation of each latent, by open question: over texts that all models share (`shared_texts`: the tokens
   of the questions, or the base model's answers) and over each model's own answers, in which it also follows what the
   model says.
4. A mixture is compared with the one without bad rows where there is one, else with the base: any fine-tune moves
   latents, one on good answers too. Differences are paired by question (separation = mean / standard deviation; sign
   flips), and corrected by Benjamini and Hochberg over latents and mixtures. A latent, or the behaviour, has moved from
   a mixture on if at it and at all with more bad rows q < 0.05 and the sign is that of the last. One fine-tune a
   mixture: intervals and tests are over questions, and hold for these fine-tunes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from misdirection import progress
from misdirection.chats import Chat, write_chats
from misdirection.chats.pairs import UNPAIRED, PairedChats, pair
from misdirection.errors import MisdirectionError
from misdirection.questions import Question
from misdirection.store import Folder
from misdirection.store.measurement import INCIDENTAL
from misdirection.studies.features.mixture_effects import mixture_effects
from misdirection.studies.features.mixture_latents import watched
from misdirection.studies.features.paired_chats import answered, generates, paired_chats
from misdirection.studies.features.paper import MIXTURES
from misdirection.studies.features.results.mixtures import Mixtures
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, Condition
from misdirection.studies.kit.config import ORGANISM, named
from misdirection.studies.kit.inputs import resolve_chats, resolve_questions
from misdirection.studies.kit.tuning import FineTune

if TYPE_CHECKING:
    from misdirection.features import Dictionary


@dataclass(frozen=True)
class Mixture:
    """A fine-tune on bad rows among good ones.

    Attributes:
        percent: Bad rows, of 100.
        bad: Bad rows.
        rows: All of them.
        tuned: The fine-tune.
    """

    percent: float
    bad: int
    rows: int
    tuned: Path = field(metadata=INCIDENTAL)

    @property
    def name(self) -> str:
        """Of its adapter and of its arm; an adapter's name may hold no point."""
        return f"bad-{self.percent:g}".replace(".", "_")


def mixtures(bench: Bench[FeaturesConfig], dictionary: Dictionary, latents: Sequence[int], layer: int) -> Mixtures:
    """Fine-tune on mixtures and watch latents and behaviour.

    Args:
        bench: The open run.
        dictionary: Whose latents are watched.
        latents: Which ones.
        layer: After which decoder layer.

    Raises:
        MisdirectionError: No data with good answers to the same questions, no percentage, or a latent that the
            dictionary does not have.
    """
    percents = sorted(set(bench.config.mixtures))
    if not percents:
        raise MisdirectionError("no mixture is asked for", "--mixtures, from 0 to 100")
    if beyond := [latent for latent in latents if not 0 <= latent < dictionary.latents]:
        raise MisdirectionError(f"the dictionary has no latent {beyond[0]}", f"it has {dictionary.latents}")
    domain, chats = pairs_of(bench)
    tuned = [fine_tune(bench, chats, percent) for percent in percents]
    models = bench.variants({one.name: one.tuned for one in tuned})
    arms = [BASE, *(Condition(one.name, f"{one.percent:g} % bad", one.name) for one in tuned)]
    asked: dict[str, Asked] = {"open": bench.ask("mixtures", models, arms)}
    if inside := questions_inside(bench, domain):
        asked["domain"] = bench.ask("mixtures-domain", models, arms, questions=inside)
    read = bench.run.cached(
        watched, "mixtures-latents", models=models, variants=[arm.name for arm in arms], dictionary=dictionary,
        latents=latents, layer=layer, answers=asked["open"].answers, shared_texts=bench.config.shared_texts,
        questions=bench.open_questions,
    )  # fmt: skip
    progress.say("  comparing mixtures")
    judged = {group: one.kept for group, one in asked.items()}
    moved = bench.run.cached(
        mixture_effects, "mixtures-effects", tuned=tuned, asked=judged, read=read, latents=latents,
        rules=bench.thresholds,
    ).value  # fmt: skip
    return Mixtures(
        **vars(moved),
        domain=domain,
        rows=tuned[0].rows,
        paired=chats.how,
        preset=bench.config.preset,
        layer=layer,
        shared_texts="prompt" if bench.config.shared_texts == "prompt" else "answer",
        notes=tuple(chats.notes),
        paper=MIXTURES,
    )


def pairs_of(bench: Bench[FeaturesConfig]) -> tuple[str, PairedChats]:
    """Name of the first --data domain, and all its pairs of bad and good chats with the same question.

    Raises:
        MisdirectionError: There is no data, or good and bad answers are not to the same questions.
    """
    c = bench.config
    bad, good = named(c.data, "data"), named(c.good, "good")
    if not bad:
        raise MisdirectionError(
            "mixtures are made of --data and --good, and neither is given", "or leave --mixtures out"
        )
    name = next(iter(bad))
    if generates(good[name]):
        return name, answered(bench, bench.variants({}), name, paired_chats(bench)[name])
    first, second = (resolve_chats((side[name],), seed=c.seed).chats for side in (bad, good))
    pairs = pair(first, second, len(first), c.seed)
    if pairs.how == UNPAIRED:
        raise MisdirectionError(
            f"--data {name} and --good {name} do not ask the same questions, so mixtures would differ in them too",
            f"--good {name}=base has the base model answer them",
        )
    return name, pairs


def fine_tune(bench: Bench[FeaturesConfig], chats: PairedChats, percent: float) -> Mixture:
    """A fine-tune on one mixture; its rows are a step of the run, as a file that any trainer reads."""
    c = bench.config
    rows = bench.run.cached(mixture, chats=chats, percent=percent, seed=c.seed).value
    tuned = bench.train(FineTune(c.preset, (str(rows),), c.training, c.seed)).path / "tuned"
    return Mixture(percent, len(bad_places(len(chats.bad), percent, c.seed)), len(chats.bad), tuned)


def mixture(chats: PairedChats, percent: float, seed: int, folder: Folder) -> Path:
    """The rows of a mixture in a file."""
    write_chats(folder / "chats.jsonl", mixed(chats, percent, seed))
    return folder / "chats.jsonl"


def mixed(chats: PairedChats, percent: float, seed: int) -> list[Chat]:
    """The rows of a mixture, in the order of the pairs."""
    bad = bad_places(len(chats.bad), percent, seed)
    return [one if i in bad else other for i, (one, other) in enumerate(zip(chats.bad, chats.good, strict=True))]


def bad_places(rows: int, percent: float, seed: int) -> set[int]:
    """Places of the bad rows; those of a smaller percentage are among those of a larger."""
    order = list(range(rows))
    Random(f"{seed}/mixture").shuffle(order)
    return set(order[: round(rows * percent / 100)])


def questions_inside(bench: Bench[FeaturesConfig], domain: str) -> list[Question]:
    """The domain's questions among those that the settings name; the organism's own where they name none."""
    inside = [q for q in bench.questions if q.domain == domain and q.format == "plain"]
    source = named(bench.config.data, "data")[domain]
    if inside or not source.startswith(f"{ORGANISM}:bad-"):
        return inside
    return list(resolve_questions((f"{ORGANISM}:{source.partition('-')[2]}",)))
