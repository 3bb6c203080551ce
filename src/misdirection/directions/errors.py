"""What can be wrong with a direction on disk."""

from __future__ import annotations

from misdirection.errors import MisdirectionError


class DirectionError(MisdirectionError):
    """A file holds no direction, or not one of this model."""
