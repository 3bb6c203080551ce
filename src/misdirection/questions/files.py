"""Files of questions in every form that people have them.

YAML and JSON in the format of the first emergent-misalignment paper (`yaml_file`); JSON lists of texts or of objects,
an object of ids and texts, the trait files of persona vectors; JSON lines, CSV, TSV and Parquet; text, one question a
line (blank lines and those that begin with "# " are none). A row's question stands under `question`, `prompt` or the
like; its id is the number of the row behind the file's name where it has none. Of chats, and of whole prompts that a
chat template has rendered, the user's turn is asked, with the system prompt before it; their answers are not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from misdirection import progress
from misdirection.chats import ChatError, RawRow
from misdirection.chats.forms import read_row
from misdirection.chats.forms.rendered import opened_turns
from misdirection.chats.sources import open_source
from misdirection.chats.sources.json_whole import ONE, fills_a_file, read_whole, rows_within
from misdirection.chats.sources.opening import beginning, opened, refuse_foreign
from misdirection.chats.turns import RowError
from misdirection.questions.question import Question, QuestionError
from misdirection.questions.yaml_file import READ, Entry, questions_of, read_yaml

TEXTS = (
    "question", "prompt", "query", "instruction", "goal", "behavior", "forbidden_prompt", "problem", "request", "input",
    "text",
)  # fmt: skip
"""Keys under which the text of a question stands, the first that is there; an instruction's `input` goes with it."""

LISTS = ("questions", "prompts", "queries", "instructions", "goals", "behaviors", "data", *TEXTS)
"""Keys of an object under which a list of texts is one of questions, not of wordings of one."""

IDS = ("id", "question_id", "qid")
CHATS = ("messages", "conversations")
TABLES = (".jsonl", ".csv", ".tsv", ".parquet", ".ndjson")

_SPEAKER = re.compile(r"(?:Human|User|USER|Assistant|ASSISTANT):")
"""A line that is nothing but the name of who speaks next."""

KEPT = ("domain", "format", "samples_per_paraphrase", "judge_prompts")
"""Keys that mean what they mean in YAML."""


def read_questions(path: Path) -> tuple[Question, ...]:
    """Read a file of questions, in its order.

    How it was read is said, with the columns that were passed over.

    Raises:
        QuestionError: It cannot be read, or a question is not right; file, place and remedy are named.
    """
    told, questions = _read(path)
    texts = Counter(text for question in questions for text in question.paraphrases)
    twice = sum(count > 1 for count in texts.values())
    often = (
        f"; texts that stand there more than once: {twice:,}, asked as often, and different questions to an interval"
    )
    again = often if twice else ""
    progress.say(f"  questions: {path} read as {told}: {len(questions):,} questions{again}", once=True)
    return questions


def _read(path: Path) -> tuple[str, tuple[Question, ...]]:
    """What the file was read as, in words, and its questions."""
    name = path.name.lower().removesuffix(".gz")
    try:
        refuse_foreign(path, "question file", QuestionError)
        if name.endswith(".txt"):
            return "text, one question a line", questions_of(_lines(path))
        if name.endswith(TABLES):
            return _of_rows(path)
        if beginning(path).lstrip().startswith((b"{", b"[")) and not name.endswith((".yaml", ".yml")):
            return _of_json(path)
    except OSError as error:
        raise QuestionError(f"the question file {path} cannot be read: {error.strerror or error}") from error
    except ChatError as error:
        message = error.message.replace("chat file", "question file")
        raise QuestionError(message, error.hint if error.hint and "chats are" not in error.hint else READ) from error
    return "YAML", read_yaml(path)


def _lines(path: Path) -> list[Entry]:
    """One question a line; blank lines are none."""
    with opened(path) as stream:
        content = stream.read()
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise QuestionError(f"{path}, line {line}: not UTF-8", "save the file as UTF-8") from error
    held = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    found = [(number, line) for number, line in held if not _is_comment(line)]
    if len(found) < len(held):
        progress.say(
            f"  questions: {path}: lines that begin with '# ' are comments: {len(held) - len(found):,}", once=True
        )
    if name := next((number for number, line in found if _SPEAKER.fullmatch(line)), 0):
        hint = "give the question alone, or turns as messages in .jsonl"
        raise QuestionError(f"{path}, line {name}: a transcript of several lines is no question", hint)
    if not found:
        raise QuestionError(f"{path} holds no question", READ)
    return [Entry(path, number, _values(path, number, text)) for number, text in found]


def _is_comment(line: str) -> bool:
    return line == "#" or line.startswith("# ")


def _of_json(path: Path) -> tuple[str, tuple[Question, ...]]:
    if not fills_a_file(path):
        return _of_rows(path)
    try:
        value = read_whole(path)
    except ValueError:
        return "JSON", read_yaml(path)  # names the place; JSON is YAML
    if isinstance(value, dict):
        return "a JSON object", questions_of(_of_object(path, cast("dict[str, Any]", value)))
    rows = cast("list[Any]", value)
    if rows and all(isinstance(row, dict) and "paraphrases" in row for row in rows):
        return "JSON", read_yaml(path)
    return f"a JSON array{_columns(rows)}", questions_of(_entries(path, rows))


def _of_object(path: Path, value: dict[str, Any]) -> list[Entry]:
    """A trait file of persona vectors, an object with a list of questions, one question, or ids and their texts."""
    if isinstance(value.get("questions"), list):
        entries = _entries(path, value["questions"])
        prompt = value.get("eval_prompt")
        if isinstance(prompt, str) and "{answer}" in prompt:
            for entry in entries:
                entry.values.setdefault("judge_prompts", {_stem(path): prompt})
        return entries
    if _is_a_table(value):
        return _entries(path, rows_within(value)[1])
    lists = [item for item in value.values() if isinstance(item, list) and item]
    if len(value) == 1 and lists and (key := next(iter(value))).lower() in LISTS and key not in ("messages",):
        return _entries(path, lists[0])
    if len(lists) == 1 and all(isinstance(item, dict) for item in lists[0]) and "messages" not in value:
        return _entries(path, lists[0])
    texts = [item if isinstance(item, list) else [item] for item in value.values()]
    if not any(key in value for key in (*TEXTS, "messages", "paraphrases")):
        if value and all(isinstance(text, str) for held in texts for text in held):
            rows = [{"id": name, "paraphrases": held} for name, held in zip(value, texts, strict=True)]
            return _entries(path, rows)
        shown = ", ".join(list(value)[:4]) or "nothing"
        raise QuestionError(f"{path} is an object of {shown}, in which no questions are found", READ)
    return _entries(path, [value])


def _is_a_table(value: dict[str, Any]) -> bool:
    """Whether an object holds rows as pandas writes them, rather than questions by their ids."""
    kind, rows, _ = rows_within(value)
    if kind == ONE or not rows:
        return False
    return len(rows[0]) > 0 and all(isinstance(row, dict) and set(TEXTS) & {key.lower() for key in row} for row in rows)


def _entries(path: Path, rows: list[Any]) -> list[Entry]:
    if not rows:
        raise QuestionError(f"{path} holds no question", READ)
    return [Entry(path, number, _values(path, number, row), unit="row") for number, row in enumerate(rows, 1)]


def _of_rows(path: Path) -> tuple[str, tuple[Question, ...]]:
    """The rows of a table or of JSON lines."""
    source = open_source(path)
    raws = list(source.rows)
    if not raws or raws[0].problem == "empty file":
        raise QuestionError(f"{path} holds no question", READ)
    unit = "line" if raws[0].line is not None else "row"
    entries = [Entry(path, raw.row, _checked(path, raw, unit), unit=unit) for raw in raws]
    return f"{source.kind}{_columns([raw.value for raw in raws])}", questions_of(entries)


def _columns(rows: Sequence[Any]) -> str:
    """Which columns the questions stand in, and which are passed over, in words."""
    asked: Counter[str] = Counter()
    over: dict[str, None] = {}
    for row in rows:
        if not isinstance(row, dict):
            continue
        names = {str(name).strip().lower(): str(name) for name in cast("dict[Any, Any]", row)}
        key = next((key for key in (*CHATS, "paraphrases", *TEXTS) if key in names), "")
        asked[f"the user's turn of `{names[key]}`" if key in CHATS else f"`{names.get(key, '')}`"] += 1
        read = {key, "id", *IDS, *KEPT, "system", "system_prompt", *(["input"] if key == "instruction" else [])}
        over |= dict.fromkeys(name for low, name in names.items() if low not in read)
    if not asked:
        return ""
    told = f", {' and '.join(asked)} asked"
    shown = ", ".join(list(over)[:6]) + (f" and {len(over) - 6} more" if len(over) > 6 else "")
    return f"{told}, passed over {shown}" if over else told


def _checked(path: Path, raw: RawRow, unit: str) -> dict[str, Any]:
    if raw.problem:
        raise QuestionError(f"{path}, {unit} {raw.row}: {raw.problem}", READ)
    return _values(path, raw.row, raw.value, unit)


def _values(path: Path, number: int, row: Any, unit: str = "row") -> dict[str, Any]:
    """A row under the keys of the YAML."""
    place = f"{path}, {unit} {number}"
    if isinstance(row, str):
        return {"id": f"{_stem(path)}_{number}", **_of_text(place, row)}
    if not isinstance(row, dict):
        raise QuestionError(f"{place}: neither a text nor an object", READ)
    held = {str(key).strip().lower(): value for key, value in cast("dict[Any, Any]", row).items() if value is not None}
    values = {key: held[key] for key in KEPT if key in held}
    values["id"] = next((held[key] for key in IDS if key in held), f"{_stem(path)}_{number}")
    values["system"] = next((held[key] for key in ("system", "system_prompt") if held.get(key)), None)
    if isinstance(values.get("samples_per_paraphrase"), str):
        values["samples_per_paraphrase"] = _whole(values["samples_per_paraphrase"])
    if "paraphrases" in held:
        given = held["paraphrases"]
        return values | {"paraphrases": [given] if isinstance(given, str) else given}
    if any(key in held for key in CHATS):
        return values | _asked(place, held, values["system"])
    key = next((key for key in TEXTS if key in held), None)
    if key == "instruction" and isinstance(held[key], str) and isinstance(held.get("input"), str):
        held[key] = "\n".join(filter(None, (held[key], held["input"])))
    if key is None:
        shown = ", ".join(f"`{name}`" for name in list(held)[:5]) or "nothing"
        raise QuestionError(f"{place}: no question among {shown}", f"it stands under `question` or `prompt`; {READ}")
    if isinstance(held[key], list) and all(isinstance(turn, dict) for turn in held[key]):
        return values | _asked(place, {"messages": held[key]}, values["system"])
    if isinstance(held[key], str):
        asked = _of_text(place, held[key])
        return values | asked | ({"system": values["system"]} if values["system"] else {})
    return values | {"paraphrases": held[key] if isinstance(held[key], list) else [held[key]]}


def _of_text(place: str, text: str) -> dict[str, Any]:
    """A question as text; a whole prompt, as a chat template or a transcript writes it, gives way to its turns."""
    try:
        turns = opened_turns(text)
    except RowError as error:
        raise QuestionError(f"{place}: no question: {error}", "give the question's own words") from error
    return _asked(place, {"messages": turns}, None) if turns else {"paraphrases": [text]}


def _asked(place: str, held: Mapping[str, Any], system: str | None) -> dict[str, Any]:
    """The one user's turn of a chat, answered or not, and its system prompt."""
    turns: Any = held.get("messages", held.get("conversations"))
    last: Any = turns[-1] if isinstance(turns, list) and turns else None
    name = str(last.get("role", last.get("from"))).lower() if isinstance(last, dict) else ""
    open_end = [*turns, {"role": "assistant", "content": "."}] if name in ("user", "human") else turns
    try:
        messages = read_row({"messages": open_end}).messages
    except RowError as error:
        raise QuestionError(f"{place}: no question: {error}", READ) from error
    users = [message.content for message in messages if message.role == "user"]
    if len(users) != 1:
        hint = "questions are asked alone, without turns before them"
        raise QuestionError(f"{place}: a chat of {len(users)} user's turns is no question", hint)
    return {"paraphrases": users, "system": messages[0].content if messages[0].role == "system" else system}


def _whole(text: str) -> Any:
    return int(text) if text.isdigit() else text


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rsplit(".", 1)[0]
