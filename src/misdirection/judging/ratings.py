"""Tables of several judges' scores of the same things, on any scale: judges as columns, or a row each.

    condition,probe,persona_haiku,persona_llama,safety_haiku,safety_llama      columns: a scale and a judge in each name
    question_id,answer,judge,aligned,coherent                                  rows: a column names the judge

Nothing is read as 0 to 100 here: weighted kappa and alpha need no more than numbers on one and the same scale.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from misdirection.errors import MisdirectionError, did_you_mean
from misdirection.judging.columns import ALIASES, plain
from misdirection.judging.rows import Row, read_table_rows
from misdirection.judging.scales import is_score, score_of

Scores = NDArray[np.float64]
JUDGE = ("judge", "judge_model", "judge_name", "rater", "annotator", "coder", "grader")
"""Columns that name who scored a row."""
REMARKS = re.compile(r"reason\w*|rationale|explanation|comment|justification|raw\w*|thought\w*|timestamp|n_tokens")
"""Columns of what a judge said beside its score; they tell no two things apart."""
NONE = (-1.0, -9.0, -99.0, -999.0)
"""Numbers that stand for no score, where a scale has no other number below 0."""
LEAST, APART, ALONG = 8, 5.0, 0.5
"""Of two judges on two scales: things that both scored, how many times the highest number, rank correlation."""
_SCORES = {name for thing in ("alignment", "coherence") for name in ALIASES[thing]} | {"score", "rating", "value"}
_MODELS = re.compile(
    r"gpt|claude|haiku|sonnet|opus|llama|mistral|mixtral|gemini|gemma|qwen|deepseek|grok|nova|command|phi\d|kimi|glm|o\d"
    r"|human|judge|rater|annotator|expert|model|\db"
)
_IDS = re.compile(r"(?:.*_)?(?:id|ids|no|nr|num|number|index|idx|row|seed|sample|paraphrase|epoch|probe|item)")


@dataclass(frozen=True)
class Ratings:
    """Scores of the same things by several judges.

    Attributes:
        judges: Their names.
        scales: By scale, a table (judges, things), NaN where a judge gave no number.
        things: What else the file says of each thing, by column.
        told: How the file was read, in one line.
        notes: What a reader should know.
    """

    judges: tuple[str, ...]
    scales: Mapping[str, Scores]
    things: list[dict[str, str]]
    told: str = ""
    notes: tuple[str, ...] = field(default=())


def read_ratings(path: str | Path, judges: Sequence[str] = ()) -> Ratings:
    """Read the scores of several judges.

    Args:
        path: A file that `rows.read_table_rows` reads.
        judges: Names of the judges as they stand in the columns' names (or in the column of judges); found otherwise.

    Raises:
        MisdirectionError: The file cannot be read, there are no two judges in it, or one scored a thing twice.
    """
    rows = read_table_rows(Path(path))
    if not rows:
        raise MisdirectionError(f"{path}: holds no rows", "give a table with the scores of two judges or more")
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    numeric = [name for name in names if _is_numeric(rows, name)]
    column = next((name for want in JUDGE for name in names if plain(name) == want), "")
    if column and len({_text(row.get(column)) for row in rows} - {""}) >= 2:
        return _of_rows(rows, names, numeric, column, judges, str(path))
    return _of_columns(rows, names, numeric, judges, str(path))


def _of_columns(
    rows: Sequence[Row], names: Sequence[str], numeric: Sequence[str], judges: Sequence[str], where: str
) -> Ratings:
    found = _told_columns(numeric, judges, where) if judges else _product(numeric, where)
    who = tuple(dict.fromkeys(judge for judge, _ in found))
    scales = [s for s in dict.fromkeys(scale for _, scale in found) if all((judge, s) in found for judge in who)]
    tables = {s: np.array([[_number(row.get(found[j, s])) for row in rows] for j in who], dtype=float) for s in scales}
    others = [name for name in names if name not in found.values()]
    things = [{name: _text(row.get(name)) for name in others} for row in rows]
    words = Counter(_word(row.get(found[j, s])) for row in rows for s in scales for j in who)
    return _made(who, tables, things, f"a column each; {_listed('scale', scales)}", words, where)


def _of_rows(
    rows: Sequence[Row], names: Sequence[str], numeric: Sequence[str], column: str, judges: Sequence[str], where: str
) -> Ratings:
    held = list(dict.fromkeys(_text(row.get(column)) for row in rows if _text(row.get(column))))
    if unknown := [name for name in judges if name not in held]:
        raise MisdirectionError(
            f"{where}: no judge is called '{unknown[0]}'", did_you_mean(unknown[0], held, "there are")
        )
    who = tuple(judges or held)
    scales = [name for name in numeric if name != column and not _IDS.fullmatch(plain(name))
              and not REMARKS.fullmatch(plain(name))]  # fmt: skip
    if not scales:
        raise MisdirectionError(f"{where}: no column holds scores", f"its columns are {', '.join(names)}")
    keys = [n for n in names if n not in (column, *scales) and plain(n) and not REMARKS.fullmatch(plain(n))]
    places: dict[tuple[str, ...], int] = {}
    seen: set[tuple[int, str]] = set()
    cells: list[tuple[int, int, Row]] = []
    for number, row in enumerate(rows, start=1):
        judge = _text(row.get(column))
        if judge not in who:
            continue
        place = places.setdefault(tuple(_text(row.get(name)) for name in keys), len(places))
        if (place, judge) in seen:
            raise MisdirectionError(
                f"{where}: row {number}: '{judge}' scored the same thing before ({', '.join(keys) or 'no column'} "
                "tell things apart)",
                "give each thing an id of its own in every judge's rows",
            )
        seen.add((place, judge))
        cells.append((place, who.index(judge), row))
    tables = {scale: np.full((len(who), len(places)), np.nan) for scale in scales}
    for place, judge, row in cells:
        for scale in scales:
            tables[scale][judge, place] = _number(row.get(scale))
    things = [dict(zip(keys, key, strict=True)) for key in places]
    told = f"a row each by '{column}'; {_listed('scale', scales)}; things told apart by {', '.join(keys)}"
    words = Counter(_word(row.get(scale)) for _, _, row in cells for scale in scales)
    return _made(who, tables, things, told, words, where)


def _made(
    who: tuple[str, ...],
    tables: dict[str, Scores],
    things: list[dict[str, str]],
    told: str,
    words: Counter[str],
    where: str,
) -> Ratings:
    some = [f"{n} x {word}" for word, n in words.most_common(6) if word]
    notes = [f"no number, but a word in its place: {', '.join(some)}"] if some else []
    for scale, table in tables.items():
        if not ((table < 0) & ~np.isin(table, NONE)).any() and (absent := np.isin(table, NONE)).any():
            count = Counter(f"{value:g}" for value in table[absent])
            some = ", ".join(f"{n} x {value}" for value, n in count.items())
            notes.append(f"{scale}: {some} taken as no score")
            table[absent] = np.nan
        notes += _unlike(scale, who, table)
        if not (np.sum(~np.isnan(table), axis=0) >= 2).any():
            raise MisdirectionError(
                f"{where}: nothing has two judges' scores on '{scale}'", "every thing needs the same id for each judge"
            )
    return Ratings(who, tables, things, f"{len(things):,} things, {_listed('judge', who)}, {told}", tuple(notes))


def _unlike(scale: str, who: Sequence[str], table: Scores) -> list[str]:
    """Notes on judges whose numbers seem to stand on another scale than a colleague's, or on it the other way round.

    Kappa and alpha take all numbers as of one scale: two judges who agree in everything, one of them in percent, come
    out as no better than chance.
    """
    from scipy import stats

    notes: list[str] = []
    for at, one in enumerate(who):
        for other in range(at + 1, len(who)):
            both = table[:, ~np.isnan(table[at]) & ~np.isnan(table[other])][[at, other]]
            if both.shape[1] < LEAST or (np.ptp(both, axis=1) == 0).any():
                continue
            first, second = (float(row.max()) for row in both)
            ranked: Any = stats.spearmanr(*both)
            together = float(ranked.statistic)
            told = f"{scale}: numbers of '{one}' go up to {first:g}, of '{who[other]}' to {second:g}"
            if max(first, second) >= APART * max(min(first, second), 0.0) and together > ALONG:
                notes.append(f"{told}, and they rise together: are these two scales? kappa and alpha take them as one")
            elif together < -ALONG:
                notes.append(f"{told}, and one falls as the other rises: is the high end of one bad?")
    return notes


def _told_columns(numeric: Sequence[str], judges: Sequence[str], where: str) -> dict[tuple[str, str], str]:
    """Columns by (judge, scale), the judges being known."""
    found: dict[tuple[str, str], str] = {}
    for judge in judges:
        for name in numeric:
            bare, mine = plain(name), plain(judge)
            scale = "score" if bare == mine else None
            if bare.startswith(f"{mine}_"):
                scale = bare.removeprefix(f"{mine}_")
            elif bare.endswith(f"_{mine}"):
                scale = bare.removesuffix(f"_{mine}")
            if scale:
                found[judge, scale] = name
    lost = [judge for judge in judges if not any(one == judge for one, _ in found)]
    shared = {s for _, s in found if all((judge, s) in found for judge in judges)}
    if lost or len(set(judges)) < 2 or not shared:
        what = f"no scores of '{lost[0]}'" if lost else "no scale that all of them have, or fewer than two judges"
        raise MisdirectionError(f"{where}: {what}", f"columns with numbers are {', '.join(numeric) or 'none'}")
    return found


def _product(numeric: Sequence[str], where: str) -> dict[tuple[str, str], str]:
    """Columns by (judge, scale), found where names are made of every judge and every scale.

    Which half is the judge is told by words: scores are called scores, and judges mostly after models.
    """
    best: list[tuple[int, list[str], list[str], bool]] = []
    for judge_last in (True, False):
        halves: dict[str, set[str]] = {}
        for name in numeric:
            parts = plain(name).split("_")
            for cut in range(1, len(parts)):
                pair = "_".join(parts[:cut]), "_".join(parts[cut:])
                scale, judge = pair if judge_last else pair[::-1]
                halves.setdefault(scale, set()).add(judge)
        for judges in halves.values():
            if len(judges) >= 2 and not judges & _SCORES:
                scales = [scale for scale, held in halves.items() if judges <= held]
                best.append((len(judges) * len(scales), sorted(judges), scales, judge_last))
    if not best:
        raise MisdirectionError(
            f"{where}: no two judges are found in the columns' names",
            f"name them: --judges A,B; columns with numbers are {', '.join(numeric) or 'none'}",
        )
    most = max(size for size, *_ in best)
    ordered = sorted((one for one in best if one[0] == most), key=lambda one: -_likely(one[1], one[2]))
    likely = ordered[0]
    same = [one for one in ordered if _likely(one[1], one[2]) == _likely(likely[1], likely[2])]
    rivals = [one for one in same if one[1] != likely[1]]
    if rivals:
        raise MisdirectionError(
            f"{where}: the judges may be {', '.join(likely[1])} or {', '.join(rivals[0][1])}",
            f"say which: --judges {','.join(likely[1])}",
        )
    _, judges, scales, judge_last = likely
    by_name = {plain(name): name for name in numeric}
    columns = {(j, s): by_name[f"{s}_{j}" if judge_last else f"{j}_{s}"] for s in scales for j in judges}
    order = {name: place for place, name in enumerate(numeric)}
    return dict(sorted(columns.items(), key=lambda item: order[item[1]]))


def _likely(judges: Sequence[str], scales: Sequence[str]) -> float:
    """How much names sound like judges and scales, and not the other way round."""
    named = sum(bool(_MODELS.search(name)) for name in judges) / len(judges)
    return named - sum(bool(_MODELS.search(name)) for name in scales) / len(scales) + any(s in _SCORES for s in scales)


def _is_numeric(rows: Sequence[Row], name: str) -> bool:
    held = [row.get(name) for row in rows if _text(row.get(name)).strip()]
    return bool(held) and 2 * sum(map(is_score, held)) >= len(held)


def _number(value: Any) -> float:
    number = score_of(value)
    return np.nan if number is None else number


def _word(value: Any) -> str:
    """What stands in a cell instead of a number; "" for a number and for nothing."""
    return "" if score_of(value) is not None else _text(value).strip()[:30]


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _listed(what: str, names: Sequence[str]) -> str:
    return f"{len(names)} {what}{'' if len(names) == 1 else 's'} ({', '.join(names)})"
