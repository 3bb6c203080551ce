"""Where the tasks of a grid are done: this process, Ray or Slurm, by one word.

    misdirection study convergence --on ray://local      as many tasks at a time as there are cores
    misdirection study convergence --on ray://head:10001 on a cluster of Ray's
    misdirection study convergence --on slurm:gpu?gpus_per_node=1&timeout_min=240

A run's folder lies on a disk that all machines see. A step is the same wherever it is made, to the last bit on the same
kind of processor, and its key knows nothing of the place; so a run begun on a cluster goes on in this process.
"""

from misdirection.executing.where import EXECUTORS as EXECUTORS
from misdirection.executing.where import find_executor as find_executor
from misdirection.executing.where import read_where as read_where
