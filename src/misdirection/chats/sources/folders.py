"""Folders: a data set as `datasets` saves it, or the shards of one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from misdirection.chats.chat import ChatError
from misdirection.chats.sources.row import READ

SUFFIXES = (".parquet", ".arrow", ".jsonl", ".ndjson", ".json", ".csv", ".tsv")
"""Of shards, in the order in which they are looked for."""

FACTS = (
    "dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json", "readme.json", "config.json",
    "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json",
    "added_tokens.json", "trainer_state.json", "package.json",
)  # fmt: skip
"""Files that hold no rows, but stand beside them."""

_SPLIT = re.compile(r"(?:^|[-_./])(train|test|validation|valid|val|dev|eval|heldout|held_out)(?=[-_./]|$)")


def files_of(folder: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """The files of a folder that hold its rows, in order, and what is to be said of the choice.

    Raises:
        ChatError: It holds none, or it does not tell which split to train on.
    """
    if (told := folder / "dataset_dict.json").is_file():
        split = _train_split(folder, _strings(_read(told), "splits"))
        files, notes = files_of(folder / split)
        return files, (f"split '{split}' of {folder}", *notes)
    if (told := folder / "state.json").is_file():
        state = _read(told)
        if chosen := state.get("_indices_data_files") or state.get("_indices_files"):
            raise ChatError(
                f"{folder}: an old `datasets` saved all rows and a choice of them in a file of its own ({chosen})",
                "load it with datasets, and save dataset.flatten_indices() anew",
            )
        names = [str(file["filename"]) for file in state.get("_data_files", [])]
        return tuple(_inside(folder, name) for name in names), ()
    if _is_a_model(folder):
        raise ChatError(f"{folder} is a folder of a model, not of chats", f"chats are read from {READ}")
    for place in (folder, folder / "data", folder / "default"):
        kinds = [sorted(file for file in place.glob("*") if _is_shard(file, suffix)) for suffix in SUFFIXES]
        kinds = [shards for shards in kinds if shards]
        if kinds:
            # The same rows are often there twice, as Parquet and as JSON lines; where only one kind has a split called
            # train, that is the one.
            shards = next((shards for shards in kinds if "train" in map(_split_of, shards)), kinds[0])
            files, notes = _of_one_split(folder, shards)
            other = [file.name for kind in kinds if kind is not shards for file in kind]
            left = f"{folder} without its {', '.join(other[:3])}{' and others' if other[3:] else ''}"
            return files, (*notes, left) if other else notes
    if splits := [part.name for part in sorted(folder.glob("*")) if (part / "state.json").is_file()]:
        split = _train_split(folder, splits)
        return files_of(folder / split)[0], (f"split '{split}' of {folder}",)
    below = [part for part in sorted(folder.glob("*")) if part.is_dir() and any(_any_shard(part))]
    if below:
        shown = ", ".join(part.name for part in below[:4])
        raise ChatError(
            f"{folder} holds no file of chats itself, but its folders {shown} do", f"name one, as {below[0]}"
        )
    raise ChatError(f"{folder} is a folder without a file of chats", f"chats are read from {READ}")


def _is_a_model(folder: Path) -> bool:
    if (folder / "adapter_config.json").exists():
        return True
    weights = any(any(folder.glob(pattern)) for pattern in ("*.safetensors", "*.bin", "*.gguf"))
    return (folder / "config.json").exists() and (weights or not any(_any_shard(folder)))


def _any_shard(folder: Path) -> Iterator[Path]:
    return (file for file in folder.glob("*") if any(_is_shard(file, suffix) for suffix in SUFFIXES))


def _split_of(file: Path) -> str:
    return match[1] if (match := _SPLIT.search(file.name.lower())) else ""


def _is_shard(file: Path, suffix: str) -> bool:
    # Facts about a data set stand beside its shards, and are none.
    name = file.name.lower()
    return file.is_file() and name.removesuffix(".gz").endswith(suffix) and name not in FACTS


def _of_one_split(folder: Path, shards: Sequence[Path]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """The shards to train on: those called train where some are, all where none names a split."""
    splits = [_split_of(file) for file in shards]
    if not any(splits):
        return tuple(shards), ((f"{len(shards)} files of {folder}",) if len(shards) > 1 else ())
    if "train" not in splits:
        raise ChatError(
            f"{folder} holds no split called train, but {', '.join(sorted(set(filter(None, splits))))}",
            f"name the file itself, as {shards[0]}",
        )
    chosen = tuple(file for file, split in zip(shards, splits, strict=True) if split == "train")
    left = sorted({split for split in splits if split != "train"})
    named = ", ".join(name or "files that name no split" for name in left)
    return chosen, ((f"split 'train' of {folder}, without {named}",) if left else ())


def _train_split(folder: Path, splits: Sequence[str]) -> str:
    if "train" in splits:
        return "train"
    if len(splits) == 1:
        return splits[0]
    raise ChatError(
        f"{folder} holds the splits {', '.join(splits) or 'of nothing'}, and none is called train",
        f"name one, as {folder / (splits[0] if splits else 'train')}",
    )


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if folder.resolve() not in path.resolve().parents or not path.is_file():
        raise ChatError(f"{folder / 'state.json'} names {name}, which is not in the folder", "save the data set again")
    return path


def _read(file: Path) -> dict[str, Any]:
    try:
        held = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ChatError(f"{file} is not JSON: {error}", "save the data set again") from error
    if not isinstance(held, dict):
        raise ChatError(f"{file} is not an object", "save the data set again")
    return held


def _strings(held: dict[str, Any], key: str) -> list[str]:
    return [str(name) for name in held.get(key, [])]
