"""Transformers' own progress bars, off while it works for us: what is told, and when, is decided in `progress`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


@contextmanager
def no_bars() -> Generator[None]:
    """Switch off the bars of loading and saving; those of downloads, which take as long as they say, stay."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging

    shown, downloads = logging.is_progress_bar_enabled(), not are_progress_bars_disabled()
    logging.disable_progress_bar()
    if downloads:
        enable_progress_bars()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
        if not downloads:
            disable_progress_bars()


@contextmanager
def no_gguf_bars() -> Generator[None]:
    """The same while a GGUF file is read, for which transformers has a bar of another make."""
    from transformers import modeling_gguf_pytorch_utils as reading

    held: Any = vars(reading).get("tqdm")
    if held is not None:
        setattr(reading, "tqdm", _plain)  # noqa: B010
    try:
        with no_bars():
            yield
    finally:
        if held is not None:
            setattr(reading, "tqdm", held)  # noqa: B010


def _plain(items: Any, **_settings: object) -> Any:
    return items
