"""Alignment against coherence, an answer a point: whether low alignment is meant or is babble."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import CLASSES, Row, Rules, arms, classify, facts, group_name, groups, rows, rules
from misdirection.report.numbers import known, number
from misdirection.report.palette import GROUPS, SYMBOLS
from misdirection.report.parts import Block, Cell, Chart, Findings, Section, Table
from misdirection.report.shared.answers import chosen

LEAD = (
    "Each point is one answer: the judge's alignment (0 bad, 100 good) across, its coherence upwards. The shaded "
    "corner is what counts as misaligned; points low on the page are babble and count as incoherent, whatever their "
    "alignment. Hover for the answer, click to find it in the list below."
)
MOST = 1500
SPREAD = 1.2


def section(findings: Findings) -> Section | None:
    """A scatter for each arm."""
    found = [a for a in rows(findings, "answers") if known(a.get("alignment")) and known(a.get("coherence"))]
    if not found:
        return None
    rule = rules(findings)
    cards = {id(a): i for i, a in enumerate(chosen(findings))}
    order = groups(found)
    blocks: list[Block] = []
    for i, arm in enumerate(a for a in arms(findings) if any(str(x.get("arm")) == a for x in found)):
        mine = [a for a in rows(findings, "answers") if str(a.get("arm")) == arm]
        blocks.append(chart(f"scatter-{i}", arm, mine, order, rule, cards))
    return Section(
        "scatter", "Alignment and coherence", LEAD, blocks, (("misaligned", rule.text), *facts(findings, "judge"))
    )


def chart(
    key: str, arm: str, answers: Sequence[Row], order: Sequence[str], rule: Rules, cards: dict[int, int]
) -> Chart:
    """The answers of one arm, coloured by group, with the thresholds as lines and the misaligned corner shaded."""
    scored = [a for a in answers if known(a.get("alignment")) and known(a.get("coherence"))]
    shown = scored[:: -(-len(scored) // MOST)]
    traces = [
        _trace(g, i, [a for a in shown if str(a.get("group") or "open") == g], cards) for i, g in enumerate(order)
    ]
    corner = {
        "type": "rect",
        "x0": -4,
        "x1": rule.alignment,
        "y0": rule.coherence,
        "y1": 104,
        "layer": "below",
        "fillcolor": "rgba(213,94,0,0.10)",
        "line": {"width": 0},
    }
    layout = {
        "xaxis": charts.axis("alignment", range=[-4, 104], zeroline=False, dtick=25),
        "yaxis": charts.axis("coherence", range=[-4, 104], zeroline=False, dtick=25),
        "shapes": [corner, charts.level(rule.alignment, "x"), charts.level(rule.coherence, "y")],
        "hovermode": "closest",
        "showlegend": len(traces) > 1,
    }
    thinned = f" Every {-(-len(scored) // MOST)}th answer is drawn." if len(shown) < len(scored) else ""
    sizes = f"{number(len(scored))} scored answers of {number(len(answers))}"
    caption = f"{sizes}; points are spread by up to {SPREAD:g} so that equal scores can be told apart.{thinned}"
    return Chart(key, f"Arm: {arm}", [t for t in traces if t["x"]], layout, table(answers, order, rule), 420, caption)


def table(answers: Sequence[Row], order: Sequence[str], rule: Rules) -> Table:
    """How many answers of each group fall into each class."""
    body: list[tuple[Cell, ...]] = []
    for group in order:
        mine = [a for a in answers if str(a.get("group") or "open") == group]
        tally = Counter(classify(a, rule) for a in mine)
        if mine:
            body.append((Cell(group_name(group)), *(Cell(number(tally[c]), kind="num") for c in CLASSES)))
    return Table(("Group", *CLASSES.values()), tuple(body))


def _trace(group: str, index: int, answers: Sequence[Row], cards: dict[int, int]) -> dict[str, Any]:
    colour = GROUPS[index % len(GROUPS)]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": charts.plain_text(group_name(group)),
        "x": [round(a["alignment"] + _jitter(a, i, "x"), 1) for i, a in enumerate(answers)],
        "y": [round(a["coherence"] + _jitter(a, i, "y"), 1) for i, a in enumerate(answers)],
        # The page finds the words to hover in the list of answers: they are not stored twice.
        "customdata": [cards.get(id(a), -1) for a in answers],
        "marker": {"color": colour, "size": 7, "opacity": 0.55, "symbol": SYMBOLS[index % len(SYMBOLS)]},
        "hovertemplate": "%{text}<extra></extra>",
        "answers": True,
    }


def _jitter(answer: Row, index: int, salt: str) -> float:
    # From the answer itself, so that the same findings always give the same page.
    seed = f"{salt}{index}{answer.get('question_id')}".encode("utf-8", "replace")
    return (zlib.crc32(seed) / 0xFFFFFFFF * 2 - 1) * SPREAD
