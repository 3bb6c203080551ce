"""What the study of single topics measures: directions of a topic, and what they are held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from misdirection.directions import Convention, Direction, PoolError, mean_difference, random_like
from misdirection.directions.topics import domain_only, keyword_score, pools_within, split_by_topic, topic_score
from misdirection.judging import Answer, Verdict
from misdirection.judging.asides import KEYWORDS
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.own_direction import readable
from misdirection.studies.kit.record import LeftOut
from misdirection.studies.kit.variants import Variants


@dataclass(frozen=True)
class OfTopic:
    """Directions of one topic.

    Attributes:
        directions: TOPIC, "not TOPIC", and "TOPIC only" where there are both.
        notes: Why one cannot be made.
        left_out: Answers that could not be read back; None where all could.
    """

    directions: Mapping[str, Direction]
    notes: tuple[str, ...]
    left_out: LeftOut | None


def topic_directions(
    models: Variants,
    answers: list[Answer],
    verdicts: list[Verdict],
    topic: str,
    scored_by: str,
    above: float,
    below: float,
    how: Convention,
    seed: int,
) -> OfTopic:
    """The directions within a fine-tune's answers about a topic and those not about it, and their difference.

    Args:
        models: Base and tuned model.
        answers: Those of the arm "tuned" count.
        verdicts: On the answers, in their order.
        topic: Its name.
        scored_by: "judge", or "keywords" for the published ones.
        above: Score over which an answer is about the topic ...
        below: ... and under which it is not.
        how: Tokens, pools and weighting.
        seed: Of balancing, resamples and shuffles.
    """
    judged = Judged(answers, verdicts).arm("tuned")
    model = models.model("tuned")
    places, sources, aside = readable(model, judged.answers)
    judged = judged.at(places)
    split = split_by_topic(topic_scores(judged, topic, scored_by), above, below)
    made: dict[str, Direction] = {}
    notes: list[str] = []
    for name, keep in zip((topic, f"not {topic}"), split, strict=True):
        try:
            pools = pools_within(judged.verdicts, keep, how, seed=seed)
        except PoolError as error:
            notes.append(f"no direction '{name}': {error.message}")
            continue
        arm = models.arm("tuned")
        made[name] = mean_difference(model, arm, sources, pools, how, seed=seed, facts={"pool": name})
    if len(made) == 2:
        made[f"{topic} only"] = domain_only(made[topic], made[f"not {topic}"])
    return OfTopic(made, tuple(notes), aside)


def topic_scores(judged: Judged, topic: str, scored_by: str) -> list[float | None]:
    """Each answer's score for a topic, by the judge or by the published keywords."""
    if scored_by == "keywords":
        return [keyword_score(answer, KEYWORDS.get(topic, (topic,))) for answer in judged.answers]
    return [topic_score(verdict, topic) for verdict in judged.verdicts]


def one_of(directions: Mapping[str, Direction], name: str) -> Direction:
    """One of several directions."""
    return directions[name]


def random_beside(like: Direction, seed: int) -> Direction:
    """A random direction of another's norm at every layer: a control."""
    return replace(like, vectors=random_like(like.vectors, seed))


def of_length(direction: Direction, like: Direction, layer: int) -> Direction:
    """The direction with another's norm at a layer, so that multiples mean the same length for both."""
    return replace(direction, vectors=direction.vectors * float(like.norm[layer] / direction.norm[layer]))
