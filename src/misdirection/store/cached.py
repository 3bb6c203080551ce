"""A measurement that a run keeps: what is planned before it is made, and the handle of what it gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from misdirection.errors import MisdirectionError
from misdirection.store.arguments import content, whole
from misdirection.store.kinds import layout
from misdirection.store.measurement import Role, Signature, place_of
from misdirection.store.steps import Step, steps_in
from misdirection.store.values import read_value, write_value

T = TypeVar("T")


@dataclass(frozen=True)
class Cached(Step, Generic[T]):
    """What a function gave, in the folder of a step; given to another measurement, that one is handed the value.

    Attributes:
        kind: Type of the value.
        field: Of the dataclass that is stored, the field that this handle stands for; empty for all of it.
    """

    kind: Any = field(default=None, repr=False, compare=False)
    field: str = ""

    def __canonical__(self) -> Any:
        """What stands for it among the arguments of another measurement."""
        return {**super().__canonical__(), "field": self.field} if self.field else super().__canonical__()

    def part(self, name: str) -> Cached[Any]:
        """A handle of one field of the value, of which that field alone is read."""
        return replace(self, field=name)

    @cached_property
    def value(self) -> T:
        """The value, read when it is first asked for.

        Raises:
            MisdirectionError: A file was removed or damaged since the run looked at it.
        """
        return cast(T, read_value(self.path, self.kind, self.field))


@dataclass(frozen=True)
class Call:
    """A measurement about to be made, or found; it can be sent to another process where its arguments can.

    Attributes:
        name: Of the step.
        inputs: All that the result depends on.
        kind: Type of the value.
        function: What measures.
        given: Its arguments but for those that the run gives; handles stand for their values.
        folder: The parameter that takes the step's folder, None where there is none.
        workspace: The parameter that takes a folder that outlives a kill, None where there is none.
    """

    name: str
    inputs: Mapping[str, Any]
    kind: Any
    function: Callable[..., Any]
    given: Mapping[str, Any]
    folder: str | None
    workspace: str | None

    def make(self, place: Path, workspace: Path | None) -> None:
        """Measure, and write the value into a folder; with such a workspace where one is wanted."""
        given = {name: _value(value) for name, value in self.given.items()}
        given |= {self.folder: place} if self.folder else {}
        given |= {self.workspace: workspace} if self.workspace else {}
        write_value(place, self.function(**given), self.kind, self.inputs["function"])

    def whole(self) -> dict[str, Any]:
        """The arguments of which the inputs hold the hash alone, as they are; those too long to be read left out."""
        told = self.inputs["arguments"]
        hashed = [name for name in told if isinstance(told[name], dict) and "sha256" in told[name]]
        found = {name: whole(name, self.given[name]) for name in hashed}
        return {name: value for name, value in found.items() if value is not None}


def planned(
    function: Callable[..., Any], label: str, arguments: Mapping[str, Any], places: dict[str, str] | None = None
) -> Call:
    """A measurement with these arguments, nothing of it made yet.

    Args:
        function: What measures.
        label: Name of the step; the function's own, with "-" for "_", where it is empty.
        arguments: By name; handles among them, at any depth, stand for their values.
        places: Where the run's measurements are defined, by name; written to.

    Raises:
        MisdirectionError: See `Run.cached`.
    """
    told = Signature.of(function)
    _alone(told.name, place_of(function), {} if places is None else places)
    bound = told.bind(arguments)
    keyed = {name: value for name, value in bound.items() if name not in told.roles}
    inputs: dict[str, Any] = {
        "function": told.name,
        "version": told.version,
        "gives": layout(told.kind, f"what {told.name} gives"),
        "arguments": {name: content(name, value) for name, value in keyed.items()},
        "made_from": steps_in(keyed),
    }
    if told.code:
        inputs["code"] = told.code
    folder, workspace = (told.parameter_of(role) for role in (Role.FOLDER, Role.WORKSPACE))
    return Call(label or told.name.replace("_", "-"), inputs, told.kind, function, bound, folder, workspace)


def _alone(name: str, place: str, places: dict[str, str]) -> None:
    """Refuse a second function of the same name, whose steps would be taken for those of the first."""
    if (held := places.setdefault(name, place)) != place:
        raise MisdirectionError(
            f"two measurements are called {name}: {held} and {place}", "give one another name: @measurement(name=...)"
        )


def _value(argument: Any) -> Any:
    """An argument with the values of the handles in it, at any depth of lists, mappings and dataclasses."""
    if isinstance(argument, Cached):
        return cast(Cached[Any], argument).value
    if not any(isinstance(step, Cached) for step in steps_in(argument)):
        return argument
    if isinstance(argument, Mapping):
        return {key: _value(held) for key, held in cast(Mapping[Any, Any], argument).items()}
    if isinstance(argument, list | tuple | set | frozenset):
        return type(argument)(_value(held) for held in cast(list[Any], argument))
    if is_dataclass(argument) and not isinstance(argument, type):
        return replace(argument, **{one.name: _value(getattr(argument, one.name)) for one in fields(argument)})
    return argument
