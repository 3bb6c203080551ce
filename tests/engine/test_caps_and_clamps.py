from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.engine.arms import dictionary
from tests.engine.test_interventions import residual, text
from tests.families import LAYERS, prompt, shared, vector
from torch import Tensor

from misdirection.engine import Arm, Cap, Clamp, Prompt, Row, SamplingConfig, Set, sample
from misdirection.engine.program import InterventionError, Program
from misdirection.errors import MisdirectionError
from misdirection.features.dictionary import Dictionary


def test_a_cap_leaves_what_is_below_and_brings_what_is_above_to_the_threshold() -> None:
    model, v = shared("llama"), vector(5)
    unit = v / v.norm()
    plain, capped = (
        residual(model, [text(arm)])[0][1] for arm in (Arm("plain"), Arm("capped", None, (Cap(v * 3, (1,), -3.0),)))
    )
    before = plain @ unit
    assert 3 < int((before > -3.0).sum()) < 17
    torch.testing.assert_close(capped @ unit, before.clamp(max=-3.0), atol=2e-5, rtol=0)
    assert torch.equal(capped[before <= -3.0], plain[before <= -3.0])
    torch.testing.assert_close(
        capped - (capped @ unit)[:, None] * unit, plain - before[:, None] * unit, atol=2e-5, rtol=0
    )


@pytest.mark.parametrize("activation", ["relu", "jumprelu", "topk"])
def test_a_latent_held_at_its_own_value_changes_nothing_and_at_zero_takes_its_part_out(activation: Any) -> None:
    model, held = shared("qwen2"), dictionary(activation)
    plain = residual(model, [text(Arm("plain"))])[0][1]
    fires = held.encode(plain)
    latent = int(fires.gt(0).sum(0).argmax())
    off = residual(model, [text(Arm("off", None, (Clamp(held, (latent,)),)))])[0][1]
    part = fires[:, latent, None] * held.decoder[latent] / held.input_scale
    assert (part.norm(dim=-1) > 0.1).any()
    torch.testing.assert_close(off, plain - part, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(held.some(plain, torch.tensor([latent, 2])), fires[:, [latent, 2]])


def test_a_cap_and_a_clamp_hold_at_every_cached_step() -> None:
    model, v = shared("qwen2"), vector(5)
    unit, held = v / v.norm(), dictionary("relu", 0)
    seen: list[Tensor] = []
    # The next layer's input is what stands after this layer's interventions.
    handle = model.layers[1].register_forward_pre_hook(lambda _m, args: seen.append(args[0].clone()))
    arm = Arm("x", None, (Clamp(held, (3,), 5.0), Cap(v, (0,), -1.0)))
    sample(model, [Row(Prompt("q", prompt(n, 3 + 5 * n)), arm, n) for n in range(3)], SamplingConfig(6, seed=1))
    handle.remove()
    assert len(seen) > 3
    assert all(((states @ unit) < -1.0 + 2e-5).all() for states in seen)


def test_errors_of_caps_clamps_and_values_of_other_layers() -> None:
    model, v = shared("qwen2"), vector(1)
    wide = Dictionary(torch.ones(5, 3), torch.ones(3, 5), torch.zeros(3), torch.zeros(5), layer=1)
    for item, said in [
        (Cap(v, (1,), torch.zeros(LAYERS + 3)), r"'x': thresholds of shape \(7,\) do not fit"),
        (Cap(v, (1, 2), {1: 0.0}), "'x': its thresholds are of layers 1, and it acts at 2 too"),
        (Cap(v, (1,), float("nan")), "'x': its thresholds hold numbers that are none"),
        (Set(v, (1,), torch.zeros(LAYERS + 3)), r"'x': values of shape \(7,\) do not fit"),
        (Clamp(wide, (1,)), "'x': a dictionary of width 5 does not fit"),
        (Clamp(dictionary("relu", LAYERS), (1,)), "reach beyond the model"),
    ]:
        with pytest.raises(InterventionError, match=said):
            Program(model, [Arm("x", None, (item,))])
    wrong: list[tuple[Any, str]] = [
        ((99,), "latents \\(99,\\) of a dictionary of 24"),
        (("six",), "names no latents"),
        (((1, 2), torch.zeros(3)), "3 values for 2 latents"),
        ((1, 0.0, (1, 2)), "reads one layer, and 2 are named"),
    ]
    for arguments, said in wrong:
        with pytest.raises(MisdirectionError, match=said):
            Clamp(dictionary("relu"), *arguments)
