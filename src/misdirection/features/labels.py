"""A language model says what a latent means, and its word is tested on contexts that it has not seen.

Automated interpretability after Bills et al. 2023 and Paulo et al. 2410.13928, with our own prompts. A labeller reads
some of a latent's contexts, the activating words marked, and writes one line. Detection then shows it that line and one
further context at a time, firing or silent, without marks, and asks whether the latent fires in it:

    balanced accuracy = (share of firing contexts called firing + share of silent ones called silent) / 2

0.5 is chance, whatever the line says. Contexts of weak activations count as those of strong ones do, so a label that
fits the peaks alone scores low. The same contexts under the label of another latent are the control: what a labeller
scores that goes by the look of a context.

Answers come through a judge (`judging`): probabilities where there are any, retries, journal and all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Protocol

from misdirection.errors import MisdirectionError
from misdirection.features.contexts import Context, DrawnContexts
from misdirection.judging import Answer, find_judge
from misdirection.judging.rubric_judge import Query, RubricJudge
from misdirection.judging.rubrics import Rubric, Rubrics
from misdirection.statistics import wilson
from misdirection.tokens import token_texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARKED = 0.3
"""Tokens are marked from this share of the latent's largest activation on."""

LABEL_TOKENS = 80
"""Tokens that a label may have."""

LONGEST = 200
"""Characters of a label that are kept."""

EXPLAIN = Rubric(
    "explanation",
    "A unit inside a language model becomes active at some words of a text and is silent at all others. Below are "
    "pieces of text, one a line, in which it is active. The words at which it is active stand between << and >>. "
    "The number in front of a line says how strong it is there, from 1 to 10.\n\n{answer}\n\n"
    "The unit makes the model more likely to go on with these words (a weak hint, which may mislead):\n\n{question}\n\n"
    "Say in one line of at most twenty words what the unit responds to, as narrowly as the lines allow: a word, a kind "
    "of word, a subject, an attitude, a place in the text. What holds for ordinary text as well says nothing. "
    "Reply with that line and nothing else.",
)
DETECT = Rubric(
    "detection",
    "A unit inside a language model becomes active at some words of a text. Somebody described what it responds to:\n\n"
    "{question}\n\nHere is a piece of text:\n\n{answer}\n\n"
    "Going by the description alone, is the unit active at any word of this text?\n"
    "100: certainly.\n50: cannot be told.\n0: certainly not.\n"
    "Reply with one whole number from 0 to 100 and nothing else.",
)


class Labeller(Protocol):
    """Whoever describes latents and detects them by a description."""

    @property
    def name(self) -> str:
        """Name and version, part of a step's key."""
        ...

    def explain(self, shown: Sequence[Shown]) -> list[str | None]:
        """One line a latent, in order; None where none came."""
        ...

    def fires(self, asked: Sequence[tuple[str, str]]) -> list[float | None]:
        """For each (description, text) how sure it is that the latent fires there, 0 .. 1; None without an answer."""
        ...


@dataclass(frozen=True)
class Shown:
    """What a labeller is shown of a latent.

    Attributes:
        contexts: Texts with the activating words marked, and the strength of each, 1 .. 10.
        promoted: Words that its decoder vector promotes.
    """

    contexts: tuple[tuple[int, str], ...]
    promoted: tuple[str, ...] = ()


@dataclass(frozen=True)
class TestContext:
    """A context on which a label is tested.

    Attributes:
        text: Without marks.
        fires: Whether the latent fires in it.
        quantile: See `Context`.
    """

    text: str
    fires: bool
    quantile: float | None = None


@dataclass(frozen=True)
class Detection:
    """How well a label tells where its latent fires.

    Attributes:
        accuracy: Balanced, 0 .. 1.
        low: End of its interval (Wilson's for either share, combined after Newcombe).
        high: The other end.
        found: Firing contexts called firing.
        firing: Firing contexts that were answered.
        passed: Silent contexts called silent.
        silent: Silent contexts that were answered.
        unread: Contexts without a usable answer, left out.
        ranking: Chance that a firing context is given a larger probability than a silent one (AUROC).
    """

    accuracy: float
    low: float
    high: float
    found: int
    firing: int
    passed: int
    silent: int
    unread: int
    ranking: float


@dataclass(frozen=True)
class LanguageModel:
    """A labeller that is a judge's model, asked in words instead of numbers for its labels."""

    judge: RubricJudge

    @property
    def name(self) -> str:
        """The judge's model, and the hash of both prompts."""
        return f"{self.judge.model} prompts={Rubrics((EXPLAIN, DETECT)).key}"

    def explain(self, shown: Sequence[Shown]) -> list[str | None]:
        """See `Labeller`."""
        queries = [
            Query(EXPLAIN, ", ".join(one.promoted), "\n".join(f"{n}: {text}" for n, text in one.contexts), LABEL_TOKENS)
            for one in shown
        ]
        return [None if text is None else one_line(text) for text in self.judge.write(queries)]

    def fires(self, asked: Sequence[tuple[str, str]]) -> list[float | None]:
        """See `Labeller`."""
        judge = replace(self.judge, rubrics=Rubrics((DETECT,)))
        verdicts = judge.judge([Answer("", description, text) for description, text in asked])
        scores = [dict(verdict.scores).get(DETECT.name) for verdict in verdicts]
        return [None if score is None else score / 100 for score in scores]


def find_labeller(spec: str, journal: Path | None = None) -> LanguageModel:
    """The labeller that a judge's string names: "local:<model>", "openai:<model>", "inspect:<provider/model>".

    Args:
        spec: See `judging.find_judge`.
        journal: File in which answers are kept as they come.

    Raises:
        MisdirectionError: There is no such judge, or it is none that can write.
    """
    judge = find_judge(spec)
    if not isinstance(judge, RubricJudge):
        raise MisdirectionError(f"'{spec}' cannot label latents", "write local:<model> or openai:<model>")
    return LanguageModel(judge if journal is None else judge.with_journal(journal))


def one_line(text: str) -> str | None:
    """The first line of a reply that says something, without the marks that models put around it."""
    for line in text.splitlines():
        bare = re.sub(r"^\W*(?:label|description|answer)\s*:\s*", "", line.strip(), flags=re.IGNORECASE)
        if bare := bare.strip(" \"'`*_#"):
            return bare[:LONGEST]
    return None


def shown(tokenizer: PreTrainedTokenizerBase, contexts: Sequence[Context], promoted: Sequence[str] = ()) -> Shown:
    """Contexts as a labeller reads them; strengths are relative to the strongest of them."""
    top = max((context.peak for context in contexts), default=0.0) or 1.0
    lines = [(max(1, round(10 * c.peak / top)), marked(tokenizer, c, MARKED * top)) for c in contexts]
    return Shown(tuple(lines), tuple(promoted))


def marked(tokenizer: PreTrainedTokenizerBase, context: Context, least: float) -> str:
    """A context's text on one line, words with an activation of `least` or more between << and >>.

    The strongest word is always marked.
    """
    least = min(least, context.peak)
    pieces = token_texts(tokenizer, context.ids)
    out: list[str] = []
    for piece, value in zip(pieces, context.values, strict=True):
        if value >= least > 0:
            word = piece.strip()
            piece = piece.replace(word, f"<<{word}>>") if word else f"<<{piece}>>"
        out.append(piece)
    return " ".join("".join(out).split())


def split_contexts(
    tokenizer: PreTrainedTokenizerBase, drawn: DrawnContexts, shown_of: int
) -> tuple[list[Context], list[TestContext]]:
    """Contexts to label from, and those to test on: of firing ones every other, so that both span all strengths.

    Args:
        tokenizer: Of the model.
        drawn: Contexts of a latent.
        shown_of: At most so many are shown, the rest is tested on.
    """
    firing = [*drawn.top, *drawn.lower]
    chosen = list(range(0, len(firing), 2))[:shown_of]
    label = [firing[place] for place in chosen]
    texts = {_plain(tokenizer, context) for context in label}
    held: list[TestContext] = []
    for context in [c for place, c in enumerate(firing) if place not in chosen] + list(drawn.silent):
        # A window that was shown with the mark on another word of it is no unseen text.
        if (text := _plain(tokenizer, context)) not in texts:
            texts.add(text)
            held.append(TestContext(text, context.peak > 0, context.quantile))
    return label, held


def _plain(tokenizer: PreTrainedTokenizerBase, context: Context) -> str:
    return " ".join("".join(token_texts(tokenizer, context.ids)).split())


def detect(
    labeller: Labeller, labels: Mapping[int, str], held: Mapping[int, Sequence[TestContext]], seed: int = 0
) -> dict[int, Detection | None]:
    """Detection scores of labels; None for a latent without an answered context of either kind.

    All contexts of all latents are asked one by one, in a shuffled order.

    Raises:
        MisdirectionError: The labeller cannot be asked.
    """
    jobs = [(latent, one) for latent in labels for one in held.get(latent, ())]
    Random(f"{seed}/detection").shuffle(jobs)
    found = labeller.fires([(labels[latent], one.text) for latent, one in jobs])
    answers: dict[int, list[tuple[bool, float | None]]] = {latent: [] for latent in labels}
    for (latent, one), chance in zip(jobs, found, strict=True):
        answers[latent].append((one.fires, chance))
    return {latent: score(rows) for latent, rows in answers.items()}


def control(
    labeller: Labeller, labels: Mapping[int, str], held: Mapping[int, Sequence[TestContext]], seed: int = 0
) -> dict[int, Detection | None]:
    """The same with every latent under another one's label; empty where there are fewer than two labels.

    Raises:
        MisdirectionError: The labeller cannot be asked.
    """
    order = list(labels)
    Random(f"{seed}/control").shuffle(order)
    other = dict(zip(order, [*order[1:], *order[:1]], strict=True))
    if len(order) < 2:
        return {}
    return detect(labeller, {latent: labels[other[latent]] for latent in labels}, held, seed)


def score(rows: Sequence[tuple[bool, float | None]]) -> Detection | None:
    """The figures of one label from (fires, probability given to it); None without both kinds."""
    read = [(fires, chance) for fires, chance in rows if chance is not None]
    firing, silent = ([chance for fires, chance in read if fires is kind] for kind in (True, False))
    if not firing or not silent:
        return None
    found, passed = sum(c > 0.5 for c in firing), sum(c <= 0.5 for c in silent)
    shares = found / len(firing), passed / len(silent)
    ends = wilson(found, len(firing)), wilson(passed, len(silent))
    accuracy = sum(shares) / 2
    down, up = (
        math.hypot(*(share - end[side] for share, end in zip(shares, ends, strict=True))) / 2 for side in (0, 1)
    )
    wins = sum((a > b) + 0.5 * (a == b) for a in firing for b in silent)
    return Detection(
        accuracy, max(0.0, accuracy - down), min(1.0, accuracy + up), found, len(firing), passed, len(silent),
        len(rows) - len(read), wins / (len(firing) * len(silent)),
    )  # fmt: skip
