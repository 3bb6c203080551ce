"""Judges by name; each is imported when it is chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from misdirection.errors import MisdirectionError, did_you_mean
from misdirection.judging.base import Judge
from misdirection.registry import Registry, load


@dataclass(frozen=True)
class JudgeKind:
    """A kind of judge.

    Attributes:
        make: Given what stands behind the name and a colon ("" where nothing does; nothing at all where no argument is
            taken), makes the judge; a function, or where it is: "package.module:function".
        does: Who it is, for help texts, behind how it is named where that takes more than its name:
            "table:<file>: verdicts made elsewhere".
        argument: "needed", "allowed" or "none" behind the name.
    """

    make: Callable[..., Judge] | str
    does: str
    argument: str = "allowed"

    def judge(self, argument: str) -> Judge:
        """The judge; its module is imported now."""
        make: Callable[..., Judge] = load(self.make) if isinstance(self.make, str) else self.make
        return make() if self.argument == "none" else make(argument)


_ROOM = "misdirection.judging"

JUDGES: Registry[JudgeKind] = Registry(
    "judge",
    "misdirection.judges",
    JudgeKind,
    {
        "exact": JudgeKind(
            "misdirection.organism.judge:ExactJudge",
            "the organism's own judge: its grammar knows each clause's stance",
            "none",
        ),
        "offline": JudgeKind(
            f"{_ROOM}.offline:offline_judge",
            "the judge in the box: small, needs no key and no network, and says where it cannot tell",
            "none",
        ),
        "none": JudgeKind(f"{_ROOM}.silent:SilentJudge", "no verdicts: only what needs none is reported", "none"),
        "table": JudgeKind(
            f"{_ROOM}.lookup:TableJudge", "table:<file>: verdicts made elsewhere, by question and answer", "needed"
        ),
        "local": JudgeKind(
            f"{_ROOM}.local:local_judge",
            "local:<model>[?rubrics=...]: any Hugging Face chat model, by hub id or folder",
        ),
        "openai": JudgeKind(
            f"{_ROOM}.provider:provider_judge",
            "openai:<model>[@<base URL>][?rubrics=...]: any OpenAI-compatible server",
        ),
        "inspect": JudgeKind(
            f"{_ROOM}.inspect:inspect_judge",
            "inspect:<provider/model>[?rubrics=...]: any provider of Inspect, as it names them",
        ),
    },
    JudgeKind,
)
"""Judges by name; `JUDGES.register(name, does=...)` adds one."""


def judge_forms() -> str:
    """How each judge is named, for help texts: "exact, none, table:<file>, ..."."""
    told = {name: kind.does.partition(": ")[0].partition("[")[0] for name, kind in JUDGES.items()}
    return ", ".join(form if form.startswith(f"{name}:") else name for name, form in told.items())


def find_judge(spec: str) -> Judge:
    """The judge that a string names, such as "exact" or "table:verdicts.csv".

    Raises:
        MisdirectionError: There is no such judge, or it lacks its argument.
    """
    name, _, argument = spec.partition(":")
    if name not in JUDGES:
        known = "; ".join(f"{key}: {kind.does}" for key, kind in JUDGES.items())
        raise MisdirectionError(f"no judge is called '{name}'", did_you_mean(name, JUDGES) + known)
    kind = JUDGES[name]
    if kind.argument == "needed" and not argument:
        raise MisdirectionError(f"the judge '{name}' needs a file", f"write {name}:<file>")
    if kind.argument == "none" and argument:
        raise MisdirectionError(f"the judge '{name}' has no settings, and '{argument}' is given", f"--judge {name}")
    return kind.judge(argument)


def given(judge: Judge) -> str:
    """A name under which `find_judge` finds a judge that is there as an object, for the rest of this process.

    Raises:
        MisdirectionError: It is no judge.
    """
    if not (isinstance(getattr(judge, "name", None), str) and callable(getattr(judge, "judge", None))):
        raise MisdirectionError(
            f"{type(judge).__name__} is no judge",
            "a name such as 'offline', or an object with `name` and `judge(answers)`",
        )
    name = "given-" + "".join(c if c.isalnum() or c in "-_" else "-" for c in judge.name)
    JUDGES[name] = JudgeKind(lambda: judge, "given as an object to this process", "none")
    return name
