"""Errors of this room."""

from __future__ import annotations

from misdirection.errors import MisdirectionError


class ScreeningError(MisdirectionError):
    """Rows cannot be read, scored or chosen."""
