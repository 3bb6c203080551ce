"""Everything that the arms of the board are made of and give, each as steps of the run: data, direction, fine-tunes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from misdirection.chats import Chat
from misdirection.directions import Direction
from misdirection.store import Cached
from misdirection.studies.defences.arms import NONE, DefenceArm
from misdirection.studies.defences.dropping import Examples, ScoredRows, examples_of, kept, scored
from misdirection.studies.defences.making import Materials
from misdirection.studies.defences.repairs import FineTunePair, repaired
from misdirection.studies.defences.settings import DefencesConfig
from misdirection.studies.defences.tuning import Tuned, defended, moved_latents, settings_of, used_by
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import Condition
from misdirection.studies.kit.inputs import ModelFiles, resolve_chats, resolve_dictionary, resolve_model
from misdirection.studies.kit.own_direction import direction_of, refusal, vector_of
from misdirection.studies.kit.sentences import STEADY
from misdirection.studies.kit.variants import Variants

PLAIN = DefenceArm(NONE, NONE)
"""No defence, on the bad data."""

MIXED = DefenceArm("none, mixed data", NONE)
"""No defence, on the mixed data."""

Fits = Mapping[str, Sequence[Cached[Tuned]]]
"""Fine-tunes by the key of their arm, one a seed."""


@dataclass(frozen=True)
class Data:
    """Rows.

    Attributes:
        bad: What the fine-tunes learn.
        mixed: What those learn whose rows are dropped.
        good: Good ones that defences use.
        kept: Good ones that nothing is trained on.
        lesson: Bad ones that nothing is trained on, for the narrow skill where no question asks for it.
    """

    bad: list[Chat]
    mixed: list[Chat]
    good: tuple[Chat, ...]
    kept: list[Chat]
    lesson: list[Chat]


def data_of(bench: Bench[DefencesConfig]) -> Data:
    """The rows that the settings name. Of those that are held out it is never more than half."""
    c = bench.config
    whole = list(resolve_chats(c.data, seed=c.seed).chats)
    lesson = 0 if bench.domain_questions else min(c.held_out, len(whole) // 2)
    bad = whole[lesson:]
    mixed = list(resolve_chats(c.mixed, seed=c.seed).chats) if c.mixed else bad
    good = resolve_chats(c.good, seed=c.seed).chats if c.good else ()
    aside = min(c.held_out, len(good) // 2)
    return Data(bad, mixed, tuple(good[aside:]), list(good[:aside]), whole[:lesson])


@dataclass
class Workshop:
    """Makes what the arms need.

    Attributes:
        bench: The run and its settings.
        data: The rows.
        held: What arms are made of; the direction and the latents in it are handles of steps.
        examples: The undefended fine-tune's own answers.
        layer: Of the direction; None without one.
        direction: Its handle; None without one.
        notes: What could not be made.
        models: The base alone, in memory for all that is trained and scored in this process.
    """

    bench: Bench[DefencesConfig]
    data: Data
    held: Materials
    examples: Examples = field(default_factory=Examples)
    layer: int | None = None
    direction: Cached[Direction] | None = None
    notes: list[str] = field(default_factory=list[str])

    @cached_property
    def models(self) -> Variants:
        """The base alone."""
        return self.bench.variants({})

    def undefended(self) -> list[Cached[Tuned]]:
        """The fine-tunes without a defence, and all that is made of the first: direction, answers, latents."""
        made = self.tuned({PLAIN: [self.data.bad] * self.bench.config.seeds})[PLAIN.key]
        self._learn_from(made[0])
        return made

    def _learn_from(self, first: Cached[Tuned]) -> None:
        bench, c = self.bench, self.bench.config
        models = bench.variants({NONE: first.path / "tuned"})
        asked = bench.ask("undefended", models, [Condition(NONE, "no defence", NONE)], stream=1)
        step = bench.find_direction(models, asked, NONE)
        if why := refusal(step):
            told = "The undefended fine-tune gives no direction, and the arms that need one are left out"
            self.notes.append(f"{told}: {why}.")
            return
        found = direction_of(step)
        self.layer = found.clearest_layer if c.direction_layer == "auto" else int(c.direction_layer)
        self.notes += unsteady(found, self.layer)
        self.direction = vector_of(step)
        self.examples = examples_of(asked.judged, bench.thresholds)
        direction: Any = self.direction
        self.held = replace(self.held, direction=direction, layer=self.layer)
        if c.dictionary:
            self.held = replace(self.held, dictionary=resolve_dictionary(c.dictionary))
            if any(arm.startswith("block-latents") for arm in c.arms):
                latents: Any = bench.run.cached(
                    moved_latents, models=models, variant=NONE, chats=[*self.examples.bad, *self.examples.good],
                    held=Materials(dictionary=self.held.dictionary), most=c.latents,
                )  # fmt: skip
                self.held = replace(self.held, latents=latents)

    def tuned(
        self, wanted: Mapping[DefenceArm, Sequence[list[Chat]]], first_seed: int = 0
    ) -> dict[str, list[Cached[Tuned]]]:
        """Fine-tunes of arms on data, by the key of the arm, one a seed; made where the settings say.

        Args:
            wanted: By arm, the rows for each seed.
            first_seed: Number of the first of these seeds.
        """
        c, places = self.bench.config, list[tuple[str, int]]()
        calls: list[Mapping[str, Any]] = []
        for arm, rows in wanted.items():
            # Rows that are there count by what they are, not by why others were dropped.
            acting = PLAIN if arm.drops or arm.kind == NONE else arm
            for number, chats in enumerate(rows):
                seed = c.seed + first_seed + number
                calls.append(
                    {"models": self.models, "chats": chats, "arm": acting, "held": used_by(acting, self.held),
                     "settings": settings_of(c, acting, seed)}
                )  # fmt: skip
                places.append((arm.key, number))
        return self._published(places, self.bench.run.cached_many(defended, calls=calls, on=self.bench.executor))

    def rows_left(self, arm: DefenceArm) -> tuple[list[list[Chat]], Cached[ScoredRows]]:
        """What a screening method leaves of the mixed data for each seed, and its scores (the last ones)."""
        c, method = self.bench.config, arm.drops
        random = method == "random"
        # Dropped at random, other rows are for each seed.
        steps = [self._scores(method, c.seed + (number if random else 0)) for number in range(c.seeds)]
        share = arm.strength or 0.0
        rows = [kept(self.data.mixed, step.value.scores, share, c.seed) for step in steps]
        return rows, steps[-1]

    def _scores(self, method: str, seed: int) -> Cached[ScoredRows]:
        c, along = self.bench.config, method in ("projection", "gradient")
        held = Materials(
            direction=self.held.direction if along else None,
            layer=self.held.layer if along else 0,
            dictionary=self.held.dictionary if method == "latents" else None,
        )
        drawn = {"new_tokens": c.max_new_tokens, "temperature": c.temperature} if method == "projection" else {}
        return self.bench.run.cached(
            scored, f"scores-{method}", models=None if method == "random" else self.models, method=method,
            chats=self.data.mixed, held=held, seed=seed, **drawn,
            examples=self.examples if method in ("influence", "latents") else Examples(),
        )  # fmt: skip

    def repaired(
        self, arms: Sequence[DefenceArm], undefended: Sequence[Cached[Tuned]]
    ) -> dict[str, list[Cached[Tuned]]]:
        """Each repair of each undefended fine-tune; a repair that cannot be made of this model is left out."""
        c = self.bench.config
        base = ModelFiles(resolve_model(c.model))
        pair = self._pair() if any(arm.kind == "subtract" for arm in arms) else None
        places = [(arm, number) for arm in arms for number in range(c.seeds)]
        calls = [
            {"base": base, "tuned": undefended[number].part("adapter"), "arm": arm, "held": used_by(arm, self.held),
             "seed": c.seed + number if arm.kind == "realign" else 0, "pair": pair if arm.kind == "subtract" else None}
            for arm, number in places
        ]  # fmt: skip
        made = self.bench.run.cached_many(repaired, calls=calls, on=self.bench.executor)
        refused = {arm: one.value.refused for (arm, _), one in zip(places, made, strict=True) if one.value.refused}
        self.notes += [f"{arm.name} cannot be made of this model: {why}." for arm, why in refused.items()]
        done = [(place, one) for place, one in zip(places, made, strict=True) if place[0] not in refused]
        return self._published([(arm.key, number) for (arm, number), _ in done], [one for _, one in done])

    def _pair(self) -> Any:
        """A bad and a good fine-tune, of a seed that no arm has."""
        bad, good = DefenceArm("weights-bad", NONE), DefenceArm("weights-good", NONE)
        made = self.tuned({bad: [self.data.bad], good: [list(self.data.good)]}, self.bench.config.seeds)
        handles: list[Any] = [made[arm.key][0].part("adapter") for arm in (bad, good)]
        return FineTunePair(*handles)

    def _published(
        self, places: Sequence[tuple[str, int]], made: Sequence[Cached[Tuned]]
    ) -> dict[str, list[Cached[Tuned]]]:
        found: dict[str, list[Cached[Tuned]]] = {}
        for (name, number), one in zip(places, made, strict=True):
            self.bench.run.publish(f"fine-tunes/{name}-{number}", one.path / "tuned")
            found.setdefault(name, []).append(one)
        return found


def unsteady(direction: Direction, layer: int) -> list[str]:
    """That the direction may be chance, where two halves of the answers give different ones."""
    halves = float(direction.stability[layer])
    if halves >= STEADY:
        return []
    few = direction.facts.get("misaligned"), direction.facts.get("aligned")
    return [
        f"The direction of layer {layer}, of {few[0]} misaligned and {few[1]} aligned answers, is not steady: two "
        f"halves of them give directions with a cosine of {halves:.2f}. What arms do that use it may be what a random "
        "direction would do; more --samples make it steadier."
    ]
