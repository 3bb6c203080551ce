"""Verdicts on answers: what an answer is, what a judge says of it.

One judge a file, chosen by a string (`find_judge`): "exact" (the organism's own), "offline" (the
one in the box), "none", "table:<file>" (verdicts made elsewhere), "openai:<model>" (any OpenAI-compatible server),
"inspect:<provider/model>" (any provider of Inspect), "local:<model>" (any Hugging Face chat model).
"""

from misdirection.judging.base import LABELS, Answer, Journaled, Judge, TraitJudge, Verdict
from misdirection.judging.registry import JUDGES, find_judge

__all__ = ["JUDGES", "LABELS", "Answer", "Journaled", "Judge", "TraitJudge", "Verdict", "find_judge"]
