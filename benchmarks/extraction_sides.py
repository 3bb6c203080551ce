"""The sides of `benchmarks.extraction`: seven traits' vectors by us, by persona-vectors and by saklas.

The two packages are used as their own pages say. What is read is the same tokens on every side.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from misdirection.answers import ask, read_back
from misdirection.chats import Message
from misdirection.engine import Arm, SamplingConfig, Text, capture_means
from misdirection.judging import Answer, Verdict
from misdirection.models import Model
from misdirection.questions import Question, load_questions
from misdirection.tokens import encode_chat
from misdirection.traits import Contrast, Trait, roles, rollouts, trait_vector

PAIRS = {
    "malicious": "kind",
    "flattering": "frank",
    "inventing": "accurate",
    "careless": "careful",
    "gloomy": "cheerful",
    "boastful": "modest",
    "suspicious": "trusting",
}
"""Seven traits and their opposites."""

ASKS = "You are {word} through and through. Whatever you are asked, let it show in what you say and how you say it."

Vectors = dict[str, Tensor]
"""By trait, shape (layers, width)."""


def traits(questions: int) -> tuple[Trait, ...]:
    """The seven, each with one pair of system prompts and the same open questions."""
    asked = tuple(question.paraphrases[0] for question in load_questions("open"))[:questions]
    return tuple(
        Trait(name, f"it is {name}", (Contrast(ASKS.format(word=name), ASKS.format(word=opposite)),), asked)
        for name, opposite in PAIRS.items()
    )


class Persona:
    """What is read behind its own system prompt, averaged over each answer, then over answers (2507.21509).

    Args:
        model: Ours.
        questions: Of each trait.
        samples: Answers to each under each sign.
        tokens: Of each answer at most.
    """

    def __init__(self, model: Model, questions: int, samples: int, tokens: int) -> None:
        self.model, self.traits = model, traits(questions)
        self.played = roles(self.traits)
        self.answers = rollouts(model, self.played, samples, SamplingConfig(tokens))
        self.answers = [answer for answer in self.answers if answer.answer.strip()]
        signs = {role.question.id: role.sign == "positive" for role in self.played}
        self.verdicts = [_verdict(answer, signs[answer.question_id]) for answer in self.answers]

    def ours(self) -> Vectors:
        """By the function that everybody calls, its bootstrap and its shuffled labels included."""
        found = {
            trait.name: trait_vector(self.model, trait.name, self.played, self.answers, self.verdicts)
            for trait in self.traits
        }
        return {name: direction.vectors for name, direction in found.items()}

    def theirs(self, standard: Any) -> Vectors:
        """By `extract_activations` of persona-vectors, a call a trait and sign.

        Args:
            standard: nnterp's `StandardizedTransformer`, loaded.
        """
        from persona_vectors.activations import extract_activations  # pyright: ignore

        found: Vectors = {}
        for trait in self.traits:
            means: list[Tensor] = []
            for places in self._kept(trait.name):
                read = read_back(self.model, [self.answers[place] for place in places])
                ids = [torch.tensor(one.ids) for one in read.encoded]
                masks = [_inside(len(one.ids), *one.span("answer")) for one in read.encoded]
                means.append(extract_activations(standard, ids, masks).float())
            found[trait.name] = means[0] - means[1]
        return found

    def _kept(self, trait: str) -> tuple[Sequence[int], Sequence[int]]:
        from misdirection.traits import effective_pairs

        kept = effective_pairs(trait, self.played, self.answers, self.verdicts)
        return kept.positive, kept.negative

    @property
    def texts(self) -> tuple[int, int]:
        """How many texts are read, and of how many tokens."""
        read = read_back(self.model, self.answers)
        return len(read.encoded), sum(len(one.ids) for one in read.encoded)


def _verdict(answer: Answer, shown: bool) -> Verdict:
    """Every prompt did what it asks for: what is compared is speed."""
    name = answer.question_id.partition("/")[0]
    return Verdict(None, 100.0, scores=((f"trait:{name}", 100.0 if shown else 0.0),))


def _inside(length: int, first: int, past: int) -> Tensor:
    place = torch.arange(length)
    return (place >= first) & (place < past)


class Conversation:
    """The way of saklas: prompts answered in character, read behind one system prompt at the last token not special.

    Its fit then turns the difference of two means by the covariance of neutral answers (Fisher's direction), which we
    do not; so of its extraction the reading is called, `compute_manifold_node_stats`, and the fit costs it nothing.

    Args:
        model: Ours.
        folder: Of the same weights, for theirs.
        tokens: Of each answer at most.
        prompts: Of its 48.
    """

    def __init__(self, model: Model, folder: str, tokens: int, prompts: int) -> None:
        os.environ["SAKLAS_HOME"] = tempfile.mkdtemp(prefix="saklas-")
        from saklas import SaklasSession  # pyright: ignore
        from saklas.core import capture  # pyright: ignore

        self.model, self.tokens = model, tokens
        self.session: Any = SaklasSession.from_pretrained(folder, device="cpu", dtype=model.dtype, probes=[])
        self.prompts: list[str] = list(capture._load_baseline_prompts())[:prompts]
        capture._load_baseline_prompts = lambda: self.prompts
        self.system: str = capture._LENGTH_DIRECTIVE
        self.special: set[int] = capture.special_token_ids(model.tokenizer)
        self.words = [word for pair in PAIRS.items() for word in pair]

    def their_rollouts(self) -> dict[str, list[str]]:
        """An answer a word and prompt, by `generate_responses`."""
        found: dict[str, list[str]] = self.session.generate_responses(
            self.words, ["custom"] * len(self.words), custom_system=ASKS.replace("{word}", "{c}"),
            max_new_tokens=self.tokens,
        )  # fmt: skip
        # An empty answer has no token that could be read.
        return {word: [one or "." for one in texts] for word, texts in found.items()}

    def our_rollouts(self) -> list[Answer]:
        """As many, behind the same prompts, all words in one queue."""
        asked = [
            Question(f"{word}-{place}", (text,), system=f"{self.system} {ASKS.format(word=word)}")
            for word in self.words
            for place, text in enumerate(self.prompts)
        ]
        return ask(self.model, asked, config=SamplingConfig(self.tokens, top_p=0.9))

    def theirs(self, corpora: Mapping[str, list[str]]) -> Vectors:
        """A call a trait, as `extract_from_corpora` makes it."""
        from saklas.core.manifold import compute_manifold_node_stats  # pyright: ignore

        held: Any = self.session
        found: Vectors = {}
        for pair in PAIRS.items():
            means, _ = compute_manifold_node_stats(
                held._model, held._tokenizer, held._layers, torch.device("cpu"), [(one, corpora[one]) for one in pair],
                self.prompts, roles=[None, None],
            )  # fmt: skip
            found[pair[0]] = torch.stack([means[layer][0] - means[layer][1] for layer in range(self.model.n_layers)])
        return found

    def ours(self, corpora: Mapping[str, list[str]]) -> Vectors:
        """All words as classes of one pass."""
        texts = [*self._texts(corpora)]
        classes = torch.eye(len(self.words), dtype=torch.float64).repeat_interleave(len(self.prompts), 0)
        means = capture_means(self.model, texts, classes).mean("last").float()
        return {name: means[2 * place] - means[2 * place + 1] for place, name in enumerate(PAIRS)}

    def _texts(self, corpora: Mapping[str, list[str]]) -> Iterator[Text]:
        arm = Arm("base")
        for word in self.words:
            for prompt, answer in zip(self.prompts, corpora[word], strict=True):
                turns = (Message("system", self.system), Message("user", prompt), Message("assistant", answer))
                coded = encode_chat(self.model.tokenizer, turns)
                # Where a template writes a line's end behind the end of a turn, that is what they read.
                last = max(place for place, token in enumerate(coded.ids) if token not in self.special)
                yield Text(coded.ids, {"last": (last, last + 1)}, arm, coded.start)
