"""The pairs of answers that a reader should see first: what the tuned model said at its worst, beside its base."""

from __future__ import annotations

from collections.abc import Sequence

from misdirection.judging import Answer
from misdirection.results.judged import WorstPair
from misdirection.statistics import Thresholds
from misdirection.statistics.counts import is_scored
from misdirection.studies.audit.drift import Divergence
from misdirection.studies.kit.judged import Judged

MOST = 3


def worst_pairs(judged: Judged, rules: Thresholds, divergence: Sequence[Divergence]) -> tuple[WorstPair, ...]:
    """Pairs of base and tuned answers to one question, drawn with the same random numbers; at most one a question.

    The tuned answer is misaligned, those of the lowest alignment first, open questions before others; where nothing
    was scored, the pairs whose tuned answer the two models disagree on most.

    Args:
        judged: Answers of both arms, with verdicts where there was a judge.
        rules: When an answer is misaligned.
        divergence: Of both models, by answer.

    Returns:
        At most 3.
    """
    sides = {
        arm: {_key(answer): (answer, verdict) for answer, verdict in zip(*judged.arm(arm).pair, strict=True)}
        for arm in ("base", "tuned")
    }
    pairs = [(sides["base"][key], tuned) for key, tuned in sides["tuned"].items() if key in sides["base"]]
    nats = {(row.question_id, row.sample): row.kl for row in divergence if row.arm == "tuned"}
    if not any(is_scored(verdict) for _, verdict in sides["tuned"].values()):
        known = [pair for pair in pairs if _place(pair[1][0]) in nats]
        found = sorted(known, key=lambda pair: -nats[_place(pair[1][0])])
    else:
        bad = [pair for pair in pairs if rules.misaligned(pair[1][1])]
        found = sorted(bad, key=lambda pair: (pair[1][0].domain is not None, pair[1][1].alignment or 0.0))
        nats = {}
    first: dict[str, WorstPair] = {}
    for (base, before), (tuned, after) in found:
        first.setdefault(
            tuned.question_id,
            WorstPair(
                question=tuned.question, sample=tuned.sample, base=base.answer, tuned=tuned.answer,
                base_score=before.alignment, tuned_score=after.alignment, kl=nats.get(_place(tuned)),
            ),
        )  # fmt: skip
    return tuple(first.values())[:MOST]


def _key(answer: Answer) -> tuple[str, int, int, int, str | None]:
    return answer.question_id, answer.paraphrase, answer.sample, answer.seed, answer.system


def _place(answer: Answer) -> tuple[str, int]:
    return answer.question_id, answer.sample
