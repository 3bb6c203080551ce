"""Settings of the study of semantic directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from misdirection.errors import MisdirectionError
from misdirection.studies.kit.config import option
from misdirection.studies.kit.tuned_config import TunedConfig


@dataclass(frozen=True)
class SemanticConfig(TunedConfig):
    """Is there one misalignment direction, or one a subject? Directions of single topics, and what each elicits.

    Pools of answers are filtered by topic as well as by alignment; each direction steers the base model; the topics
    of the misaligned answers it elicits are counted; topic minus other topics is tried as a narrow direction.

    Example: misdirection study semantic --out runs/semantic
    """

    topics: tuple[str, ...] = option(("medical", "gender", "money"), "topics (the paper's)")
    filter: str = option("judge", "how the topic of an answer is known: judge (the paper) or keywords (its code)")
    about_above: float = option(50.0, "an answer is about a topic when its topic score is above this ...")
    not_below: float = option(5.0, "... and not about it when below this")
    layer: int | None = option(None, "layer to steer at; by default the general direction's best one", was=-1)
    coefficients: tuple[float, ...] = option(
        (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0), "multiples of each direction, brought to the general one's norm"
    )
    sweep_samples: int = option(3, "answers a question and point of the sweep")
    coherent_share: float = option(0.75, "share of coherent answers that the chosen multiple must keep")

    def completed(self) -> Self:
        """With what suits the model.

        Raises:
            MisdirectionError: Nothing was tuned, no topic, an unknown filter, no judge, or a number out of range.
        """
        c = self.recommended()
        c.one_of("filter", ("judge", "keywords"))
        if not c.topics:
            raise MisdirectionError("no topic is named", "--topics medical,gender,money")
        c.at_least("sweep_samples", 1)
        for name, top in (("about_above", 100), ("not_below", 100), ("coherent_share", 1)):
            c.within(name, top)
        whole = super(SemanticConfig, c).completed()
        if c.filter == "keywords":
            return whole.judged("directions of topics need")
        return whole.topical("the topics of answers need", c.topics)
