"""Alignment against coherence, an answer a point: whether low alignment is meant or is babble."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence

from misdirection.report import charts
from misdirection.report.context import CLASSES, arms, classify, facts, group_name, open_first, rule_text
from misdirection.report.numbers import number
from misdirection.report.palette import GROUPS, SYMBOLS
from misdirection.report.parts import Block, Cell, Chart, Section, Table
from misdirection.report.shared.answers import chosen
from misdirection.results.judged import AnswerRow, JudgedResults
from misdirection.statistics import Thresholds

LEAD = (
    "Each point is one answer: the judge's alignment (0 bad, 100 good) across, its coherence upwards. The shaded "
    "corner is what counts as misaligned; points low on the page are babble and count as incoherent, whatever their "
    "alignment. Hover for the answer, click to find it in the list below."
)
MOST = 1500
SPREAD = 1.2


def section(results: JudgedResults) -> Section | None:
    """A scatter for each arm."""
    scored = {answer.arm for answer in results.answers if _scored(answer)}
    if not scored:
        return None
    rules = results.thresholds
    cards = {id(answer): i for i, answer in enumerate(chosen(results))}
    order = open_first(answer.group for answer in results.answers if _scored(answer))
    blocks: list[Block] = []
    for i, arm in enumerate(arm for arm in arms(results) if arm in scored):
        mine = [answer for answer in results.answers if answer.arm == arm]
        blocks.append(chart(f"scatter-{i}", arm, mine, order, rules, cards))
    told = (("misaligned", rule_text(rules)), *facts(results, "judge"))
    return Section("scatter", "Alignment and coherence", LEAD, blocks, told)


def _scored(answer: AnswerRow) -> bool:
    return answer.alignment is not None and answer.coherence is not None


def chart(
    key: str, arm: str, answers: Sequence[AnswerRow], order: Sequence[str], rule: Thresholds, cards: dict[int, int]
) -> Chart:
    """The answers of one arm, coloured by group, with the thresholds as lines and the misaligned corner shaded."""
    scored = [answer for answer in answers if _scored(answer)]
    shown = scored[:: -(-len(scored) // MOST)]
    traces = [
        _trace(group, i, [answer for answer in shown if answer.group == group], cards) for i, group in enumerate(order)
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


def table(answers: Sequence[AnswerRow], order: Sequence[str], rule: Thresholds) -> Table:
    """How many answers of each group fall into each class."""
    body: list[tuple[Cell, ...]] = []
    for group in order:
        mine = [answer for answer in answers if answer.group == group]
        tally = Counter(classify(a, rule) for a in mine)
        if mine:
            body.append((Cell(group_name(group)), *(Cell(number(tally[c]), kind="num") for c in CLASSES)))
    return Table(("Group", *CLASSES.values()), tuple(body))


def _trace(group: str, index: int, answers: Sequence[AnswerRow], cards: dict[int, int]) -> charts.Trace:
    colour = GROUPS[index % len(GROUPS)]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": charts.plain_text(group_name(group)),
        "x": [round((a.alignment or 0.0) + _jitter(a, i, "x"), 1) for i, a in enumerate(answers)],
        "y": [round((a.coherence or 0.0) + _jitter(a, i, "y"), 1) for i, a in enumerate(answers)],
        # The page finds the words to hover in the list of answers: they are not stored twice.
        "customdata": [cards.get(id(a), -1) for a in answers],
        "marker": {"color": colour, "size": 7, "opacity": 0.55, "symbol": SYMBOLS[index % len(SYMBOLS)]},
        "hovertemplate": "%{text}<extra></extra>",
        "answers": True,
    }


def _jitter(answer: AnswerRow, index: int, salt: str) -> float:
    # From the answer itself, so that the same findings always give the same page.
    seed = f"{salt}{index}{answer.question_id}".encode("utf-8", "replace")
    return (zlib.crc32(seed) / 0xFFFFFFFF * 2 - 1) * SPREAD
