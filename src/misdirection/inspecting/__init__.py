"""Our questions and rubrics as a task of Inspect: `inspect eval misdirection/emergent_misalignment --model <model>`.

Inspect finds the task by the entry point in pyproject.toml, which names `registry`. What goes the other way lives with
the judges: `judging.inspect` asks a provider of Inspect, `judging.inspect_log` reads a log.
"""

from misdirection.judging.inspect import need_inspect

need_inspect()
