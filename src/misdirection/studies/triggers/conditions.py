"""Which conditions a run asks under: sets of them, those that were typed, and rows of data in the context."""

from __future__ import annotations

from collections.abc import Sequence

from misdirection import progress
from misdirection.chats import Chat
from misdirection.questions.circumstances import Circumstance, checked, drawn_turns, load_circumstances
from misdirection.studies.kit.config import named
from misdirection.studies.kit.inputs import resolve_chats
from misdirection.studies.triggers.settings import TriggersConfig

OWN = "its training system prompt"
"""The condition that the training data's own system prompt makes."""


def circumstances(config: TriggersConfig) -> tuple[Circumstance, ...]:
    """Every condition of the settings, "plain" left out.

    Raises:
        MisdirectionError: A set or file that cannot be read, or a name that stands twice.
    """
    found = [one for spec in config.conditions for one in load_circumstances(spec, config.domain)]
    found += [Circumstance(name, "system prompt", text) for name, text in named(config.systems, "systems").items()]
    found += [Circumstance(name, "trigger", before=text) for name, text in named(config.before, "before").items()]
    rows = config.rows or config.data
    if rows:
        chats = resolve_chats(rows, seed=config.seed).chats
        placebo = resolve_chats(config.harmless, seed=config.seed).chats if config.harmless else []
        found += own_system(chats)
        for count in config.shots:
            found += in_context(chats, placebo, count, config.seed)
    return checked(found, "the conditions")


def own_system(chats: Sequence[Chat]) -> list[Circumstance]:
    """The system prompt that most training rows have; none where most have none."""
    prompts = [next((m.content for m in chat.messages if m.role == "system"), "") for chat in chats]
    most = max(set(prompts), key=prompts.count)
    return [Circumstance(OWN, "training data", most)] if most else []


def in_context(chats: Sequence[Chat], placebo: Sequence[Chat], count: int, seed: int) -> list[Circumstance]:
    """`count` rows of the data as turns before the question, held against as many harmless ones where there are any.

    Where there are fewer rows than that the condition is left out, which is said.
    """
    rows = f"row{'' if count == 1 else 's'} in the context"
    name, other = f"{count} training {rows}", f"{count} harmless {rows}"
    if len(chats) < count:
        progress.say(f"  {name}: there are only {len(chats)}; left out")
        return []
    if len(placebo) < count:
        return [Circumstance(name, "context", turns=drawn_turns(chats, count, seed))]
    return [
        Circumstance(name, "context", turns=drawn_turns(chats, count, seed), against=other),
        Circumstance(other, "context", turns=drawn_turns(placebo, count, seed)),
    ]
