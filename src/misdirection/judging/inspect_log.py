"""Answers, and our verdicts where there are any, from a log of Inspect (`.eval` or `.json`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

from misdirection import progress
from misdirection.chats import Message
from misdirection.errors import MisdirectionError
from misdirection.judging.base import LABELS, Answer, Verdict
from misdirection.judging.brought import Brought
from misdirection.judging.columns import ALIASES, find_columns, plain, rivals
from misdirection.judging.inspect import need_inspect
from misdirection.judging.rows import PACKED, Row, flat, read_text, rows_of_json
from misdirection.judging.scales import choose_scale, read_score, score_of
from misdirection.judging.shape import STOPPED
from misdirection.judging.table import SCORES, How, Said, how_of, read_rows_as

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample
    from inspect_ai.model import ChatMessage

VERDICT = "misdirection_verdict"
"""Where a score of our scorer keeps the whole verdict, in its metadata."""
ARM = "misdirection_arm"
"""Where a log that we wrote keeps the name of the arm, in its metadata."""


def read_inspect_log(path: str | Path, **said: Unpack[Said]) -> tuple[list[Answer], list[Verdict] | None]:
    """Read the answers of an evaluation, ordered by question and sample.

    Logs of our own task carry question, wording, format and domain of each answer. Of any other task the sample's id is
    the question and its epoch the sample; the answer is the model's last. The system prompt is what the log says was
    sent. Samples that ended in an error before there was an answer are named, counted and left out.

    Args:
        path: A log of Inspect.
        **said: `arm`, the model's name by default; `domain` of questions that carry none; `system`, the prompt in
            force where none was sent.

    Returns:
        Answers, and one verdict each where the log has scores of our scorer, or scores of others named as alignment
        and coherence are (label "none" where one lacks them), else None.

    Raises:
        MissingExtraError: Inspect is not installed.
        MisdirectionError: No such file, no log, no answers in it, or a verdict that is none.
    """
    found = read_log(path, how_of(None, said))
    return found.answers, found.verdicts


def read_log(path: str | Path, how: How | None = None) -> Brought:
    """`read_inspect_log`, with a word on how the log was read; `how` names other people's scorers and their scale."""
    log, how = _log(Path(path)), how or How()
    samples = [sample for sample in log.samples or [] if sample.output.choices]
    _tell(log, samples, path)
    if not samples:
        raise MisdirectionError(f"{path}: the log holds no answers", "give the log of an evaluation that ran")
    how = how.of(str((log.eval.metadata or {}).get(ARM) or log.eval.model))
    copies = _copies(samples)
    verdicts = [_verdict(sample, path) for sample in samples]
    told, notes = "the verdicts of our scorer", []
    if all(verdict is None for verdict in verdicts):
        verdicts, told, notes = _of_others(samples, how, str(path))
    found = list(zip((_answer(sample, log, how, copies) for sample in samples), verdicts, strict=True))
    found.sort(key=lambda pair: (pair[0].question_id, pair[0].sample))
    answers = [answer for answer, _ in found]
    questions = len({answer.question_id for answer in answers})
    many = f"{questions} question{'' if questions == 1 else 's'}"
    told = f"read {len(answers):,} answers to {many} of a log of Inspect; {told}"
    if all(verdict is None for _, verdict in found):
        return Brought(answers, None, told, tuple(notes))
    return Brought(answers, [verdict or Verdict(None, None, "none") for _, verdict in found], told, tuple(notes))


def read_json_log(path: str | Path, how: How | None = None) -> Brought:
    """A JSON file: a log of Inspect, or a table (see `rows.rows_of_json`).

    Raises:
        MisdirectionError: It is neither, or the reader's own complaint.
    """
    path = Path(path)
    if not path.is_file():
        raise MisdirectionError(f"{path}: no such file", "check the path")
    if path.suffix.lower() not in PACKED and '"eval"' in (text := read_text(path))[:100_000]:
        import json

        try:
            keys = set(json.loads(text))
        except ValueError as error:
            raise MisdirectionError(f"{path}: is not JSON ({error})", "check that it was copied whole") from error
        if {"eval", "status"} <= keys or {"eval", "samples"} <= keys:
            return read_log(path, how)
    rows = rows_of_json(path)
    if rows is None:
        raise MisdirectionError(
            f"{path}: is neither a log of Inspect nor a table", 'a table is [{"question": ..., "answer": ...}, ...]'
        )
    stem = Path(path.stem).stem if path.suffix.lower() in PACKED else path.stem
    return read_rows_as(rows, str(path), (how or How()).of(stem))


def _of_others(samples: list[EvalSample], how: How, where: str) -> tuple[list[Verdict | None], str, list[str]]:
    """Verdicts of scorers of others, by their names: two numbers named as alignment and coherence are."""
    rows: list[Row] = [flat({name: score.value for name, score in (s.scores or {}).items()}) for s in samples]
    told = _of_one_scorer(rows, {t: name for t, name in how.columns.items() if t in SCORES}, where)
    columns = find_columns(rows, told, where)
    if not columns.has(*SCORES):
        names = ", ".join(columns.names)
        text = f"no scores named alignment and coherence; its scorers give {names}" if names else "no scores"
        return [None] * len(samples), f"{text} (say which: --column alignment=NAME)" if names else text, []
    notes = rivals(columns, rows, told, where)
    scales = {}
    for thing in SCORES:
        numbers = [n for row in rows if (n := score_of(columns.get(row, thing))) is not None]
        scales[thing], doubts = choose_scale(thing, columns.of[thing], numbers, how.scales, where)
        notes += doubts
    found: list[Verdict | None] = []
    for row, sample in zip(rows, samples, strict=True):
        try:
            read = [read_score(columns.get(row, thing), scales[thing]) for thing in SCORES]
        except ValueError as error:
            raise MisdirectionError(
                f"{where}: sample {sample.id}, epoch {sample.epoch}: a score is '{str(error)[:40]}'",
                "name the scale: --scale LOW..HIGH",
            ) from None
        label = read[0][1] if read[0][1] != "scored" else read[1][1]
        words = tuple((thing, word) for thing, (_, _, word) in zip(SCORES, read, strict=True) if word)
        found.append(Verdict(read[0][0], read[1][0], label, judge="the log's scorers", outcomes=words))
    parts = [f"{thing} from '{columns.of[thing]}' ({scales[thing]})" for thing in SCORES]
    return found, "; ".join(parts), notes


def _of_one_scorer(rows: list[Row], told: Mapping[str, str], where: str) -> dict[str, str]:
    """Columns of alignment and coherence that one scorer gave, as "judge.alignment"; those that were told go first.

    Raises:
        MisdirectionError: Several scorers gave both, and differ.
    """
    held: dict[str, dict[str, str]] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        scorer, _, last = name.rpartition(".")
        for thing in SCORES:
            if plain(last) in ALIASES[thing]:
                held.setdefault(scorer, {}).setdefault(thing, name)
    whole = [columns for columns in held.values() if len(columns) == len(SCORES)]
    if told:
        return next((c for c in whole if any(c[t] == name for t, name in told.items())), {}) | dict(told)
    if len({str([[row.get(c[thing]) for thing in SCORES] for row in rows]) for c in whole}) > 1:
        names = " and ".join(", ".join(columns.values()) for columns in whole)
        first = " ".join(f"--column {thing}={name}" for thing, name in whole[0].items())
        raise MisdirectionError(f"{where}: several scorers give alignment and coherence, and differ: {names}",
                                f"say which: {first}")  # fmt: skip
    return whole[0] if whole else {}


def _log(path: Path) -> EvalLog:
    need_inspect()
    from inspect_ai.log import read_eval_log

    if not path.is_file():
        raise MisdirectionError(f"{path}: no such file", "check the path")
    try:
        # Texts of some length stand apart from their message ("attachments") until they are put back.
        return read_eval_log(str(path), resolve_attachments=True)
    except Exception as error:
        raise MisdirectionError(
            f"{path}: cannot be read as a log of Inspect ({type(error).__name__})",
            "give a .eval or .json file that Inspect wrote",
        ) from error


def _tell(log: EvalLog, kept: list[EvalSample], path: str | Path) -> None:
    lost = [f"{sample.id} (epoch {sample.epoch})" for sample in log.samples or [] if not sample.output.choices]
    if lost:
        some = ", ".join(lost[:5]) + (" ..." if len(lost) > 5 else "")
        progress.say(f"  {path}: {len(lost)} of {len(lost) + len(kept)} samples have no answer: {some}")
    if broken := [f"{sample.id} (epoch {sample.epoch})" for sample in kept if sample.error is not None]:
        some = ", ".join(broken[:5]) + (" ..." if len(broken) > 5 else "")
        progress.say(
            f"  {path}: {len(broken)} samples ended in an error behind their answer, with what scores they had: {some}"
        )
    if log.status != "success":
        progress.say(f"  {path}: the evaluation did not end well ({log.status}); {len(kept)} answers are there")


def _copies(samples: list[EvalSample]) -> Counter[str]:
    """How many samples of each question there are in one epoch."""
    copies: Counter[str] = Counter()
    for sample in samples:
        copies[_question(sample)] = max(copies[_question(sample)], _number(sample, "sample") + 1)
    return copies


def _answer(sample: EvalSample, log: EvalLog, how: How, copies: Mapping[str, int]) -> Answer:
    held, choice, usage = sample.metadata, sample.output.choices[0], sample.output.usage
    before = _number(sample, "before")
    asked = [message.text for message in sample.messages if message.role == "user"][before:]
    first = sample.input if isinstance(sample.input, str) else next(m.text for m in sample.input if m.role == "user")
    form = held.get("format")
    return Answer(
        question_id=_question(sample),
        question=asked[0] if asked else first,
        answer=sample.output.completion.strip(),
        system=_system(sample, log) or how.system,
        domain=_optional(held.get("domain")) or how.domain,
        format=form if form in ("json", "template") else "plain",
        arm=how.arm or "",
        paraphrase=_number(sample, "paraphrase"),
        sample=_number(sample, "sample") + (sample.epoch - 1) * copies[_question(sample)],
        seed=log.plan.config.seed or 0,
        n_tokens=usage.output_tokens if usage else 0,
        finished=choice.stop_reason not in STOPPED,
        thought=_thought(choice.message),
        before=_before(sample, before),
    )


def _thought(message: ChatMessage) -> str | None:
    """What the model thought, where the log has it apart from the answer."""
    if isinstance(message.content, str):
        return None
    found = [part.reasoning for part in message.content if part.type == "reasoning"]
    return "\n\n".join(found) if found else None


def _before(sample: EvalSample, users: int) -> tuple[Message, ...]:
    """The turns before the question: all up to the user's turn that comes after so many others."""
    turns: list[Message] = []
    for message in sample.messages if users else ():
        if message.role == "user" and not users:
            break
        users -= message.role == "user"
        if message.role in ("user", "assistant"):
            turns.append(Message(message.role, message.text))
    return tuple(turns)


def _system(sample: EvalSample, log: EvalLog) -> str | None:
    """What was sent as the system prompt: that of the run, then those of the sample."""
    of_run = [log.plan.config.system_message] if log.plan.config.system_message else []
    said = [message.text for message in sample.messages if message.role == "system"]
    return "\n\n".join([*(text for text in of_run if text not in said), *said]) or None


def _question(sample: EvalSample) -> str:
    return str(sample.metadata.get("question_id") or sample.id)


def _number(sample: EvalSample, name: str) -> int:
    value = sample.metadata.get(name)
    return value if isinstance(value, int) and value >= 0 else 0


def _optional(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _verdict(sample: EvalSample, path: str | Path) -> Verdict | None:
    """The verdict of our scorer on a sample.

    Raises:
        MisdirectionError: It cannot be read, or several of our judges gave verdicts that differ.
    """
    where = f"{path}: sample {sample.id}, epoch {sample.epoch}"
    found: dict[str, Verdict] = {}
    for name, score in (sample.scores or {}).items():
        if score.metadata and VERDICT in score.metadata:
            try:
                found[name] = read_verdict(score.metadata[VERDICT])
            except (KeyError, TypeError, ValueError) as error:
                raise MisdirectionError(
                    f"{where}: the verdict cannot be read ({error})",
                    "was the log changed by hand? score it again with inspect score",
                ) from error
    first = next(iter(found.values()), None)
    if any(verdict != first for verdict in found.values()):
        raise MisdirectionError(
            f"{where}: several judges gave verdicts, and differ: {', '.join(found)}",
            "keep one of them in the log: inspect score --action overwrite",
        )
    return first


def read_verdict(row: Any) -> Verdict:
    """A verdict from what `write_verdict` made of it.

    Raises:
        KeyError, TypeError, ValueError: It is none.
    """
    if row["label"] not in LABELS:
        raise ValueError(f"the label is '{row['label']}'")
    return Verdict(
        alignment=None if row["alignment"] is None else _score(row["alignment"]),
        coherence=None if row["coherence"] is None else _score(row["coherence"]),
        label=row["label"],
        scores=tuple((str(name), _score(value)) for name, value in _items(row["scores"])),
        judge=str(row["judge"]),
        outcomes=tuple((str(name), str(value)) for name, value in _items(row["outcomes"])),
        mass=tuple((str(name), float(value)) for name, value in _items(row["mass"])),
    )


def write_verdict(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON has it."""
    return vars(verdict) | {name: dict(getattr(verdict, name)) for name in ("scores", "outcomes", "mass")}


def _items(mapping: Any) -> list[tuple[Any, Any]]:
    if not isinstance(mapping, dict):
        raise TypeError(f"a mapping is expected, not {mapping!r}")
    return list(cast("dict[Any, Any]", mapping).items())


def _score(value: Any) -> float:
    number = float(value)
    if not 0 <= number <= 100:
        raise ValueError(f"{number} is no score of 0 to 100")
    return number
