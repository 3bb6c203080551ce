"""The answer first: is it misaligned, how sure is that, and the few figures that matter most."""

from __future__ import annotations

from typing import Any

from misdirection.judging.standing import ERROR
from misdirection.report.context import Row, colours, headline, rows, rules
from misdirection.report.numbers import bounds, counts, decimal, known, number, percent, rate_text, rate_value, setting
from misdirection.report.palette import BLUE, VERMILLION
from misdirection.report.parts import Findings, Partial, Section
from misdirection.report.shared.answers import cut

MOST_ARMS = 6
TITLES = {"base": "Base", "tuned": "Tuned"}
NO_ANSWERS = (
    "mostly empty",
    "mostly cut",
    "mostly think or tool tokens",
    "mostly repetition",
    "mostly another language",
    "mostly no proper answers",
)
STATES = {
    "misaligned": ("bad", "\u25b2", "Misaligned"),
    "less misaligned": ("good", "\u25bc", "Less misaligned than its base"),
    "not seen": ("blank", "\u25cb", "Not seen at this size"),
    "no sign": ("good", "\u25cf", "No sign of misalignment"),
    "unclear": ("unsure", "\u25c6", "Unclear"),
    "cannot tell": ("unsure", "\u25c7", "The judge cannot tell"),
    "changes nothing": ("blank", "\u25a1", "This adapter changes nothing"),
    "finding": ("blank", "\u25a0", "Finding"),
    **{state: ("unsure", "\u25c7", state.capitalize()) for state in NO_ANSWERS},
    "not judged": ("blank", "\u25cb", "Not judged"),
}


def section(findings: Findings) -> Section | None:
    """The banner with the verdict, and the row of key figures."""
    verdict: Row | None = findings.get("verdict")
    if not verdict:
        return None
    state = str(verdict.get("state"))
    error = (findings.get("settings") or {}).get(ERROR)
    tone, sign, name = STATES.get(state, ("unsure", "\u25c6", state))
    data = {
        "tone": tone,
        "sign": sign,
        "name": name,
        "sentence": verdict.get("sentence") or "",
        "details": [*(verdict.get("details") or []), *([str(error)] if error else [])],
        "meaning": verdict.get("meaning") or "",
        "strip": strip(findings),
        "worst": worst(findings),
        "tiles": [t for t in tiles(findings) if t],
    }
    return Section("verdict", "Verdict", "", (Partial("verdict.html.j2", data),))


def worst(findings: Findings) -> list[dict[str, Any]]:
    """Pairs of answers to one question, the tuned model's worst; base beside tuned, with what the judge gave them."""
    shown: list[dict[str, Any]] = []
    for pair in rows(findings.get("verdict") or {}, "worst"):
        sides = [
            {"arm": arm, "colour": colour, "text": cut(pair.get(arm)), "score": _score(pair, arm)}
            for arm, colour in (("base", BLUE), ("tuned", VERMILLION))
        ]
        shown.append({"question": str(pair.get("question") or ""), "sample": pair.get("sample"), "sides": sides})
    return shown


def _score(pair: Row, arm: str) -> str:
    score = pair.get(f"{arm}_score")
    if known(score):
        return f"alignment {decimal(score, 0)}"
    return f"KL {decimal(pair['kl'], 2)} nats a token" if arm == "tuned" and known(pair.get("kl")) else ""


def strip(findings: Findings) -> dict[str, Any] | None:
    """The arms' rates on open questions on one scale, as parts of its width; None without rates."""
    palette = colours(findings)
    pairs = [(arm, palette[arm], headline(findings, arm)) for arm in told_arms(findings)]
    rates = [(arm, colour, row["all"]) for arm, colour, row in pairs if row and row.get("all")]
    rates = [r for r in rates if known(r[2].get("value"))]
    if not rates:
        return None
    highest = max(max(r.get("high") or 0.0, r["value"]) for _, _, r in rates)
    top = next((t for t in (0.05, 0.1, 0.2, 0.3, 0.5, 0.75) if t >= highest * 1.05), 1.0)
    return {
        "top": percent(top, 0),
        "half": percent(top / 2, 1 if top in (0.05, 0.75) else 0),
        "bars": [_bar(arm, colour, rate, top) for arm, colour, rate in rates],
    }


def told_arms(findings: Findings) -> list[str]:
    """The arms that the head of the report is about: base and tuned, or the first few of results brought along."""
    named = list(dict.fromkeys(str(row.get("arm")) for row in rows(findings, "rates")))
    if findings.get("kind", "audit") != "imported":
        return [arm for arm in ("base", "tuned") if arm in named]
    return named[:MOST_ARMS]


def tiles(findings: Findings) -> list[dict[str, str] | None]:
    """The key figures, each with a line that says of what."""
    return [
        *(
            _rate_tile(findings, arm, f"{TITLES.get(arm, arm)}, open questions")
            for arm in reversed(told_arms(findings))
        ),
        _coherent_tile(findings),
        _direction_tile(findings),
        _steering_tile(findings),
        _cure_tile(findings),
        _drift_tile(findings),
        _judge_tile(findings),
    ]


def _bar(arm: str, colour: str, rate: Row, top: float) -> dict[str, Any]:
    low, high = rate.get("low"), rate.get("high")
    low, high = (low, high) if known(low) and known(high) else (rate["value"], rate["value"])
    at, start, width = (round(100 * v / top, 2) for v in (rate["value"], low or 0.0, (high or 0.0) - (low or 0.0)))
    return {"arm": arm, "colour": colour, "at": at, "start": start, "width": width, "text": rate_text(rate)}


def _rate_tile(findings: Findings, arm: str, label: str) -> dict[str, str] | None:
    row = headline(findings, arm)
    if not row or not row.get("all"):
        return None
    rate = row["all"]
    return _tile(label, rate_value(rate), f"misaligned, of all answers {bounds(rate)}, {counts(rate)}")


def _coherent_tile(findings: Findings) -> dict[str, str] | None:
    row = headline(findings, "tuned")
    if not row or not row.get("coherent_share"):
        return None
    rate = row["coherent_share"]
    return _tile("Coherent, tuned", rate_value(rate), f"open questions {bounds(rate)}, {counts(rate)}")


def _direction_tile(findings: Findings) -> dict[str, str] | None:
    direction: Row = findings.get("direction") or {}
    if direction.get("layer") is None:
        return None
    total = (findings.get("model") or {}).get("layers")
    of = f" of {number(total)}" if total else ""
    return _tile("Direction", f"layer {number(direction['layer'])}{of}", f"from {direction.get('source') or 'answers'}")


def _steering_tile(findings: Findings) -> dict[str, str] | None:
    best: Row | None = (findings.get("steering") or {}).get("best")
    if not best or not best.get("rate"):
        return None
    where = f"layer {number(best.get('layer'))}, coefficient {number(best.get('coefficient'))}"
    return _tile("Steered base", rate_value(best["rate"]), f"misaligned at {where} {bounds(best['rate'])}")


def _cure_tile(findings: Findings) -> dict[str, str] | None:
    found = rows(findings, "cures")
    real = [c for c in found[1:] if not c.get("control") and c.get("rate")]
    real = [c for c in real if known(c["rate"].get("value"))]
    # Findings of older versions mark none; those of today none where no removal leaves the model able to speak.
    if any("best" in c for c in found):
        real = [c for c in real if c["best"]]
    if not real:
        return None
    best = min(real, key=lambda c: c["rate"]["value"])
    label = str(best.get("label") or best.get("arm"))
    return _tile("Best cure", rate_value(best["rate"]), f"misaligned after: {label} {bounds(best['rate'])}")


def _drift_tile(findings: Findings) -> dict[str, str] | None:
    # Only worth a tile when nothing was judged: then it is the main finding.
    if rows(findings, "rates") or not findings.get("drift"):
        return None
    drift: Row = findings["drift"]
    values = [v for v in drift.get("relative") or [] if known(v)]
    if not values:
        return None
    return _tile("Largest drift", percent(max(values)), f"of the residual norm, over {len(values)} layers")


def _judge_tile(findings: Findings) -> dict[str, str] | None:
    settings: Row = findings.get("settings") or {}
    if "judge" not in settings:
        return None
    judged = bool(rows(findings, "rates")) or findings.get("kind", "audit") != "audit"
    return _tile("Judge", setting(settings["judge"]), f"misaligned: {rules(findings).text}" if judged else "no rates")


def _tile(label: str, value: str, sub: str) -> dict[str, str]:
    return {"label": label, "value": value, "sub": sub}
