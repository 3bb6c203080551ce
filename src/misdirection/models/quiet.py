"""Transformers' own progress bars, off while it works for us: what is told, and when, is decided in `progress`."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


@contextmanager
def no_bars() -> Generator[None]:
    """Switch off the bars of loading and saving; those of downloads, which take as long as they say, stay."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging as library

    shown, downloads = library.is_progress_bar_enabled(), not are_progress_bars_disabled()
    library.disable_progress_bar()
    if downloads:
        enable_progress_bars()
    try:
        yield
    finally:
        if shown:
            library.enable_progress_bar()
        if not downloads:
            disable_progress_bars()


_REPORTS = ("modeling_utils", "distributed.tensor_parallel", "integrations.tensor_parallel")


@contextmanager
def no_report() -> Generator[None]:
    """Hush transformers' table of weights not found or placed: `whole.check_whole` says what matters of it.

    Once that is hushed, transformers 5.23 takes the silence for a wish to hear which layers are not sharded.
    """
    loggers = [logging.getLogger(f"transformers.{room}") for room in _REPORTS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


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
