"""The tokenizer of a model, checked against its own file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from misdirection.hub import prepare_hub
from misdirection.models.errors import MissingTokenizerError, ModelError
from misdirection.models.explain import explain
from misdirection.models.gguf import local_folder
from misdirection.models.weight_files import inner_folders, name_inner

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(name: str, revision: str | None = None, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer of a model, checked against its own file.

    Transformers 5 puts a family's own tokenizer in the place of any other (of a word-level one under a Qwen2
    configuration, whatever its files say). Where that does not encode as the folder's tokenizer.json does, the file is
    right, and a plain tokenizer is made of it.

    Raises:
        MissingTokenizerError: The folder holds none.
        ModelError: No tokenizer can be made that encodes as the file does.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    name = local_folder(name)
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise ModelError(f"{name} holds no config.json, so it is not a model", what_is_here(folder))
        if not any((folder / file).exists() for file in ("tokenizer.json", "tokenizer.model", "vocab.json")):
            raise MissingTokenizerError(
                f"{name} holds a model but no tokenizer", "copy tokenizer.json and tokenizer_config.json beside it"
            )
    elif folder.is_file():
        raise ModelError(f"{name} is a file, and no GGUF", f"the folder that it lies in is meant: {folder.parent}")
    prepare_hub(name)
    settings: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(name, **settings)
        if not _encodes_as_its_file(tokenizer, folder):
            tokenizer = PreTrainedTokenizerFast.from_pretrained(name, **settings)
    except Exception as error:
        raise explain(name, error) from error
    if not _encodes_as_its_file(tokenizer, folder):
        raise ModelError(
            f"{type(tokenizer).__name__} does not encode as {folder / 'tokenizer.json'} does",
            "save the tokenizer again with the installed transformers: tokenizer.save_pretrained(folder)",
        )
    return tokenizer


_TRIALS = (
    "Hello there, how are you ? What should I do about it .",
    "1. It's 2024, I'M 37.5 %  sure\n\n22. Don't!\t(x_1 = 3141592)\r\n",
)
"""Texts that tell tokenizers apart: by their words, and by how they cut digits, blanks and apostrophes."""


def _encodes_as_its_file(tokenizer: PreTrainedTokenizerBase, folder: Path) -> bool:
    if not (folder / "tokenizer.json").exists():
        return True
    from tokenizers import Tokenizer

    core: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # A file may have been saved with either switched on; transformers switches both off at every call.
    core.no_padding()
    core.no_truncation()
    # Words of the vocabulary itself: a text of none but unknown words would look alike to every tokenizer.
    known = [word for word in core.get_vocab(with_added_tokens=False) if word.isalpha() and word.isascii()]
    for text in (*_TRIALS, " ".join(sorted(known)[:50])):
        if tokenizer.encode(text, add_special_tokens=False) != core.encode(text, add_special_tokens=False).ids:
            return False
    return True


def what_is_here(folder: Path) -> str:
    """What to give in the place of a folder that holds no model."""
    if (folder / "adapter_config.json").exists():
        return "it is a PEFT adapter: give its base as the model and this folder as the adapter"
    if held := sorted(folder.glob("*.gguf")):
        return f"it holds GGUF files: name one, as {held[0]}"
    if inner := inner_folders(folder, "config.json"):
        return name_inner(folder, inner)
    if inner := inner_folders(folder, "adapter_config.json"):
        return f"it holds PEFT adapters in folders of their own ({inner[-1]}): give their base as the model"
    return "give the folder that save_pretrained wrote, with config.json in it"
