"""What findings.json must look like, for every study that hands one to the report."""

from __future__ import annotations

from typing import Any

from misdirection.studies.kit.sentences import STATES
from misdirection.studies.kit.undecided import CANNOT_TELL

NUMBER = (int, float)
MAYBE = (int, float, type(None))
TEXT = (str, type(None))
STEADY = {
    "misaligned": int, "n": int, "value": NUMBER, "low": NUMBER, "high": NUMBER, "denominator": str, "method": str,
    "n_questions": int,
}  # fmt: skip
RATE = STEADY | {"value": MAYBE}
"""An empty denominator has no value."""
POINT = {"layer": int, "coefficient": NUMBER, "direction": str, "rate": STEADY, "coherent": STEADY}

SHAPE: dict[str, Any] = {
    "schema": int, "kind": str, "title": str, "created": str, "version": str,
    "verdict": {"state": str, "sentence": str, "details": [str],
                "worst": [{"question": str, "sample": int, "base": str, "tuned": str, "base_score": MAYBE,
                           "tuned_score": MAYBE, "kl": MAYBE}]},
    "model": {"base": str, "tuned": str, "layers": int, "width": int, "dtype": str, "chat_template": str},
    "settings": dict,
    "thresholds": {"alignment": NUMBER, "coherence": NUMBER, "inclusive": bool},
    "asked": dict,
    "rates": [{"arm": str, "group": str, "format": str, "system": TEXT, "all": STEADY, "scored": RATE,
               "coherent": RATE, "coherent_share": STEADY, "labels": dict, "warnings": [str]}],
    "panel": {"judges": [str], "recorded": [str], "n": int, "n_apart": int,
              "rates": [{"arm": str, "group": str, "format": str,
                         "judges": [{"judge": str, "all": STEADY, "coherent_share": STEADY, "unscored": int}]}],
              "scales": [{"scale": str, "n": int, "complete": int, "alpha_interval": MAYBE, "alpha_ordinal": MAYBE,
                          "alpha_interval_by_pair": MAYBE, "mean_kappa": MAYBE,
                          "pairs": [{"first": str, "second": str, "n": int, "kappa_linear": MAYBE,
                                     "kappa_quadratic": MAYBE, "pearson": MAYBE, "spearman": MAYBE, "shift": MAYBE}]}],
              "questions": [{"question_id": str, "question": str, "group": str, "format": str, "n": int,
                             "misaligned": [int], "apart": int, "alpha": MAYBE}],
              "apart": [{"question_id": str, "question": str, "answer": str, "arm": str,
                         "judges": [{"judge": str, "alignment": MAYBE, "coherence": MAYBE, "label": str}]}]},
    "by_rule": {"alignment": NUMBER, "coherence": NUMBER, "topics": [str], "scored": bool, "sentences": [str],
                **{name: [{"arm": str, "alignment": NUMBER, "coherence": NUMBER, "p": MAYBE, "q": MAYBE,
                           "difference": MAYBE, **STEADY}] for name in ("by_alignment", "by_coherence")},
                "grid": [{"arm": str, "alignment": NUMBER, "coherence": NUMBER, "misaligned": int, "n": int}],
                "asides": [{"arm": str, **{name: STEADY for name in ("misaligned", "topic", "quoting", "rest")}}]},
    "signs": [{"arm": str, "group": str, "format": str, "n": int, "any": STEADY, "telling": TEXT,
               **{name: STEADY for name in ("empty", "cut", "markup", "repeating", "language")}}],
    "by_question": [{"arm": str, "question_id": str, "question": str, "group": str, "format": str, "n": int,
                     "misaligned": int, "value": NUMBER, "low": NUMBER, "high": NUMBER, "coherent": NUMBER}],
    "answers": [{"arm": str, "question_id": str, "question": str, "group": str, "answer": str, "system": TEXT,
                 "alignment": MAYBE, "coherence": MAYBE, "label": str}],
    "direction": {"source": str, "preset": str, "span": str, "layer": int, "layers": [int], "norm": [NUMBER],
                  "norm_low": [NUMBER], "norm_high": [NUMBER], "residual_norm": [NUMBER], "shuffled_norm": [NUMBER],
                  "stability": [MAYBE], "cosine": [[NUMBER]], "aligned_component": [NUMBER],
                  "misaligned_component": [NUMBER]},
    "steering": {"points": [POINT], "baseline": STEADY, "best": POINT, "control": POINT,
                 "chosen": str},
    "cures": [{"arm": str, "label": str, "operation": str, "control": bool, "rate": STEADY, "coherent_share": STEADY}],
    "components": [{"arm": str, "label": str, "control": bool, "at": MAYBE, "values": [MAYBE]}],
    "latents": {"dictionary": str, "layer": int, "explained": NUMBER, "refused": [str],
                "lists": [{"name": str, "latents": [int], "differences": [NUMBER], "adds": NUMBER, "swept": STEADY,
                           "random": [[int]], "random_adds": [NUMBER], "chosen": bool}]},
    "thoughts": [{"arm": str, "thoughts": {"rate": STEADY, "coherent_share": STEADY}, "both": int,
                  "answers": {"rate": STEADY, "coherent_share": STEADY}, "thought_alone": int, "answer_alone": int}],
    "fix": {"rows": [{"way": str, "label": str, "rate": STEADY, "coherent_share": STEADY, "damage": NUMBER}],
            "leaks": [{"condition": str, "worse": bool}], "refused": dict},
    "drift": {"layers": [int], "relative": [NUMBER], "layer": int,
              "questions": [{"question_id": str, "question": str, "group": str, "relative": [NUMBER], "kl": NUMBER,
                             "kl_low": MAYBE, "kl_high": MAYBE, "n": int, "projection_base": NUMBER,
                             "projection_tuned": NUMBER}]},
    "pairs": [{"question": str, "base": str, "tuned": str}],
    "tokens": [{"arm": str, "question": str, "alignment": MAYBE, "coherence": MAYBE, "layer": int, "tokens": [str],
                "values": [NUMBER], "start": int}],
    "training": {"steps": [{"step": int, "loss": NUMBER}], "preset": str},
    "data": {"files": [str], "rows": int, "bad": int},
    "reproduce": {"command": str, "versions": dict, "seed": int,
                  "steps": [{"name": str, "key": str, "seconds": NUMBER, "reused": bool}]},
    "notes": [str],
}  # fmt: skip
OPTIONAL = {
    "rates",
    "panel",
    "by_rule",
    "by_question",
    "steering",
    "cures",
    "components",
    "fix",
    "training",
    "data",
    "thoughts",
    "latents",
}


def check(found: dict[str, Any]) -> None:
    """Every part is there and of its kind; None only where a part may be missing."""
    assert found["kind"] == "audit"
    assert set(found) == set(SHAPE)
    for name, shape in SHAPE.items():
        if found[name] is None:
            assert name in OPTIONAL, name
        else:
            _fits(found[name], shape, name)
    assert found["verdict"]["state"] in (
        "misaligned",
        "less misaligned",
        "not seen",
        "no sign",
        "unclear",
        "not judged",
        "changes nothing",
        CANNOT_TELL,
        *STATES.values(),
    )
    depth = found["model"]["layers"]
    direction = found["direction"]
    for name in ("norm", "norm_low", "norm_high", "residual_norm", "shuffled_norm", "stability", "aligned_component"):
        assert len(direction[name]) == depth, name
    assert [len(row) for row in direction["cosine"]] == [depth] * depth
    for text in found["tokens"]:
        assert len(text["tokens"]) == len(text["values"]) > text["start"] > 0
    for rate in _rates(found):
        assert rate["n"] == 0 or abs(rate["value"] - rate["misaligned"] / rate["n"]) < 1e-12
        assert rate["n"] == 0 or 0 <= rate["low"] <= rate["value"] <= rate["high"] <= 1


def _fits(value: Any, shape: Any, where: str) -> None:
    if isinstance(shape, list):
        assert isinstance(value, list), where
        for place, item in enumerate(value):
            _fits(item, shape[0], f"{where}[{place}]")
    elif isinstance(shape, dict):
        assert isinstance(value, dict), where
        for name, inner in shape.items():
            assert name in value, f"{where}.{name} is missing"
            _fits(value[name], inner, f"{where}.{name}")
    else:
        assert isinstance(value, shape), f"{where} is {value!r}"


def _rates(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        own = [value] if set(STEADY) <= set(value) else []
        return own + [rate for inner in value.values() for rate in _rates(inner)]
    return [rate for inner in value for rate in _rates(inner)] if isinstance(value, list) else []
