"""The benchmark of latents runs, checks equal outputs before it times anything, and prints its ratios."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from benchmarks import features
from benchmarks.measure import UnequalError
from benchmarks.setting import Setting


def test_it_prints_a_ratio_a_line(tmp_path, capsys):
    small = ["--widths", "16", "--latents", "256", "--tokens", "300", "--repeats", "1", "--json", str(tmp_path / "out")]
    assert features.main(small) == 0
    told = capsys.readouterr().out
    lines = json.loads((tmp_path / "out").read_text())["lines"]
    assert len(lines) >= 3 and told.count("equal first") == len(lines) and "at most 25% slower" in told


def test_unequal_sides_stop_it():
    dictionary, parts = features.build(Setting(), 16, 256, 300)
    weights = torch.ones(len(parts), 1)
    states = torch.cat([held for _, _, held in parts])
    assert "within" in features._check(dictionary, parts, weights, states)
    with pytest.raises(UnequalError, match="sums differ"):
        features._check(dictionary, parts, weights, states[:-20])
    bent = replace(dictionary, encoder_bias=dictionary.encoder_bias + 0.5)
    assert (bent.encode(states) > 0).sum() > 1.2 * (dictionary.encode(states) > 0).sum()
    assert 20 < float((dictionary.encode(states) > 0).sum(1).double().mean()) < 120
