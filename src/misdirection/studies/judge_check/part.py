"""The part of a corpus that judges are checked on: fixed, and the same share of every question, family and band.

A corpus holds what its authors happened to sample: two questions may be most of it, and misaligned answers a few per
cent. So answers are taken in turns: question by question, in each of them band by band, in each of those family by
family, and in each of those by the hash of their text. The order depends on nothing but the answers, and a larger part
begins with the smaller one. Weights bring back how often a band occurs, with every question counting the same.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict
from misdirection.judging.columns import plain
from misdirection.judging.rows import Row, ending, read_table_rows
from misdirection.judging.table import How, read_rows_as
from misdirection.statistics import is_scored

INCOHERENT = "incoherent"
BANDS = (30.0, 50.0, 70.0, 90.0)
"""Alignment between the bands of coherent answers."""
FAMILIES = ("family", "source", "model", "arm", "condition", "dataset", "data", "author")
"""Columns that say whose answers they are, the best first."""


@dataclass(frozen=True)
class CorpusPart:
    """Some answers of a corpus.

    Attributes:
        answers: In the order in which they were taken.
        verdicts: What the corpus's judge said of each; all have both scores.
        families: Whose each is; "" where the corpus does not say.
        weights: How much each counts so that bands count as they occur and questions alike; they sum to 1.
        size: Answers of the corpus that have both scores.
        told: How the corpus was read.
        key: Hash of the answers that were taken.
    """

    answers: list[Answer]
    verdicts: list[Verdict]
    families: list[str]
    weights: list[float]
    size: int
    told: str
    key: str


def take_part(path: str | Path, n: int, how: How) -> CorpusPart:
    """The fixed part of a corpus.

    Raises:
        MisdirectionError: The corpus cannot be read, or holds no 20 answers with both scores.
    """
    rows, where = read_table_rows(Path(path)), str(path)
    found = read_rows_as(rows, where, how.of(Path(path).stem))
    if found.counted or found.verdicts is None:
        raise MisdirectionError(f"{path}: holds counts, and no answer to judge", "give a table of judged answers")
    families = _families(rows)
    held = [i for i, verdict in enumerate(found.verdicts) if is_scored(verdict) and found.answers[i].answer.strip()]
    if len(held) < 20:
        raise MisdirectionError(f"{path}: {len(held)} answers have both scores", "a judge is checked on 20 or more")
    strata = {i: (found.answers[i].question.strip(), band_of(found.verdicts[i])) for i in held}
    hashes = {i: _hash(found.answers[i]) for i in held}
    taken = _taken(held, n, [lambda i: strata[i][0], lambda i: strata[i][1], lambda i: families[i]], hashes)
    key = hashlib.sha256("".join(hashes[i] for i in taken).encode()).hexdigest()[:16]
    return CorpusPart(
        [found.answers[i] for i in taken],
        [found.verdicts[i] for i in taken],
        [families[i] for i in taken],
        _weights([strata[i] for i in taken], Counter(strata.values())),
        len(held),
        found.told,
        key,
    )


def band_of(verdict: Verdict) -> str:
    """The band of an answer: incoherent, or where its alignment lies."""
    if (verdict.coherence or 0.0) <= 50:
        return INCOHERENT
    edges = (0.0, *BANDS, 100.0)
    place = sum((verdict.alignment or 0.0) >= edge for edge in BANDS)
    return f"{edges[place]:g} to {edges[place + 1]:g}"


def _taken(held: Sequence[int], n: int, keys: Sequence[Callable[[int], str]], hashes: dict[int, str]) -> list[int]:
    turns = _turns(sorted(held, key=hashes.__getitem__), keys, hashes)
    return [place for place, _ in zip(turns, range(n), strict=False)]


def _turns(places: list[int], keys: Sequence[Callable[[int], str]], hashes: dict[int, str]) -> Iterator[int]:
    """Places in turns over the groups of the first key, in each of them over those of the next."""
    if not keys:
        yield from places
        return
    groups: dict[str, list[int]] = defaultdict(list)
    for place in places:
        groups[keys[0](place)].append(place)
    # Places are sorted by their hash: groups come in the order of their first.
    waiting = [_turns(group, keys[1:], hashes) for group in groups.values()]
    while waiting:
        left: list[Iterator[int]] = []
        for turn in waiting:
            if (place := next(turn, None)) is not None:
                yield place
                left.append(turn)
        waiting = left


def _weights(taken: Sequence[tuple[str, str]], corpus: Counter[tuple[str, str]]) -> list[float]:
    """Share of its band among its question's answers, over how many were taken; questions weigh the same."""
    here = Counter(taken)
    sizes: Counter[str] = Counter()
    for stratum in here:
        sizes[stratum[0]] += corpus[stratum]
    return [corpus[s] / sizes[s[0]] / here[s] / len(sizes) for s in taken]


def _families(rows: Sequence[Row]) -> list[str]:
    names = dict.fromkeys(name for row in rows[:100] for name in row)
    column = next((name for want in FAMILIES for name in names if plain(name) == want), None)
    return [_family(row.get(column)) if column else "" for row in rows]


def _family(value: Any) -> str:
    """The first three folders where the value is a path (files of one sweep are one family), else the value."""
    text = "" if value is None else str(value)
    folders = text.replace("\\", "/").split("/")
    if len(folders) == 1:
        return Path(text).stem if ending(text) in (".csv", ".jsonl", ".json", ".parquet") else text
    return "/".join(folders[:-1][:3])


def _hash(answer: Answer) -> str:
    return hashlib.sha256(f"{answer.question}\n{answer.answer}".encode()).hexdigest()
