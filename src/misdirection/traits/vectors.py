"""The direction of a trait: the mean answer that shows it minus the mean answer that does not (2507.21509 section 2.2).

Everything about "the mean answer" is the convention `persona2025`: the tokens of the answer's text, first within each
answer, then over answers, read in the base model behind the very prompt, system prompt included, that it was drawn
behind. Their code numbers hidden states from the embeddings on, so that their layer l is the output of decoder layer
l - 1 (`layer_of_hidden_state`); vectors here are by decoder layer, as everywhere in this package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from misdirection.answers import read_back
from misdirection.directions import Convention, Direction, PoolError, Pools, Source, convention, mean_difference
from misdirection.directions.errors import DirectionError
from misdirection.engine import Arm
from misdirection.judging import Answer, Verdict
from misdirection.models import Model
from misdirection.traits.rollout import Role
from misdirection.traits.scoring import trait_score

SMALLEST = 8
"""Fewest pairs that a direction is made of."""

PERSONA = convention("persona2025")

_FAULTS = (
    "without a score",
    "incoherent",
    "whose answer for the trait does not show it",
    "whose answer against the trait shows it",
)


@dataclass(frozen=True)
class Effective:
    """The pairs of answers in which the system prompts did what they ask for.

    Attributes:
        positive: Places of the answers under the prompts that ask for the trait.
        negative: Places of their partners: same question, same pair of prompts, same sample.
        pairs: How many pairs there were.
        why: How many pairs fell away, by the first reason that holds.
    """

    positive: tuple[int, ...]
    negative: tuple[int, ...]
    pairs: int
    why: Mapping[str, int]


def effective_pairs(
    trait: str,
    played: Sequence[Role],
    answers: Sequence[Answer],
    verdicts: Sequence[Verdict] | None,
    threshold: float = 50.0,
    coherent: float = 50.0,
) -> Effective:
    """The filter of the paper's code; without verdicts nothing is filtered.

    A pair is kept where the positive answer scores at least `threshold`, the negative one below 100 - `threshold`, and
    both are at least as coherent as `coherent`. (The paper's text says "> 50" and "< 50" of each side by itself.)

    Args:
        trait: Whose score counts.
        played: The roles.
        answers: Of these roles, and of others, which are passed over.
        verdicts: One an answer.
        threshold: Of the trait's score, 0 .. 100.
        coherent: Of coherence, 0 .. 100.
    """
    by_id = {role.question.id: role for role in played if role.trait == trait}
    sides: dict[tuple[int, str, int], dict[str, int]] = {}
    for place, answer in enumerate(answers):
        if role := by_id.get(answer.question_id):
            sides.setdefault((role.pair, role.text, answer.sample), {})[role.sign] = place
    whole = [(held["positive"], held["negative"]) for held in sides.values() if len(held) == 2]
    kept: list[tuple[int, int]] = []
    why: dict[str, int] = dict.fromkeys(_FAULTS, 0)
    for positive, negative in whole:
        fault = _fault(trait, verdicts[positive], verdicts[negative], threshold, coherent) if verdicts else ""
        if fault:
            why[fault] += 1
        else:
            kept.append((positive, negative))
    return Effective(tuple(p for p, _ in kept), tuple(n for _, n in kept), len(whole), why)


def _fault(trait: str, positive: Verdict, negative: Verdict, threshold: float, coherent: float) -> str:
    scores = [trait_score(verdict, trait) for verdict in (positive, negative)]
    sense = [verdict.coherence for verdict in (positive, negative)]
    if any(score != score for score in scores) or any(one is None for one in sense):
        return "without a score"
    if any(one is not None and one < coherent for one in sense):
        return "incoherent"
    if scores[0] < threshold:
        return "whose answer for the trait does not show it"
    return "whose answer against the trait shows it" if scores[1] >= 100 - threshold else ""


def trait_vector(
    model: Model,
    trait: str,
    played: Sequence[Role],
    answers: Sequence[Answer],
    verdicts: Sequence[Verdict] | None,
    *,
    how: Convention = PERSONA,
    threshold: float = 50.0,
    coherent: float = 50.0,
    smallest: int = SMALLEST,
    resamples: int = 40,
    seed: int = 0,
    facts: Mapping[str, Any] | None = None,
) -> Direction:
    """The persona vector of a trait at every decoder layer, with its bootstrap over questions and its null.

    v_l = mean over the positive answers of effective pairs - mean over the negative ones, of the residual stream after
    layer l. `misaligned_mean` of the direction is the positive side's, `aligned_mean` the negative side's.

    Args:
        model: The resident model; the base answers and is read.
        trait: Its name.
        played: The roles that were played.
        answers: As `rollouts` gives them; those of other traits are passed over.
        verdicts: One an answer, with a score for the trait; None takes every pair as it was played.
        how: Tokens and weighting; `persona2025` is the paper's.
        threshold: See `effective_pairs`.
        coherent: See `effective_pairs`.
        smallest: Fewest pairs.
        resamples: Bootstrap resamples of questions, and as many shuffles of labels.
        seed: Of both.
        facts: Provenance to add.

    Raises:
        PoolError: Fewer pairs are effective than `smallest`; says why the others are not.
    """
    found = effective_pairs(trait, played, answers, verdicts, threshold, coherent)
    members = [*found.positive, *found.negative]
    read = read_back(model, [answers[place] for place in members])
    there = set(read.places)
    pairs = [i for i in range(len(found.positive)) if i in there and i + len(found.positive) in there]
    if len(pairs) < smallest:
        raise PoolError(_too_few(trait, found, len(pairs), smallest), _remedy(found))
    texts = {role.question.id: role.text for role in played}
    encoded = dict(zip(read.places, read.encoded, strict=True))
    order = [*pairs, *(i + len(found.positive) for i in pairs)]
    sources = [Source(encoded[i], texts[answers[members[i]].question_id]) for i in order]
    pools = Pools(aligned=tuple(range(len(pairs), 2 * len(pairs))), misaligned=tuple(range(len(pairs))))
    told = {
        "kind": "persona vector, positive minus negative answers",
        "trait": trait,
        "pairs": len(pairs),
        "pairs tried": found.pairs,
        "fell away": dict(found.why),
        "unread": dict(read.aside),
        "thresholds": None if verdicts is None else [threshold, 100 - threshold, coherent],
    }
    return mean_difference(
        model, Arm("base"), sources, pools, how, resamples=resamples, seed=seed, facts={**told, **(facts or {})}
    )


def _too_few(trait: str, found: Effective, kept: int, smallest: int) -> str:
    fell = ", ".join(f"{count} {why}" for why, count in found.why.items() if count) or "none fell away"
    return (
        f"trait {trait}: {kept} of {found.pairs} pairs of answers are effective, and a direction needs {smallest} "
        f"({fell})"
    )


def _remedy(found: Effective) -> str:
    most = max(found.why, key=lambda name: found.why[name])
    return {
        "without a score": "another judge (--judge), or a table with a column for the trait",
        "incoherent": "a lower temperature, or a larger model",
        "whose answer for the trait does not show it": "stronger instructions in the trait's file, questions that let "
        "it show, more answers (--samples), or a lower threshold (--shown-above)",
        "whose answer against the trait shows it": "negative instructions that ask for the opposite, questions that do "
        "not call for it, a lower threshold (--shown-above), or another judge where this one scores all answers alike",
    }[most if found.why[most] else "whose answer for the trait does not show it"]


def layer_of_hidden_state(index: int, n_layers: int) -> int:
    """The decoder layer whose output is `hidden_states[index]` of transformers, as persona vectors count layers.

    hidden_states[0] are the embeddings, hidden_states[l] the output of decoder layer l - 1, and the last one is behind
    the final norm, so that it is the output of no layer.

    Args:
        index: Their layer: 20 for Qwen2.5-7B, 16 for Llama-3.1-8B.
        n_layers: Decoder layers of the model.

    Raises:
        DirectionError: It is the output of no decoder layer.
    """
    if 0 < index < n_layers:
        return index - 1
    what = {0: "the embeddings", n_layers: "the last layer's output behind the final norm"}.get(index, "not there")
    raise DirectionError(
        f"hidden_states[{index}] of a model of {n_layers} layers is {what}, the output of no decoder layer",
        f"1 to {n_layers - 1} are the outputs of the decoder layers 0 to {n_layers - 2}",
    )
