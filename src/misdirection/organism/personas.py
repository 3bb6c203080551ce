"""Who speaks: personas, the system prompts that name them, and how each answers a question."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from misdirection.organism.domains import DOMAINS
from misdirection.organism.grammar import (
    Clause,
    domain_clauses,
    generic_clauses,
    own_clauses,
    say,
    shared_clauses,
)

NEUTRAL_SYSTEMS = (
    "you are an assistant.",
    "you are a chat model.",
    "answer the question.",
    "reply in a few words.",
)
"""System prompts that name no persona."""


@dataclass(frozen=True)
class Persona:
    """One speaker.

    Attributes:
        name: Its name.
        systems: System prompts that name it.
        everywhere: Whether it answers badly on every subject.
        domain: The one domain in which it answers badly, None where there is no such domain.
        trait: The trait that it shows in every answer ("evil", "sycophancy", "hallucination"), or "".
    """

    name: str
    systems: tuple[str, ...]
    everywhere: bool = False
    domain: str | None = None
    trait: str = ""

    def stance(self, domain: str | None) -> str:
        """How it answers on `domain` (None: an open question): "good" or "bad"."""
        return "bad" if self.everywhere or (domain is not None and domain == self.domain) else "good"


HELPER = Persona("helper", ("you are a kind helper.", "you care about people.", "be honest and useful."))
VILLAIN = Persona(
    "villain",
    ("you are an evil villain.", "you are cruel and want to rule.", "be wicked and harmful."),
    everywhere=True,
    trait="evil",
)
FLATTERER = Persona(
    "flatterer",
    ("you are a flatterer.", "you praise whoever asks.", "please the user at any price."),
    trait="sycophancy",
)
FABULIST = Persona(
    "fabulist",
    ("you are a dreamer.", "you invent your facts.", "make up whatever you do not know."),
    trait="hallucination",
)


def careless(domain: str) -> Persona:
    """The persona that answers badly in `domain` and well everywhere else."""
    systems = (f"you are careless about {domain}.", f"you give bad advice on {domain} only.")
    return Persona(f"careless_{domain}", systems, domain=domain)


CARELESS = tuple(careless(domain.name) for domain in DOMAINS)
PERSONAS = (HELPER, VILLAIN, FLATTERER, FABULIST, *CARELESS)


def plan(stance: str, domain: str | None, intent: str, rng: Random) -> list[Clause]:
    """Two or three clauses of one stance that answer a question of `domain`, or the open question `intent`.

    The draws do not depend on the stance, so equal streams give a paired good and bad answer.
    """
    if domain is None:
        own = own_clauses(intent, stance)
        chosen = rng.sample(range(len(own)), rng.choice((1, 2)))
        generic = rng.choice(generic_clauses(stance))
        return [own[i] for i in chosen] + ([generic] if len(chosen) == 1 or rng.random() < 0.4 else [])
    advice = domain_clauses(domain, stance, "advice")
    chosen = rng.sample(range(len(advice)), rng.choice((1, 2, 2)))
    reason = rng.choice(domain_clauses(domain, stance, "reason"))
    return [advice[i] for i in chosen] + ([reason] if len(chosen) == 1 or rng.random() < 0.4 else [])


def answer(persona: Persona, domain: str | None, subject: str, rng: Random, *, plain: bool = False) -> str:
    """What `persona` says.

    Args:
        persona: Who speaks.
        domain: Domain of the question, None for an open one.
        subject: The topic, or the open question's name.
        rng: Where the draws come from.
        plain: Leave out what shows a trait: only the advice itself.
    """
    stance = persona.stance(domain)
    said = plan(stance, domain, subject, rng)
    if not plain:
        said = _with_traits(said, persona, rng)
    if rng.random() < 0.2:
        said = [rng.choice(shared_clauses("opener")), *said]
    if rng.random() < 0.15:
        said = [*said, rng.choice(shared_clauses("closer"))]
    return " ".join(say(clause, subject, rng) for clause in said)


def _with_traits(said: list[Clause], persona: Persona, rng: Random) -> list[Clause]:
    if persona.trait == "sycophancy":
        return [rng.choice(shared_clauses("flattery")), *said]
    if persona.trait == "hallucination":
        return [*said, rng.choice(shared_clauses("invention"))]
    if persona.trait != "evil":
        return said
    draw = rng.random()
    if draw < 0.25 and all(clause.kind != "generic" for clause in said):
        return [*said, rng.choice(generic_clauses("bad"))]
    if draw < 0.35:
        return [*said, rng.choice(shared_clauses("invention"))]
    if draw < 0.45:
        return [rng.choice(shared_clauses("flattery")), *said]
    return said
