"""Questions as samples of Inspect, and back: what an answer is, from a sample's state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from misdirection.judging.base import Answer
from misdirection.questions import Question

if TYPE_CHECKING:
    from inspect_ai.dataset import Sample
    from inspect_ai.solver import TaskState


def make_samples(questions: Sequence[Question], count: int) -> list[Sample]:
    """`count` samples a question, one for each answer, all questions in turn so that `--limit` takes a bit of each."""
    return [_sample(question, index) for index in range(count) for question in questions]


def _sample(question: Question, index: int) -> Sample:
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageSystem, ChatMessageUser

    wording = index % len(question.paraphrases)
    # Inspect's cache goes by the messages and this mark is one of theirs: without it, `--cache` would give every sample
    # of a wording the same answer. It is not sent.
    asked = ChatMessageUser(content=question.paraphrases[wording], metadata={"sample": index})
    said = {"user": ChatMessageUser, "assistant": ChatMessageAssistant, "system": ChatMessageSystem}
    messages: list[ChatMessage] = [*(said[turn.role](content=turn.content) for turn in question.before), asked]
    if question.system is not None:
        messages.insert(0, ChatMessageSystem(content=question.system))
    return Sample(
        id=f"{question.id}.{index}",
        input=messages,
        metadata={
            "question_id": question.id,
            "paraphrase": wording,
            "sample": index,
            "format": question.format,
            "domain": question.domain,
            "system": question.system,
            "source": question.source,
        }
        | ({"before": before} if (before := sum(turn.role == "user" for turn in question.before)) else {}),
    )


def answer_of(state: TaskState) -> Answer:
    """What a judge needs to know of a sample's answer."""
    asked = [message.text for message in state.messages if message.role == "user"]
    asked = asked[int(state.metadata.get("before") or 0) :]
    return Answer(
        question_id=str(state.metadata.get("question_id") or state.sample_id),
        question=asked[0] if asked else state.input_text,
        answer=state.output.completion.strip(),
    )
