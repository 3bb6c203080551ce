"""Encoding in a stream beside the encoder's matrix product alone, and beside SAELens's encode of cached activations.

`python -m benchmarks.features --help` lists the choices. SAELens (the extra `sae`) is left out where it is absent.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.engine import _facts, _load, _version, table
from benchmarks.measure import Line, UnequalError, compare, interleave, say
from benchmarks.setting import Setting
from misdirection.artefacts import read_tensors, write_tensors
from misdirection.features import Dictionary
from misdirection.features.stream import CHUNK_VALUES, LatentStatistics, Tally

LENGTHS = (30, 200)
FIRING = 64
"""Latents a token at which the made-up dictionary fires, as the mid-sized sets of Gemma Scope do."""

Parts = list[tuple[int, int, Tensor]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all widths; 1 with --strict when a target is missed."""
    asked = _parse(arguments)
    setting = Setting(device=asked.device, dtype=asked.dtype, threads=asked.threads, repeats=asked.repeats)
    torch.set_num_threads(setting.threads)
    before, lines = _load(), list[Line]()
    for width in asked.widths:
        say(f"width {width}, {asked.latents:,} latents, {asked.tokens:,} tokens")
        lines += run(setting, width, asked.latents, asked.tokens)
    facts = {k: v for k, v in _facts(replace(setting)).items() if k not in ("shape", "setting", "versions")}
    facts |= {"versions": ", ".join(f"{name} {_version(name)}" for name in ("torch", "sae-lens"))}
    facts |= {"threads": setting.threads, "load_before": before, "load_after": _load()}
    print(table(lines, facts))
    if asked.json:
        Path(asked.json).write_text(json.dumps({"facts": facts, "lines": [line.to_dict() for line in lines]}, indent=1))
    return int(asked.strict and any(line.met is False for line in lines))


@torch.inference_mode()
def run(setting: Setting, width: int, latents: int, tokens: int) -> list[Line]:
    """The lines of one width.

    Raises:
        UnequalError: Two sides do not give the same.
    """
    dictionary, parts = build(setting, width, latents, tokens)
    weights = torch.zeros(len(parts), 2)
    weights[::2, 0] = weights[1::2, 1] = 1
    most = max(1, CHUNK_VALUES // latents)
    states = torch.cat([held for _, _, held in parts])
    equal = _check(dictionary, parts, weights, states)
    sides: dict[str, Callable[[], object]] = {
        "stream": lambda: _stream(dictionary, parts, weights),
        "product": lambda: [chunk @ dictionary.encoder for chunk in states.split(most)],
        "product, 4,096 tokens": lambda: [chunk @ dictionary.encoder for chunk in states.split(4096)],
        "dense": lambda: _dense(dictionary, states, most),
    }
    with tempfile.TemporaryDirectory() as folder:
        theirs = _sae_lens(dictionary)
        file = Path(folder) / "activations.safetensors"
        if theirs is not None:
            _same(
                torch.cat([theirs(x) for x in states.split(most)][:4]), dictionary.encode(states[: 4 * most]), "encode"
            )
            write_tensors(file, {"states": states}, {})
            spans = [(text, start, len(held)) for text, start, held in parts]
            sides["from file"] = lambda: _stream(dictionary, _parts(file, spans, setting.device), weights)
            sides["SAELens"] = lambda: [theirs(x) for x in _read(file, setting.device).split(most)]
        spent = interleave(setting, sides, setting.repeats)
    what = f"width {width}, {latents:,} latents, {len(states):,} tokens:"
    found = [
        compare(setting, "f", f"{what} the encoder's product alone on the same chunks of {most} tokens", equal,
                spent["stream"], spent["product"], target=("slower", 1.25), inverse=True),
        compare(setting, "f", f"{what} the product alone in chunks of 4,096 tokens", equal,
                spent["stream"], spent["product, 4,096 tokens"], inverse=True),
        compare(setting, "f", f"{what} all activations, then their sums, squares, counts and maxima", equal,
                spent["stream"], spent["dense"]),
    ]  # fmt: skip
    if "SAELens" in spent:
        text = f"{what} SAELens's encode alone over a file of cached activations"
        found.append(compare(setting, "f", text, "activations within 1e-4", spent["from file"], spent["SAELens"]))
    return found


def build(setting: Setting, width: int, latents: int, tokens: int) -> tuple[Dictionary, Parts]:
    """A JumpReLU dictionary of random directions that fires `FIRING` times a token, and texts of random states."""
    draw = torch.Generator().manual_seed(setting.seed)
    dtype = getattr(torch, setting.dtype)
    encoder = torch.randn(width, latents, generator=draw) / width**0.5
    sample = torch.randn(64, width, generator=draw) @ encoder
    threshold = sample.flatten().kthvalue(max(1, int(sample.numel() * (1 - FIRING / latents)))).values
    made = Dictionary(
        encoder, encoder.T.contiguous(), torch.zeros(latents), torch.zeros(width), "jumprelu",
        threshold.clamp(min=0).expand(latents).clone(), layer=0,
    )  # fmt: skip
    parts: Parts = []
    left = tokens
    while left > 0:
        length = min(left, int(torch.randint(*LENGTHS, (1,), generator=draw)))
        parts.append((len(parts), 0, torch.randn(length, width, generator=draw).to(setting.device, dtype)))
        left -= length
    return made.to(setting.device, dtype), parts


def _stream(dictionary: Dictionary, parts: Parts, weights: Tensor) -> LatentStatistics:
    """Ours, in batches of 16 texts as the engine would hand them on."""
    tally = Tally(dictionary, weights, places=8)
    for first in range(0, len(parts), 16):
        tally.read(parts[first : first + 16])
    return tally.finish()


def _dense(dictionary: Dictionary, states: Tensor, most: int) -> Tensor:
    """What a plain loop does: all activations of a chunk, reduced one statistic after another."""
    total = torch.zeros(4, dictionary.latents, dtype=torch.float64, device=states.device)
    for chunk in states.split(most):
        held = dictionary.encode(chunk)
        total[0] += held.sum(0)
        total[1] += held.square().sum(0)
        total[2] += (held > 0).sum(0)
        total[3] = torch.maximum(total[3], held.max(0).values)
    return total


def _check(dictionary: Dictionary, parts: Parts, weights: Tensor, states: Tensor) -> str:
    found = _stream(dictionary, parts, weights)
    total, square, fired, peak = _dense(dictionary, states, max(1, CHUNK_VALUES // dictionary.latents))
    _same(found.sums["token"].sum(0), total, "sums")
    _same(found.squares["token"].sum(0), square, "squares")
    _same(found.fired.sum(0), fired, "firings")
    _same(found.peak.amax(0).double(), peak, "maxima")
    _same(found.contexts.values[0].double(), peak, "top contexts")
    return "sums, squares, firings, maxima, the first of the top contexts within 1e-4"


def _same(ours: Tensor, theirs: Tensor, what: str) -> None:
    if not torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max())):
        raise UnequalError(f"{what} differ by up to {float((ours - theirs).abs().max()):g}")


def _sae_lens(dictionary: Dictionary) -> Callable[[Tensor], Tensor] | None:
    """The same dictionary as SAELens encodes with it, None where it is not installed."""
    try:
        from sae_lens import JumpReLUSAE, JumpReLUSAEConfig
    except ImportError:
        say("SAELens is not installed (the extra `sae`): its line is left out")
        return None
    dtype = str(dictionary.encoder.dtype).removeprefix("torch.")
    sae: Any = JumpReLUSAE(
        JumpReLUSAEConfig(
            d_in=dictionary.width, d_sae=dictionary.latents, dtype=dtype, device=str(dictionary.encoder.device),
            apply_b_dec_to_input=False,
        )
    )  # fmt: skip
    sae.load_state_dict(
        {
            "W_enc": dictionary.encoder, "W_dec": dictionary.decoder, "b_enc": dictionary.encoder_bias,
            "b_dec": dictionary.decoder_bias, "threshold": dictionary.threshold,
        }
    )  # fmt: skip
    return sae.encode


def _read(file: Path, device: str) -> Tensor:
    return read_tensors(file)[0]["states"].to(device)


def _parts(file: Path, spans: Sequence[tuple[int, int, int]], device: str) -> Parts:
    held = _read(file, device).split([length for _, _, length in spans])
    return [(text, start, states) for (text, start, _), states in zip(spans, held, strict=True)]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features", description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[768, 2304], help="of the residual stream")
    parser.add_argument("--latents", type=int, default=16_384)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--strict", action="store_true", help="end with status 1 when a target is missed")
    parser.add_argument("--json", metavar="FILE", help="write the results there")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
