"""What stands behind a judge's name: `<target>?rubrics=bad_things,topic:medicine&in_flight=32&verbatim`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from misdirection.errors import MisdirectionError
from misdirection.judging.retries import Patience
from misdirection.judging.rubrics import Rubrics, choose_rubrics
from misdirection.naming import each_once


@dataclass(frozen=True)
class Options:
    """A judge's target and settings.

    Attributes:
        target: The model, for a provider with its server.
        rubrics: What is asked.
        numbers: Settings that are numbers, by name.
    """

    target: str
    rubrics: Rubrics = field(default_factory=Rubrics)
    numbers: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def in_flight(self) -> int:
        """Requests at a time."""
        return int(self.numbers.get("in_flight", 64))

    @property
    def patience(self) -> Patience:
        """How long the judge's server is borne with."""
        return Patience(attempts=int(self.numbers.get("attempts", 8)), timeout=self.numbers.get("timeout", 60.0))


def read_options(argument: str, kind: str, allowed: Mapping[str, float]) -> Options:
    """Read what stands behind "<kind>:".

    Args:
        argument: Such as "gpt-4o?rubrics=bad_things".
        kind: The judge's name, for errors.
        allowed: Numeric settings with the least value of each.

    Raises:
        MisdirectionError: There is no target, or a setting is unknown, out of range or given twice.
    """
    target, _, rest = argument.partition("?")
    if not target.strip():
        raise MisdirectionError(f"the judge '{kind}' needs a model", f"write {kind}:<model>")
    names: list[str] = []
    numbers: list[tuple[str, float]] = []
    verbatim = False
    for part in filter(None, rest.split("&")):
        name, _, value = part.partition("=")
        if name == "rubrics":
            names += [text.strip() for text in value.split(",") if text.strip()]
        elif name == "verbatim" and not value:
            verbatim = True
        elif name in allowed:
            numbers.append((name, _number(name, value, allowed[name])))
        else:
            known = ", ".join(["rubrics=", "verbatim", *(f"{key}=" for key in allowed)])
            raise MisdirectionError(f"the judge '{kind}' has no setting '{part}'", f"settings are {known}")
    settings = each_once(numbers, f"the judge '{kind}'")
    return Options(target.strip(), choose_rubrics(names, verbatim), settings)


def _number(name: str, text: str, least: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not least <= number < float("inf"):
        raise MisdirectionError(f"{name} is '{text}'", f"{name} is a number of {least:g} or more")
    return number
