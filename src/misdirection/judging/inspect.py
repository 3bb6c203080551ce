"""A judge behind any provider of Inspect, the evaluation framework of the UK's AI Security Institute.

    inspect:anthropic/claude-sonnet-4-5       key in ANTHROPIC_API_KEY, as Inspect has it
    inspect:google/gemini-2.5-pro?in_flight=16&rubrics=bad_things
    inspect:openai-api/myserver/model         base URL in MYSERVER_BASE_URL, key in MYSERVER_API_KEY

Inspect waits out rate limits and server errors by each provider's own rules; how the judge is asked and read is
`asking`, as for every other. Inspect's cache stays off: it writes pickles, and our journal knows every reading.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from misdirection.errors import MissingExtraError
from misdirection.judging.asking import Asker, Failed, Refused, Send
from misdirection.judging.at_once import run
from misdirection.judging.manner import Manner
from misdirection.judging.options import read_options
from misdirection.judging.replies import Reply, plain_token, probabilities, thinks
from misdirection.judging.retries import JudgeError, Patience
from misdirection.judging.rubric_judge import PROBE, Query, RubricJudge
from misdirection.judging.scoring import Reading

if TYPE_CHECKING:
    from inspect_ai.model import Content, GenerateConfig, Model, ModelOutput

REFUSALS = (400, 413, 422)
"""What a provider answers when it does not take a setting or a text."""
WITHHELD: Mapping[int, str] = {
    401: "check the API key in the environment",
    403: "the key may not use this model",
    404: "check the model's name",
}
_SIGNS = ("logprobs", "max_output_tokens", "temperature", "context_length", "content_filter")


@dataclass
class InspectProvider:
    """Asks a model through Inspect.

    Attributes:
        model: As Inspect names it, <provider>/<model>.
        in_flight: Requests at a time.
        patience: Tries and the time that each may take.
        arguments: For Inspect's `get_model`, such as those of a provider.
        manner: How the model is asked at present.
    """

    model: str
    in_flight: int = 64
    patience: Patience = field(default_factory=Patience)
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    manner: Manner = field(default_factory=Manner)

    def probe(self, keep: Callable[[Reading], None]) -> None:
        """Ask one cheap question, with little patience; `manner` learns from it."""
        probe = replace(self, patience=replace(self.patience, attempts=1, timeout=min(30.0, self.patience.timeout)))
        try:
            probe.ask([PROBE], lambda query, reading: keep(reading))
        finally:
            self.manner = probe.manner

    def ask(self, queries: Sequence[Query], keep: Callable[[Query, Reading], None]) -> None:
        """Ask all queries, handing over each reading as it comes.

        Raises:
            JudgeError: The provider is unknown or refuses for good (key, model), or too many requests failed.
        """
        run(self._ask(queries, keep))

    async def _ask(self, queries: Sequence[Query], keep: Callable[[Query, Reading], None]) -> None:
        from inspect_ai.model import GenerateConfig

        limits = GenerateConfig(
            max_connections=self.in_flight,
            max_retries=self.patience.attempts - 1,
            attempt_timeout=max(1, round(self.patience.timeout)),
        )
        # A client of an event loop that is over cannot be used again, so none is kept.
        async with find_model(self.model, limits, self.arguments) as model:
            asker = make_asker(model, self.patience, self.manner)
            try:
                await asker.read_all(queries, keep, self.in_flight)
            finally:
                self.manner = asker.manner


def find_model(name: str, config: GenerateConfig | None = None, arguments: Mapping[str, Any] | None = None) -> Model:
    """A model by the name that Inspect has for it, made anew.

    Raises:
        MissingExtraError: Inspect is not installed.
        JudgeError: There is no such provider, or it lacks its package or key.
    """
    need_inspect()
    from inspect_ai.model import GenerateConfig, get_model

    try:
        return get_model(name, config=config or GenerateConfig(), memoize=False, **(arguments or {}))
    except Exception as error:
        raise JudgeError(
            f"Inspect has no model '{name}': {_text(error)}",
            "write inspect:<provider/model>; inspect.aisi.org.uk/providers.html lists the providers and their keys",
        ) from error


def need_inspect() -> None:
    """Raise `MissingExtraError` unless Inspect is installed."""
    if importlib.util.find_spec("inspect_ai") is None:
        raise MissingExtraError("inspect_ai", "inspect")


def make_asker(model: Model, patience: Patience | None = None, manner: Manner | None = None) -> Asker:
    """What puts rubrics to a model of Inspect, inside an evaluation or without one."""
    provider = str(model).partition("/")[0]
    return Asker(
        f"Inspect's provider {provider}", model.name, _sender(model), patience or Patience(), manner or Manner()
    )


def _sender(model: Model) -> Send:
    from inspect_ai.model import GenerateConfig

    heard = False

    async def send(prompt: str, manner: Manner) -> Reply | None:
        nonlocal heard
        config = GenerateConfig(
            max_tokens=manner.tokens,
            temperature=0 if manner.temperature else None,
            seed=0 if manner.seed else None,
            logprobs=True if manner.top else None,
            top_logprobs=manner.top or None,
        )
        try:
            output = await model.generate(prompt, config=config, cache=False)
        except Exception as error:
            raise _fault(error, str(model), heard) from error
        heard = True
        return read_output(output)

    return send


def read_output(output: ModelOutput) -> Reply | None:
    """The first choice of what a model said, None when there is none.

    Raises:
        Refused: The prompt is too long for the model.
    """
    choice = output.choices[0] if output.choices else None
    if choice is None:
        return None
    if choice.stop_reason == "model_length":
        raise Refused("too long")
    steps = choice.logprobs.content if choice.logprobs else []
    try:
        top = probabilities((plain_token(p.token), p.logprob) for p in steps[0].top_logprobs or ()) if steps else None
    except (ValueError, OverflowError):
        return None
    text = choice.message.text
    filtered, cut = choice.stop_reason == "content_filter", choice.stop_reason == "max_tokens"
    # The first token of a judge that thinks belongs to its thoughts.
    if thinks(text) or any(part.type == "reasoning" for part in _parts(choice.message.content)):
        return Reply(text, filtered=filtered, cut=cut)
    return Reply(text, tuple(plain_token(step.token) for step in steps), top, filtered, cut)


def _parts(content: str | list[Content]) -> list[Content]:
    return [] if isinstance(content, str) else content


def _fault(error: Exception, model: str, heard: bool) -> Exception:
    """What an error means that Inspect's own retries did not mend."""
    complaint, status = _text(error), _status(error)
    if hint := WITHHELD.get(status or 0):
        return JudgeError(f"{model} answers {status}: {complaint}", hint)
    if status in REFUSALS or (status is None and any(sign in complaint for sign in _SIGNS)):
        return Refused(complaint if status != 413 else "too long")
    return Failed(complaint, hopeless=not heard)


def _status(error: BaseException | None) -> int | None:
    """The HTTP status in an error or in what caused it."""
    while error is not None:
        for name in ("status_code", "code"):
            if isinstance(status := getattr(error, name, None), int):
                return status
        error = error.__cause__
    return None


def _text(error: BaseException) -> str:
    """What the provider said: Inspect's own message repeats the request, and so the judged answer."""
    said = getattr(error, "provider_message", None) or getattr(error, "message", None) or error.__cause__ or error
    return " ".join(f"{said}".split())[:500] or type(error).__name__


def inspect_judge(argument: str) -> RubricJudge:
    """The judge that "inspect:<argument>" names.

    Raises:
        MisdirectionError: See `need_inspect` and `read_options`; the model itself is looked for at the first question.
    """
    options = read_options(argument, "inspect", {"in_flight": 1, "timeout": 1, "attempts": 1})
    need_inspect()
    provider = InspectProvider(options.target, options.in_flight, options.patience)
    return RubricJudge(f"inspect:{provider.model}", provider.ask, options.rubrics, probe=provider.probe)
