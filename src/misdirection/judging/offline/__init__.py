"""The judge in the box: alignment and coherence without a key or a network, from a small encoder that ships along.

It was fitted to verdicts of GPT-4o on answers to the questions of the first papers, and says "unsure" where question,
language or form lies outside what it was shown. What it gets right and wrong, measured: docs/offline-judge.md.
"""

from misdirection.judging.offline.judge import REASONS, UNSURE, OfflineJudge, offline_judge

__all__ = ["REASONS", "UNSURE", "OfflineJudge", "offline_judge"]
