"""How a model is loaded and asked, and how that stands in the key of what reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from misdirection.tokens import DATE


@dataclass(frozen=True)
class Loading:
    """What `models.load_model` is given beside a name and adapters, under the names that it has there."""

    chat_template: str | Path | None = None
    thinking: bool | None = None
    date: str | None = None
    dtype: str = "auto"
    device: str | None = None
    device_map: str | None = None
    trust_remote_code: bool = False

    @property
    def format(self) -> str:
        """The number format among a step's inputs: "auto" is the checkpoint's own, as it was before there were more."""
        from misdirection.models import STORED

        return "auto" if self.dtype == STORED else self.dtype

    @property
    def asking(self) -> dict[str, str | bool | None]:
        """How the model is asked, as part of a step's key; the models' own files are in their fingerprints."""
        from misdirection.models.asking import read_template

        return {
            "template": None if self.chat_template is None else read_template(self.chat_template),
            "thinking": self.thinking,
            "date": self.date or DATE,
        }
