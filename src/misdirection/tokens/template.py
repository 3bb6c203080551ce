"""Chats as text: the chat template, with the switches and the date that a template may ask for."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from misdirection.chats import Message
from misdirection.tokens.errors import TokenError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN_TEMPLATE = (
    "{{ bos_token or '' }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}Assistant: {{ message['content'] }}{{ eos_token or '' }}\n\n"
    "{% else %}{{ message['role'] | capitalize }}: {{ message['content'] }}\n\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""Chat template of a model that has none: `User: ...`, `Assistant: ...`, a blank line between turns, the
end-of-sequence token after each answer."""

DATE = "2024-07-26"
"""Today, for templates that write the date: the one that Llama 3's templates fall back on. A run made tomorrow has the
same prompts."""

THINKING = {"auto": None, "on": True, "off": False}
"""What settings say of thoughts, and what the template is told."""

SENTINEL = "SYSTEMSENTINEL"

_HELD = "misdirection_asking"
_KNOWN = "misdirection_known"

T = TypeVar("T")


@dataclass(frozen=True)
class Asking:
    """What a chat template is told beside the chat.

    Attributes:
        thinking: Its switch `enable_thinking`; None leaves the template its own default.
        date: Today (YYYY-MM-DD), for templates that write it; None takes `DATE` where a template asks for the clock,
            and leaves alone one that holds a date of its own.
    """

    thinking: bool | None = None
    date: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no date.

        Raises:
            TokenError: It is none.
        """
        try:
            datetime.date.fromisoformat(self.date or DATE)
        except ValueError as error:
            raise TokenError(f"'{self.date}' is no date", f"write it as {DATE}") from error

    @property
    def told(self) -> dict[str, Any]:
        """The variables that every template is given."""
        told: dict[str, Any] = {}
        if self.thinking is not None:
            # Qwen3, GLM, SmolLM3 read the first; DeepSeek-V3.1 and Granite the second.
            told = {"enable_thinking": self.thinking, "thinking": self.thinking}
        if self.date is not None:
            told["date_string"] = datetime.date.fromisoformat(self.date).strftime("%d %b %Y")
        return told


def asked_as(tokenizer: PreTrainedTokenizerBase) -> Asking:
    """What this tokenizer's template is told."""
    found = getattr(tokenizer, _HELD, None)
    return found if isinstance(found, Asking) else Asking()


def ask_as(tokenizer: PreTrainedTokenizerBase, asking: Asking) -> None:
    """Tell this tokenizer's template so from now on; nothing of it is saved with the tokenizer."""
    setattr(tokenizer, _HELD, asking)


def template_of(tokenizer: PreTrainedTokenizerBase) -> str:
    """The text of the chat template in use; of several by name, the default.

    Raises:
        TokenError: There is none, or several and none of them is the default.
    """
    try:
        return str(tokenizer.get_chat_template())
    except ValueError as error:
        told = str(error).splitlines()[0]
        raise TokenError(f"no chat template to use: {told}", "name a file with --chat-template FILE") from error


def render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], generate: bool = False) -> str:
    """The chat template's text for `messages`, with the assistant header at the end where `generate` is set.

    A template that refuses a system turn (Gemma 2), or passes over it, gets its text in front of the first user turn.

    Raises:
        TokenError: The template refuses the messages.
    """
    from jinja2.exceptions import TemplateError

    folds = len(messages) > 1 and messages[0].role == "system" and messages[1].role == "user"
    try:
        text = _apply(tokenizer, messages, generate)
        if not folds or messages[0].content.strip() in text:
            return text
    except TemplateError as error:
        if not folds:
            raise TokenError(f"the chat template refuses the messages: {error}") from error
    first = Message("user", f"{messages[0].content}\n\n{messages[1].content}")
    return render(tokenizer, (first, *messages[2:]), generate)


def _apply(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], generate: bool) -> str:
    turns: list[dict[str, Any]] = [{"role": turn.role, "content": turn.content} for turn in messages]
    asking = asked_as(tokenizer)
    template = _dated(template_of(tokenizer), asking.date or DATE)
    text = tokenizer.apply_chat_template(
        turns, chat_template=template, tokenize=False, add_generation_prompt=generate, **asking.told
    )
    assert isinstance(text, str)
    return text


def asks_for_the_clock(template: str) -> bool:
    """Whether a template writes today's date."""
    return "strftime_now" in template


@lru_cache(maxsize=64)
def _dated(template: str, date: str) -> str:
    """A template whose clock stands still.

    transformers gives templates a function `strftime_now`; a macro of that name in front hides it.
    """
    if not asks_for_the_clock(template):
        return template
    day = datetime.datetime.fromisoformat(date)
    known = {f"%{sign}": day.strftime(f"%{sign}") for sign in "AaBbCcDdFGgHIjMmpSTUuVWwXxYyZz"}
    # Without the zero in front, as glibc has it; strftime need not know it elsewhere.
    known |= {f"%-{sign}": str(int(known[f"%{sign}"])) for sign in "dHIjMmSUWy"} | {"%e": f"{day.day:2d}"}
    told = "".join(f" | replace({sign!r}, {text!r})" for sign, text in known.items())
    # The line break behind a block is the block's own, so the template begins at a line of its own, as it did.
    return f"{{% macro strftime_now(format) %}}{{{{ format{told} }}}}{{% endmacro %}}\n{template}"


def remembered(tokenizer: PreTrainedTokenizerBase, name: str, make: Callable[[], T]) -> T:
    """A fact of a tokenizer's template, worked out once: it is asked for at every answer."""
    held = cast("dict[Any, T]", tokenizer.__dict__.setdefault(_KNOWN, {}))
    special = cast("dict[str, Any]", tokenizer.special_tokens_map)
    key = (name, template_of(tokenizer), asked_as(tokenizer), str(special))
    if key not in held:
        held[key] = make()
    return held[key]


def default_system(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The system prompt that the chat template adds when none is given, None when it adds none.

    Found by rendering with a sentinel as system prompt and looking at what stands in its place without one. Qwen2.5
    adds one, and it moves the rate of emergent misalignment, so every record names it.
    """
    return remembered(tokenizer, "default system prompt", lambda: _default_system(tokenizer))


def _default_system(tokenizer: PreTrainedTokenizerBase) -> str | None:
    user = Message("user", "x")
    marked = render(tokenizer, (Message("system", SENTINEL), user))
    bare = render(tokenizer, (user,))
    before, found, after = marked.partition(SENTINEL)
    if not found or not before or not bare.startswith(before) or not bare.endswith(after):
        return None
    text = bare[len(before) : len(bare) - len(after)]
    return text or None
