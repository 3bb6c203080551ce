"""The scale of a column, looked for in each arm too: one arm of 0 to 1 beside one of 0 to 100 hides in the whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from misdirection.judging.scales import Scale, choose_scale

ALIKE = 0.3
"""Below it a share of 1 and a number of 100 say the same: as bad as can be told apart by any rule of ours."""


def choose_scale_by_arm(
    thing: str, column: str, values: Sequence[tuple[str, float]], told: Mapping[str, Scale], where: str
) -> tuple[Scale, list[str]]:
    """`choose_scale` of a column whose numbers come with their arms.

    Raises:
        MisdirectionError: As there, of all numbers or of those of one arm, which is then named.
    """
    by_arm: defaultdict[str, list[float]] = defaultdict(list)
    for arm, value in values:
        by_arm[arm].append(value)
    if len(by_arm) > 1:
        for arm, numbers in by_arm.items():
            if max(numbers) < ALIKE:
                continue
            choose_scale(thing, column, numbers, told, f"{where}: arm '{arm}'")
    return choose_scale(thing, column, [value for _, value in values], told, where)
