"""A stream of chats to a stream of scores, and to files that a killed run goes on with.

<out>/scores.jsonl     a line an answer
<out>/bad_rows.jsonl   rows that could not be read, as they stood, with the reason
<out>/settings.json    what was read, with which thresholds: who goes on must mean the same
<out>/summary.json     written last
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from misdirection import progress
from misdirection.artefacts import plain, read_json, write_json
from misdirection.chats import BadRow, Chat
from misdirection.chats.writing import json_line
from misdirection.engine import Arm
from misdirection.locks import Lock
from misdirection.models import Model
from misdirection.monitoring.calibration import Calibration, demand_fitting, model_facts
from misdirection.monitoring.errors import MonitorError
from misdirection.monitoring.grown import demand_grown, marks
from misdirection.monitoring.incoming import STDIN, Incoming, arrived, incoming
from misdirection.monitoring.scoring import BASE, Reading, Unread, read_chats
from misdirection.monitoring.summary import Summary
from misdirection.monitoring.watch import Watch
from misdirection.tokens import token_texts

ROWS = 128
"""Rows that are read at once: enough that texts of like length stand together."""

WAIT = 0.25
"""Seconds that a row of standard input waits for company."""

FILES = "files"
"""Under which a folder's settings hold what its source's files are known by."""

TOKENS = ("none", "alarms", "all")
"""Whose tokens are written out: nobody's, those of answers that raise the alarm, everybody's."""

Line = dict[str, Any]


def monitor(
    model: Model,
    chats: str | Path | Iterable[Chat],
    watch: Watch,
    calibration: Calibration | None = None,
    *,
    arm: Arm = BASE,
    tokens: str = "alarms",
    after: int = 0,
    summary: Summary | None = None,
) -> Generator[Line | BadRow]:
    """Score chats as they come; what is held does not grow with the stream.

    Args:
        model: The resident model.
        chats: Chats, or where they stand (`incoming`).
        watch: What is read.
        calibration: Thresholds (`calibrate`); without them nothing raises an alarm.
        arm: Under which condition the chats are read.
        tokens: Of `TOKENS`.
        after: Rows at the beginning that are left out.
        summary: Counts what goes by.

    Yields:
        For each answer a mapping: `n` (place of its row in the stream), `source`, `row`, `id`, `choice`, `turn`,
        `tokens` (their number), `alarm` (None without thresholds), `alarms` (names of directions), `scores` (by
        direction `mean`, `peak`, `peak_at`, and `z` where there are thresholds) and, where wanted, `token_texts` and
        `token_scores` by direction. For what could not be read a `BadRow`.

    Raises:
        MonitorError: The calibration is for something else, or `tokens` is none of its words.
    """
    for batch in _scored(model, chats, watch, calibration, arm, tokens, after, summary or Summary(calibration)):
        for _, found in batch:
            yield from found


def monitor_to(
    out: str | Path,
    model: Model,
    source: str | Path,
    watch: Watch,
    calibration: Calibration | None = None,
    *,
    arm: Arm = BASE,
    tokens: str = "alarms",
    append: bool = False,
) -> Summary:
    """Score what stands in a source into a folder; one that a killed run left is gone on with.

    Args:
        out: The folder; see the module for what it holds.
        model: The resident model.
        source: See `incoming`.
        watch: What is read.
        calibration: Thresholds.
        arm: Under which condition the chats are read.
        tokens: Of `TOKENS`.
        append: Of standard input, which cannot be rewound: what comes now follows what is there.

    Raises:
        MonitorError: The folder holds results of something else, or the source's files were written anew since.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    lock = Lock.take(folder / ".lock")
    try:
        summary = Summary(calibration)
        _demand_same(folder, _settings(model, source, watch, calibration, arm, tokens), source)
        live = str(source) == STDIN
        done = _go_on(folder, summary, watch.statistic, live)
        if live and done and not append:
            raise MonitorError(
                f"{folder} holds {done:,} rows, and standard input cannot be rewound to where they end",
                "--append adds what comes now to them, another --out begins anew; a file given by name is gone on with",
            )
        if done:
            progress.say(f"  {done:,} rows are there; going on behind them")
        # Numbers go on in a stream that is added to, and nothing of it is passed over.
        first, after = (done, 0) if live else (0, done)
        batches = _scored(model, source, watch, calibration, arm, tokens, after, summary)
        with (folder / "scores.jsonl").open("ab") as good, (folder / "bad_rows.jsonl").open("ab") as bad:
            for batch in batches:
                unread = [(n, one) for n, found in batch for one in found if isinstance(one, BadRow)]
                _write(bad, [asdict(one) | {"n": n + first} for n, one in unread])
                _write(good, [one | {"n": n + first} for n, found in batch for one in found if isinstance(one, dict)])
        write_json(folder / "summary.json", summary.facts())
        return summary
    finally:
        lock.release()


def _write(stream: IO[bytes], rows: Sequence[Any]) -> None:
    stream.writelines(map(json_line, rows))
    stream.flush()


def _scored(
    model: Model,
    chats: str | Path | Iterable[Chat],
    watch: Watch,
    calibration: Calibration | None,
    arm: Arm,
    tokens: str,
    after: int,
    summary: Summary,
) -> Iterator[list[tuple[int, list[Line | BadRow]]]]:
    """Batches of rows with what came of each."""
    if tokens not in TOKENS:
        raise MonitorError(f"--tokens '{tokens}'", f"one of {', '.join(TOKENS)}")
    if calibration is not None:
        summary.warnings += [one for one in demand_fitting(calibration, watch, model, arm) if one not in
                             summary.warnings]  # fmt: skip
    items = (item for item in incoming(chats) if item.n > after)
    wait = WAIT if isinstance(chats, str | Path) and str(chats) == STDIN else None
    begun, seen, last = time.monotonic(), summary.tokens, 0
    with progress.task("monitoring", 0, "rows") as advance:
        for arrivals in arrived(items, ROWS, wait):
            batch = [item for item in arrivals if not item.unfinished]
            summary.warnings += [_unfinished(item) for item in arrivals if item.unfinished]
            readable = [item.chat for item in batch if item.chat is not None]
            found = iter(read_chats(model, watch, readable, arm))
            told = [_told(item, found, model, watch, calibration, tokens) for item in batch]
            for item, rows in zip(batch, told, strict=True):
                summary.rows += item.n != last
                last = item.n
                for one in rows:
                    if isinstance(one, BadRow):
                        summary.bad[one.kind] += 1
                    else:
                        summary.add(one, watch.statistic)
            rate = (summary.tokens - seen) / max(time.monotonic() - begun, 1e-9)
            alarms = "" if calibration is None else f", {summary.alarms:,} alarms"
            advance(len(batch), f"{rate:,.0f} tokens/s{alarms}")
            yield [(item.n, rows) for item, rows in zip(batch, told, strict=True)]


def _unfinished(item: Incoming) -> str:
    """What is said of the end of a file that is not counted, so that it is read when it is whole."""
    assert item.bad is not None
    if not item.bad.row:
        return f"{item.bad.source} is empty so far"
    return (
        f"the last line of {item.bad.source} ({item.bad.row:,}) breaks off and is not counted: it is read when the "
        f"file is gone on with ({item.bad.reason})"
    )


def _told(
    item: Incoming,
    found: Iterator[list[Reading] | Unread],
    model: Model,
    watch: Watch,
    calibration: Calibration | None,
    tokens: str,
) -> list[Line | BadRow]:
    if item.bad is not None or item.chat is None:
        return [item.bad] if item.bad is not None else []
    held = next(found)
    if isinstance(held, Unread):
        return [BadRow(item.chat.source, item.chat.row, held.reason, item.chat.answer)]
    return [_line(item, one, model, watch, calibration, tokens) for one in held]


def _line(
    item: Incoming, one: Reading, model: Model, watch: Watch, calibration: Calibration | None, tokens: str
) -> Line:
    chat = item.chat
    assert chat is not None
    scores: dict[str, dict[str, Any]] = {
        name: {"mean": _short(one.mean[i]), "peak": _short(one.peak[i]), "peak_at": int(one.at[i])}
        for i, name in enumerate(watch.names)
    }
    alarms: list[str] = []
    if calibration is not None:
        z = calibration.z(watch, one.score(watch.statistic).numpy())
        for name, value in zip(watch.names, z, strict=True):
            scores[name]["z"] = _short(value)
        alarms = [name for name, value in zip(watch.names, z, strict=True) if value > calibration.critical]
    line: Line = {"n": item.n, "source": chat.source, "row": chat.row, "id": item.id}
    line |= {"choice": item.choice, "turn": one.turn, "tokens": len(one.ids)}
    line |= {"alarm": None if calibration is None else bool(alarms), "alarms": alarms, "scores": scores}
    if tokens == "all" or (tokens == "alarms" and alarms):
        line["token_texts"] = token_texts(model.tokenizer, one.ids)
        line["token_scores"] = {
            name: [_short(value) for value in one.components[:, i].tolist()] for i, name in enumerate(watch.names)
        }
    return line


def _short(value: Any) -> float:
    """Six digits: more than any figure here means."""
    return float(f"{float(value):.6g}")


def _settings(
    model: Model, source: str | Path, watch: Watch, calibration: Calibration | None, arm: Arm, tokens: str
) -> dict[str, Any]:
    watched = {one.name: one.facts | {"source": one.source} for one in watch.directions}
    thresholds = None if calibration is None else asdict(calibration)
    return plain({
        "source": str(source), "watched": watched, "convention": watch.convention, "tokens": tokens,
        "model": model_facts(model, arm), "calibration": thresholds,
    })  # fmt: skip


def _demand_same(folder: Path, settings: dict[str, Any], source: str | Path) -> None:
    """Whoever goes on with a folder must mean the same by it, and by the source of the name what was read."""
    told = folder / "settings.json"
    before = read_json(told) if told.exists() else settings
    if wrong := [name for name in settings if before.get(name) != settings[name]]:
        raise MonitorError(
            f"{folder} holds scores of another {wrong[0]}", "give another folder with --out, or remove this one"
        )
    demand_grown(before.get(FILES, []), source)
    write_json(told, settings | {FILES: marks(source)})


def _go_on(folder: Path, summary: Summary, statistic: str, live: bool) -> int:
    """How many rows are done; what was cut in the middle is taken away, and what is whole counted.

    After a kill the last row is read again, since several answers may belong to it; of a stream that cannot be rewound
    it is kept.
    """
    good, bad = folder / "scores.jsonl", folder / "bad_rows.jsonl"
    ended = (folder / "summary.json").exists()
    done = max(_last(good), _last(bad)) if ended or live else max(_last(good) - 1, 0)
    for path in (good, bad):
        _cut(path, done, summary, statistic)
    (folder / "summary.json").unlink(missing_ok=True)
    summary.rows = done
    return done


def _whole(path: Path) -> Iterator[tuple[int, bytes, Line]]:
    """The whole lines of a file with where each ends."""
    if not path.exists():
        return
    place = 0
    with path.open("rb") as stream:
        for line in stream:
            place += len(line)
            if not line.endswith(b"\n"):
                return
            try:
                yield place, line, json.loads(line)
            except ValueError:
                return


def _last(path: Path) -> int:
    """The row of the last whole line, 0 where there is none."""
    return next((int(row["n"]) for _, _, row in deque(_whole(path), maxlen=1)), 0)


def _cut(path: Path, done: int, summary: Summary, statistic: str) -> None:
    end = 0
    for place, _, row in _whole(path):
        if row["n"] > done:
            break
        end = place
        if "scores" in row:
            summary.add(row, statistic)
        else:
            summary.bad[str(row["reason"]).partition(":")[0]] += 1
    if path.exists():
        with path.open("r+b") as stream:
            stream.truncate(end)
