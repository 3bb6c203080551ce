"""The command line: every command is a few lines over the library, and imports nothing heavy before it runs."""

from misdirection.cli.main import main

__all__ = ["main"]
