"""The files of a model or an adapter, looked at before a library stumbles over them: whole, cut, or something else.

What goes wrong between a trainer and a reader is the same for both: a download that was cut, git-lfs pointers in the
place of files, a web page saved under a file's name, shards without their index, a folder too high or too low.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, cast

from misdirection.models.errors import MissingWeightsError, ModelError

INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r"(?P<stem>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})\.safetensors")
_AGAIN = "fetch it again, or copy it again from where it was made"
_PICKLES = ("pytorch_model*.bin", "adapter_model.bin", "consolidated*.pth", "*.pt", "*.pth", "*.ckpt")
_OTHERS = {
    "global_step*": "checkpoints of DeepSpeed: build the weights with the zero_to_fp32.py that lies beside them",
    "pytorch_model_fsdp_*": "checkpoints of FSDP: build the weights with `accelerate merge-weights`",
    "iter_*": "checkpoints of Megatron: convert them to the Hugging Face form with the trainer's own tool",
    "*.distcp": "a distributed checkpoint of PyTorch: build the weights with `accelerate merge-weights`",
    "tf_model.h5": "weights of TensorFlow", "flax_model.msgpack": "weights of Flax", "*.onnx": "an ONNX model",
}  # fmt: skip


def pickle_hint(file: Path) -> str:
    """How to make safetensors of a pickle, which this project never reads: it can run any program."""
    made = file.with_name("adapter_model.safetensors" if file.name.startswith("adapter") else "model.safetensors")
    return (
        'a pickle is never read, for it can run programs; convert one that you trust: python -c "import torch; from '
        f"safetensors.torch import save_file; held = torch.load('{file}', weights_only=True, map_location='cpu'); "
        f"save_file({{k: v.clone().contiguous() for k, v in held.items()}}, '{made}', metadata={{'format': 'pt'}})\""
    )


def check_text(file: Path) -> None:
    """Refuse a settings file that is empty, a git-lfs pointer, a web page, or no JSON.

    Raises:
        ModelError: It is one of them.
    """
    with file.open("rb") as handle:
        begin = handle.read(512)
    if why := _instead(begin):
        raise ModelError(f"{file} is {why[0]}", why[1])
    if file.suffix == ".json":
        read_settings(file)


def read_settings(file: Path) -> dict[str, Any]:
    """A JSON object in a file.

    Raises:
        ModelError: It is none.
    """
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise ModelError(f"{file} cannot be loaded: it is no JSON ({error})", _AGAIN) from error
    if not isinstance(held, dict):
        raise ModelError(f"{file} cannot be loaded: it holds no JSON object", _AGAIN)
    return cast("dict[str, Any]", held)


def check_tensors_file(file: Path) -> frozenset[str]:
    """Refuse a safetensors file that is cut, empty or something else; the names of its tensors otherwise.

    Raises:
        ModelError: It is.
    """
    size = file.stat().st_size
    with file.open("rb") as handle:
        begin = handle.read(512)
        if why := _instead(begin):
            raise ModelError(f"{file} cannot be loaded: it is {why[0]}", why[1])
        if begin[:4] == b"PK\x03\x04" or (begin[:1] == b"\x80" and begin[8:9] != b"{"):
            raise ModelError(
                f"{file} cannot be loaded: it is a pickle of PyTorch under another name",
                pickle_hint(file.with_suffix(".bin")),
            )
        length = int.from_bytes(begin[:8], "little")
        held: Any = None
        if 8 + length <= size:
            handle.seek(8)
            try:
                held = json.loads(handle.read(length))
            except ValueError:
                held = None
        elif begin[8:9] == b"{":
            raise ModelError(f"{file} cannot be loaded: it is cut off, {size:,} bytes long and not even its list of "
                             "tensors is whole", _AGAIN)  # fmt: skip
    if not isinstance(held, dict):
        raise ModelError(f"{file} cannot be loaded: it is damaged, and no safetensors file", _AGAIN)
    entries = {name: entry for name, entry in cast("dict[str, Any]", held).items() if name != "__metadata__"}
    wanted = 8 + length + max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
    if wanted != size:
        raise ModelError(f"{file} cannot be loaded: it is cut off, {size:,} of {wanted:,} bytes are there", _AGAIN)
    return frozenset(entries)


def check_settings(folder: Path) -> None:
    """Refuse a model's folder whose settings are not what their names say.

    Raises:
        ModelError: A file is cut, empty or something else.
    """
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", INDEX):
        if (folder / name).is_file():
            check_text(folder / name)


def check_weights(folder: Path) -> None:
    """Refuse a model's folder whose weights are not all there, cut, or something else.

    Raises:
        MissingWeightsError: It holds no weights that could be read, or some of its shards are missing.
        ModelError: A file is cut, empty or something else, or an index and its shards do not agree.
    """
    if named := _named_in_config(folder):
        if (folder / named).is_file() and named.endswith(".safetensors"):
            check_tensors_file(folder / named)
    elif (folder / "model.safetensors").is_file():
        check_tensors_file(folder / "model.safetensors")
    elif (folder / INDEX).is_file():
        _check_shards(folder)
    else:
        _no_weights(folder)


def _check_shards(folder: Path) -> None:
    index = folder / INDEX
    found: Any = read_settings(index).get("weight_map")
    if not isinstance(found, Mapping) or not found:
        raise ModelError(f"{index} names no weights: it has no weight_map", _AGAIN)
    places = cast("Mapping[str, Any]", found)
    for name in dict.fromkeys(str(value) for value in places.values()):
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
            raise ModelError(
                f"{index} names {name}, a place outside of its folder",
                "write the bare names of the shards into it, which lie beside it",
            )
    missing = [name for name in dict.fromkeys(places.values()) if not (folder / name).is_file()]
    if missing:
        count = len(set(places.values()))
        beside = sorted(file.name for file in folder.glob("*.safetensors"))
        raise MissingWeightsError(
            f"{folder} lacks {len(missing)} of the {count} files that {INDEX} names: {', '.join(sorted(missing)[:3])}",
            f"fetch them again; there are {', '.join(beside[:4])}" if beside else "fetch them again",
        )
    for name in dict.fromkeys(places.values()):
        held = check_tensors_file(folder / name)
        wanted = [tensor for tensor, place in places.items() if place == name]
        if lost := [tensor for tensor in wanted if tensor not in held]:
            raise ModelError(
                f"{folder / name} lacks {len(lost)} of the {len(wanted)} tensors that {INDEX} places in it ({lost[0]})",
                "index and shards are of different models or versions: fetch all of them again",
            )


def _named_in_config(folder: Path) -> str | None:
    """The file of weights that a configuration names itself, None where it leaves that to custom."""
    config = folder / "config.json"
    named = read_settings(config).get("transformers_weights") if config.is_file() else None
    return named if isinstance(named, str) else None


def _no_weights(folder: Path) -> None:
    said = f"{folder} holds a configuration but no weights"
    files = sorted(folder.glob("*.safetensors"))
    if shards := [found for file in files if (found := _SHARD.fullmatch(file.name))]:
        raise MissingWeightsError(
            f"{said} that go together: {INDEX} is missing beside {len(shards)} of {int(shards[0]['parts'])} shards",
            "fetch the index again, from where the shards came",
        )
    if files:
        raise MissingWeightsError(
            f"{said} by the name model.safetensors, only {', '.join(file.name for file in files[:3])}",
            "rename it to model.safetensors if it holds the model"
            if len(files) == 1
            else "give the folder that transformers' save_pretrained wrote",
        )
    for form, what in _OTHERS.items():
        if any(folder.glob(form)):
            kind, _, way = what.partition(": ")
            way = way or "save it with transformers' save_pretrained"
            raise MissingWeightsError(f"{said} in safetensors, only {kind}", way)
    pickles = sorted(file for form in _PICKLES for file in folder.glob(form))
    if not pickles:
        raise MissingWeightsError(said, "expected model.safetensors, or its shards with an index")
    several = "; its parts go into one file each, with an index" if len(pickles) > 1 else ""
    raise MissingWeightsError(
        f"{said} in safetensors, only {pickles[0].name}; a pytorch_model.bin is a pickle and is never read",
        pickle_hint(pickles[0]) + several,
    )


def inner_folders(folder: Path, file: str) -> list[str]:
    """Folders inside of one that hold a file, checkpoints by their number, one level deep and two."""
    found = {place.parent.relative_to(folder) for form in ("*", "*/*") for place in folder.glob(f"{form}/{file}")}
    return [str(path) for path in sorted(found, key=_in_order)]


def _in_order(path: Path) -> tuple[int, str]:
    number = re.search(r"(\d+)$", path.name)
    return (int(number[1]) if number else -1, str(path))


def name_inner(folder: Path, names: Iterable[str]) -> str:
    """A sentence that names the folders inside which hold what was looked for."""
    listed = list(names)
    shown = ", ".join(listed[:3]) + (
        f", ... {listed[-1]}" if len(listed) > 4 else "".join(f", {n}" for n in listed[3:])
    )
    return f"the folder inside is meant, of {shown}: give {folder / listed[-1]}" if len(listed) > 1 else (
        f"the folder inside is meant: give {folder / listed[0]}"
    )  # fmt: skip


def _instead(begin: bytes) -> tuple[str, str] | None:
    """What a file is in the place of what its name says, and what to do; None where nothing is to be seen."""
    text = begin.lstrip().lower()
    if not begin:
        return "empty (0 bytes)", "its copying was cut: " + _AGAIN
    if begin.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer in the place of the file", "fetch the file itself: git lfs pull, or hf download"
    if text.startswith((b"<!doctype html", b"<html", b"<?xml", b"<head")):
        return "a web page saved under its name", "fetch it with hf download, which takes the file and not its page"
    if not begin.strip(b"\0"):
        return "filled with zeros", "its copying was cut: " + _AGAIN
    return None
