"""The three comparisons of the features study: bad and good data, tuned and base model, misaligned and aligned answers.

Each holds back what would pass for a difference: questions are the same in both classes, or as frequent in both.
"""

from __future__ import annotations

from collections.abc import Sequence

from misdirection.answers import encode_answer
from misdirection.chats import Message
from misdirection.chats.pairs import PairedChats
from misdirection.directions import PoolError
from misdirection.engine import Arm, Text
from misdirection.features.corpus import chat_texts
from misdirection.features.differences import Side
from misdirection.features.lens import Lens
from misdirection.judging import Answer
from misdirection.models import Model
from misdirection.questions import Question
from misdirection.results import row_of
from misdirection.studies.features.comparison import ComparedLatents, LatentComparison, Listing, compared
from misdirection.studies.features.results.lists import ListName
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.matched import matched_pools
from misdirection.studies.kit.variants import BASE_VARIANT, Variants
from misdirection.tokens import Encoded, encode_prompt

QUESTIONS: dict[ListName, str] = {
    "data": "bad against good training answers",
    "model": "tuned against base model",
    "answers": "misaligned against aligned answers",
}
"""The lists, and what each compares: first class against second."""

SPAN = "answer"


def data_list(
    bench: Bench[FeaturesConfig], models: Variants, lens: Lens, name: str, chats: PairedChats
) -> LatentComparison:
    """Q1: bad against good answers to the same questions, both read in the base model; labels shuffled within pairs."""
    found = bench.run.cached(
        data_differences, f"latents-data-{name}", models=models.bare(), lens=lens, chats=chats,
        how=row_of(Listing, bench.config),
    )  # fmt: skip
    facts = {"first": len(chats.bad), "second": len(chats.good), "shuffled": chats.how}
    return found.value.told(name, facts)


def data_differences(models: Variants, lens: Lens, chats: PairedChats, how: Listing) -> ComparedLatents:
    """Bad against good answers in the base model."""
    model = models.model(BASE_VARIANT)
    bad, good = (
        Side(model, chat_texts(side, model.tokenizer, Arm(BASE_VARIANT), span=SPAN)) for side in (chats.bad, chats.good)
    )
    return compared(lens, bad, good, SPAN, chats.groups, how)


def model_list(bench: Bench[FeaturesConfig], models: Variants, lens: Lens, name: str, asked: Asked) -> LatentComparison:
    """Q2: tuned against base model on the same texts; labels shuffled within each text.

    The texts are the prompts of the open questions, the assistant's header included and the first token left out (at
    which many models hold a state far larger than all others), or the base model's own answers.
    """
    prompts = bench.config.shared_texts == "prompt"
    texts: Sequence[Question] | list[Answer] = bench.open_questions
    if not prompts:
        texts = [a for a in asked.judged.arm(BASE_VARIANT).answers if a.answer.strip()]
    found = bench.run.cached(
        model_differences, f"latents-model-{name}", models=models, lens=lens, variant=name,
        questions=texts if prompts else (), answers=() if prompts else texts, how=row_of(Listing, bench.config),
    )  # fmt: skip
    many = sum(len(question.paraphrases) for question in bench.open_questions) if prompts else len(texts)
    return found.value.told(name, {"first": many, "second": many, "shuffled": "within each text"})


def model_differences(
    models: Variants, lens: Lens, variant: str, questions: Sequence[Question], answers: Sequence[Answer], how: Listing
) -> ComparedLatents:
    """A fine-tune against the base, on the prompts of questions or, where there are none, on answers."""
    base, arm, span = models.model(BASE_VARIANT), Arm(BASE_VARIANT), "prompt" if questions else SPAN
    if questions:
        texts = prompt_texts(base, questions, arm)
    else:
        texts = [Text.of(one, span, arm) for one in coded(base, answers)]
    tuned = models.arm(variant)
    moved = [Text(text.ids, text.spans, tuned, text.start) for text in texts]
    groups = 2 * [str(place) for place in range(len(texts))]
    return compared(lens, Side(models.model(variant), moved), Side(base, texts), span, groups, how)


def coded(model: Model, answers: Sequence[Answer]) -> list[Encoded]:
    """Answers as token ids."""
    return [encode_answer(model, answer) for answer in answers]


def answers_list(
    bench: Bench[FeaturesConfig], models: Variants, lens: Lens, name: str, asked: Asked
) -> LatentComparison | str:
    """Q3: misaligned against aligned answers of one fine-tune, read in it; labels shuffled within questions.

    As many of each are taken from every question (`matched_pools`): what a latent tells of the question cannot show.
    Where too few are left, why.
    """
    ids = bench.open_ids
    judged = asked.judged.where(lambda a: a.arm == name and a.question_id in ids and bool(a.answer.strip()))
    try:
        pools = matched_pools(judged, bench.convention, bench.config.seed)
    except PoolError as error:
        return f"The answers of {name} cannot be compared: {error.message}; {error.hint}"
    bad, good = ([judged.answers[i] for i in places] for places in pools)
    found = bench.run.cached(
        answer_differences, f"latents-answers-{name}", models=models, lens=lens, variant=name, bad=bad, good=good,
        how=row_of(Listing, bench.config),
    )  # fmt: skip
    facts = {"first": len(bad), "second": len(good), "shuffled": "within questions"}
    return found.value.told(name, {**facts, "questions": len({answer.question_id for answer in bad + good})})


def answer_differences(
    models: Variants, lens: Lens, variant: str, bad: list[Answer], good: list[Answer], how: Listing
) -> ComparedLatents:
    """A fine-tune's misaligned against its aligned answers, read in it."""
    model, arm = models.model(variant), models.arm(variant)
    first, second = (Side(model, [Text.of(one, SPAN, arm) for one in coded(model, side)]) for side in (bad, good))
    return compared(lens, first, second, SPAN, [answer.question_id for answer in bad + good], how)


def prompt_texts(model: Model, questions: Sequence[Question], arm: Arm) -> list[Text]:
    """Every wording of every question with the assistant's header; the span "prompt" leaves the first token out."""
    texts: list[Text] = []
    for question in questions:
        system = () if question.system is None else (Message("system", question.system),)
        for text in question.paraphrases:
            ids = encode_prompt(model.tokenizer, (*system, Message("user", text)))
            texts.append(Text(ids, {"prompt": (min(1, len(ids) - 1), len(ids))}, arm, len(ids)))
    return texts
