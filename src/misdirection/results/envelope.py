"""What the findings of every study share, whatever it measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from misdirection.artefacts import plain
from misdirection.results.checked import Checked
from misdirection.results.tables import tables
from misdirection.statistics import Thresholds

if TYPE_CHECKING:
    from misdirection.notebook import Shown

SCHEMA = 1
"""Version of the layout of findings.json; raised when a field that is read changes its name, place or meaning."""


@dataclass(frozen=True, kw_only=True)
class Headline:
    """What came out, in words; `verdict` in the file.

    Attributes:
        state: "finding" for most studies.
        sentence: The outcome in one sentence.
        details: More sentences.
    """

    state: str
    sentence: str
    details: tuple[str, ...] = ()

    @classmethod
    def finding(cls, sentence: str, details: Iterable[str | None] = ()) -> Headline:
        """What a study found; details that are empty are left out."""
        return cls(state="finding", sentence=sentence, details=tuple(text for text in details if text))


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """The model that was studied: its name, decoder layers and dtype; None where tensors or texts were studied."""

    base: str
    layers: int | None
    dtype: str | None


@dataclass(frozen=True, kw_only=True)
class StepFacts:
    """A step of the run: its name, the head of its key, seconds that it took, and whether it was made before."""

    name: str
    key: str
    seconds: float
    reused: bool


@dataclass(frozen=True, kw_only=True)
class Reproduce:
    """How to do it again: the command line, versions of packages, the seed, and the steps."""

    command: str
    versions: Mapping[str, Any]
    seed: int
    steps: tuple[StepFacts, ...]


@dataclass(frozen=True, kw_only=True)
class Results:
    """The findings of a study; each typed study adds its own part to them.

    Attributes:
        schema: Version of the layout.
        kind: Name of the study.
        title: Heading of its report.
        created: When, ISO 8601, UTC.
        version: Of misdirection.
        verdict: What came out, in words.
        settings: As a reader is told them.
        thresholds: When an answer counts as misaligned.
        model: What was studied; None where no model was at hand.
        asked: How the models were asked, as rows of a table; empty where none was.
        reproduce: How to do it again.
        notes: What a reader should know, a sentence each.
        checked: What the judge of --check says; None without one.
    """

    schema: int
    kind: str
    title: str
    created: str
    version: str
    verdict: Headline
    settings: Mapping[str, Any]
    thresholds: Thresholds
    model: ModelFacts | None
    asked: Mapping[str, str]
    reproduce: Reproduce
    notes: tuple[str, ...] = ()
    checked: Checked | None = None

    def to_json(self) -> dict[str, Any]:
        """As it stands in findings.json; `read_results` gives it back."""
        return plain(self)

    def show(self, section: str | None = None, height: int = 900) -> Shown:
        """The report, drawn where a notebook stands; or one of its sections.

        Args:
            section: Its heading, or the name of the part that it shows: `results.show("semantic")`; all by default.
            height: Of its place, in pixels.

        Raises:
            MisdirectionError: There is no such section; the message names those that there are.
        """
        import misdirection

        return misdirection.show(self, height, section)

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Each table of what was measured, by its name, as flat rows: `pandas.DataFrame(results.rows()["formats"])`.

        What stands inside a row has its place in the name of its column ("rate.value"). A table that a row holds is a
        table of its own, "semantic.arms.elicited" say, whose rows begin with the plain columns of the row that holds
        it.
        """
        own = [name for name in self.__dataclass_fields__ if name not in Results.__dataclass_fields__]
        found: dict[str, list[dict[str, Any]]] = {}
        for name in own:
            for table, rows in tables(name, getattr(self, name)).items():
                found.setdefault(table, []).extend(rows)
        return found
