"""GGUF files as ordinary models: dequantised once into a cache folder, then loaded as any other.

Transformers reads a GGUF for some architectures, dequantises it in 20 to 130 seconds at every load and keeps a
quantised configuration that neither saves nor trains. Here the plain weights, the tokenizer and the tokens that end an
answer are written to a folder of the cache (`cache.cache_folder`), whole or not at all, keyed by the
file's content and the versions that converted it.
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from misdirection import progress
from misdirection.artefacts import canonical_hash, file_hash, read_json, write_json
from misdirection.cache import cache_folder
from misdirection.chats.markup import ENDS, MESSAGE_END, TEXT_ENDS
from misdirection.hub import offline_hint, prepare_hub
from misdirection.models.errors import MissingWeightsError, ModelError
from misdirection.models.gguf_tokenizer import split_as_the_file_says
from misdirection.models.quiet import no_bars, no_gguf_bars, no_report
from misdirection.models.weight_files import check_text
from misdirection.models.whole import check_whole

FACTS = "misdirection.json"
FORMAT = 1
EXACT_BELOW = 2_000_000_000
"""Numbers up to which a quantised model is kept in float32, all that its file says; beyond, in bfloat16."""

_ENDS = frozenset({*ENDS, MESSAGE_END, *TEXT_ENDS, "<EOT>"})
"""Tokens that end an answer wherever a file marks them as control tokens; llama.cpp stops at each of them too."""

_PART = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<parts>\d{5})\.gguf")

_ENCODERS = frozenset({
    "bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2", "jina-bert-v3", "eurobert",
    "gemma-embedding", "t5encoder", "t5", "wavtokenizer-dec",
})  # fmt: skip
"""Architectures of llama.cpp that write no text token by token."""

_PLAIN = {0: torch.float32, 1: torch.float16, 30: torch.bfloat16}
"""GGUF's types of numbers that are no quantisation."""


@dataclass(frozen=True)
class Header:
    """What a GGUF file says of itself.

    Attributes:
        kind: "model", "adapter", "mmproj", ...
        architecture: llama.cpp's name of it.
        split: Its name of how text is cut before BPE; empty where the vocabulary is SentencePiece's.
        ends: Tokens that end an answer.
        numbers: How many its tensors hold.
        dtype: Format of its numbers, None where they are quantised.
        parts: Files that the model is spread over.
        causal: Whether its tokens see none behind them, None where it does not say.
    """

    kind: str
    architecture: str
    split: str
    ends: tuple[int, ...]
    numbers: int
    dtype: torch.dtype | None
    parts: int
    causal: bool | None = None


def is_gguf(name: str | Path) -> bool:
    """Whether a model's name is that of a GGUF file: `file.gguf`, `folder:file.gguf`, `owner/repository:file.gguf`."""
    return str(name).lower().endswith(".gguf")


def gguf_file(name: str) -> Path:
    """The file of a GGUF name, fetched where it stands in a repository of the hub.

    Raises:
        MissingWeightsError: There is no such file.
    """
    folder, _, file = name.rpartition(":")
    if Path(name).is_file():
        return Path(name)
    if not folder or Path(folder).is_dir():
        place = Path(folder) / file if folder else Path(name)
        if place.is_file():
            return place
        beside = sorted(path.name for path in place.parent.glob("*.gguf")) if place.parent.is_dir() else []
        raise MissingWeightsError(f"there is no file {place}", f"beside it: {', '.join(beside)}" if beside else None)
    from huggingface_hub import hf_hub_download

    prepare_hub(folder)
    try:
        return Path(hf_hub_download(folder, file))
    except Exception as error:
        raise MissingWeightsError(
            f"{name} is neither a file here nor one that can be reached",
            offline_hint() or "give the path of a GGUF file",
        ) from error


def local_folder(name: str) -> str:
    """The folder of plain weights that a GGUF file was converted to, now or before; any other name as it is.

    Raises:
        ModelError: The file is no model, or of an architecture that transformers does not read.
    """
    if not is_gguf(name):
        return name
    file = gguf_file(name)
    header = read_header(file)
    _check(file, header)
    dtype = header.dtype or (torch.float32 if header.numbers < EXACT_BELOW else torch.bfloat16)
    versions = {package: importlib.metadata.version(package) for package in ("transformers", "gguf", "tokenizers")}
    key = canonical_hash([FORMAT, file_hash(file), str(dtype), versions])
    folder = cache_folder("gguf") / f"{file.stem}-{key[:16]}"
    if not (folder / FACTS).exists():
        progress.say(f"converting {file.name} to plain {str(dtype).removeprefix('torch.')} weights in {folder}, once")
        with progress.phase(f"converting {file.name}"):
            _convert(file, header, dtype, folder)
    return str(folder)


def gguf_facts(folder: str) -> dict[str, Any]:
    """What a converted folder says of its file; empty for any other."""
    file = Path(folder) / FACTS
    return read_json(file) if file.exists() and file.parent.parent.name == "gguf" else {}


def read_header(file: Path) -> Header:
    """Read what a file says of itself, without its weights; read once while it stays as it is.

    Raises:
        ModelError: It is no GGUF file, or the package `gguf` is not there.
    """
    found = file.stat()
    return _header_of(file, found.st_mtime_ns, found.st_size)


def _read(file: Path) -> Any:
    """The package's reader of a file, over plain slices of it.

    Those of a `numpy.memmap` cost three times as much, and every token of the vocabulary is read by four of them.
    """
    from gguf import GGUFReader

    class Plain(cast(Any, GGUFReader)):
        @property
        def data(self) -> Any:
            return self._plain

        @data.setter
        def data(self, mapped: Any) -> None:
            self._plain = mapped.view(np.ndarray)

    return Plain(file)


@cache
def _header_of(file: Path, _changed: int, _size: int) -> Header:
    try:
        reader = _read(file)
    except ImportError as error:
        raise ModelError("reading GGUF files needs the package 'gguf'", "install it with: pip install gguf") from error
    except (ValueError, OSError, IndexError, KeyError, UnicodeDecodeError, OverflowError) as error:
        check_text(file)
        raise ModelError(
            f"{file} is no GGUF file, or cut off ({' '.join(str(error).split())[:100]})", "fetch it again"
        ) from error

    def value(key: str, default: Any = None) -> Any:
        field = reader.fields.get(key)
        return default if field is None else field.contents()

    tokens: list[str] = value("tokenizer.ggml.tokens", [])
    kinds: list[int] = value("tokenizer.ggml.token_type", [])
    named = [value(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
    named += [place for place, token in enumerate(tokens) if token in _ENDS and kinds[place : place + 1] in ([3], [4])]
    matrices = {int(tensor.tensor_type) for tensor in reader.tensors if len(tensor.shape) > 1}
    return Header(
        kind=value("general.type", "model"),
        architecture=value("general.architecture", "of no name"),
        split=value("tokenizer.ggml.pre", "default") if value("tokenizer.ggml.model") == "gpt2" else "",
        ends=tuple(dict.fromkeys(int(token) for token in named if token is not None)),
        numbers=sum(int(tensor.n_elements) for tensor in reader.tensors),
        dtype=_PLAIN.get(matrices.pop()) if len(matrices) == 1 else None,
        parts=int(value("split.count", 1) or 1),
        causal=value(f"{value('general.architecture')}.attention.causal"),
    )


def _check(file: Path, header: Header) -> None:
    if header.kind == "adapter":
        raise ModelError(
            f"{file} is a GGUF LoRA adapter",
            "llama.cpp's convert_lora_to_gguf.py made it of a PEFT adapter: give that adapter's folder (with "
            "adapter_config.json and adapter_model.safetensors) as the adapter",
        )
    if header.parts > 1 or _PART.fullmatch(file.name):
        _refuse_part(file, header)
    if header.kind == "mmproj" or header.architecture in ("clip", "mmproj"):
        raise ModelError(
            f"{file} holds the part of a model that reads images (mmproj), and no text part",
            f"give the model's own file; beside it: {_beside(file)}",
        )
    if not header.numbers:
        raise ModelError(
            f"{file} holds a vocabulary and no weights (vocab-only)", "give the file that holds the model's weights"
        )
    if header.architecture in _ENCODERS or header.causal is False:
        raise ModelError(
            f"{file} holds a model that makes embeddings of texts ({header.architecture}), and writes none",
            "give a decoder that writes text",
        )


def _refuse_part(file: Path, header: Header) -> None:
    """One part of a model in several files: which are here, which are missing, and the command that joins them."""
    named = _PART.fullmatch(file.name)
    count = header.parts if header.parts > 1 else int(named["parts"]) if named else 0
    said = f"{file} is one of {count} parts of a model"
    if named is None:
        raise ModelError(
            said, "give the parts the names that they had (NAME-00001-of-0000N.gguf), and join them: llama-gguf-split "
            "--merge NAME-00001-of-0000N.gguf NAME.gguf",
        )  # fmt: skip
    names = [f"{named['stem']}-{part:05d}-of-{int(named['parts']):05d}.gguf" for part in range(1, count + 1)]
    missing = [name for name in names if not (file.parent / name).is_file()]
    if missing:
        raise ModelError(f"{said}, and {', '.join(missing[:3])} {'is' if len(missing) == 1 else 'are'} missing",
                         "fetch them beside it, then join all with llama.cpp's llama-gguf-split --merge")  # fmt: skip
    whole = file.parent / f"{named['stem']}.gguf"
    raise ModelError(said, f"join them with llama.cpp, then give {whole}: llama-gguf-split --merge "
                           f"{file.parent / names[0]} {whole}")  # fmt: skip


def _beside(file: Path) -> str:
    return ", ".join(sorted(path.name for path in file.parent.glob("*.gguf") if path != file)) or "none"


def _convert(file: Path, header: Header, dtype: torch.dtype, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        facts = _write(file, header, dtype, partial)
        write_json(partial / FACTS, facts)
        if not folder.exists():
            partial.rename(folder)
    except OSError as error:
        if not folder.exists():
            raise ModelError(f"{file} cannot be converted into {folder}: {error}", "set $MISDIRECTION_CACHE") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(file: Path, header: Header, dtype: torch.dtype, folder: Path) -> dict[str, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place: dict[str, Any] = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    try:
        with no_gguf_bars(), no_report():
            loader: Any = AutoModelForCausalLM
            lm, info = loader.from_pretrained(**place, dtype=dtype, output_loading_info=True)
            tokenizer: Any = AutoTokenizer.from_pretrained(**place)
    except (ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        why = re.sub(r"\s+", " ", str(error))[:200]
        raise ModelError(
            f"{file} holds a model of architecture {header.architecture}, which transformers cannot read from GGUF "
            f"({why})",
            "give the model that it was made of, as a folder or an id of the hub",
        ) from error
    unread = check_whole(lm, file.name, info)
    note = split_as_the_file_says(tokenizer, header.split)
    # Its weights are plain numbers by now.
    lm.is_quantized, lm.hf_quantizer = False, None
    if hasattr(lm.config, "quantization_config"):
        del lm.config.quantization_config
    lm.generation_config.eos_token_id = list(header.ends) or lm.generation_config.eos_token_id
    with no_bars():
        lm.to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {
        "gguf": file.name,
        "architecture": header.architecture,
        "dtype": str(dtype),
        "dequantised": header.dtype is None,
        "warnings": [told for told in (note, unread) if told],
    }
