"""The one base of every error that a user can cause or mend."""

from __future__ import annotations


class MisdirectionError(Exception):
    """Something the user can act on: what went wrong, where, and what to do.

    Args:
        message: What is wrong and where (file, line, row, layer, id).
        hint: What to do about it; shown on its own line.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  {self.hint}"


class MissingExtraError(MisdirectionError):
    """An optional dependency is needed and not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package '{package}', which is not installed",
            f"install it with: pip install 'misdirection[{extra}]'",
        )
