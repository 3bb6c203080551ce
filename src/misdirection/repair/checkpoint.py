"""A model's folder as files: which tensors lie where, and a changed copy of them, one shard after another.

A shard is copied as it is and its changed tensors are rewritten in their places, through memory that is mapped to the
file: one pass over the weights, and at no time a second copy of them in memory. The copy is made beside its place and
renamed when it is whole.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from misdirection import progress
from misdirection.artefacts import write_json
from misdirection.models.weight_files import INDEX, check_settings, check_weights
from misdirection.repair.errors import RepairError

FORMATS = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".h5", ".msgpack", ".onnx", ".npz")
_CARD = "README.md"
ADDED = "model-added.safetensors"


@dataclass(frozen=True)
class Stored:
    """Where one tensor lies: file, format as safetensors names it, shape, and its bytes within the file."""

    file: str
    format: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class ModelFolder:
    """A model's folder.

    Attributes:
        folder: Where it lies.
        tensors: By name.
        settings: Its config.json.
    """

    folder: Path
    tensors: Mapping[str, Stored]
    settings: dict[str, Any]

    @property
    def shards(self) -> tuple[str, ...]:
        """Names of the files of weights."""
        return tuple(dict.fromkeys(stored.file for stored in self.tensors.values()))

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return sum(stored.end - stored.start for stored in self.tensors.values())


def open_checkpoint(folder: str | Path) -> ModelFolder:
    """Read what a folder of weights holds, without the weights.

    Raises:
        ModelError: A file is missing, cut, or something else.
        RepairError: The folder holds no model of transformers.
    """
    place = Path(folder)
    if not (place / "config.json").is_file():
        raise RepairError(f"{folder} holds no model: config.json is missing", "give the folder of a whole model")
    check_settings(place)
    check_weights(place)
    settings = json.loads((place / "config.json").read_text(encoding="utf-8"))
    named = settings.get("transformers_weights")
    if named or (place / "model.safetensors").is_file():
        files = [str(named or "model.safetensors")]
    else:
        index = json.loads((place / INDEX).read_text(encoding="utf-8"))
        files = sorted(set(index["weight_map"].values()))
    tensors = {name: stored for file in files for name, stored in _header(place, file).items()}
    return ModelFolder(place, tensors, settings)


def _header(folder: Path, file: str) -> dict[str, Stored]:
    with (folder / file).open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        held = cast("dict[str, Any]", json.loads(handle.read(length)))
    begin = 8 + length
    return {
        name: Stored(file, entry["dtype"], tuple(entry["shape"]), *(begin + at for at in entry["data_offsets"]))
        for name, entry in held.items()
        if name != "__metadata__"
    }


Edit = Callable[[Tensor], None]
"""Changes a tensor in its place."""


def rewrite(
    source: ModelFolder,
    out: Path,
    edits: Mapping[str, Edit],
    *,
    added: Mapping[str, Tensor] | None = None,
    copies: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    beside: Callable[[Path], None] | None = None,
) -> None:
    """Write a changed copy of a model's folder: weights, settings, tokenizer.

    Args:
        source: The folder as it is.
        out: Folder to write, which must not be there.
        edits: By tensor.
        added: Further tensors, by name.
        copies: Further tensors that are copies of one that is there, before it is changed: name to name.
        settings: Replaces config.json's.
        beside: Writes what else belongs into the folder that it is given.

    Raises:
        RepairError: There is something at `out`, or a tensor is of a format that has no such numbers.
    """
    for name in edits:
        if (kind := source.tensors[name].format) not in FORMATS:
            raise RepairError(
                f"{name} is stored as {kind}, which cannot be changed number by number",
                "give the model as it was released, in bfloat16",
            )
    with new_folder(out) as folder:
        renamed = _renamed(source, bool(added or copies))
        with progress.task("rewriting weights", source.size / 1e6, "MB") as advance:
            for shard in source.shards:
                held = {name: stored for name, stored in source.tensors.items() if stored.file == shard}
                shutil.copyfile(source.folder / shard, folder / renamed[shard])
                _edit_shard(folder / renamed[shard], held, edits)
                advance(sum(stored.end - stored.start for stored in held.values()) / 1e6)
        where = {name: renamed[stored.file] for name, stored in source.tensors.items()}
        if added or copies:
            where |= _write_added(source, folder / ADDED, added or {}, copies or {})
        if set(where.values()) != {"model.safetensors"}:
            write_json(folder / INDEX, {"metadata": {"total_size": source.size}, "weight_map": where})
        _copy_others(source.folder, folder)
        facts = {k: v for k, v in (settings or source.settings).items() if k != "transformers_weights"}
        write_json(folder / "config.json", facts)
        if beside is not None:
            beside(folder)


@contextmanager
def new_folder(out: Path) -> Generator[Path]:
    """A folder beside `out` that becomes it when all went well, and is gone otherwise.

    Raises:
        RepairError: There is something at `out`.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RepairError(f"{out} is there already, and nothing is overwritten", "name another folder with --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    work = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        yield work
        if out.exists():
            out.rmdir()
        work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _renamed(source: ModelFolder, more: bool) -> dict[str, str]:
    """New names of the shards: a single file beside others may not be called as one that stands alone."""
    if len(source.shards) > 1:
        return {shard: shard for shard in source.shards}
    alone = "model-00001-of-00001.safetensors" if more else "model.safetensors"
    return dict.fromkeys(source.shards, alone)


def _edit_shard(file: Path, held: Mapping[str, Stored], edits: Mapping[str, Edit]) -> None:
    chosen = {name: stored for name, stored in held.items() if name in edits}
    if not chosen:
        return
    raw = torch.from_file(str(file), shared=True, size=file.stat().st_size, dtype=torch.uint8)
    for name, stored in chosen.items():
        part, kind = raw[stored.start : stored.end], FORMATS[stored.format]
        aligned = stored.start % kind.itemsize == 0
        values = (part if aligned else part.clone()).view(kind).view(stored.shape)
        edits[name](values)
        if not aligned:
            part.copy_(values.view(-1).view(torch.uint8))
    del raw


def _write_added(
    source: ModelFolder, file: Path, added: Mapping[str, Tensor], copies: Mapping[str, str]
) -> dict[str, str]:
    """One more file of weights: its header, and the bytes of each tensor, copied from where they lie."""
    codes = {kind: code for code, kind in FORMATS.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, tensor in added.items():
        size = tensor.numel() * tensor.element_size()
        header[name] = {"dtype": codes[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [at, at + size]}
        at += size
    for name, original in copies.items():
        stored = source.tensors[original]
        size = stored.end - stored.start
        header[name] = {"dtype": stored.format, "shape": list(stored.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as handle:
        handle.write(len(text).to_bytes(8, "little") + text)
        for tensor in added.values():
            handle.write(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        for original in copies.values():
            _copy_bytes(source.folder / source.tensors[original].file, source.tensors[original], handle)
    return dict.fromkeys((*added, *copies), file.name)


def _copy_bytes(file: Path, stored: Stored, into: Any) -> None:
    with file.open("rb") as handle:
        handle.seek(stored.start)
        left = stored.end - stored.start
        while left:
            part = handle.read(min(left, 1 << 24))
            into.write(part)
            left -= len(part)


def _copy_others(source: Path, folder: Path) -> None:
    """What stands beside the weights: tokenizer, chat template, generation settings, licence."""
    for file in sorted(source.iterdir()):
        if file.is_file() and file.suffix not in _WEIGHTS and file.name not in (_CARD, INDEX, "config.json"):
            shutil.copyfile(file, folder / file.name)
