"""Whether weights fit, before minutes of loading."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch

from misdirection.models.errors import NotEnoughMemoryError
from misdirection.stored_weights import stored_tensors

MEMORY_HINT = "try --dtype bfloat16, a smaller model, or --device-map auto to spread it over devices"

_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Bytes a number, of the formats that loading converts; what is quantised or an index stays as it is stored."""


def check_memory(name: str, dtype: str | torch.dtype, device: str, device_map: object) -> None:
    """Refuse local weights that cannot fit, before minutes of loading."""
    folder = Path(name)
    if device_map is not None or not folder.is_dir():
        return
    free = torch.cuda.mem_get_info(torch.device(device))[0] if device.startswith("cuda") else free_memory()
    needed = weight_bytes(folder, dtype)
    if needed > free:
        raise NotEnoughMemoryError(
            f"{name} needs {needed / 1e9:.1f} GB for its weights and {device} has {free / 1e9:.1f} GB free",
            MEMORY_HINT,
        )


def free_memory(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes of main memory that this process may still take: what is free, or less where its container has a limit.

    Args:
        cgroup: Where Linux keeps the limits of control groups, version 2 or 1.
    """
    import psutil

    free = int(psutil.virtual_memory().available)
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            most, taken = ((cgroup / name).read_text(encoding="ascii").strip() for name in (limit, used))
            facts = dict(line.split() for line in (cgroup / limit).with_name("memory.stat").read_text().splitlines())
        except (OSError, ValueError):
            continue
        if most.isdecimal():
            # Files that were read count as used, and are given up when memory is wanted.
            kept = int(facts.get("total_inactive_file", facts.get("inactive_file", 0)))
            free = min(free, max(0, int(most) - int(taken) + kept))
    return free


def weight_bytes(folder: Path, dtype: str | torch.dtype) -> int:
    """Bytes that the weights of a folder take once loaded: each counted once, in the format it is loaded in.

    Args:
        folder: Of a model.
        dtype: What `load_model` takes; "auto" is the configuration's, and the stored one where that names none.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    wanted = _itemsize(config) if isinstance(dtype, str) else dtype.itemsize
    unpacked = (config.get("quantization_config") or {}).get("quant_method") == "compressed-tensors"
    total = 0
    for name, entry in stored_tensors(folder, config).items():
        begin, end = entry["data_offsets"]
        if unpacked and name.endswith(("weight", "weight_packed")):
            # Made plain in the first forward pass; what is packed holds at least 4 bits a number.
            total += (wanted or 2) * (2 * (end - begin) if name.endswith("packed") else math.prod(entry["shape"]))
            continue
        float_size = _SIZES.get(entry["dtype"])
        total += wanted * math.prod(entry["shape"]) if wanted and float_size else end - begin
    return total


def _itemsize(config: dict[str, Any]) -> int | None:
    """Bytes a number in the format that the configuration names."""
    named = config.get("dtype", config.get("torch_dtype"))
    found = getattr(torch, str(named).removeprefix("torch."), None)
    return found.itemsize if isinstance(found, torch.dtype) else None
