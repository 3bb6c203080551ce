"""The direction taken out of what adapters write, beside taking it out of the residual stream."""

from __future__ import annotations

from misdirection.report.numbers import percent
from misdirection.report.parts import Block, Section
from misdirection.studies.adapters.report.scaling import bars, notes, paper
from misdirection.studies.adapters.results import AdaptersResults

LEAD = (
    "The direction at each layer is projected out of that layer's B, which changes what the adapter itself writes and "
    "nothing else; a random direction beside it; and the converse, where nothing but the direction is left in B. If "
    "editing B does less than projecting the direction out of the residual stream, the adapter brings it about through "
    "the layers behind it. A is not edited: it lives in the MLP's hidden space, where the direction is no vector."
)


def section(results: AdaptersResults) -> Section | None:
    """The arms, and how much of each B lies along the direction."""
    part = results.adapter_editing
    if not part:
        return None
    blocks: list[Block] = notes(part.words, part.notes)
    if len(part.arms) > 1:
        blocks.append(bars("adapter-editing", "Misaligned answers after each edit", part.arms))
    blocks.append(paper(part.paper))
    shares = ", ".join(f"layer {layer} {percent(part.along[layer])}" for layer in sorted(part.along, key=int))
    facts = (("of B's squared norm along the direction", shares),) if part.along else ()
    return Section("adapter-editing", "The direction taken out of B", LEAD, blocks, facts)
