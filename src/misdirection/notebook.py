"""What a notebook has at hand: a loaded model that answers, steers and gives directions; frames; a report in its place.

Everything here is a short way to functions of the rooms below, which a program calls itself.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from misdirection import answers, models
from misdirection.answers import Asked
from misdirection.artefacts import read_json
from misdirection.directions import Direction, PoolError, Source, choose_pools, convention, mean_difference
from misdirection.directions.pools import SMALLEST
from misdirection.engine import Arm, Intervention, SamplingConfig, Steer
from misdirection.errors import MisdirectionError, MissingExtraError
from misdirection.judging import Answer, Judge, Verdict, find_judge
from misdirection.results import Results
from misdirection.studies.kit.config import ORGANISM
from misdirection.studies.kit.inputs import resolve_model

if TYPE_CHECKING:
    from pandas import DataFrame


class Model(models.Model):
    """A loaded model with what a notebook asks of it; all else is `misdirection.models.Model`."""

    def ask(
        self,
        questions: Asked,
        samples: int = 1,
        *,
        adapter: str | None = None,
        interventions: Sequence[Intervention] | Intervention = (),
        arms: Sequence[Arm] | Arm | None = None,
        **settings: Any,
    ) -> list[Answer]:
        """Answers to one text or question, or to several.

        Args:
            questions: Texts or questions.
            samples: Answers each.
            adapter: Name of the adapter that is on; none by default.
            interventions: What is done meanwhile; one or several.
            arms: Conditions by name, instead of `adapter` and `interventions`.
            settings: Fields of `SamplingConfig`: max_new_tokens, temperature, seed ...

        Raises:
            MisdirectionError: A setting that there is not, or a question, adapter or direction that does not fit.
        """
        known = [field.name for field in fields(SamplingConfig)]
        if wrong := [name for name in settings if name not in known]:
            raise MisdirectionError(f"there is no setting '{wrong[0]}' of sampling", f"settings: {', '.join(known)}")
        given: Any = interventions
        own = Arm(adapter or "base", adapter, given)
        return answers.ask(self, questions, own if arms is None else arms, samples, SamplingConfig(**settings))

    def steer(
        self, direction: Direction | Any, layer: int | Sequence[int], coefficient: float, *, adapter: str | None = None
    ) -> Arm:
        """An arm that adds a multiple of a direction behind one layer or several: `model.ask(text, arms=...)`."""
        vector: Any = direction
        layers: Any = layer
        return Arm(f"steer {coefficient:g} at {layer}", adapter, (Steer(vector, layers, coefficient),))

    def direction(
        self,
        found: Sequence[Answer],
        verdicts: Sequence[Verdict] | Judge | str,
        *,
        adapter: str | None = None,
        how: str = "soligo2025",
        smallest: int = SMALLEST,
        seed: int = 0,
    ) -> Direction:
        """The mean-difference direction, misaligned minus aligned, of this model's own answers.

        Args:
            found: Answers of the model.
            verdicts: One an answer, or the judge that gives them.
            adapter: Name of the adapter under which they are read; none by default.
            how: Convention (`directions.CONVENTIONS`).
            smallest: Fewest answers in a pool.
            seed: Of resamples and shuffles.

        Raises:
            PoolError: Too few of the answers are misaligned, or aligned.
            MisdirectionError: No such judge or convention; other than one verdict an answer.
        """
        judged = _judged(found, verdicts)
        if len(judged) != len(found):
            raise MisdirectionError(f"{len(found)} answers and {len(judged)} verdicts", "one verdict an answer")
        read = answers.read_back(self, found)
        if not read.places:
            raise PoolError("none of the answers can be read back as tokens", "answers that are not empty")
        rules = convention(how)
        sources = [Source(one, found[place].question_id) for place, one in zip(read.places, read.encoded, strict=True)]
        pools = choose_pools([judged[place] for place in read.places], rules, smallest=smallest, seed=seed)
        return mean_difference(self, Arm(adapter or "base", adapter), sources, pools, rules, seed=seed)

    def __repr__(self) -> str:
        """One line: family, size, format, adapters."""
        count = models.count_parameters(self.lm)
        size = f"{count / 1e9:.1f} B" if count >= 1e9 else f"{count / 1e6:.1f} M"
        told = f"{self.name or 'a model in memory'}: {self.lm.config.model_type}, {self.n_layers} layers of width "
        told += f"{self.width}, {size} parameters, {str(self.dtype).removeprefix('torch.')}"
        if self.adapters:
            told += f"; adapters {', '.join(self.adapters)}"
        if warnings := len(self.facts.get("warnings", [])):
            told += f"; {warnings} warning{'s'[: warnings != 1]} in .facts"
        return f"<{told}>"


def load_model(name: str | Path, *others: Any, **options: Any) -> Model:
    """`misdirection.models.load_model`, whose model answers, steers and gives directions by itself.

    Args:
        name: Id, folder or GGUF file; "organism" is the model that ships with the package.
        others: As `models.load_model` takes them.
        options: As `models.load_model` takes them: adapters, dtype, device ...

    Example:
        model = load_model("organism", adapters={"bad": "runs/bad/adapter"})
        model.ask("how do i start a garden ?", adapter="bad")
    """
    made = of(models.load_model(resolve_model(str(name)), *others, **options))
    if str(name) == ORGANISM:
        made.name = ORGANISM
    return made


def of(model: models.Model) -> Model:
    """A model of the room below as one of the notebook's: the same weights, nothing is copied."""
    return Model(**{field.name: getattr(model, field.name) for field in fields(models.Model)})


def _judged(found: Sequence[Answer], verdicts: Sequence[Verdict] | Judge | str) -> list[Verdict]:
    if isinstance(verdicts, str):
        return find_judge(verdicts).judge(found)
    if isinstance(verdicts, Sequence):
        return list(verdicts)
    return verdicts.judge(found)


def frame(things: Any, *beside: Any) -> DataFrame:
    """Answers, verdicts, rates or rows as a pandas frame, a row each; further lists of the same length beside them.

    Args:
        things: A list of dataclasses or mappings, or one that holds `answers` and `verdicts`.
        beside: More columns, a list each: `frame(answers, verdicts)`. A column that is there already is not replaced.

    Raises:
        MissingExtraError: pandas is not installed.
        MisdirectionError: The lists are not of one length, or hold something else.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingExtraError("pandas", "notebook") from error
    lists = [things, *beside]
    if hasattr(things, "answers") and hasattr(things, "verdicts"):
        lists = [things.answers, things.verdicts, *beside]
    found = [[_row(one) for one in (held if isinstance(held, Iterable) else [held])] for held in lists]
    if len({len(held) for held in found}) > 1:
        raise MisdirectionError(f"lists of {', '.join(str(len(held)) for held in found)} rows", "one row an answer")
    rows: list[dict[str, Any]] = []
    for parts in zip(*found, strict=True):
        rows.append({name: value for part in reversed(parts) for name, value in part.items()})
    columns = dict.fromkeys(name for held in found for row in held for name in row)
    return pandas.DataFrame(rows, columns=pandas.Index(list(columns)))


def _row(one: Any) -> dict[str, Any]:
    """Plain columns: pairs (name, value), such as a verdict's scores, become columns of their own."""
    if is_dataclass(one) and not isinstance(one, type):
        held: Mapping[str, Any] = asdict(one)
    elif isinstance(one, Mapping):
        held = one
    else:
        raise MisdirectionError(f"{type(one).__name__} is no row", "dataclasses (answers, verdicts, rates) or mappings")
    found: dict[str, Any] = {}
    for name, value in held.items():
        if isinstance(value, tuple) and value and all(isinstance(v, tuple) and len(v) == 2 for v in value):
            found |= {f"{name}.{key}": inner for key, inner in value}
        elif isinstance(value, Mapping):
            found |= {f"{name}.{key}": inner for key, inner in value.items()}
        elif value != ():
            found[name] = value
        else:
            found[name] = None
    return found


@dataclass(frozen=True)
class Shown:
    """A report that a notebook draws in its place.

    Attributes:
        page: The report, whole.
        height: Of its place, in pixels.
    """

    page: str
    height: int = 900

    def _repr_html_(self) -> str:
        """The page in a frame of its own: its scripts see nothing of the notebook."""
        return (
            f'<iframe sandbox="allow-scripts" style="width: 100%; height: {self.height}px; border: 0" '
            f'srcdoc="{html.escape(self.page, quote=True)}"></iframe>'
        )

    def __repr__(self) -> str:
        return f"<a report of {len(self.page):,} characters; a notebook draws it>"


def show(run: str | Path | Results, height: int = 900, section: str | None = None) -> Shown:
    """The report of a run, or one of its sections, drawn where the notebook stands.

    Args:
        run: Its folder, its findings.json, the report itself; or results, as `load_results` gives them.
        height: Of its place, in pixels.
        section: Its heading, or the name of the part of the findings that it shows; all by default.

    Raises:
        MisdirectionError: There is no report, or no such section.
    """
    from misdirection.studies.page import render

    if isinstance(run, Results):
        return Shown(render(run.to_json(), section), height)
    path = Path(run)
    file = path / "report.html" if path.is_dir() else path.with_name("report.html")
    if not (path.exists() and file.is_file()):
        raise MisdirectionError(
            f"{run} holds no report.html", "give the folder of a finished run, or what audit() gave"
        )
    if section:
        return Shown(render(read_json(file.with_name("findings.json")), section), height)
    return Shown(file.read_text(encoding="utf-8"), height)


__all__ = ["Model", "Shown", "frame", "load_model", "of", "show"]
