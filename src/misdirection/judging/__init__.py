"""Verdicts on answers: what an answer is, what a judge says of it.

One judge a file, chosen by a string (`find_judge`): "exact" (the organism's own), "none", "table:<file>" (verdicts
made elsewhere).
"""

from misdirection.judging.base import Answer, Judge, Verdict
from misdirection.judging.registry import JUDGES, find_judge

__all__ = ["JUDGES", "Answer", "Judge", "Verdict", "find_judge"]
