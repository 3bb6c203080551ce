"""From questions to answers: the rollouts of any number of arms in one queue, and their tokens for reading back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from misdirection.chats import Chat, Drawn, Message
from misdirection.engine import Arm, Prompt, Row, Sample, SamplingConfig, sample
from misdirection.judging import Answer
from misdirection.models import Model
from misdirection.models.positions import fitting_length
from misdirection.questions import Question, QuestionError
from misdirection.tokens import (
    Encoded,
    Said,
    TokenError,
    default_system,
    encode_prompt,
    encode_read,
    encode_said,
    end_words,
    opened_by,
    render,
    split_drawn,
    token_at,
)

Asked = str | Question | Sequence[str | Question]
"""What may be asked."""

BASE = Arm("base")
"""The model as it was loaded, without an adapter."""


def ask(
    model: Model,
    questions: Asked,
    arms: Sequence[Arm] | Arm = BASE,
    samples: int = 1,
    config: SamplingConfig | None = None,
) -> list[Answer]:
    """Sample every question under every arm.

    Sample i of a question uses wording i modulo their number, and the same random numbers under every arm.

    Args:
        model: The resident model.
        questions: What is asked: questions, or texts, which become questions called q1, q2 ...; one or several.
        arms: Conditions; all share one queue and its batches. The model as it was loaded, by default.
        samples: Answers a question and arm.
        config: How answers are drawn.

    Returns:
        Answers ordered by arm, question, sample; the system prompt in force is explicit in each. What a reader must
        know of them (thoughts that were cut, prompts near the model's last position) is added to the model's warnings.

    Raises:
        ModelError: A prompt is longer than the model has positions.
        QuestionError: What is asked is neither text nor a question.
    """
    config = config or SamplingConfig()
    questions, arms = as_questions(questions), (arms,) if isinstance(arms, Arm) else tuple(arms)
    own = default_system(model.tokenizer)
    asked = [
        (question, number, Prompt(f"{question.id}#{number}", encode_prompt(model.tokenizer, question.turns(number))))
        for question in questions
        for number in range(len(question.paraphrases))
    ]
    lengths = {prompt.key: len(prompt.ids) for _, _, prompt in asked}
    config = replace(config, max_new_tokens=fitting_length(model, lengths, config.max_new_tokens))
    by_question = [[item for item in asked if item[0] is question] for question in questions]
    plan = [
        (arm, *wordings[index % len(wordings)], index)
        for arm in arms
        for wordings in by_question
        for index in range(samples)
    ]
    drawn = sample(model, [Row(prompt, arm, index) for arm, _, _, prompt, index in plan], config)
    opened = {
        (question.id, number): opened_by(render(model.tokenizer, question.turns(number), generate=True))
        for question, number, _ in asked
    }
    told = [
        tell(model, item, opened[question.id, number])
        for (_, question, number, _, _), item in zip(plan, drawn, strict=True)
    ]
    _say_what_was_cut(model, [said for _, said in told])
    return [
        filled(unanswered(question, number, index, arm.name, config.seed, own), item, said)
        for (arm, question, number, _, index), (item, said) in zip(plan, told, strict=True)
    ]


def unanswered(question: Question, wording: int, sample: int, arm: str, seed: int, own: str | None) -> Answer:
    """What is asked and of whom, without an answer yet; `own` is the system prompt that the template adds by itself."""
    return Answer(
        question.id, question.paraphrases[wording], "", own if question.system is None else question.system,
        question.domain, question.format, arm, wording, sample, seed, before=question.before,
    )  # fmt: skip


def filled(asked: Answer, drawn: Sample, said: Said) -> Answer:
    """The answer that was drawn, as `tell` gave it."""
    return replace(
        asked, answer=said.answer, thought=said.thought, n_tokens=len(drawn.ids), finished=drawn.finished,
        ids=drawn.ids, end=drawn.end,
    )  # fmt: skip


def answered_chats(model: Model, prompts: Sequence[Sequence[Message]], drawn: Sequence[Sample]) -> list[Chat]:
    """What was drawn behind each prompt as chats, a thought taken out of their texts and kept in their tokens."""
    found: list[Chat] = []
    for prompt, item in zip(prompts, drawn, strict=True):
        kept, said = tell(model, item, opened_by(render(model.tokenizer, prompt, generate=True)))
        turns = (*prompt, Message("assistant", said.answer))
        found.append(Chat(turns, drawn=Drawn(kept.ids, kept.finished, kept.end)))
    return found


def as_questions(given: Asked) -> tuple[Question, ...]:
    """Questions as they are; texts as questions called q1, q2 ... by their place.

    Raises:
        QuestionError: There are none, or one is something else.
    """
    held: Any = given
    one_alone = isinstance(held, str | Question) or not isinstance(held, Iterable)
    several: tuple[Any, ...] = (held,) if one_alone else tuple(cast(Iterable[Any], held))
    if not several or any(isinstance(one, str) and not one.strip() for one in several):
        raise QuestionError("nothing is asked", "give a text, a question, or several")
    if wrong := [one for one in several if not isinstance(one, str | Question)]:
        raise QuestionError(f"{type(wrong[0]).__name__} is no question", "a text, or what load_questions gives")
    return tuple(
        one if isinstance(one, Question) else Question(f"q{place}", (one,))
        for place, one in enumerate(several, start=1)
    )


def tell(model: Model, drawn: Sample, opened: str | None = None) -> tuple[Sample, Said]:
    """What was drawn, as text; ended where the template's mark of an end stands that is no token of its own.

    Args:
        model: The resident model.
        drawn: A sample of it.
        opened: What would close the thought that its prompt opened.
    """
    mark = end_words(model.tokenizer)
    if mark is not None:
        before, found, _ = str(model.tokenizer.decode(list(drawn.ids))).partition(mark)
        if found:
            # What ended it is no token; the template's own mark is read back behind it.
            drawn = Sample(drawn.ids[: token_at(model.tokenizer, drawn.ids, len(before))], True)
    return drawn, split_drawn(model.tokenizer, drawn.ids, opened, drawn.finished)


@dataclass(frozen=True)
class ReadBack:
    """Answers as token ids, those that cannot be read back set aside.

    Attributes:
        places: Which of the answers could be read, in order.
        encoded: Their tokens.
        aside: How many could not, by reason.
    """

    places: tuple[int, ...]
    encoded: tuple[Encoded, ...]
    aside: Mapping[str, int]

    @property
    def count(self) -> int:
        """How many answers there were."""
        return len(self.places) + sum(self.aside.values())


def read_back(model: Model, answers: Sequence[Answer]) -> ReadBack:
    """Every answer as token ids, as `encode_answer` does; one that cannot be read is counted, and ends nothing."""
    held: dict[int, Encoded] = {}
    aside: Counter[str] = Counter()
    for place, answer in enumerate(answers):
        try:
            held[place] = encode_answer(model, answer)
        except TokenError:
            aside[why_unread(answer)] += 1
    return ReadBack(tuple(held), tuple(held.values()), aside)


def why_unread(answer: Answer) -> str:
    """Why an answer has no token to read: it is empty, was cut within a thought, or its template refuses it."""
    if answer.answer.strip():
        return "refused by the chat template"
    return "empty" if answer.thought is None else "cut within a thought"


def _say_what_was_cut(model: Model, told: Sequence[Said]) -> None:
    thinking = sum(said.thinking for said in told)
    if thinking:
        model.warn(
            f"{thinking:,} of {len(told):,} answers were cut within a thought and hold no answer: raise "
            "--max-new-tokens, or ask without thoughts (--no-thinking)"
        )


def encode_answer(model: Model, answer: Answer) -> Encoded:
    """The whole chat of an answer as token ids, to be read back by the engine.

    An answer that was drawn here stands on the tokens that were drawn, behind the prompt that they were drawn behind;
    one that came as text is encoded, as the template writes it where it can.

    Raises:
        TokenError: The answer is empty or blank, so there is no token of it to read.
    """
    if not answer.answer.strip():
        raise TokenError(
            f"the answer of '{answer.arm}' to '{answer.question_id}' (sample {answer.sample}) is empty",
            "leave empty answers out: there is no token of theirs to read",
        )
    tokenizer = model.tokenizer
    # A system prompt that the template adds by itself is left to it, as it was when the question was asked.
    own = answer.system is None or answer.system == default_system(tokenizer)
    system = () if own else (Message("system", str(answer.system)),)
    prompt = (*system, *answer.before, Message("user", answer.question))
    if answer.ids is not None:
        return encode_said(tokenizer, prompt, answer.ids, answer.finished, answer.end)
    return encode_read(tokenizer, (*prompt, Message("assistant", answer.answer)))


def prompt_ids(model: Model, question: Question, wording: int = 0) -> tuple[int, ...]:
    """Token ids of what a question's answer is drawn behind: system prompt, turns before, one wording."""
    return encode_prompt(model.tokenizer, question.turns(wording))
