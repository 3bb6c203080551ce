"""What can be wrong between a chat and its tokens."""

from __future__ import annotations

from misdirection.errors import MisdirectionError


class TokenError(MisdirectionError):
    """A chat cannot be turned into tokens."""
