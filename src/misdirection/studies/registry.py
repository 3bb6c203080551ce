"""The studies by name: those of the package, and those that other packages bring.

A study is a folder with these files, each found by its name:

- `settings`: every option, explained; light, for the command line makes its options of them.
- `study`: the method, read as the method section of a paper; a function of the study's name runs it.
- what it measures, a file each;
- `results`: what came out, as dataclasses; `RESULTS` is the whole. A study without the file leaves mappings;
- `paper`: published figures to hold it against, where there are any;
- `verdict`: what came out, in sentences;
- `report`: its sections (`SECTIONS`), made with the report's kit from such an object.

Its `__init__` holds one object, `STUDY`, and its name stands in `BUILT_IN`. Another package registers one by an entry
point of the group `misdirection.studies` that names such an object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from misdirection.registry import Registry, load
from misdirection.report.parts import Entry

if TYPE_CHECKING:
    from misdirection.results import Results

GROUP = "misdirection.studies"
"""Group of entry points by which other packages bring studies."""

BUILT_IN = (
    "audit", "convergence", "semantic", "adapters", "formats", "triggers", "phases", "narrow", "features", "geometry",
    "weights", "in_context", "personas", "traits", "separation", "scaling", "screening", "defences", "imported",
    "judge_check",
)  # fmt: skip
"""The folders of this package, in the order in which they are listed."""


@dataclass(frozen=True)
class Study:
    """One study.

    Attributes:
        name: Of its folder, its command and its function.
        settings: Its settings, a dataclass of `option` fields with `completed()`; their docstring is the help text of
            its command.
        package: Where its files are.
        listed: Whether `misdirection study NAME` runs it; else it has a command of its own.
    """

    name: str
    settings: type[Any]
    package: str
    listed: bool = True

    def __post_init__(self) -> None:
        """Let a model's folder speak of the settings by the study's name."""
        if getattr(self.settings, "study", self.name) == "":
            self.settings.study = self.name

    @property
    def run(self) -> Callable[[Any, Path, str], Path]:
        """The study: (settings, folder of the run, command line) to the path of the report."""
        return getattr(import_module(f"{self.package}.study"), self.name)

    @property
    def results(self) -> type[Results] | None:
        """What its findings are read as; None where it leaves mappings."""
        if find_spec(f"{self.package}.results") is None:
            return None
        return import_module(f"{self.package}.results").RESULTS

    @property
    def sections(self) -> tuple[Entry, ...]:
        """Its sections of a report, in their order."""
        return tuple(import_module(f"{self.package}.report").SECTIONS)


def _given(study: Study) -> Study:
    return study


@cache
def studies() -> Registry[Study]:
    """Every study that is there, by its name."""
    own = {name: load(f"misdirection.studies.{name}:STUDY") for name in BUILT_IN}
    return Registry("study", GROUP, _given, own, Study)
