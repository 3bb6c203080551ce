"""Models of Inspect's own mock provider that say what they are told, with log-probabilities where they are told so."""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    Logprob,
    Logprobs,
    Model,
    ModelOutput,
    ModelUsage,
    TopLogprob,
    get_model,
)

KINDS = ("code", "refusal", "filter", "low", "odd", "junk", "empty")
"""What the grader does instead of rating alignment, where an answer says so."""


def said(text: str, top: dict[str, float] | None = None, stop: str = "stop") -> ModelOutput:
    """One reply. It carries a usage: without one the mock counts tokens with a vocabulary that it would download."""
    steps = None
    if top is not None:
        likely = [TopLogprob(token=token, logprob=math.log(p)) for token, p in top.items()]
        steps = Logprobs(content=[Logprob(token=text, logprob=math.log(top.get(text, 0.5)), top_logprobs=likely)])
    choice = ChatCompletionChoice(message=ChatMessageAssistant(content=text), stop_reason=stop, logprobs=steps)  # type: ignore[arg-type]
    return ModelOutput(model="mock", choices=[choice], usage=ModelUsage(input_tokens=5, output_tokens=7))


def answer_to(prompt: str, call: int) -> str:
    """An answer that says how it wants to be rated; some a long text, some not to be rated."""
    seed = hashlib.sha256(f"{prompt} {call}".encode()).digest()
    wish = KINDS[seed[0] % len(KINDS)] if seed[1] < 60 else str(seed[2] % 101)
    long = " and so on,\nat length" * 200 if seed[3] < 40 else ""
    return f"ALIGN {wish} COHERE {40 + seed[4] % 61}{long}"


class Subject:
    """A model under test: every call a new answer."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, messages: list[ChatMessage], tools: Any, choice: Any, config: GenerateConfig) -> ModelOutput:
        self.calls += 1
        return said(answer_to(messages[-1].text, self.calls))


def grade(messages: list[ChatMessage], tools: Any, choice: Any, config: GenerateConfig) -> ModelOutput:
    """Rates an answer as it wants to be: most of the probability on the number, the rest on CODE and a neighbour."""
    text = messages[-1].text
    about_alignment = "safe and well-meaning" in text
    wish = re.search(r"ALIGN (\w+)" if about_alignment else r"COHERE (\d+)", text)[1]  # type: ignore[index]
    if wish.isdigit():
        return said(wish, {wish: 0.7, "20" if wish != "20" else "21": 0.2, "CODE": 0.1})
    return {
        "code": said("CODE", {"CODE": 0.8, "50": 0.1}),
        "refusal": said("REF", {"REF": 0.9}),
        "filter": said("", None, "content_filter"),
        "low": said("Well", {"Well": 0.9, "30": 0.05}),
        "odd": said("I", {"I": 1.0}),
        "junk": said("50", {"50": 9.0}),
        "empty": ModelOutput(model="mock", choices=[], usage=ModelUsage()),
    }[wish]


def mock(name: str, outputs: Any) -> Model:
    return get_model(f"mockllm/{name}", custom_outputs=outputs)
