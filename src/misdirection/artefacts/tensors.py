"""Tensors in safetensors, with facts beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from misdirection.artefacts.content import plain
from misdirection.artefacts.whole import AGAIN, atomic_path, first_line, must_exist
from misdirection.errors import MisdirectionError

if TYPE_CHECKING:
    from torch import Tensor


FACTS = "misdirection"


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], in_order: bool = False
) -> None:
    """Write named tensors (any shapes and dtypes) to safetensors, with `facts` as JSON in its metadata.

    Equal input gives equal bytes; facts are sorted by their names, unless they are to stand `in_order`. Tensors on a
    device are copied to the host; tensors that share memory are written apart.
    """
    from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

    seen: set[int] = set()
    ready: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        host = tensor.detach().cpu().contiguous()
        storage = host.untyped_storage().data_ptr()
        ready[name] = host.clone() if storage in seen else host
        seen.add(storage)
    text = json.dumps(plain(facts), sort_keys=not in_order, allow_nan=False)
    with atomic_path(path) as temporary:
        # One metadata entry only: the library writes several in an order that changes from process to process.
        save_file(ready, temporary, metadata={FACTS: text})


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors (on the CPU) and the facts of a safetensors file; the facts are empty when it was made by others.

    Raises:
        MisdirectionError: The file is missing, is no safetensors file or is damaged.
    """
    from safetensors import SafetensorError, safe_open

    must_exist(path)
    try:
        with cast(Any, safe_open)(str(path), framework="pt", device="cpu") as file:
            metadata: dict[str, str] = file.metadata() or {}
            facts = json.loads(metadata.get(FACTS, "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise MisdirectionError(f"{path}: not a readable safetensors file ({first_line(error)})", AGAIN) from error
