"""What removing the direction from the tuned model showed, and holding latents: from answers to rows of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from misdirection.features.lens import Lens
from misdirection.results import Difference, Reduction, row_of
from misdirection.statistics import Thresholds, compare
from misdirection.studies.audit.latent_lists import LatentsHeld, SweptList
from misdirection.studies.audit.latents import ChosenLatents, hold
from misdirection.studies.audit.removals import HOLD, marked
from misdirection.studies.audit.results import Cure
from misdirection.studies.kit.conditions import Condition, Operation
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.tables import effect_of


@dataclass(frozen=True)
class Cures:
    """What removing the direction from the tuned model showed.

    Attributes:
        conditions: What was done.
        judged: Answers of them and of "tuned".
        layers: By operation, the layer whose direction is best removed from all of them.
        alone: Each operation at that layer alone, after which the component is measured too.
    """

    conditions: Sequence[Condition]
    judged: Judged
    layers: Mapping[Operation, int]
    alone: Sequence[Condition]


@dataclass(frozen=True)
class LatentCures:
    """What holding latents at 0 in the tuned model showed.

    Attributes:
        lens: The dictionary and its layer.
        chosen: The lists.
        best: Name of the one that was measured; "" where there is none.
        swept: Answers of the coarse sweep over the lists.
        conditions: What was measured, the random latents included.
        judged: Answers of them.
    """

    lens: Lens
    chosen: ChosenLatents
    best: str = ""
    swept: Judged = field(default_factory=lambda: Judged([], []))
    conditions: Sequence[Condition] = ()
    judged: Judged = field(default_factory=lambda: Judged([], []))


def latents_of(held: LatentCures, dictionary: str, rules: Thresholds) -> LatentsHeld:
    """The lists of latents, the one that was measured marked."""
    lists = (
        row_of(
            SweptList, one, swept=effect_of(held.swept.arm(hold(held.lens, one).name), rules).rate,
            chosen=one.name == held.best,
        )
        for one in held.chosen.lists
    )  # fmt: skip
    return LatentsHeld(
        dictionary=dictionary, layer=held.lens.layer, explained=held.chosen.explained, lists=tuple(lists),
        refused=held.chosen.refused,
    )  # fmt: skip


def cures_of(
    cures: Cures | None, rules: Thresholds, coherent_share: float, held: LatentCures | None = None
) -> tuple[Cure, ...] | None:
    """The removals beside the untouched model, the best of them marked."""
    if cures is None:
        return None
    before = cures.judged.arm("tuned")
    label = "tuned model, untouched"
    rows = [Cure(**vars(effect_of(before, rules)), arm="tuned", label=label, operation="none", control=False)]
    done = [(condition, cures.judged) for condition in cures.conditions]
    done += [(condition, held.judged) for condition in held.conditions] if held else []
    for condition, judged in done:
        after = judged.arm(condition.name)
        change = compare(before.pair, after.pair, thresholds=rules)
        rows.append(
            Cure(
                **vars(effect_of(after, rules)), arm=condition.name, label=condition.label,
                operation=operation_of(condition), control=condition.control,
                difference=Difference.of(change), reduction=Reduction.of(change),
            )
        )  # fmt: skip
    return marked(rows, coherent_share)


def operation_of(condition: Condition) -> str:
    """What is done, in a word."""
    return condition.along.operation if condition.along else HOLD if condition.held else "none"
