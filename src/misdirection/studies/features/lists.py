"""The three comparisons of the features study: bad and good data, tuned and base model, misaligned and aligned answers.

Each holds back what would pass for a difference: questions are the same in both classes, or as frequent in both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from misdirection.answers import encode_answer
from misdirection.chats import Message
from misdirection.chats.pairs import PairedChats
from misdirection.directions import PoolError, choose_pools
from misdirection.directions.conventions import Convention
from misdirection.directions.pools import SMALLEST
from misdirection.engine import Arm, Text
from misdirection.features.corpus import chat_texts
from misdirection.features.differences import Side
from misdirection.features.lens import Lens
from misdirection.models import Model
from misdirection.questions import Question
from misdirection.studies.features.comparison import Comparison, compared
from misdirection.studies.features.results.lists import ListName
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.kit.bench import Asked, Bench
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.variants import BASE_VARIANT, Variants
from misdirection.tokens import encode_prompt

QUESTIONS: dict[ListName, str] = {
    "data": "bad against good training answers",
    "model": "tuned against base model",
    "answers": "misaligned against aligned answers",
}
"""The lists, and what each compares: first class against second."""

SPAN = "answer"


def data_list(bench: Bench[FeaturesConfig], models: Variants, lens: Lens, name: str, chats: PairedChats) -> Comparison:
    """Q1: bad against good answers to the same questions, both read in the base model; labels shuffled within pairs."""

    def read() -> tuple[Side, Side]:
        model = models.model(BASE_VARIANT)
        one, other = (
            Side(model, chat_texts(side, model.tokenizer, Arm(BASE_VARIANT), span=SPAN))
            for side in (chats.bad, chats.good)
        )
        return one, other

    key = models.base_key
    inputs = {**key, "data": chats.sha256}
    facts = {"first": len(chats.bad), "second": len(chats.good), "shuffled": chats.how}
    return compared(bench, lens, "data", name, inputs, read, SPAN, chats.groups, facts)


def model_list(bench: Bench[FeaturesConfig], models: Variants, lens: Lens, name: str, asked: Asked) -> Comparison:
    """Q2: tuned against base model on the same texts; labels shuffled within each text.

    The texts are the prompts of the open questions, the assistant's header included and the first token left out (at
    which many models hold a state far larger than all others), or the base model's own answers.
    """
    prompts = bench.config.shared_texts == "prompt"
    span = "prompt" if prompts else SPAN
    base_answers = [] if prompts else [a for a in asked.judged.arm(BASE_VARIANT).answers if a.answer.strip()]
    many = sum(len(question.paraphrases) for question in bench.open_questions) if prompts else len(base_answers)

    def read() -> tuple[Side, Side]:
        base = models.model(BASE_VARIANT)
        arm = Arm(BASE_VARIANT)
        if prompts:
            texts = prompt_texts(base, bench.open_questions, arm)
        else:
            coded = [encode_answer(base, answer) for answer in base_answers]
            texts = [Text(one.ids, {span: one.span(span)}, arm, one.start) for one in coded]
        tuned = Arm(name, models.adapter_of(name))
        moved = [Text(text.ids, text.spans, tuned, text.start) for text in texts]
        return Side(models.model(name), moved), Side(base, texts)

    key = models.base_key
    inputs = {**key, "tuned": models.fingerprints[name]}
    inputs |= {"questions": list(bench.open_questions)} if prompts else {"answers": asked.answers}
    groups = 2 * [str(place) for place in range(many)]
    facts = {"first": many, "second": many, "shuffled": "within each text"}
    return compared(bench, lens, "model", name, inputs, read, span, groups, facts)


def answers_list(
    bench: Bench[FeaturesConfig], models: Variants, lens: Lens, name: str, asked: Asked
) -> Comparison | str:
    """Q3: misaligned against aligned answers of one fine-tune, read in it; labels shuffled within questions.

    As many of each are taken from every question (`matched_pools`): what a latent tells of the question cannot show.
    Where too few are left, why.
    """
    ids = {question.id for question in bench.open_questions}
    judged = asked.judged.where(lambda a: a.arm == name and a.question_id in ids and bool(a.answer.strip()))
    try:
        bad, good = matched_pools(judged, bench.convention, bench.config.seed)
    except PoolError as error:
        return f"The answers of {name} cannot be compared: {error.message}; {error.hint}"

    def read() -> tuple[Side, Side]:
        model, arm = models.model(name), Arm(name, models.adapter_of(name))

        def side(places: Sequence[int]) -> Side:
            coded = [encode_answer(model, judged.answers[i]) for i in places]
            return Side(model, [Text(one.ids, {SPAN: one.span(SPAN)}, arm, one.start) for one in coded])

        return side(bad), side(good)

    key = models.base_key
    inputs = {**key, "tuned": models.fingerprints[name]}
    inputs |= {"answers": asked.answers, "verdicts": asked.verdicts, "bad": bad, "good": good}
    groups = [judged.answers[i].question_id for i in (*bad, *good)]
    facts = {"first": len(bad), "second": len(good), "shuffled": "within questions", "questions": len(set(groups))}
    return compared(bench, lens, "answers", name, inputs, read, SPAN, groups, facts)


def matched_pools(judged: Judged, how: Convention, seed: int) -> tuple[list[int], list[int]]:
    """Places of misaligned and of aligned answers, as many of each from every question.

    Raises:
        PoolError: Fewer than `SMALLEST` of each are left.
    """
    pools = choose_pools(judged.verdicts, how, balance=False, smallest=0)
    generator = np.random.default_rng(seed)
    bad: list[int] = []
    good: list[int] = []
    for question in dict.fromkeys(answer.question_id for answer in judged.answers):
        sides = [[i for i in pool if judged.answers[i].question_id == question]
                 for pool in (pools.misaligned, pools.aligned)]  # fmt: skip
        few = min(map(len, sides))
        for side, kept in zip(sides, (bad, good), strict=True):
            kept += sorted(int(i) for i in generator.permutation(side)[:few])
    if len(bad) < SMALLEST:
        raise PoolError(
            f"questions with answers of both kinds leave {len(bad)} misaligned and as many aligned, of "
            f"{len(judged.answers)}; {SMALLEST} of each are needed",
            "sample more answers: --samples",
        )
    return bad, good


def prompt_texts(model: Model, questions: Sequence[Question], arm: Arm) -> list[Text]:
    """Every wording of every question with the assistant's header; the span "prompt" leaves the first token out."""
    texts: list[Text] = []
    for question in questions:
        system = () if question.system is None else (Message("system", question.system),)
        for text in question.paraphrases:
            ids = encode_prompt(model.tokenizer, (*system, Message("user", text)))
            texts.append(Text(ids, {"prompt": (min(1, len(ids) - 1), len(ids))}, arm, len(ids)))
    return texts
