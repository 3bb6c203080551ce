"""Published rates by the way of asking."""

from __future__ import annotations

PAPER = "rank-32 bad medical advice on Qwen2.5-14B: plain 22.3 %, template 7.0 %, JSON 0.6 % (a replication)"
"""The replication in papers.md 1.11; the controls are those of arXiv 2502.17424, sections 4.2 and 4.4."""
