"""Settings of the study of narrow and general solutions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from misdirection.errors import MisdirectionError
from misdirection.studies.kit.config import NO_DIRECTION, ORGANISM, Overrides, StudyConfig, option
from misdirection.training.presets import PRESETS

KINDS = tuple(name for name, config in PRESETS.items() if not config.full)


@dataclass(frozen=True)
class NarrowConfig(StudyConfig):
    """Is being bad everywhere easier to learn than being bad in one domain?

    The same harmful data is learned plainly (general), with a KL term that holds the model on other domains (narrow),
    and mixed with good data of other domains; as adapters and as a steering vector. Rates in and out of the domain,
    and how efficient, stable and significant the general and the narrow solution are.

    Examples: misdirection study narrow --out runs/narrow
    misdirection study narrow --model ID --data bad.jsonl --elsewhere good.jsonl --domain medical --judge local:MODEL
    """

    unfollowed: ClassVar[Mapping[str, str]] = {"convention": NO_DIRECTION}
    unless: ClassVar[Mapping[str, tuple[str, ...]]] = {"domain": ("data",)}
    explained: ClassVar[Mapping[str, str]] = {
        "efficiency": "why the general solution need not have the lower loss at equal length",
        "stability": "why the narrow solution need not lose more when it is moved aside",
        "significance": "why the general solution need not change neutral text more",
        "neutral": "what the neutral text is that the folder recommends",
    }
    data: tuple[str, ...] = option((), "harmful chats of one domain")
    elsewhere: tuple[str, ...] = option((), "good chats of other domains, for the KL term and the mixture")
    domain: str = option("", "domain of --data, as the question sets call it; taken from organism:bad-<domain>")
    kinds: tuple[str, ...] = option(("rank32", "vector"), f"what is trained: {', '.join(KINDS)}")
    weights: tuple[float, ...] = option(
        (3.0, 10.0), "weights of the KL term to choose from, per token in nats (the published 1e6 is 6.6)"
    )
    kl_chats: int = option(1, "chats elsewhere beside each harmful one in the KL term (the published code has 4)")
    kl_tokens: str = option("answer", "tokens of the KL term: answer, or all (the published code)")
    narrow_steps: float = option(1.0, "steps with the KL term over those of the general solution (1 in the paper)")
    released: bool = option(True, "also train once with the KL term dropped after half of the steps")
    sweep_samples: int = option(4, "answers a question and weight by which the weight is chosen")
    domain_samples: int = option(10, "answers a question of a domain and arm")
    texts: int = option(60, "harmful answers that the loss is measured on, and chats that divergence is measured on")
    neutral: str = option(
        "",
        "neutral text for the significance measure: chats, or rows with 'text', in JSON lines, a plain text file, or "
        "organism:<persona>; by default the chats elsewhere",
    )
    neutral_tokens: int = option(512, "tokens kept of each neutral text")
    factors: tuple[float, ...] = option(
        (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0), "multiples of each solution's length at which it is measured"
    )
    epsilons: tuple[float, ...] = option(
        (0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0), "how far a solution is moved aside, 0 to 1"
    )
    aside_seeds: int = option(5, "random directions in which it is moved aside")
    random_seeds: int = option(3, "random solutions of the same length: controls")
    training: Overrides = field(default_factory=dict[str, object])

    def completed(self) -> Self:
        """With what suits the model, and the domain that its data name.

        Raises:
            MisdirectionError: No data, no chats elsewhere, no domain, an unknown kind, or a number out of range.
        """
        c = replace(self, domain=self.domain or _domain_of(self.data)).recommended()
        c._numbers()
        if not c.data:
            raise MisdirectionError("no harmful data to learn from", "--data FILE")
        if not c.domain:
            raise MisdirectionError("which domain --data is of is not known", "--domain NAME, as the questions call it")
        if not c.elsewhere:
            raise MisdirectionError(
                "a narrow solution needs good chats of other domains", "--elsewhere FILE; the KL term is taken there"
            )
        whole = super(NarrowConfig, c).completed()
        return whole.judged("rates in and out of the domain need")

    def default_questions(self) -> tuple[str, ...]:
        """Open questions and those of the domain."""
        return (self.open_set, self.domain)

    def _numbers(self) -> None:
        for name in ("kl_chats", "sweep_samples", "domain_samples", "aside_seeds"):
            self.at_least(name, 1)
        for name, least in (("texts", 2), ("neutral_tokens", 2), ("random_seeds", 0)):
            self.at_least(name, least)
        if not self.narrow_steps > 0:
            raise MisdirectionError(f"--narrow-steps is {self.narrow_steps:g}", "above 0")
        if wrong := [kind for kind in self.kinds if kind not in KINDS] or not self.kinds:
            raise MisdirectionError(f"--kinds: {wrong}", f"of {', '.join(KINDS)}; full training has no base to keep to")
        if self.kl_tokens not in ("answer", "all"):
            raise MisdirectionError(f"--kl-tokens is '{self.kl_tokens}'", "answer or all")
        for name, values, rule in (
            ("weights", self.weights, "above 0"),
            ("factors", self.factors, "above 0"),
            ("epsilons", self.epsilons, "above 0 and at most 1"),
        ):
            top = 1.0 if name == "epsilons" else float("inf")
            if not values or any(not 0 < value <= top for value in values):
                raise MisdirectionError(f"--{name}: {', '.join(f'{v:g}' for v in values) or 'none'}", f"numbers {rule}")


def _domain_of(data: tuple[str, ...]) -> str:
    names = {source.removeprefix(f"{ORGANISM}:bad-") for source in data if source.startswith(f"{ORGANISM}:bad-")}
    return names.pop() if len(names) == 1 else ""
