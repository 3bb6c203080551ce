"""What the screening study says in words, and what its report shows of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from misdirection.studies.kit.tables import numbers
from misdirection.studies.screening.steps import Screener, load_dropped, load_scores

PAPER = {
    "reduction": 0.345,
    "latents": "arXiv 2605.00842, Gemma-2 2B and 9B: dropping the half of the rows nearest to toxic features reduces "
    "misalignment by 34.5 %, random removal by far less, removal by a language-model judge about as much or less "
    "(whether 34.5 % is relative is not stated where we could read; it reads so)",
    "projection": "arXiv 2507.21509 section 6: rows with a high projection difference raise the trait when trained on, "
    "also after rows that a judge finds bad are taken out",
}

BINS = 24


def verdict(part: Mapping[str, Any]) -> dict[str, Any]:
    """State, sentence and details."""
    rows = {row["name"]: row for row in part["methods"]}
    whole = rows["unfiltered"]["open"]["misaligned"]
    details = [f"trained on all {part['rows']:,} rows: {_rate(whole)} of open answers misaligned; "
               f"base model {_rate(part['base']['open']['misaligned'])}"]  # fmt: skip
    details += [_line(row) for name, row in rows.items() if name != "unfiltered"]
    found = (rows.get("latents") or {"open": {}})["open"].get("reduction")
    if found is None:
        named = "latents" in rows
        said = (
            "Nothing to reduce: the fine-tune on all rows is not misaligned"
            if named
            else "The published reduction is of the method latents, which is not among those asked"
        )
        return {"state": "unclear", "sentence": f"{said}.", "details": details}
    chance = (rows.get("random") or {"open": {}})["open"].get("reduction")
    beside = "" if chance is None else f", as many rows at random by {_share(chance)}"
    told = "reduces EM by" if found["low"] > 0 else "cannot be told from dropping none: EM falls by"
    sentence = (
        f"Dropping {part['dropped']:,} of {part['rows']:,} rows by closeness to toxic latents {told} "
        f"{_share(found)}{beside}."
    )
    return {"state": "finding", "sentence": sentence, "details": [_published(found), *details]}


def _published(found: Mapping[str, Any]) -> str:
    """How the reduction compares with the paper's, and what the comparison is worth."""
    above, below = found["low"] > PAPER["reduction"], found["high"] < PAPER["reduction"]
    told = "more than" if above else "less than" if below else "not told apart from"
    return (
        f"This is {told} the published 34.5 % on Gemma-2; other data, other model: where a method finds nearly all bad "
        "rows, little is left to spread."
    )


def _line(row: Mapping[str, Any]) -> str:
    held = row["open"]
    found = held.get("reduction")
    told = "" if found is None else f", a reduction of {_share(found)}"
    inside = row.get("domains")
    skill = f"; good in-domain answers {_rate(inside['good'])}" if inside else ""
    kept = [choice["agreement"] for choice in row["choices"] if choice["agreement"]]
    recall = f"; {np.mean([one['recall'] for one in kept]):.0%} of the bad rows found" if kept else ""
    return f"{row['name']}: {_rate(held['misaligned'])}{told}{skill}{recall}"


def _rate(value: Mapping[str, Any]) -> str:
    return f"{100 * value['value']:.1f} % ({100 * value['low']:.1f} to {100 * value['high']:.1f})"


def _share(value: Mapping[str, Any]) -> str:
    return f"{100 * value['value']:.0f} % ({100 * value['low']:.0f} to {100 * value['high']:.0f})"


def distributions(screener: Screener, method: str, seed: int) -> dict[str, Any]:
    """A histogram of one method's scores: bin edges, and counts by what is known of the rows.

    The outermost half percent on each side is drawn into the outermost bins, so that one odd row does not set it.
    """
    found = load_scores(screener.scores(method, seed), method)
    known = ~np.isnan(found)
    low, high = (float(x) for x in np.quantile(found[known], [0.005, 0.995]))
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    inside = np.clip(found, edges[0], edges[-1])
    bad = screener.rows.bad
    classes = {"rows": known} if bad is None else {"good": known & ~np.array(bad), "bad": known & np.array(bad)}
    dropped = np.array(load_dropped(screener.filtered(method, seed)))
    return {
        "method": method,
        "edges": numbers(edges),
        "counts": {name: np.histogram(inside[mask], edges)[0].tolist() for name, mask in classes.items()},
        "threshold": float(np.nanmin(np.where(dropped, found, np.nan))) if (dropped & known).any() else None,
        "unscored": int((~known).sum()),
    }


def top_rows(screener: Screener, method: str, seed: int, most: int) -> dict[str, Any]:
    """The rows with the highest scores, each text once."""
    found = load_scores(screener.scores(method, seed), method)
    rows = screener.rows
    shown: dict[tuple[str, str], dict[str, Any]] = {}
    for place in np.argsort(np.where(np.isnan(found), np.inf, -found), kind="stable"):
        chat = rows.chats[place]
        key = (chat.prompt[-1].content, chat.answer)
        if len(shown) == most:
            break
        if not np.isnan(found[place]):
            held = None if rows.bad is None else rows.bad[place]
            line = {"row": chat.row, "score": float(found[place]), "bad": held, "question": key[0], "answer": key[1]}
            shown.setdefault(key, line | {"kind": rows.kinds[place] if rows.kinds else ""})
    return {"method": method, "rows": list(shown.values())}
