"""Questions: our own sets, and files of them in every form that people have."""

from misdirection.questions.load import load_questions, question_sets
from misdirection.questions.question import (
    FORMATS,
    JSON_SYSTEM,
    TEMPLATE,
    Question,
    QuestionError,
    as_json,
    as_template,
)

__all__ = [
    "FORMATS",
    "JSON_SYSTEM",
    "TEMPLATE",
    "Question",
    "QuestionError",
    "as_json",
    "as_template",
    "load_questions",
    "question_sets",
]
