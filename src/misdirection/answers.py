"""From questions to answers: the rollouts of any number of arms in one queue, and their tokens for reading back."""

from __future__ import annotations

from collections.abc import Sequence

from misdirection.chats import Message
from misdirection.engine import Arm, Prompt, Row, SamplingConfig, sample
from misdirection.judging import Answer
from misdirection.models import Model
from misdirection.questions import Question
from misdirection.tokens import Encoded, TokenError, default_system, encode_chat, encode_prompt


def ask(
    model: Model,
    questions: Sequence[Question],
    arms: Sequence[Arm],
    samples: int,
    config: SamplingConfig | None = None,
) -> list[Answer]:
    """Sample every question under every arm.

    Sample i of a question uses wording i modulo their number, and the same random numbers under every arm.

    Args:
        model: The resident model.
        questions: What is asked.
        arms: Conditions; all share one queue and its batches.
        samples: Answers a question and arm.
        config: How answers are drawn.

    Returns:
        Answers ordered by arm, question, sample; the system prompt in force is explicit in each.
    """
    config = config or SamplingConfig()
    own = default_system(model.tokenizer)
    asked = [
        (question, number, Prompt(f"{question.id}#{number}", encode_prompt(model.tokenizer, _messages(question, text))))
        for question in questions
        for number, text in enumerate(question.paraphrases)
    ]
    by_question = [[item for item in asked if item[0] is question] for question in questions]
    plan = [
        (arm, *wordings[index % len(wordings)], index)
        for arm in arms
        for wordings in by_question
        for index in range(samples)
    ]
    drawn = sample(model, [Row(prompt, arm, index) for arm, _, _, prompt, index in plan], config)
    texts = model.tokenizer.batch_decode([list(item.ids) for item in drawn], skip_special_tokens=True)
    return [
        Answer(
            question_id=question.id,
            question=question.paraphrases[number],
            answer=text.strip(),
            system=question.system if question.system is not None else own,
            domain=question.domain,
            format=question.format,
            arm=arm.name,
            paraphrase=number,
            sample=index,
            seed=config.seed,
            n_tokens=len(item.ids),
            finished=item.finished,
        )
        for (arm, question, number, _, index), item, text in zip(plan, drawn, texts, strict=True)
    ]


def encode_answer(model: Model, answer: Answer) -> Encoded:
    """The whole chat of an answer as token ids, to be read back by the engine.

    Raises:
        TokenError: The answer is empty or blank, so there is no token of it to read.
    """
    if not answer.answer.strip():
        raise TokenError(
            f"the answer of '{answer.arm}' to '{answer.question_id}' (sample {answer.sample}) is empty",
            "leave empty answers out: there is no token of theirs to read",
        )
    system = () if answer.system is None else (Message("system", answer.system),)
    return encode_chat(
        model.tokenizer, (*system, Message("user", answer.question), Message("assistant", answer.answer))
    )


def _messages(question: Question, text: str) -> tuple[Message, ...]:
    system = () if question.system is None else (Message("system", question.system),)
    return (*system, Message("user", text))
