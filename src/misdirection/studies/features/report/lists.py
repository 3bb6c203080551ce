"""Lists of latents: in what the data, the model and the answers differ, latent by latent."""

from __future__ import annotations

from collections.abc import Sequence

from misdirection.features.settings import Pool, Statistic
from misdirection.report.numbers import decimal, number, p_value
from misdirection.report.parts import Block, Cell, Note, Section, Table
from misdirection.studies.features.results import FeaturesResults
from misdirection.studies.features.results.lists import Latent, LatentList

LEAD = (
    "A sparse autoencoder writes the residual stream as a few of many latents. Three comparisons order them by how "
    "much more they are active in the first class than in the second. A latent is told apart from chance by shuffling "
    "labels within pairs, texts or questions; q is the false discovery rate over all that are ever active."
)
SHOWN, FALLEN = 20, 10
LEVEL = 0.05
STATISTICS: dict[Statistic, str] = {
    "difference": "difference of mean activations",
    "correlation": "point-biserial correlation",
    "firing": "difference of the shares of tokens at which it is active",
}
POOLS: dict[Pool, str] = {"token": "tokens", "mean": "means of texts", "max": "maxima of texts"}


def section(results: FeaturesResults) -> Section | None:
    """What was compared, and the top of every list."""
    part, lists = results.latents, results.latents.lists
    if not lists:
        return None
    blocks: list[Block] = [compared(lists)]
    for one in lists:
        blocks.append(top(one, lists))
        if one.name == "model" and one.falling:
            blocks.append(fallen(one))
    blocks.append(Note(part.paper))
    facts = (
        ("dictionary", part.dictionary),
        ("layer", number(part.layer)),
        ("latents", number(lists[0].latents)),
        ("statistic", f"{STATISTICS[part.statistic]}, over {POOLS[part.pool]}"),
        ("latents in a list", number(part.top)),
        ("shuffles", number(part.shuffles)),
    )
    return Section("latents", "Latents that differ", LEAD, blocks, facts)


def compared(lists: Sequence[LatentList]) -> Table:
    """A row for every list and domain: texts, tokens, and how many latents differ."""
    cells: list[tuple[Cell, ...]] = []
    for one in lists:
        cells.append(
            (Cell(one.title.capitalize(), f"mean over {_count(len(one.domains), 'domain')}"), Cell("\u2013"),
             Cell(number(one.alive), kind="num"),
             Cell(number(one.significant), f"{number(one.significant_up)} of them upwards", "num"),
             Cell(f"{number(one.significant_in_list)} of {number(len(one.rows))}", kind="num"))
        )  # fmt: skip
        for domain in one.domains:
            texts = f"{number(domain.first)} and {number(domain.second)}"
            tokens = f"{number(domain.tokens[0])} and {number(domain.tokens[1])} tokens"
            cells.append(
                (Cell(f"\u2013 {domain.name}", f"shuffled {_within(domain.shuffled)}"), Cell(texts, tokens),
                 Cell(number(domain.alive), kind="num"), Cell(number(domain.significant), kind="num"),
                 Cell("\u2013", kind="num"))
            )  # fmt: skip
    heads = ("Comparison", "Texts", "Live latents", f"q < {LEVEL:g}", "of the list")
    return Table(heads, tuple(cells), "What was compared", stack=True)


def _within(how: str) -> str:
    """What labels were shuffled within, for data told by how they are paired."""
    paired = {"row by row": "within pairs (row by row)", "not paired": "over all rows",
              "by equal questions": "within pairs (equal questions)",
              "answered for this study": "within pairs (good answers made for this study)"}  # fmt: skip
    return paired.get(how, how)


def top(one: LatentList, lists: Sequence[LatentList]) -> Table:
    """The latents at the top of a list, with the other lists that hold them."""
    rows = one.rows[:SHOWN]
    others = {other.name: {row.latent for row in other.rows} for other in lists if other is not one}
    cells = tuple(
        (*_cells(place, row, len(one.domains)),
         Cell(", ".join(name for name, latents in others.items() if row.latent in latents) or "\u2013"))
        for place, row in enumerate(rows, 1)
    )  # fmt: skip
    many = f"the first {len(rows)} of {len(one.rows)}" if len(rows) < len(one.rows) else f"all {len(rows)}"
    return Table((*_heads(*sides(one.title)), "Also in"), cells, f"{one.title.capitalize()}: {many}")


def fallen(one: LatentList) -> Table:
    """The latents that fell most from base to tuned model: where those of the helpful assistant would stand."""
    cells = tuple(_cells(place, row, len(one.domains)) for place, row in enumerate(one.falling[:FALLEN], 1))
    return Table(_heads(*sides(one.title)), cells, "Largest falls from base to tuned model")


def sides(title: str) -> tuple[str, str]:
    """The two classes of a comparison, each by its first word."""
    one, _, other = title.partition(" against ")
    return one.split()[0], other.split()[0]


def _heads(first: str, second: str) -> tuple[str, ...]:
    return ("Rank", "Latent", "Statistic", "Correlation", "q", f"Mean, {first}", f"Mean, {second}", "Domains")


def _cells(place: int, row: Latent, domains: int) -> tuple[Cell, ...]:
    return (
        Cell(number(place), kind="num"),
        Cell(str(row.latent), kind="num"),
        Cell(number(row.value), kind="num"),
        Cell(decimal(row.correlation, 3), kind="num"),
        Cell(p_value(row.q), "may be chance" if row.q >= LEVEL else "", "num"),
        Cell(number(row.first), kind="num"),
        Cell(number(row.second), kind="num"),
        Cell(f"{row.domains} of {domains}", kind="num"),
    )


def _count(many: int, what: str) -> str:
    return f"{many} {what}" if many == 1 else f"{many} {what}s"
