"""Watching: streams of chats, and training while it goes on, along any set of directions.

    watch = Watch(read_watched(["runs/audit"], model))
    limits = calibrate(model, load_chats("benign.jsonl").chats, watch, rate=0.01)
    for line in monitor(model, "log.jsonl", watch, limits):
        ...

- `watch`: which directions, after which layers, over which tokens; `scoring`: chats to components.
- `calibration`: thresholds from benign chats, kept beside the directions and refused for anything else.
- `incoming`: rows of files, of logs and of standard input as they come; `stream`, `summary`: to results.
- `training`: fixed prompts projected every so many steps of a fine-tune, and a sequential test that raises an alarm.
"""

from misdirection.monitoring.calibration import (
    Calibration,
    calibrate,
    load_calibration,
    save_calibration,
    watch_of,
)
from misdirection.monitoring.errors import MonitorError
from misdirection.monitoring.incoming import incoming
from misdirection.monitoring.scoring import Reading, Unread, read_chats
from misdirection.monitoring.stream import monitor, monitor_to
from misdirection.monitoring.summary import Summary
from misdirection.monitoring.watch import Watch, Watched, read_watched

__all__ = [
    "Calibration",
    "MonitorError",
    "Reading",
    "Summary",
    "Unread",
    "Watch",
    "Watched",
    "calibrate",
    "incoming",
    "load_calibration",
    "monitor",
    "monitor_to",
    "read_chats",
    "read_watched",
    "save_calibration",
    "watch_of",
]
