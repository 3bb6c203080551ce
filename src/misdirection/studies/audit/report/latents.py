"""Which latents were held at 0 among the removals, as a table below them."""

from __future__ import annotations

from misdirection.report.numbers import decimal, percent, rate_cell
from misdirection.report.parts import Cell, Note, Table
from misdirection.studies.audit.latent_lists import LISTS, LatentsHeld, SweptList

COLUMNS = ("List", "Latents, largest difference first", "Add a token", "Random ones add", "Misaligned in the sweep")
NOTE = (
    "Latents held at 0 lose what they add to the residual stream, token by token, and nothing where they are silent. "
    "The list that left the fewest misaligned coherent answers in a coarse sweep was measured among the removals "
    "above, beside random latents, each drawn among the closest in what they add (mean length a token)."
)


def latent_parts(held: LatentsHeld | None) -> tuple[Note | Table, ...]:
    """What is held and how it was chosen; nothing without a dictionary."""
    if held is None:
        return ()
    refused = tuple(Note(text[:1].upper() + text[1:]) for text in held.refused)
    if not held.lists:
        return refused
    rows = tuple(map(_row, held.lists))
    return (Note(NOTE), Table(COLUMNS, rows, "Latents of the dictionary", stack=True), *refused)


def latent_facts(held: LatentsHeld | None) -> tuple[tuple[str, str], ...]:
    """The dictionary, and how well it fits."""
    if held is None:
        return ()
    told = f"{held.dictionary}, behind layer {held.layer}"
    return (
        ("dictionary", told),
        ("variance of the base model's states that it explains", percent(held.explained)),
    )


def _row(one: SweptList) -> tuple[Cell, ...]:
    latents = ", ".join(
        f"{latent} (+{decimal(by, 2)})" for latent, by in zip(one.latents, one.differences, strict=True)
    )
    return (
        Cell(LISTS[one.name], "measured" if one.chosen else ""),
        Cell(latents),
        Cell(decimal(one.adds, 2), kind="num"),
        Cell(", ".join(decimal(adds, 2) for adds in one.random_adds), kind="num"),
        rate_cell(one.swept),
    )
