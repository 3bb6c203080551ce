"""What makes a function a measurement: its name and version, and which of its parameters change no result.

Any plain function with type annotations is one already, of version 1. The decorator is for the second version: raise it
when what the function gives for the same arguments changes, so that runs make their steps anew.

    @measurement(version=2)
    def drift(models: Variants, answers: list[Answer], batch: Incidental[int] = 8) -> Drift: ...
"""

from __future__ import annotations

import enum
import functools
import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin

from misdirection.errors import MisdirectionError

T = TypeVar("T")
Made = TypeVar("Made", bound=Callable[..., Any])


class Role(enum.Enum):
    """What a parameter is to a run, where it is not one more thing that the result depends on."""

    INCIDENTAL = "changes no result"
    FOLDER = "the folder of the step"
    WORKSPACE = "a folder that outlives a kill"


Incidental = Annotated[T, Role.INCIDENTAL]
"""A parameter that changes no result (a budget of memory, a device), and is therefore part of no key."""

Folder = Annotated[Path, Role.FOLDER]
"""A parameter that a run gives: where the function writes files; what it returns names them by their paths."""

Workspace = Annotated[Path, Role.WORKSPACE]
"""A parameter that a run gives: where a long function keeps what it resumes from after a kill."""

INCIDENTAL: Mapping[str, Any] = {"incidental": True}
"""Metadata of a dataclass's field that changes no result: `field(default=None, metadata=INCIDENTAL)`."""

LATER: Mapping[str, Any] = {"later": True}
"""Metadata of a field that a dataclass got after runs were made with it: at its default it is part of no key."""


@dataclass(frozen=True)
class Signature:
    """What is known of a function before it is called.

    Attributes:
        name: Its name, free of the module that it stands in.
        version: Of its meaning.
        code: Hash of its code where nobody gives versions, in a notebook or script; else empty.
        kind: What it gives, by its return annotation.
        roles: Parameters that are part of no key, by name.
        parameters: All of them.
    """

    name: str
    version: int
    code: str
    kind: Any
    roles: Mapping[str, Role]
    parameters: inspect.Signature

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Signature:
        """Read it.

        Raises:
            MisdirectionError: The function carries things with it that no key can tell apart, or does not say what it
                gives.
        """
        told = named(function)
        roles = {
            name: role
            for name, annotation in inspect.get_annotations(function).items()
            if name != "return" and (role := _role(_evaluated(function, annotation)))
        }
        return cls(*told, _given(function), roles, inspect.signature(function))

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with the defaults of those that were left out, without those that the run gives.

        Raises:
            MisdirectionError: One is missing, unknown, or the run's to give.
        """
        own = [name for name, role in self.roles.items() if role is not Role.INCIDENTAL]
        if taken := [name for name in own if name in arguments]:
            raise MisdirectionError(f"{self.name}: a run gives '{taken[0]}' itself", "leave it out")
        try:
            bound = self.parameters.bind(**arguments, **dict.fromkeys(own))
        except TypeError as error:
            raise MisdirectionError(f"{self.name}: {error}", f"it takes {self.parameters}") from error
        bound.apply_defaults()
        held = dict(bound.arguments)
        for parameter in self.parameters.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                held |= held.pop(parameter.name, {})
        return {name: value for name, value in held.items() if name not in own}

    def parameter_of(self, role: Role) -> str | None:
        """Name of the parameter with a role, None where there is none."""
        return next((name for name, held in self.roles.items() if held is role), None)


def measurement(version: int = 1, name: str = "") -> Callable[[Made], Made]:
    """Give a function a version, raised when its meaning changes, and a name where its own is not the one to keep."""

    def mark(function: Made) -> Made:
        cast(Any, function).__measurement__ = (name or function.__name__, version)
        return function

    return mark


def named(function: Callable[..., Any]) -> tuple[str, int, str]:
    """Name, version and, in a notebook or script, hash of the code of a function.

    Raises:
        MisdirectionError: It is no plain function, or carries variables or an object that no key would tell apart.
    """
    bare = inspect.unwrap(function) if inspect.isfunction(function) else function
    if isinstance(bare, functools.partial) or inspect.ismethod(bare):
        raise MisdirectionError(
            f"{getattr(bare, '__qualname__', 'a partial function')} carries arguments that no key would hold",
            "give a plain function, and all that it needs as arguments",
        )
    if not inspect.isfunction(bare):
        raise MisdirectionError(f"{bare!r} is no plain function", "write one that calls it, with type annotations")
    if bare.__name__ == "<lambda>" or bare.__closure__:
        held = ", ".join(bare.__code__.co_freevars) or "no name"
        raise MisdirectionError(
            f"{bare.__qualname__} cannot be told apart from others of its kind (it has {held} of its own)",
            "define it at the top of a module, with all that it needs as arguments",
        )
    name, version = getattr(function, "__measurement__", (bare.__name__, 1))
    return name, version, _code(bare.__code__) if bare.__module__ == "__main__" else ""


def place_of(function: Callable[..., Any]) -> str:
    """Where a function is defined."""
    bare = inspect.unwrap(function)
    return f"{bare.__module__}:{bare.__qualname__}"


def _code(code: CodeType) -> str:
    found = hashlib.sha256(code.co_code + repr(code.co_names).encode())
    for constant in code.co_consts:
        found.update((_code(constant) if isinstance(constant, CodeType) else repr(constant)).encode())
    return found.hexdigest()


def _given(function: Callable[..., Any]) -> Any:
    annotations = inspect.get_annotations(inspect.unwrap(function))
    if annotations.get("return", "None") in (None, "None"):
        raise MisdirectionError(
            f"{function.__name__} does not say what it gives, so that it cannot be kept", "annotate what it returns"
        )
    return _evaluated(function, annotations["return"], must=True)


def _evaluated(function: Callable[..., Any], annotation: Any, must: bool = False) -> Any:
    """An annotation as the type that it names; None where it is known to type checkers alone."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, inspect.unwrap(function).__globals__)
    except (NameError, AttributeError, TypeError) as error:
        if must:
            raise MisdirectionError(
                f"{function.__name__}: what it gives, {annotation}, is not known at run time ({error})",
                "import it outside of TYPE_CHECKING",
            ) from error
        return None


def _role(annotation: Any) -> Role | None:
    if get_origin(annotation) is not Annotated:
        return None
    return next((held for held in get_args(annotation)[1:] if isinstance(held, Role)), None)
