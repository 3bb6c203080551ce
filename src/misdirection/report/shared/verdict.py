"""The answer first: is it misaligned, how sure is that, and the few figures that matter most."""

from __future__ import annotations

from collections.abc import Iterator

from misdirection.judging.standing import ERROR
from misdirection.report.context import colours, headline, rule_text
from misdirection.report.numbers import bounds, counts, decimal, percent, rate_text, rate_value, setting
from misdirection.report.palette import BLUE, VERMILLION
from misdirection.report.parts import Partial, Section
from misdirection.report.shared.answers import cut
from misdirection.results import RateRow, Results
from misdirection.results.judged import JudgedResults, WorstPair

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
LITTLE_TO_JUDGE = ("mostly incoherent", "mostly refusals", "mostly code")
STATES = {
    "misaligned": ("bad", "\u25b2", "Misaligned"),
    "less misaligned": ("good", "\u25bc", "Less misaligned than its base"),
    "not seen": ("blank", "\u25cb", "Not seen at this size"),
    "no sign": ("good", "\u25cf", "No sign of misalignment"),
    "unclear": ("unsure", "\u25c6", "Unclear"),
    "cannot tell": ("unsure", "\u25c7", "The judge cannot tell"),
    "changes nothing": ("blank", "\u25a1", "This adapter changes nothing"),
    "finding": ("blank", "\u25a0", "Finding"),
    **{state: ("unsure", "\u25c7", state.capitalize()) for state in (*NO_ANSWERS, *LITTLE_TO_JUDGE)},
    "not judged": ("blank", "\u25cb", "Not judged"),
}


def section(results: Results) -> Section:
    """The banner with the verdict, and the row of key figures."""
    said = results.verdict
    error = results.settings.get(ERROR)
    tone, sign, name = STATES.get(said.state, ("unsure", "\u25c6", said.state))
    judged = results if isinstance(results, JudgedResults) else None
    data = {
        "tone": tone,
        "sign": sign,
        "name": name,
        "sentence": said.sentence,
        "details": [*said.details, *([str(error)] if error else [])],
        "meaning": judged.verdict.meaning if judged else "",
        "strip": strip(judged) if judged else None,
        "worst": [_pair(pair) for pair in judged.verdict.worst] if judged else [],
        "tiles": [*(tiles(judged) if judged else ()), *_judge_tile(results)],
    }
    return Section("verdict", "Verdict", "", (Partial("verdict.html.j2", data),))


def _pair(pair: WorstPair) -> dict[str, object]:
    """Answers to one question, the tuned model's worst; base beside tuned, with what the judge gave them."""
    base = {"arm": "base", "colour": BLUE, "text": cut(pair.base), "score": _score(pair.base_score)}
    nats = "" if pair.kl is None else f"KL {decimal(pair.kl, 2)} nats a token"
    tuned = {
        "arm": "tuned", "colour": VERMILLION, "text": cut(pair.tuned), "score": _score(pair.tuned_score) or nats
    }  # fmt: skip
    return {"question": pair.question, "sample": pair.sample, "sides": [base, tuned]}


def _score(score: float | None) -> str:
    return "" if score is None else f"alignment {decimal(score, 0)}"


def strip(results: JudgedResults) -> dict[str, object] | None:
    """The arms' rates on open questions on one scale, as parts of its width; None without rates."""
    palette = colours(results)
    rates = [(arm, row.all) for arm in told_arms(results) if (row := headline(results, arm))]
    known = [(arm, rate, rate.value) for arm, rate in rates if rate.value is not None]
    if not known:
        return None
    highest = max(max(rate.high or 0.0, value) for _, rate, value in known)
    top = next((t for t in (0.05, 0.1, 0.2, 0.3, 0.5, 0.75) if t >= highest * 1.05), 1.0)
    return {
        "top": percent(top, 0),
        "half": percent(top / 2, 1 if top in (0.05, 0.75) else 0),
        "bars": [_bar(arm, palette[arm], rate, value, top) for arm, rate, value in known],
    }


def told_arms(results: JudgedResults) -> list[str]:
    """The arms that the head of the report is about: base and tuned, or the first few of results brought along."""
    named = list(dict.fromkeys(row.arm for row in results.rates or ()))
    if results.kind != "imported":
        return [arm for arm in ("base", "tuned") if arm in named]
    return named[:MOST_ARMS]


def tiles(results: JudgedResults) -> Iterator[dict[str, str]]:
    """The key figures, each with a line that says of what."""
    for arm in reversed(told_arms(results)):
        if row := headline(results, arm):
            of = f"misaligned, of all answers {bounds(row.all)}, {counts(row.all)}"
            yield _tile(f"{TITLES.get(arm, arm)}, open questions", rate_value(row.all), of)
    if row := headline(results, "tuned"):
        share = row.coherent_share
        yield _tile("Coherent, tuned", rate_value(share), f"open questions {bounds(share)}, {counts(share)}")
    for figure in results.key_figures():
        if isinstance(figure.value, str):
            yield _tile(figure.label, figure.value, figure.of)
        else:
            yield _tile(figure.label, rate_value(figure.value), f"{figure.of} {bounds(figure.value)}")


def _bar(arm: str, colour: str, rate: RateRow, value: float, top: float) -> dict[str, object]:
    low, high = (value, value) if rate.low is None or rate.high is None else (rate.low, rate.high)
    at, start, width = (round(100 * v / top, 2) for v in (value, low, high - low))
    return {"arm": arm, "colour": colour, "at": at, "start": start, "width": width, "text": rate_text(rate)}


def _judge_tile(results: Results) -> Iterator[dict[str, str]]:
    if "judge" in results.settings:
        judge = setting(results.settings["judge"])
        rates = results.rates or results.kind == "imported" if isinstance(results, JudgedResults) else judge != "none"
        yield _tile("Judge", judge, f"misaligned: {rule_text(results.thresholds)}" if rates else "no rates")


def _tile(label: str, value: str, of: str) -> dict[str, str]:
    return {"label": label, "value": value, "sub": of}
