"""A repair of a whole model beside a plain load and save: time as a ratio, and the memory of the process's own.

    python -m benchmarks.repair --model FOLDER         # a folder of safetensors; without, one of 100 M random weights
    python -m benchmarks.repair --model FOLDER --adapter ADAPTER    # merged in the same pass

Both sides write a whole model to a folder beside the first. Before anything is timed, the repaired weights must be
those of the plain load, projected one by one, but for one rounding.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Line, UnequalError, compare, interleave, say
from benchmarks.setting import Setting
from misdirection.repair.checkpoint import open_checkpoint
from misdirection.repair.factors import open_adapter
from misdirection.repair.places import layout_of
from misdirection.repair.project import Removal, everywhere
from misdirection.repair.write import project_weights

SHAPE: dict[str, Any] = {
    "vocab_size": 8192, "hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 8,
    "num_attention_heads": 8, "num_key_value_heads": 2,
}  # fmt: skip


def made(folder: Path, shape: dict[str, Any]) -> Path:
    """A Qwen2 of random weights in bfloat16, in shards of 50 MB."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model("qwen2", **shape)
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder, max_shard_size="50MB")
    return folder


def plain(source: Path, out: Path, adapter: str = "") -> None:
    """Load and save, as one would by hand; with an adapter, PEFT's merge between them."""
    from transformers import AutoModelForCausalLM

    lm: Any = AutoModelForCausalLM.from_pretrained(source, dtype="auto")
    if adapter:
        from peft import PeftModel

        lm = PeftModel.from_pretrained(lm, adapter).merge_and_unload()
    lm.save_pretrained(out)


def check(source: Path, out: Path, removal: Removal) -> str:
    """The largest difference from weights that are projected in memory, in steps of the number format."""
    from transformers import AutoModelForCausalLM

    before, after = (
        dict(AutoModelForCausalLM.from_pretrained(folder, dtype="auto").named_parameters()) for folder in (source, out)
    )
    places = {place.name: place for place in layout_of(open_checkpoint(source)).places}
    worst = 0.0
    for name, weight in before.items():
        exact, unit = weight.detach().float(), next(iter(removal.units.values()))
        if name in places:
            across = places[name].axis == 0
            exact = exact - torch.outer(unit, unit @ exact) if across else exact - torch.outer(exact @ unit, unit)
        size = exact.abs().clamp(min=1e-3) * torch.finfo(weight.dtype).eps
        worst = max(worst, float(((after[name].detach().float() - exact).abs() / size).max()))
    if worst > 1.01:
        raise UnequalError(f"a weight is {worst:.2f} steps off")
    return f"every weight within {worst:.2f} steps of its format"


def memory(run: Callable[[], object]) -> float:
    """MB that the process held above what it had, mapped files counted, at its highest, looked at every 2 ms."""
    highest, over = [_resident()], threading.Event()
    start = highest[0]

    def watch() -> None:
        while not over.wait(0.002):
            highest.append(max(highest.pop(), _resident()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run()
    finally:
        over.set()
        watcher.join()
    return (highest[0] - start) / 1e3


def _resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)


def lines(source: Path, work: Path, repeats: int, threads: int = 1, adapter: str = "") -> list[Line]:
    """Time and memory of both sides."""
    layout = layout_of(open_checkpoint(source))
    vector = torch.randn(layout.width, generator=torch.Generator().manual_seed(1))
    removal = everywhere(vector, layout.n_layers)
    adapters = {open_adapter(adapter): 1.0} if adapter else None
    out = {name: work / name for name in ("ours", "theirs")}

    def fresh(name: str, run: Callable[[], object]) -> Callable[[], object]:
        def again() -> object:
            shutil.rmtree(out[name], ignore_errors=True)
            return run()

        return again

    sides = {
        "ours": fresh("ours", lambda: project_weights(source, removal, out["ours"], adapters=adapters)),
        "theirs": fresh("theirs", lambda: plain(source, out["theirs"], adapter)),
    }
    for run in sides.values():
        run()
    equal = "" if adapter else check(source, out["ours"], removal)
    setting = Setting(threads=threads)
    spent = interleave(setting, sides, repeats)
    what = f"repair of {open_checkpoint(source).size / 1e6:,.0f} MB, " + ("merged, " if adapter else "")
    found = compare(setting, "r", what + "beside a plain load and save", equal, spent["ours"], spent["theirs"],
                    target=("slower", 1.5), inverse=True)  # fmt: skip
    ours, theirs = (memory(sides[name]) for name in ("ours", "theirs"))
    ratio = theirs / max(ours, 0.1)
    held = Line("r", "the same, highest resident memory above it", equal, ours, theirs, ratio, (ratio, ratio), None,
                  "theirs / ours", unit="MB")  # fmt: skip
    return [found, held]


def main() -> None:
    """Print the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of safetensors")
    parser.add_argument("--adapter", default="", help="PEFT adapter that both sides merge")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="misdirection-repair-") as name:
        work = Path(name)
        source = given.model or made(work / "made", SHAPE)
        for line in lines(source, work, given.repeats, adapter=given.adapter):
            cpu = "" if line.cpu is None else f", {line.cpu:.2f} in processor time"
            say(f"{line.what} ({line.equal or 'not compared'}): {line.ours:.2f} and {line.theirs:.2f} {line.unit}, "
                f"{line.reads} {line.ratio:.2f} ({line.spread[0]:.2f} to {line.spread[1]:.2f}){cpu}"
                + (f"; target {line.target}: {'met' if line.met else 'missed'}" if line.target else ""))  # fmt: skip


if __name__ == "__main__":
    main()
