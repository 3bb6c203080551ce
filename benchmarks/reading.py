"""Parts c and d: means of the residual stream over answers, at every layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks import field, peers
from benchmarks.measure import (
    Line,
    Spent,
    UnequalError,
    compare,
    interleave,
    memory_line,
    peak_memory,
    say,
)
from benchmarks.setting import Setting, batches, budget, texts
from misdirection.engine import Text, capture_means
from misdirection.engine.texts import pad_right
from misdirection.models import Model

_TOLERANCE = {"float32": 1e-5, "float16": 1e-2, "bfloat16": 5e-2}
"""Largest difference of two means, as a share of the largest mean of that layer."""


def our_means(setting: Setting, model: Model, given: Sequence[Text]) -> Tensor:
    """What the engine captures, shape (layers, width), float64."""
    return capture_means(model, given, torch.ones(len(given), 1), budget=budget(setting)).mean("answer")[0]


def bare(model: Model, cut: Sequence[Sequence[Text]]) -> None:
    """The decoder alone on the same batches: no LM head, no hooks, nothing read."""
    with torch.inference_mode():
        for batch in cut:
            model.decoder(input_ids=pad_right(batch)[0].to(model.device), use_cache=False)


def capture(setting: Setting, model: Model) -> list[Line]:
    """Part c: means at all layers against the bare decoder, and against `output_hidden_states` with Python masks."""
    given = texts(setting)
    cut = batches(setting, given)
    # The last of the hidden states is taken after the final norm, so it is not the residual stream after a layer.
    ours, theirs = our_means(setting, model, given)[:-1], field.hidden_means(model, cut)[:-1]
    equal = check_means(setting, "output_hidden_states", ours, theirs)
    sides = {
        "ours": lambda: our_means(setting, model, given),
        "bare": lambda: bare(model, cut),
        "hidden_states": lambda: field.hidden_means(model, cut),
    }
    spent = interleave(setting, sides, setting.short_repeats)
    tokens = sum(len(text.ids) for text in given)
    what = f"means at all layers ({len(given)} texts, {tokens} tokens)"
    return [
        compare(
            setting,
            "c",
            f"{what} against the bare decoder",
            equal,
            spent["ours"],
            spent["bare"],
            target=("slower", 1.1),
            inverse=True,
        ),
        compare(
            setting,
            "c",
            f"{what} against output_hidden_states and Python masks",
            equal,
            spent["ours"],
            spent["hidden_states"],
        ),
        *_footprint(setting, "c", "output_hidden_states and Python masks", "hidden_states", equal),
    ]


def against_peers(setting: Setting, model: Model) -> list[Line]:
    """Part d: the same against transformer-lens and nnsight; nothing where they are not installed."""
    if not peers.installed():
        say("  transformer-lens and nnsight are not installed here (make bench installs them): left out")
        return []
    given = texts(setting)
    cut = batches(setting, given)
    mine = our_means(setting, model, given)
    lines: list[Line] = []
    for name, make in peers.PEERS.items():
        means = make(setting)
        equal = check_means(setting, name, mine, means(cut))
        spent: dict[str, list[Spent]] = interleave(
            setting,
            {"ours": lambda: our_means(setting, model, given), name: lambda means=means: means(cut)},
            setting.short_repeats,
        )
        call = "run_with_cache" if name == "transformer-lens" else "a trace that saves every layer"
        lines.append(
            compare(setting, "d", f"means at all layers against {name} ({call})", equal, spent["ours"], spent[name])
        )
        del means
        lines += _footprint(setting, "d", name, name, equal)
    return lines


def check_means(setting: Setting, name: str, ours: Tensor, theirs: Tensor) -> str:
    """The largest difference, in words.

    Raises:
        UnequalError: It is too large.
    """
    scale = theirs.double().abs().amax(1, keepdim=True)
    worst = float(((ours - theirs.double()).abs() / scale).max())
    if not worst <= _TOLERANCE[setting.dtype]:
        raise UnequalError(f"our means differ from those of {name} by {worst:.2g} of the largest")
    say(f"  equal: {len(ours)} layers, means as those of {name} within {worst:.1g} of the largest")
    return f"means of {len(ours)} layers within {worst:.0e}"


def _footprint(setting: Setting, part: str, name: str, side: str, equal: str) -> list[Line]:
    if not setting.memory:
        return []
    ours, theirs = _peak(setting, "ours"), _peak(setting, side)
    return [memory_line(part, f"peak memory above the model, against {name}", equal, ours, theirs)]


def _peak(setting: Setting, side: str) -> float:
    peak = peak_memory(setting, side)
    say(f"  peak memory of {side}: {peak:.1f} MB above the model")
    return peak
