"""The engine beside its rivals: equal outputs first, then times, printed as ratios.

`make bench` runs it with the rivals installed; `python -m benchmarks.engine --help` lists the choices.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmarks import reading, sampling
from benchmarks.measure import Line, say
from benchmarks.setting import SHAPES, TINY, Setting, build
from misdirection.models import Model

PARTS: dict[str, Callable[[Setting, Model], list[Line]]] = {
    "a": sampling.sweep,
    "b": sampling.steering_cost,
    "c": reading.capture,
    "d": reading.against_peers,
    "e": sampling.plain,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that were asked for; 1 with --strict when a target is missed."""
    asked = _parse(arguments)
    start = TINY if asked.shape == "tiny" else Setting(shape=asked.shape)
    names = ("device", "dtype", "threads", "repeats", "short_repeats", "samples")
    given = {name: value for name in names if (value := getattr(asked, name)) is not None}
    setting = replace(start, **given, memory=not asked.no_memory)
    torch.set_num_threads(setting.threads)
    before = _load()
    lines = run(setting, asked.parts)
    facts = {**_facts(setting), "load_before": before, "load_after": _load()}
    print(table(lines, facts))
    if asked.json:
        Path(asked.json).write_text(json.dumps({"facts": facts, "lines": [line.to_dict() for line in lines]}, indent=1))
    return int(asked.strict and any(line.met is False for line in lines))


def run(setting: Setting, parts: str = "abcde") -> list[Line]:
    """All lines of the given parts.

    Raises:
        UnequalError: Two sides do not give the same.
    """
    say(f"building {setting.shape}, {setting.dtype}, on {setting.device}, {setting.threads} thread(s)")
    model = build(setting)
    lines: list[Line] = []
    for part in parts:
        say((PARTS[part].__doc__ or part).splitlines()[0])
        lines += PARTS[part](setting, model)
    return lines


def table(lines: Sequence[Line], facts: dict[str, Any]) -> str:
    """What is printed: one block a line, ratio and target last."""
    out = ["", *(f"{name}: {value}" for name, value in facts.items() if name != "setting"), ""]
    for line in lines:
        out += textwrap.wrap(f"({line.part}) {line.what}", 116, subsequent_indent="    ")
        out.append(f"    equal first: {line.equal}")
        digits = 2 if line.unit == "s" else 0
        spread = f" ({line.spread[0]:.2f} to {line.spread[1]:.2f})" if line.unit == "s" else ""
        cpu = f", in processor time {line.cpu:.2f}" if line.cpu is not None else ""
        sides = f"ours {line.ours:.{digits}f} {line.unit}, theirs {line.theirs:.{digits}f} {line.unit}"
        out.append(f"    {sides}; {line.reads} {line.ratio:.2f}{spread}{cpu}")
        if line.target:
            out.append(f"    target: {line.target}: {'met' if line.met else 'MISSED'}")
    return "\n".join(out)


def _facts(setting: Setting) -> dict[str, Any]:
    names = ("torch", "transformers", "transformer-lens", "nnsight")
    card = torch.cuda.get_device_name() if setting.device.startswith("cuda") else ""
    return {
        "date": date.today().isoformat(),
        "machine": f"{platform.platform()}, {_processor()}{', ' + card if card else ''}",
        "python": platform.python_version(),
        "versions": ", ".join(f"{name} {_version(name)}" for name in names),
        "setting": setting.to_dict(),
        "shape": f"{setting.shape} {SHAPES[setting.shape]}",
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    models = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return f"{len(models)} x {models[0]}" if models else platform.processor()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _load() -> str:
    info = Path("/proc/loadavg")
    return " ".join(info.read_text().split()[:3]) if info.exists() else "unknown"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("--parts", default="abcde", help="which of a, b, c, d, e (default: all)")
    parser.add_argument("--shape", default="small", choices=sorted(SHAPES))
    parser.add_argument("--device", help="cpu (default), cuda, cuda:1")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--threads", type=int, help="of PyTorch, for both sides alike (default: 1)")
    parser.add_argument("--repeats", type=int, help="of parts a and e (default: 2)")
    parser.add_argument("--short-repeats", type=int, help="of parts b, c and d (default: 5)")
    parser.add_argument("--samples", type=int, help="per point and question in part a (default: 8)")
    parser.add_argument("--no-memory", action="store_true", help="leave the peaks of memory out")
    parser.add_argument("--strict", action="store_true", help="end with status 1 when a target is missed")
    parser.add_argument("--json", metavar="FILE", help="write the results there")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
