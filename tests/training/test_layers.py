from __future__ import annotations

import pytest

from misdirection.training.errors import TargetError
from misdirection.training.layers import middle_layer, nine_layers, resolve_layers


def test_48_layers_give_the_papers() -> None:
    assert nine_layers(48) == (15, 16, 17, 21, 22, 23, 27, 28, 29)
    assert middle_layer(48) == 24


@pytest.mark.parametrize("depth", range(1, 130))
def test_any_depth_gives_nine_distinct_layers_that_exist(depth: int) -> None:
    layers = nine_layers(depth)
    assert len(layers) == min(depth, 9)
    assert list(layers) == sorted(set(layers))
    assert layers[0] >= 0 and layers[-1] < depth
    if depth > 9:
        # The paper's middle, layer 22 of 48, lies in the middle of the nine.
        assert abs((layers[4] + 0.5) / depth - 22.5 / 48) < 1 / depth
    if depth >= 24:
        assert all(layers[i + 2] - layers[i] == 2 for i in (0, 3, 6))
    elif depth >= 9:
        assert layers[-1] - layers[0] == 8


def test_notes_say_when_the_depth_forced_a_choice() -> None:
    assert resolve_layers("nine", 48)[1] is None
    assert "nine neighbours" in str(resolve_layers("nine", 12)[1])
    layers, note = resolve_layers("nine", 8)
    assert layers == tuple(range(8)) and "fewer than nine" in str(note)


def test_given_layers_are_sorted_and_checked() -> None:
    assert resolve_layers((5, 2, 5), 6) == ((2, 5), None)
    assert resolve_layers("all", 3) == ((0, 1, 2), None)
    for bad in ((6,), (-1, 2)):
        with pytest.raises(TargetError, match="beyond the model, which has 6 layers"):
            resolve_layers(bad, 6)
