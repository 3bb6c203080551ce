"""Things of one kind by name, open to others: judges, screening methods, objectives, dictionary layouts, studies.

Each kind has one registry beside it. Our own are in it from the start. A program adds one with a decorator,

    @JUDGES.register("coin", does="coin[:SEED]: heads or tails")
    def coin(argument: str) -> Judge: ...

and an installed package with an entry point of the registry's group, which names an object of the registry's kind:

    [project.entry-points."misdirection.judges"]
    coin = "my_package.coins:COIN"
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from misdirection import progress
from misdirection.errors import MisdirectionError, did_you_mean

T = TypeVar("T")


class Registry(MutableMapping[str, T], Generic[T]):
    """Things of one kind by name.

    Entry points are read when the registry is first looked at. One that cannot be loaded is told and left out: a
    package that is broken must not take the others with it.

    Args:
        kind: What it holds, for messages: "judge".
        group: Of the entry points of other packages: "misdirection.judges".
        build: Makes an entry of a function that is registered, and of the facts that are given beside it.
        built_in: Our own.
        accepts: What an entry point may name; anything by default.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        build: Callable[..., T],
        built_in: Mapping[str, T],
        accepts: type | tuple[type, ...] = object,
    ) -> None:
        self.kind = kind
        self.group = group
        self._build = build
        self._held: dict[str, T] = dict(built_in)
        self._accepts = accepts
        self._read = False

    def register(self, name: str, **facts: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A decorator that adds a function under a name; the function stays as it is.

        Args:
            name: By which it is asked for; letters, digits, "-" and "_".
            facts: What the registry wants to know beside the function.

        Raises:
            MisdirectionError: The name is taken or unfit.
        """
        self._check(name)

        def add(function: Callable[..., Any]) -> Callable[..., Any]:
            self[name] = self._build(function, **facts)
            return function

        return add

    def find(self, name: str) -> T:
        """The entry of a name.

        Raises:
            MisdirectionError: There is none.
        """
        if name not in self:
            raise MisdirectionError(f"no {self.kind} is called '{name}'", did_you_mean(name, self, f"{self.kind}s"))
        return self[name]

    def __getitem__(self, name: str) -> T:
        return self._all[name]

    def __setitem__(self, name: str, entry: T) -> None:
        self._all[name] = entry

    def __delitem__(self, name: str) -> None:
        del self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __repr__(self) -> str:
        return f"{self.kind}s: {', '.join(self)}"

    @property
    def _all(self) -> dict[str, T]:
        if not self._read:
            self._read = True
            for point in entry_points(group=self.group):
                self._bring(point)
        return self._held

    def _bring(self, point: EntryPoint) -> None:
        where = f"{point.group}: {point.name} = {point.value}"
        try:
            self._check(point.name)
            entry = point.load()
        except Exception as error:  # whatever another package's import raises
            progress.say(f"  left out, for it cannot be loaded: {where} ({type(error).__name__}: {error})", once=True)
            return
        if not isinstance(entry, self._accepts):
            progress.say(f"  left out, for it is no {self.kind}: {where}", once=True)
            return
        self._held[point.name] = entry

    def _check(self, name: str) -> None:
        if name in self._held:
            raise MisdirectionError(f"a {self.kind} called '{name}' is there already", "choose another name")
        if not name or not all(c.isalnum() or c in "-_" for c in name):
            raise MisdirectionError(f"'{name}' cannot be the name of a {self.kind}", 'letters, digits, "-" and "_"')


def load(target: str) -> Any:
    """The object at "package.module:name"; its module is imported now."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
