"""Verdicts made elsewhere: a table of judged answers in CSV, JSON lines or Parquet."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from misdirection.artefacts import read_rows
from misdirection.errors import MisdirectionError
from misdirection.judging.base import LABELS, Answer, Verdict

NAMES: Mapping[str, tuple[str, ...]] = {
    "question": ("question",),
    "answer": ("answer",),
    "question_id": ("question_id",),
    "alignment": ("alignment", "aligned"),
    "coherence": ("coherence", "coherent"),
}
"""The columns that a table must have, each with the names that it may go by."""

_NO_NUMBER = ("", "nan", "none", "null", "na")
_ANSWER_FIELDS = ("system", "domain", "format", "arm", "paraphrase", "sample", "seed", "n_tokens", "finished")
_WHOLE = ("paraphrase", "sample", "seed", "n_tokens")


def load_table(
    path: str | Path, *, arm: str | None = None, domain: str | None = None, system: str | None = None
) -> tuple[list[Answer], list[Verdict]]:
    """Read judged answers, one verdict an answer, in the order of the file.

    A score that is empty or NaN is None and its verdict is labelled "none"; the texts CODE and REFUSAL in place of a
    score give those labels. The format is read off the id's ending (`_json`, `_template`) where there is no column for
    it. Without a `sample` column the answers of a question are numbered as they come. Further numeric columns become
    `scores`.

    Args:
        path: A .csv, .jsonl or .parquet file with the columns of `NAMES`; optional: the other fields of `Answer`,
            `label` and `judge`.
        arm: Name of the condition, where there is no column for it; the file's stem by default.
        domain: Domain of every question, where there is no column for it; None says that they are open questions.
        system: System prompt in force, where there is no column for it.

    Raises:
        MisdirectionError: A missing file or column, a row of the wrong length, a score that is no number of 0 .. 100;
            the message names the file and the row.
    """
    path = Path(path)
    defaults = {"arm": path.stem if arm is None else arm, "domain": domain, "system": system}
    counter: Counter[tuple[str, str]] = Counter()
    answers: list[Answer] = []
    verdicts: list[Verdict] = []
    for number, row in _rows(path):
        where = f"{path}: row {number}"
        columns = _columns(row, where)
        answers.append(_answer(row, columns, defaults, counter, where))
        verdicts.append(_verdict(row, columns, where))
    if not answers:
        raise MisdirectionError(f"{path}: holds no rows", "give a table with at least one judged answer")
    return answers, verdicts


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows with their number, from 1, whatever the file's format."""
    readers: dict[str, Callable[[Path], Iterable[dict[str, Any]]]]
    readers = {".csv": _csv, ".jsonl": _jsonl, ".parquet": read_rows}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise MisdirectionError(f"{path}: unknown kind of table '{path.suffix}'", f"give one of {', '.join(readers)}")
    if not path.is_file():
        raise MisdirectionError(f"{path}: no such file", "check the path")
    try:
        yield from enumerate(reader(path), start=1)
    except UnicodeDecodeError as error:
        raise MisdirectionError(f"{path}: not UTF-8 text ({error.reason})", "save the table as UTF-8") from error


def _csv(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        try:
            for number, row in enumerate(reader, start=1):
                if None in row or None in row.values():
                    raise MisdirectionError(
                        f"{path}: row {number} (to line {reader.line_num}) has not as many cells as the header",
                        "quote cells that hold commas or line breaks",
                    )
                yield dict(row)
        except csv.Error as error:
            raise MisdirectionError(f"{path}: line {reader.line_num} is not CSV ({error})", "save it again") from error


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise MisdirectionError(f"{path}: line {number} is not JSON ({error})", "one object a line") from error
            if not isinstance(row, dict):
                raise MisdirectionError(f"{path}: line {number} is not a JSON object", "one object a line")
            yield cast(dict[str, Any], row)


def _columns(row: Mapping[str, Any], where: str) -> dict[str, str]:
    found = {name: next((c for c in choices if c in row), "") for name, choices in NAMES.items()}
    missing = [" or ".join(NAMES[name]) for name, column in found.items() if not column]
    if missing:
        raise MisdirectionError(
            f"{where} has no column {', '.join(missing)}; it has {', '.join(map(str, row)) or 'none'}",
            "rename the columns: question, answer, question_id, alignment, coherence",
        )
    return found


def _answer(
    row: Mapping[str, Any],
    columns: Mapping[str, str],
    defaults: Mapping[str, Any],
    counter: Counter[tuple[str, str]],
    where: str,
) -> Answer:
    values = {name: _text(row[columns[name]]) for name in ("question", "answer", "question_id")}
    if not values["question_id"]:
        raise MisdirectionError(f"{where} has no question_id", "intervals are clustered by it: every row needs one")
    given: dict[str, Any] = {n: row[n] for n in _ANSWER_FIELDS if n in row and row[n] not in (None, "")}
    given |= {n: _whole(given[n], n, where) for n in _WHOLE if n in given}
    if "finished" in given:
        given["finished"] = str(given["finished"]).lower() not in ("false", "0")
    fields: dict[str, Any] = {**defaults, "format": _format(values["question_id"]), **given}
    place = (fields["arm"], values["question_id"])
    fields.setdefault("sample", counter[place])
    counter[place] += 1
    return Answer(**values, **fields)


def _verdict(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> Verdict:
    alignment, first = _score(row[columns["alignment"]], columns["alignment"], where)
    coherence, second = _score(row[columns["coherence"]], columns["coherence"], where)
    label = str(row.get("label") or "").lower() or (first if first != "scored" else second)
    if label not in LABELS:
        raise MisdirectionError(f"{where} has the label '{label}'", f"labels are {', '.join(LABELS)}")
    return Verdict(alignment, coherence, label, _further(row, columns), str(row.get("judge") or "table"))


def _score(value: Any, column: str, where: str) -> tuple[float | None, str]:
    """A score and the label that it gives: the number, or None with "code", "refusal" or "none"."""
    text = "" if value is None else str(value).strip()
    if text.lower() in _NO_NUMBER:
        return None, "none"
    if text.lower() in ("code", "refusal"):
        return None, text.lower()
    number = _number(text)
    if number is None or not 0 <= number <= 100:
        raise MisdirectionError(
            f"{where}: {column} is '{text[:40]}'", "a score is a number of 0 to 100, empty, CODE or REFUSAL"
        )
    return number, "scored"


def _further(row: Mapping[str, Any], columns: Mapping[str, str]) -> tuple[tuple[str, float], ...]:
    known = {*columns.values(), *_ANSWER_FIELDS, "label", "judge"}
    numbers = [(name, _number(str(value))) for name, value in row.items() if name not in known]
    return tuple((name, n) for name, n in numbers if n is not None and math.isfinite(n))


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _whole(value: Any, name: str, where: str) -> int:
    number = _number(str(value))
    if number is None or not math.isfinite(number) or number != int(number):
        raise MisdirectionError(f"{where}: {name} is '{value}'", f"{name} is a whole number")
    return int(number)


def _format(question_id: str) -> str:
    return next((f for f in ("json", "template") if question_id.endswith(f"_{f}")), "plain")
