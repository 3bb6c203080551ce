from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.families import LAYERS, WIDTH, prompt, shared, vector

from misdirection.directions.errors import DirectionError
from misdirection.directions.levels import quantile_levels, read_levels
from misdirection.engine import Arm, Cap, Text, capture_projections


def test_a_quantile_of_reference_tokens_is_what_a_plain_loop_finds_and_a_cap_holds_there() -> None:
    model, table = shared("llama"), vector(3, LAYERS, WIDTH)
    texts = [Text(prompt(n, 14), {}, Arm("base"), 5) for n in range(3)]
    found = quantile_levels(model, texts, {"own": table, "doubled": table * 2}, 0.6)
    units = torch.nn.functional.normalize(table, dim=-1)
    for layer in range(LAYERS):
        seen = capture_projections(model, texts, {layer: units[layer][None]})
        tokens = torch.cat([one[layer][5:, 0] for one in seen])
        assert float((tokens <= found["own"][layer]).float().mean()) == pytest.approx(0.6, abs=0.03)
    torch.testing.assert_close(found["own"], found["doubled"])
    arm = Arm("capped", None, (Cap(table, tuple(range(LAYERS)), found["own"]),))
    capped = capture_projections(model, [Text(prompt(9, 14), {}, arm, 5)], {0: units[:1]})[0][0]
    assert float(capped.max()) <= float(found["own"][0]) + 1e-4
    for wrong in (([], 0.5), (texts, 1.5)):
        with pytest.raises(DirectionError, match="quantile of"):
            quantile_levels(model, wrong[0], {"own": table}, wrong[1])


def test_levels_come_back_and_files_of_other_layers_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "levels.json"
    named = {"layers": {"0": 1, "1": 2.5, "2": 3}, "quantile": 0.75}
    for held in (named, [1, 2.5, 3], {"thresholds": [1, 2.5, 3]}, {"2": 3, "0": 1, "1": 2.5}):
        file.write_text(json.dumps(held))
        assert read_levels(file, 3).tolist() == [1.0, 2.5, 3.0]
    for held, said in [
        ([1, 2], r"numbers for layers 0 to 1 \(2 of them\), and the model's are 0 to 2"),
        ({"layers": {"0": 1, "1": 2, "3": 3}}, "numbers for layers 0 to 3"),
        ({"layers": {"0": 1, "1": None, "2": 3}}, "what is no number of a layer"),
        ({"quantile": 0.5}, "what is no number of a layer"),
        ([], "holds no numbers by layer"),
        ([1, float("nan"), 2], "numbers that are none"),
    ]:
        file.write_text(json.dumps(held))
        with pytest.raises(DirectionError, match=said):
            read_levels(file, 3)
