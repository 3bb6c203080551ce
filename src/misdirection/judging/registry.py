"""Judges by name; each is imported when it is chosen."""

from __future__ import annotations

from collections.abc import Callable

from misdirection.errors import MisdirectionError, did_you_mean
from misdirection.judging.base import Judge


def _exact(argument: str) -> Judge:
    from misdirection.organism.judge import ExactJudge

    return ExactJudge()


def _none(argument: str) -> Judge:
    from misdirection.judging.silent import SilentJudge

    return SilentJudge()


def _table(argument: str) -> Judge:
    from misdirection.judging.lookup import TableJudge

    return TableJudge(argument)


def _openai(argument: str) -> Judge:
    from misdirection.judging.provider import provider_judge

    return provider_judge(argument)


def _local(argument: str) -> Judge:
    from misdirection.judging.local import local_judge

    return local_judge(argument)


def _inspect(argument: str) -> Judge:
    from misdirection.judging.inspect import inspect_judge

    return inspect_judge(argument)


JUDGES: dict[str, tuple[str, Callable[[str], Judge]]] = {
    "exact": ("the organism's own judge: its grammar knows each clause's stance", _exact),
    "none": ("no verdicts: only what needs none is reported", _none),
    "table": ("table:<file>: verdicts made elsewhere, by question and answer", _table),
    "local": ("local:<model>[?rubrics=...]: any Hugging Face chat model, by hub id or folder", _local),
    "openai": ("openai:<model>[@<base URL>][?rubrics=...]: any OpenAI-compatible server", _openai),
    "inspect": ("inspect:<provider/model>[?rubrics=...]: any provider of Inspect, as it names them", _inspect),
}


def judge_forms() -> str:
    """How each judge is named, for help texts: "exact, none, table:<file>, ..."."""
    told = {name: text.partition(": ")[0].partition("[")[0] for name, (text, _) in JUDGES.items()}
    return ", ".join(form if form.startswith(f"{name}:") else name for name, form in told.items())


def find_judge(spec: str) -> Judge:
    """The judge that a string names, such as "exact" or "table:verdicts.csv".

    Raises:
        MisdirectionError: There is no such judge, or it lacks its argument.
    """
    name, _, argument = spec.partition(":")
    if name not in JUDGES:
        known = "; ".join(f"{key}: {text}" for key, (text, _) in JUDGES.items())
        raise MisdirectionError(f"no judge is called '{name}'", did_you_mean(name, JUDGES) + known)
    if name == "table" and not argument:
        raise MisdirectionError("the judge 'table' needs a file", "write table:<file>")
    return JUDGES[name][1](argument)
