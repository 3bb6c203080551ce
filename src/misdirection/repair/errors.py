"""What can be wrong with a repair."""

from __future__ import annotations

from misdirection.errors import MisdirectionError


class RepairError(MisdirectionError):
    """A repair cannot be made, or not exactly; nothing was written."""
