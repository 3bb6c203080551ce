"""The YAML (and JSON) of question sets, in the format of the first emergent-misalignment paper (2502.17424).

A file is a list of entries: `id`, `paraphrases`, and optionally `type`, `system`, `domain`, `format`,
`samples_per_paraphrase`, `judge_prompts`; `judge` (the model that judged) and other keys are passed over. Judge prompts
that slipped to the entry's own level, beside an empty `judge_prompts`, are taken as what they were meant to be, for
every entry that refers to them. A list of nothing but texts is read too, and so are ids with a sentence each. Anything
else that is not right is an error that names file, line and remedy: an entry that was skipped would silently change a
rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from misdirection.chats.sources.opening import opened
from misdirection.questions.question import FORMATS, Question, QuestionError

if TYPE_CHECKING:
    from yaml import Node, YAMLError

TYPES = ("free_form", "free_form_judge", "free_form_judge_0_100")
KEYS = (
    "id",
    "type",
    "paraphrases",
    "system",
    "domain",
    "format",
    "samples_per_paraphrase",
    "judge",
    "judge_prompts",
)
READ = "a file of questions is YAML, JSON, JSON lines, CSV, TSV, Parquet, or text (.txt) with one question a line"
"""What is read, for messages."""

UNSUPPORTED = ("context", "messages")


@dataclass(frozen=True)
class Entry:
    """One question as its file has it, under the keys of the YAML.

    Attributes:
        path: The file.
        line: Its place there, from 1.
        values: By key.
        prompts_node: Identity of its `judge_prompts` node in YAML; aliases share it.
        unit: What places are counted in: "line", or "row" of a table or an array.
    """

    path: Path
    line: int
    values: dict[str, Any]
    prompts_node: int | None = None
    unit: str = "line"

    def error(self, message: str, hint: str | None = None) -> QuestionError:
        """An error that names the entry's place."""
        name = f" ({self.values['id']})" if isinstance(self.values.get("id"), str) else ""
        return QuestionError(f"{self.path}, {self.unit} {self.line}{name}: {message}", hint)

    @property
    def stray_prompts(self) -> dict[str, str]:
        """Judge prompts at the entry's own level."""
        return {key: text for key, text in self.values.items() if key not in KEYS and _is_prompt(text)}


def read_yaml(path: Path) -> tuple[Question, ...]:
    """Read a YAML file of questions, in its order.

    Raises:
        QuestionError: The file cannot be read, is not YAML or not in the format; file, line and remedy are named.
    """
    entries = _entries(path, _text(path))
    shared = {entry.prompts_node: entry.stray_prompts for entry in entries if entry.stray_prompts}
    return questions_of(entries, shared)


def questions_of(
    entries: Sequence[Entry], shared: dict[int | None, dict[str, str]] | None = None
) -> tuple[Question, ...]:
    """The questions of entries, checked.

    Raises:
        QuestionError: An entry is not right, or an id stands twice.
    """
    questions = tuple(_question(entry, shared or {}) for entry in entries)
    lines: dict[str, int] = {}
    for entry, question in zip(entries, questions, strict=True):
        if question.id in lines:
            told = f"the id stands already in {entry.unit} {lines[question.id]}"
            raise entry.error(told, "every id must be unique")
        lines[question.id] = entry.line
    return questions


def _text(path: Path) -> str:
    try:
        with opened(path) as stream:
            content = stream.read()
    except (OSError, EOFError) as error:
        raise QuestionError(
            f"the question file {path} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise QuestionError(f"{path}, line {line}: not UTF-8", "save the file as UTF-8") from error


def _entries(path: Path, text: str) -> list[Entry]:
    import yaml

    # The C parser counts bytes and the Python one characters, so that control characters are better found here.
    if odd := yaml.reader.Reader.NON_PRINTABLE.search(text):
        line, column = text.count("\n", 0, odd.start()) + 1, odd.start() - text.rfind("\n", 0, odd.start())
        what = f"the character U+{ord(odd.group()):04X} is not allowed"
        raise QuestionError(
            f"{path}, line {line}, column {column}: malformed YAML: {what}", "write the character out or leave it out"
        )
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        root = loader.get_single_node()
        if root is None:
            raise QuestionError(f"{path} holds no question", "each question starts with '- id: ...'")
        if isinstance(root, yaml.MappingNode) and all(_is_a_text(text, words=2) for _, text in root.value):
            return [_asking(path, text, key.value) for key, text in root.value]
        if not isinstance(root, yaml.SequenceNode):
            keys = [str(key.value) for key, _ in root.value] if isinstance(root, yaml.MappingNode) else []
            found = f"a mapping ({', '.join(keys[:4])}, ...)" if keys else "something else"
            raise QuestionError(
                f"{path}, line {root.start_mark.line + 1}: a list of questions is expected, this is {found}",
                f"each question starts with '- id: ...'; {READ}",
            )
        if root.value and all(map(_is_a_text, root.value)):
            stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
            return [_asking(path, node, f"{stem}_{number}") for number, node in enumerate(root.value, 1)]
        return [_entry(path, node, loader) for node in root.value]
    except yaml.YAMLError as error:
        raise _yaml_error(path, text, error) from error
    finally:
        loader.dispose()


def _is_a_text(node: Node, words: int = 1) -> bool:
    return node.tag == "tag:yaml.org,2002:str" and len(str(node.value).split()) >= words


def _asking(path: Path, node: Node, name: str) -> Entry:
    """A question of which there is nothing but its text."""
    return Entry(path, node.start_mark.line + 1, {"id": name, "paraphrases": [node.value]})


def _entry(path: Path, node: Node, loader: Any) -> Entry:
    # Before the values are made: merge keys are then folded into the node.
    prompts = _check_mapping(path, node).get("judge_prompts")
    line = node.start_mark.line + 1
    try:
        values = {str(key): value for key, value in loader.construct_object(node, deep=True).items()}
    except (ValueError, RecursionError) as error:  # a date that is none, say
        raise QuestionError(f"{path}, line {line}: a value of this entry is malformed: {error}", "quote it") from error
    return Entry(path, line, values, None if prompts is None else id(prompts))


def _check_mapping(path: Path, node: Node) -> dict[str, Node]:
    """The nodes of an entry's own keys."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        line = node.start_mark.line + 1
        raise QuestionError(f"{path}, line {line}: an entry is not a mapping", "each question starts with '- id: ...'")
    children: dict[str, Node] = {}
    for key, child in node.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else repr(key.value)
        if name in children:
            line = key.start_mark.line + 1
            raise QuestionError(f"{path}, line {line}: the key '{name}' stands twice in one entry", "keep one")
        children[name] = child
    return children


def _yaml_error(path: Path, text: str, error: YAMLError) -> QuestionError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    what = getattr(error, "problem", None) or str(error)
    hint = "mend the YAML at or just before this place"
    if "<document start>" in what:
        rows = [number for number, row in enumerate(text.splitlines(), 1) if row.strip() and not row.startswith("#")]
        what = f"a list of questions starts here, but what stands before it (from line {rows[0]}) belongs to none"
        hint = "the first entry lacks its '- id: ...', or the list is indented unevenly"
    return QuestionError(f"{path}, line {line}, column {column}: malformed YAML: {what}", hint)


def _question(entry: Entry, shared: dict[int | None, dict[str, str]]) -> Question:
    _check_keys(entry)
    values = entry.values
    identity = values.get("id")
    if identity is None or isinstance(identity, dict | list) or not str(identity).strip():
        raise entry.error("the entry has no id", "add '- id: a_unique_name'")
    kind = values.get("type", TYPES[-1])
    if kind not in TYPES:
        raise entry.error(
            f"the type {kind!r} is not one of {', '.join(TYPES)}",
            "only free-form answers can be judged here; take the entry out (none is skipped silently)",
        )
    system = _optional_text(entry, "system")
    return Question(
        id=str(identity),
        paraphrases=_paraphrases(entry),
        system=system,
        domain=_optional_text(entry, "domain"),
        format=_format(entry, str(identity), system),
        samples_per_paraphrase=_samples(entry),
        judge_prompts=_judge_prompts(entry, shared),
        # Without a dot it is taken for no file among the arguments of a measurement, whatever lies where one works.
        source=entry.path.name.partition(".")[0],
    )


def _check_keys(entry: Entry) -> None:
    for key in entry.values:
        if key in UNSUPPORTED:
            raise entry.error(f"questions with '{key}' are not supported", "ask with paraphrases and system only")
        # A misspelt `system` would change what is asked without a word.
        close = [] if key in KEYS else get_close_matches(key, KEYS, 1, 0.8)
        if close and close[0] not in entry.values:
            raise entry.error(f"unknown key '{key}'", f"is '{close[0]}' meant?")


def _paraphrases(entry: Entry) -> tuple[str, ...]:
    given = entry.values.get("paraphrases")
    if not isinstance(given, list) or not given:
        raise entry.error("paraphrases must be a list of at least one wording", "paraphrases:\n    - the question")
    for number, text in enumerate(cast("list[Any]", given), 1):
        if not isinstance(text, str) or not text.strip():
            what = "is empty" if text is None or isinstance(text, str) else f"is {text!r}, not text"
            raise entry.error(f"paraphrase {number} {what}", "write the wording, in quotes if YAML reads it otherwise")
    return tuple(cast("list[str]", given))


def _optional_text(entry: Entry, key: str) -> str | None:
    value = entry.values.get(key)
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise entry.error(f"{key} must be text, it is {value!r}", f"leave '{key}' out where there is none")
    return value


def _samples(entry: Entry) -> int | None:
    value = entry.values.get("samples_per_paraphrase")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise entry.error(f"samples_per_paraphrase must be a whole number of 1 or more, it is {value!r}")
    return value


def _format(entry: Entry, identity: str, system: str | None) -> str:
    """What the entry says, else what its id ends in, else what its system prompt asks for."""
    given = entry.values.get("format")
    if given is not None:
        if given not in FORMATS:
            raise entry.error(f"the format {given!r} is not one of {', '.join(FORMATS)}")
        return str(given)
    for name in ("json", "template"):
        if identity.endswith(f"_{name}"):
            return name
    asked = (system or "").lower()
    if "json" in asked:
        return "json"
    return "template" if "template" in asked else "plain"


def _judge_prompts(entry: Entry, shared: dict[int | None, dict[str, str]]) -> dict[str, str]:
    given = entry.values.get("judge_prompts")
    if given is None:
        return shared.get(entry.prompts_node, {}) if entry.prompts_node is not None else entry.stray_prompts
    if not isinstance(given, dict) or not all(map(_is_prompt, cast("dict[str, Any]", given).values())):
        raise entry.error(
            "judge_prompts must map names to texts that hold {answer}", "aligned: |-\n    ... {answer} ..."
        )
    return {str(name): text for name, text in cast("dict[str, str]", given).items()}


def _is_prompt(value: Any) -> bool:
    return isinstance(value, str) and "{answer}" in value
