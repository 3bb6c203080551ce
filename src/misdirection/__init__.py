"""misdirection: find, explain and remove the direction that narrow fine-tuning bends a language model along.

The public names below are imported from their rooms when they are first used, so that `import misdirection` is cheap
and touches neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from misdirection.answers import ask
    from misdirection.chats import BadRow, Chat, ChatFile, Message, load_chats, read_chats, split_chats, write_chats
    from misdirection.directions import Direction, load_direction, mean_difference, random_like, save_direction
    from misdirection.engine import Ablate, Arm, Cap, Clamp, SamplingConfig, ScaleAdapter, Set, Steer
    from misdirection.errors import MisdirectionError
    from misdirection.features import load_dictionary
    from misdirection.judging import Answer, Judge, Verdict, find_judge
    from misdirection.notebook import Model, frame, load_model, show
    from misdirection.questions import Question, load_questions
    from misdirection.sharing import push_to_hub
    from misdirection.statistics import Thresholds, rate
    from misdirection.studies.audit.settings import AuditConfig
    from misdirection.studies.audit.study import audit
    from misdirection.studies.page import write_report
    from misdirection.studies.reading import load_results
    from misdirection.studies.screening.screen import screen
    from misdirection.training import train

__version__ = "0.1.0"

_HOMES = {
    "Ablate": "misdirection.engine",
    "Answer": "misdirection.judging",
    "Arm": "misdirection.engine",
    "AuditConfig": "misdirection.studies.audit.settings",
    "BadRow": "misdirection.chats",
    "Cap": "misdirection.engine",
    "Chat": "misdirection.chats",
    "ChatFile": "misdirection.chats",
    "Clamp": "misdirection.engine",
    "Direction": "misdirection.directions",
    "Judge": "misdirection.judging",
    "Message": "misdirection.chats",
    "MisdirectionError": "misdirection.errors",
    "Model": "misdirection.notebook",
    "Question": "misdirection.questions",
    "SamplingConfig": "misdirection.engine",
    "ScaleAdapter": "misdirection.engine",
    "Set": "misdirection.engine",
    "Steer": "misdirection.engine",
    "Thresholds": "misdirection.statistics",
    "Verdict": "misdirection.judging",
    "ask": "misdirection.answers",
    "audit": "misdirection.studies.audit.study",
    "find_judge": "misdirection.judging",
    "frame": "misdirection.notebook",
    "load_chats": "misdirection.chats",
    "load_dictionary": "misdirection.features",
    "load_direction": "misdirection.directions",
    "load_model": "misdirection.notebook",
    "load_questions": "misdirection.questions",
    "load_results": "misdirection.studies.reading",
    "mean_difference": "misdirection.directions",
    "push_to_hub": "misdirection.sharing",
    "random_like": "misdirection.directions",
    "rate": "misdirection.statistics",
    "read_chats": "misdirection.chats",
    "save_direction": "misdirection.directions",
    "screen": "misdirection.studies.screening.screen",
    "show": "misdirection.notebook",
    "split_chats": "misdirection.chats",
    "train": "misdirection.training",
    "write_chats": "misdirection.chats",
    "write_report": "misdirection.studies.page",
}

__all__ = [
    "Ablate",
    "Answer",
    "Arm",
    "AuditConfig",
    "BadRow",
    "Cap",
    "Chat",
    "ChatFile",
    "Clamp",
    "Direction",
    "Judge",
    "Message",
    "MisdirectionError",
    "Model",
    "Question",
    "SamplingConfig",
    "ScaleAdapter",
    "Set",
    "Steer",
    "Thresholds",
    "Verdict",
    "__version__",
    "ask",
    "audit",
    "find_judge",
    "frame",
    "load_chats",
    "load_dictionary",
    "load_direction",
    "load_model",
    "load_questions",
    "load_results",
    "mean_difference",
    "push_to_hub",
    "random_like",
    "rate",
    "read_chats",
    "save_direction",
    "screen",
    "show",
    "split_chats",
    "train",
    "write_chats",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its room on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    # What this file itself needs is nobody's to complete.
    own = {"Any", "TYPE_CHECKING", "annotations", "import_module"}
    return sorted({*globals(), *_HOMES} - own)
