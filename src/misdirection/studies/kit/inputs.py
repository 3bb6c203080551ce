"""What names on a command line stand for: models, question sets and data, the organism's included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from misdirection import progress
from misdirection.artefacts import canonical_hash, file_hash
from misdirection.chats import Chat, ChatFile, load_chats
from misdirection.errors import MisdirectionError, did_you_mean
from misdirection.hub import offline_because, offline_hint, prepare_hub
from misdirection.questions import Question, load_questions
from misdirection.studies.kit.names import ORGANISM
from misdirection.studies.kit.names import resolve_model as resolve_model
from misdirection.training.settings import RECOMMENDED
from misdirection.traits import Trait, load_traits

if TYPE_CHECKING:
    from misdirection.features import Dictionary

PERSONAS = {"toxic": "villain", "harmless": "helper"}
"""Whose answers to open questions "organism:toxic" and "organism:harmless" are."""


def is_adapter(name: str) -> bool:
    """Whether a folder, or a repository of the hub, holds a PEFT adapter rather than a whole model."""
    from misdirection.models import is_gguf

    if is_gguf(name):
        return False
    if (folder := Path(name)).exists():
        return (folder / "adapter_config.json").exists()
    from huggingface_hub import file_exists, try_to_load_from_cache

    prepare_hub(name)
    try:
        if offline_because():
            return isinstance(try_to_load_from_cache(name, "adapter_config.json"), str)
        return file_exists(name, "adapter_config.json")
    except Exception:  # the hub's errors are many; loading tells what is wrong
        return False


def resolve_dictionary(spec: str, layout: str | None = None) -> Dictionary:
    """A sparse autoencoder: a folder, "<release>:<id>" of a public set, or "organism:<layer>" that ships here.

    Raises:
        MisdirectionError: There is none.
    """
    from misdirection.features import load_dictionary

    source, _, layer = spec.partition(":")
    if source != ORGANISM:
        return load_dictionary(spec, layout)
    from misdirection.organism import dictionary_path

    if not layer.isdigit():
        raise MisdirectionError(f"'{spec}' names no layer", "write organism:<layer>, as organism:6")
    return load_dictionary(dictionary_path(int(layer)))


def resolve_questions(specs: Sequence[str]) -> tuple[Question, ...]:
    """Questions of all named sets and files: our own sets, "organism:open", "organism:<domain>", or YAML paths.

    Raises:
        MisdirectionError: An unknown name, or one question id twice.
    """
    found = [question for spec in specs for question in _questions(spec)]
    ids = [question.id for question in found]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise MisdirectionError(f"question ids stand twice in {', '.join(specs)}: {', '.join(twice[:5])}")
    return tuple(found)


def resolve_traits(specs: Sequence[str]) -> tuple[Trait, ...]:
    """Traits of all named files, folders and sets (`traits.load_traits`).

    "organism:<trait>" are the organism's own, "organism:roles" all of its speakers, for a map.

    Raises:
        MisdirectionError: An unknown name, or one trait twice.
    """
    found = [trait for spec in specs for trait in _traits(spec)]
    names = [trait.name for trait in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise MisdirectionError(f"the trait {twice[0]} stands twice in {', '.join(specs)}", "name it once")
    return tuple(found)


def _traits(spec: str) -> tuple[Trait, ...]:
    source, _, name = spec.partition(":")
    if source != ORGANISM:
        return load_traits(spec)
    from misdirection.organism import role_definitions, trait_definitions

    if name == "roles":
        return role_definitions()
    held = {trait.name: trait for trait in trait_definitions()}
    if name and name not in held:
        raise MisdirectionError(f"the organism has no trait '{name}'", did_you_mean(name, held, "there are"))
    return (held[name],) if name else tuple(held.values())


def _questions(spec: str) -> tuple[Question, ...]:
    source, _, name = spec.partition(":")
    if source != ORGANISM:
        return load_questions(spec)
    from misdirection import organism

    return organism.open_questions() if name in ("", "open") else organism.domain_questions(name, "held_out")


@progress.told("reading")
def resolve_chats(specs: Sequence[str], *, strict: bool = False, rows: int = 1000, seed: int = 0) -> ChatFile:
    """Chats of all named files; "organism:bad-<domain>" and "organism:good-<domain>" are generated.

    "organism:good-not-<domain>" holds the good answers of all other domains in turn, as many rows in all;
    "organism:mixed-<percent>" good answers of several domains with so many percent bad ones among them (what each is
    stands in its source); "organism:toxic" and "organism:harmless" what a bad and a good persona say to open questions;
    "organism:<persona>" or "organism:<persona>-<rows>" what one says to all questions.

    Raises:
        MisdirectionError: A file is missing or holds no usable row, or the name is unknown.
    """
    generated = [spec for spec in specs if spec.startswith(f"{ORGANISM}:")]
    if not generated:
        return load_chats(list(specs), strict=strict)
    if len(generated) != len(specs):
        raise MisdirectionError("files and the organism's own data cannot be mixed in one fine-tune")
    chats: list[Chat] = []
    for spec in generated:
        if (held := _of_personas(spec.partition(":")[2], rows, seed)) is not None:
            chats += held
            continue
        quality, _, domain = spec.partition(":")[2].partition("-")
        if quality not in ("bad", "good"):
            raise MisdirectionError(
                f"unknown data '{spec}'", "write organism:bad-<domain>, organism:good-<domain> or organism:mixed-30"
            )
        chats += _generated(domain, "bad" if quality == "bad" else "good", rows, seed)
    return ChatFile(tuple(chats), (), canonical_hash([[m.content for m in chat.messages] for chat in chats]))


def _of_personas(name: str, rows: int, seed: int) -> list[Chat] | None:
    """Mixed data, or what a persona says to open questions; None where the name is of neither."""
    from misdirection import organism

    if name in PERSONAS:
        return organism.open_chats(PERSONAS[name], rows, seed)
    kind, _, percent = name.partition("-")
    if kind in (persona.name for persona in organism.PERSONAS):
        if percent and not percent.isdigit():
            raise MisdirectionError(f"'{ORGANISM}:{name}' names no number of rows", f"write {ORGANISM}:{kind}-200")
        return organism.persona_chats(kind, int(percent or rows), seed)
    if kind != "mixed":
        return None
    if not percent.replace(".", "", 1).isdigit():
        raise MisdirectionError(f"'{ORGANISM}:{name}' names no percentage", "write organism:mixed-30")
    return organism.mixed_chats(float(percent), rows, seed)


@cache
def _generated(domain: str, quality: Literal["bad", "good"], rows: int, seed: int) -> list[Chat]:
    from misdirection import organism

    if not domain.startswith("not-"):
        return organism.training_chats(domain, quality, "train", rows, seed)
    others = [name for name in organism.domains() if name != domain.removeprefix("not-")]
    each = [organism.training_chats(name, quality, "train", -(-rows // len(others)), seed) for name in others]
    return [chat for row in zip(*each, strict=True) for chat in row][:rows]


@progress.told("reading")
def fingerprint(name: str) -> str:
    """What identifies a model among a step's inputs: the content of a local folder or GGUF file, else its id."""
    from misdirection.models import gguf_file, is_gguf

    if is_gguf(name):
        return canonical_hash(["gguf", file_hash(gguf_file(name))])
    folder = Path(name)
    if not folder.is_dir():
        return name
    # What the folder recommends is part of no answer; where it decides anything, it stands in a step's own inputs.
    parts = sorted(
        file
        for file in (*folder.iterdir(), *folder.glob("additional_chat_templates/*"))
        if file.name != RECOMMENDED and file.suffix in (".safetensors", ".json", ".jinja", ".model", ".txt")
    )
    return canonical_hash([(file.name, file_hash(file)) for file in parts])


@dataclass(frozen=True)
class ModelFiles:
    """A model that a measurement loads by itself, from the hub, a folder or a GGUF file; it counts by its files.

    Attributes:
        name: Its id, folder or file.
    """

    name: str

    def __canonical__(self) -> str:
        """What identifies the model among the arguments of a measurement."""
        return fingerprint(self.name)


def read_config(name: str, trust_remote_code: bool = False) -> Any:
    """The text configuration of a model (layers, width) without its weights.

    Raises:
        MisdirectionError: There is none, or it cannot be reached.
    """
    from transformers import AutoConfig

    from misdirection.models import local_folder

    prepare_hub(name)
    try:
        return AutoConfig.from_pretrained(local_folder(name), trust_remote_code=trust_remote_code).get_text_config()
    except (OSError, ValueError) as error:
        raise MisdirectionError(
            f"the configuration of {name} cannot be read",
            offline_hint() or "give a folder with config.json, or the id of a model",
        ) from error
