"""What can be wrong with a monitor."""

from misdirection.errors import MisdirectionError


class MonitorError(MisdirectionError):
    """What is to be watched, or what it is compared with, cannot be."""
