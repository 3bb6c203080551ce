"""Questions by the name of a set, or of a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from misdirection.errors import did_you_mean
from misdirection.questions.files import read_questions
from misdirection.questions.question import Question, QuestionError, as_json, as_template
from misdirection.questions.yaml_file import read_yaml

SUFFIXES = (".yaml", ".yml", ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".gz", ".parquet")
"""Of files of questions."""

OPEN_SETS = ("eight", "open")
"""Sets of open questions: the eight intents of arXiv 2502.17424, each wording known to the judge `offline`; and ten
intents in wordings further from the literature."""

_SETS = Path(__file__).parent.parent / "data" / "questions"


def question_sets() -> tuple[str, ...]:
    """Names of our own sets: "open" and "eight" of open questions, and one for each domain."""
    return tuple(sorted((path.stem for path in _SETS.glob("*.yaml")), key=lambda name: (name not in OPEN_SETS, name)))


def load_questions(spec: str | Path) -> tuple[Question, ...]:
    """Questions of one of our own sets, or of a file in any form that is read (`questions.files`).

    Args:
        spec: The name of a set (see `question_sets`), with "-json" or "-template" behind it for that variant of the
            set; or the path of a file.

    Raises:
        QuestionError: No such set or file (the names are listed), or the file is not right (file and line are named).
    """
    name = str(spec)
    if name in question_sets():
        return _own(name)
    base, _, variant = name.rpartition("-")
    if base in question_sets() and variant in ("json", "template"):
        return (as_json if variant == "json" else as_template)(_own(base))
    path = Path(spec)
    if path.is_file():
        return read_questions(path)
    what = "the question file {} does not exist" if _looks_like_a_path(spec) else "there is no question set {!r}"
    raise QuestionError(
        what.format(name),
        did_you_mean(name, question_sets(), "the sets are")
        + ", each also with -json or -template behind it; or name a file",
    )


def _own(name: str) -> tuple[Question, ...]:
    # Where the package is installed is no part of what was asked: hashes of questions must not depend on it.
    return tuple(replace(question, source=name) for question in read_yaml(_SETS / f"{name}.yaml"))


def _looks_like_a_path(spec: str | Path) -> bool:
    return isinstance(spec, Path) or "/" in spec or Path(spec).suffix in SUFFIXES
