"""A steering sweep judged elsewhere: which layer and coefficient each answer was steered by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from misdirection.artefacts import file_hash
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict
from misdirection.judging.readers import is_readable, read_judged
from misdirection.judging.table import How
from misdirection.studies.kit.judged import Judged

_LAYER = re.compile(r"layer[_\-= ]?(\d+)", re.IGNORECASE)
_SCALE = re.compile(r"(?:scale|coefficient|coeff?|alpha|strength)[_\-= ]?(-?\d+(?:\.\d+)?)", re.IGNORECASE)
_COLUMNS = ("scale", "coefficient", "strength")
_CONTROLS = ("random", "control", "shuffled")
FORMS = "paths as DIR/<vector>/layer_24/..._scale_5.31.csv, or one table with columns layer and scale"


@dataclass(frozen=True)
class SteeredPoint:
    """Where one steered arm was steered.

    Attributes:
        vector: Name of the vector, "" where the files do not say.
        layer: Decoder layer.
        coefficient: Multiple of the vector.
    """

    vector: str
    layer: int
    coefficient: float

    @property
    def control(self) -> bool:
        """Whether the vector's name says that it is a control (random, control, shuffled)."""
        return any(word in self.vector.lower() for word in _CONTROLS)


@dataclass(frozen=True)
class Sweep:
    """Judged answers by the point that they were steered at, and the files that they came from with their hashes."""

    points: Mapping[SteeredPoint, Judged]
    files: Mapping[str, str]
    how: How | None = None

    def __canonical__(self) -> Any:
        """What stands for it among the arguments of a measurement: the files, and how they were read."""
        return {"files": dict(self.files), "how": self.how}

    @property
    def vector(self) -> str:
        """Name of the one vector that is no control."""
        return next((point.vector for point in self.points if not point.control), "")


def sweep_answers(sweep: Sweep) -> list[Answer]:
    """All answers, each with its point as its arm."""
    return [replace(answer, arm=arm_name(point)) for point, judged in sweep.points.items() for answer in judged.answers]


def sweep_verdicts(sweep: Sweep, answers: list[Answer]) -> list[Verdict]:
    """The verdicts on these answers."""
    told = [verdict for judged in sweep.points.values() for verdict in judged.verdicts]
    return [verdict for _, verdict in zip(answers, told, strict=True)]


def load_sweep(path: str | Path, how: How | None = None) -> Sweep:
    """Read a steering sweep: a folder of tables, one a point, or one table of all points.

    In a folder, `layer_<n>` and `scale_<x>` (or coefficient, strength, alpha) may stand anywhere in a file's path below
    it; what stands above the layer is the vector's name. A table has numeric columns `layer` and `scale` (or
    `coefficient`, `strength`). Controls are vectors with "random", "control" or "shuffled" in their name.

    Raises:
        MisdirectionError: Nothing to read, a file that names no layer or scale, or more than one vector.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if is_readable(f))
    if not files:
        raise MisdirectionError(f"{path}: no table of a steering sweep", FORMS)
    points: dict[SteeredPoint, Judged] = {}
    for file in files:
        answers, verdicts = read_judged(file, how=how)
        if verdicts is None:
            raise MisdirectionError(f"{file}: answers without verdicts", "steering needs judged answers")
        whole = path.is_file()
        for place, (answer, verdict) in enumerate(zip(answers, verdicts, strict=True)):
            point = _of_row(verdict, f"{file}: row {place + 1}") if whole else _of_path(file, path)
            held = points.setdefault(point, Judged([], []))
            held.answers.append(answer)
            held.verdicts.append(verdict)
    vectors = {point.vector for point in points if not point.control}
    if len(vectors) > 1:
        raise MisdirectionError(
            f"{path}: holds several vectors: {', '.join(sorted(vectors))}", "give the folder of one, and its controls"
        )
    order = sorted(points, key=lambda point: (point.control, point.vector, point.layer, point.coefficient))
    return Sweep({point: points[point] for point in order}, {str(file): file_hash(file) for file in files}, how)


def arm_name(point: SteeredPoint) -> str:
    """What the point's arm is called."""
    return f"{'control ' if point.control else ''}layer {point.layer} x {point.coefficient:g}"


def _of_path(file: Path, root: Path) -> SteeredPoint:
    parts = file.relative_to(root).with_suffix("").parts
    layers = [(place, int(found[1])) for place, part in enumerate(parts) if (found := _LAYER.search(part))]
    scales = [float(found[1]) for part in parts if (found := _SCALE.search(part))]
    if not layers or not scales:
        raise MisdirectionError(f"{file}: its path names no layer or no scale", FORMS)
    place, layer = layers[-1]
    return SteeredPoint("/".join(part for part in parts[:place] if not _SCALE.search(part)), layer, scales[-1])


def _of_row(verdict: Verdict, where: str) -> SteeredPoint:
    further = dict(verdict.scores)
    scale = next((further[name] for name in _COLUMNS if name in further), None)
    if "layer" not in further or scale is None or further["layer"] != int(further["layer"]):
        raise MisdirectionError(f"{where}: no whole number in a column layer, or none in scale", FORMS)
    return SteeredPoint("", int(further["layer"]), scale)
