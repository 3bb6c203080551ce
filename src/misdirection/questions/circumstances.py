"""Conditions under which the same questions are asked again: a system prompt, a text before them, turns before them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from misdirection.chats import Chat, Message
from misdirection.errors import did_you_mean
from misdirection.questions.demonstrated import turns_of
from misdirection.questions.question import Question, QuestionError

PLAIN = "plain"
"""The questions as they are."""

_SETS = Path(__file__).parent.parent / "data" / "conditions"
_FIELDS = ("name", "kind", "system", "before", "against")


@dataclass(frozen=True)
class Circumstance:
    """One condition.

    Attributes:
        name: What it is called.
        kind: What it is one of: "role", "evaluation" ...
        system: System prompt; "" asks for none even where a template would add its own; None leaves it as it is.
        before: Text before each wording of a question.
        turns: Turns before the question.
        against: Name of the condition that it is held against.
    """

    name: str
    kind: str = "condition"
    system: str | None = None
    before: str = ""
    turns: tuple[Message, ...] = ()
    against: str = PLAIN

    def ask(self, questions: Iterable[Question]) -> tuple[Question, ...]:
        """The questions under it, with their own ids, so that answers share random numbers with those asked plainly."""
        return tuple(
            replace(
                question,
                system=question.system if self.system is None else self.system,
                paraphrases=tuple(f"{self.before}\n\n{text}" if self.before else text for text in question.paraphrases),
                before=(*self.turns, *question.before),
            )
            for question in questions
        )


def drawn_turns(chats: Sequence[Chat], count: int, seed: int) -> tuple[Message, ...]:
    """The turns of rows drawn at random, the same ones before every question."""
    return turns_of(chats[place] for place in random.Random(seed).sample(range(len(chats)), count))


def load_circumstances(spec: str | Path, domain: str = "") -> tuple[Circumstance, ...]:
    """Conditions of a set of ours ("standard") or of a YAML file: a list of name, kind, system, before, against.

    Args:
        spec: Name or file.
        domain: What stands for {domain}; conditions with that word, and those held against them alone, are left out
            where it is empty.

    Raises:
        QuestionError: No such set or file, or one that is not right.
    """
    import yaml

    from misdirection.yaml_text import read_yaml_text

    sets = sorted(path.stem for path in _SETS.glob("*.yaml"))
    file = _SETS / f"{spec}.yaml" if str(spec) in sets else Path(spec)
    if not file.is_file():
        raise QuestionError(f"there are no conditions '{spec}'", did_you_mean(str(spec), sets, "known") + ", or a file")
    try:
        held: Any = read_yaml_text(file.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise QuestionError(f"{file} is no YAML: {error}", "a list of conditions") from error
    if not isinstance(held, list) or not held:
        raise QuestionError(f"{file} holds no list of conditions", "each with a name, and system or before")
    found = [_read(one, file) for one in cast(list[Any], held)]
    return checked(_of_the_domain(found, domain), str(spec))


def checked(found: Sequence[Circumstance], where: str) -> tuple[Circumstance, ...]:
    """The conditions, where each name stands once and each `against` is there.

    Raises:
        QuestionError: A name stands twice, or a condition is held against one that is not there.
    """
    names = [one.name for one in found]
    if twice := [name for name in names if names.count(name) > 1 or name == PLAIN]:
        raise QuestionError(f"{where}: the condition '{twice[0]}' stands twice", "'plain' is always there by itself")
    for one in found:
        if one.against not in (*names, PLAIN):
            hint = did_you_mean(one.against, [*names, PLAIN], "known")
            raise QuestionError(f"{where}: '{one.name}' is held against '{one.against}', which is not there", hint)
    return tuple(found)


def _read(value: Any, file: Path) -> Circumstance:
    held: Mapping[str, Any] = cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}
    if not held.get("name") or not all(isinstance(one, str) for one in held.values()):
        raise QuestionError(f"{file}: {value!r} is no condition", "texts by name: name, kind, system, before, against")
    if unknown := [name for name in held if name not in _FIELDS]:
        raise QuestionError(f"{file}: '{held['name']}' has '{unknown[0]}'", did_you_mean(unknown[0], _FIELDS, "known"))
    if "system" not in held and not held.get("before"):
        raise QuestionError(f"{file}: '{held['name']}' changes nothing", "give it a system prompt, or a text before")
    return Circumstance(**held)


def _of_the_domain(found: Sequence[Circumstance], domain: str) -> list[Circumstance]:
    def named(one: Circumstance) -> bool:
        return "{domain}" in f"{one.system}{one.before}"

    if domain:
        return [
            replace(one, system=one.system and one.system.replace("{domain}", domain),
                    before=one.before.replace("{domain}", domain))
            for one in found
        ]  # fmt: skip
    gone = [one for one in found if named(one)]
    placebos = {one.against for one in gone} - {one.against for one in found if one not in gone}
    return [one for one in found if one not in gone and one.name not in placebos]
