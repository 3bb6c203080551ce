"""Whether weights fit, before minutes of loading."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from misdirection.models.errors import NotEnoughMemoryError

MEMORY_HINT = "try --dtype bfloat16, a smaller model, or --device-map auto to spread it over devices"


def check_memory(name: str, dtype: str | torch.dtype, device: str, device_map: object) -> None:
    """Refuse local weights that cannot fit, before minutes of loading."""
    folder = Path(name)
    if device_map is not None or not folder.is_dir():
        return
    stored = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if device.startswith("cuda"):
        free = torch.cuda.mem_get_info(torch.device(device))[0]
    else:
        import psutil

        free = psutil.virtual_memory().available
    needed = stored * (2 if dtype == torch.float32 and _stored_half(folder) else 1)
    if needed > free:
        raise NotEnoughMemoryError(
            f"{name} needs {needed / 1e9:.1f} GB for its weights and {device} has {free / 1e9:.1f} GB free",
            MEMORY_HINT,
        )


def _stored_half(folder: Path) -> bool:
    config = json.loads((folder / "config.json").read_text())
    return str(config.get("dtype", config.get("torch_dtype"))) in ("bfloat16", "float16")
