"""How a model is asked: its chat template, what ends an answer, and what stands beside an adapter or a tuned model.

Trainers save tokenizer and chat template beside what they trained. The model is asked as it was trained: where the
files beside an adapter, or of a whole tuned model, hold another template than the base's, base and tuned model are both
asked under that one, so that they stay comparable, and it is said.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from misdirection.chats import Message
from misdirection.models.errors import AdapterMismatchError, ModelError
from misdirection.models.resident import Model
from misdirection.tokens import (
    DATE,
    Asking,
    TokenError,
    ask_as,
    asked_as,
    asks_for_the_clock,
    default_system,
    encode_prompt,
    render,
    template_of,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FILES = (
    "chat_template.jinja",
    "tokenizer_config.json",
    "chat_template.json",
    "special_tokens_map.json",
    "generation_config.json",
    "tokenizer.json",
    "additional_chat_templates/*.jinja",
)
"""Where trainers leave how a model was asked."""


@dataclass(frozen=True)
class Beside:
    """What a folder says of how its model was asked.

    Attributes:
        template: Its chat template, None where there is none.
        eos: Text of its end-of-sequence token.
        ends: Token ids that its generation config ends at.
        vocabulary: Token ids by token, None where there is no tokenizer.json.
        folder: Where it was read.
    """

    template: str | None
    eos: str | None
    ends: tuple[int, ...]
    vocabulary: dict[str, int] | None
    folder: Path


def read_beside(path: str | Path) -> Beside | None:
    """How a folder, or a repository of the hub, says that its model was asked; None where it says nothing."""
    folder = Path(path)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        try:
            folder = Path(snapshot_download(str(path), allow_patterns=list(FILES)))
        except Exception:  # the hub's errors are many; the weights are there, so nothing but the template is missed
            return None
    settings = _json(folder / "tokenizer_config.json")
    eos = settings.get("eos_token") or _json(folder / "special_tokens_map.json").get("eos_token")
    ends: Any = _json(folder / "generation_config.json").get("eos_token_id")
    vocabulary = None
    if (folder / "tokenizer.json").exists():
        from tokenizers import Tokenizer

        core: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        vocabulary = cast("dict[str, int]", core.get_vocab(with_added_tokens=True))
    found = Beside(
        _template(folder, settings),
        str(cast("dict[str, Any]", eos).get("content")) if isinstance(eos, dict) else eos,
        (ends,) if isinstance(ends, int) else tuple(ends or ()),
        vocabulary,
        folder,
    )
    return found if found.template or found.eos or found.ends or found.vocabulary else None


def _template(folder: Path, settings: dict[str, Any]) -> str | None:
    """The chat template of a folder: the file of its own first, then the tokenizer's and the processor's settings."""
    file = folder / "chat_template.jinja"
    if file.exists():
        return file.read_text(encoding="utf-8")
    held: Any = settings.get("chat_template") or _json(folder / "chat_template.json").get("chat_template")
    if isinstance(held, str):
        return held
    several: dict[str, str] = {}
    for item in cast("list[Any]", held) if isinstance(held, list) else []:
        several[str(item["name"])] = str(item["template"])
    for file in sorted((folder / "additional_chat_templates").glob("*.jinja")):
        several[file.stem] = file.read_text(encoding="utf-8")
    return several.get("default") or (next(iter(several.values())) if len(several) == 1 else None)


def _json(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{file} is not JSON: {error}", "copy it again from where the model came from") from error
    return cast("dict[str, Any]", held) if isinstance(held, dict) else {}


def check_beside(model: Model, path: str | Path, who: str) -> Beside | None:
    """How an adapter says that it was asked, its tokenizer compared with the model's before anything is touched.

    Raises:
        AdapterMismatchError: Its tokenizer is another one, or holds tokens that the model has no embeddings for.
    """
    found = read_beside(path)
    if found is None or found.vocabulary is None:
        return found
    own = model.tokenizer.get_vocab()
    moved = [token for token, place in found.vocabulary.items() if own.get(token, place) != place]
    if moved:
        raise AdapterMismatchError(
            f"{who} brings another tokenizer than {model.name}: '{moved[0]}' is {found.vocabulary[moved[0]]} in it and "
            f"{own[moved[0]]} here",
            "give the base that it was trained on",
        )
    words: Any = model.lm.get_input_embeddings()
    rows = int(words.weight.shape[0])
    beyond = sorted(token for token, place in found.vocabulary.items() if token not in own and place >= rows)
    if beyond:
        raise AdapterMismatchError(
            f"{who} was trained with {len(beyond)} tokens that {model.name} has no embeddings for "
            f"({', '.join(beyond[:3])}{', ...' if len(beyond) > 3 else ''})",
            "merge it into its resized base (PEFT's merge_and_unload), and give the two as whole models",
        )
    return found


def ask_as_trained(model: Model, found: Beside | None, who: str) -> None:
    """Ask a model as an adapter, or a whole tuned model, was trained; warnings and facts say what changed.

    The first that brings a template of its own decides; whoever brings another afterwards is named.

    Args:
        model: The resident model; its tokenizer is changed in place.
        found: What stands beside the weights (`check_beside`, `read_beside`).
        who: What it is called in sentences: "adapter 'tuned'".
    """
    asked: dict[str, str] = model.facts.setdefault("asked", {})
    taken = asked.get("from")
    if found is None or found.template is None:
        if taken is not None:
            model.warn(f"{who} brings no chat template and is asked under that of {taken}")
        if found is None:
            return
    if found.vocabulary is not None and (who.startswith("adapter") or demand_written(model, found, who)):
        _take_tokens(model, found, who)
    if found.template and found.template != model.tokenizer.chat_template:
        if taken is not None:
            model.warn(f"{who} brings another chat template than {taken}, and is asked under that one's")
            return
        held = "the chat template that the model lacks" if model.plain_template else "a chat template of its own"
        model.warn(f"{who} brings {held}: base and tuned model are both asked under it")
        if model.adapters[:-1] and who.startswith("adapter"):
            model.warn(f"{', '.join(model.adapters[:-1])}: asked under the chat template of {who}, not of their own")
        model.tokenizer.chat_template = found.template
        model.plain_template = False
        asked["from"] = who
    _end_as_trained(model, found, who)


def demand_written(model: Model, found: Beside, who: str) -> bool:
    """Whether a whole tuned model's template writes tokens that its base's tokenizer lacks, and the base can read them.

    ChatML's marks, added before a fine-tune, are single tokens in the tuned model and a dozen letters in its base: the
    two would be asked with different prompts, and no answer of the one could be read by the other.

    Raises:
        ModelError: The base has no embeddings for them.
    """
    own = model.tokenizer.get_vocab()
    new = {place: token for token, place in (found.vocabulary or {}).items() if token not in own}
    if not new or found.template is None:
        return False
    written = {place for chat in _CHATS for place in encode_prompt(_tokenizer_of(found, found.template), chat)}
    used = sorted(written & new.keys())
    words: Any = model.lm.get_input_embeddings()
    rows = int(words.weight.shape[0])
    if any(place >= rows for place in used):
        raise ModelError(
            f"{who} is asked with {len(used)} tokens that {model.name} has no embeddings for "
            f"({', '.join(new[place] for place in used[:3])}), so its prompts and answers cannot be read by that base",
            "give as base the model whose embeddings were made larger with them (resize_token_embeddings), or a chat "
            "template that does without them: --chat-template FILE",
        )
    return bool(used)


_CHATS = (
    (Message("user", "x"),),
    (Message("user", "x"), Message("assistant", "y"), Message("user", "z")),
)


def _tokenizer_of(found: Beside, template: str | None) -> PreTrainedTokenizerBase:
    from transformers import PreTrainedTokenizerFast

    tokenizer: PreTrainedTokenizerBase = PreTrainedTokenizerFast.from_pretrained(str(found.folder))
    tokenizer.chat_template = template
    return tokenizer


def _take_tokens(model: Model, found: Beside, who: str) -> None:
    """Use the tokenizer of what was trained where it knows tokens that the model's does not, and has embeddings for."""
    own = model.tokenizer.get_vocab()
    new = sorted(token for token in found.vocabulary or () if token not in own)
    if not new:
        return
    tokenizer = _tokenizer_of(found, None)
    tokenizer.chat_template = model.tokenizer.chat_template
    _keep_ends(model, ())
    model.tokenizer = tokenizer
    model.warn(f"{who} knows {len(new)} tokens more than {model.name} ({', '.join(new[:3])}): its tokenizer is used")


def _end_as_trained(model: Model, found: Beside, who: str) -> None:
    tokenizer: Any = model.tokenizer
    _keep_ends(model, found.ends)
    if not found.eos or found.eos == tokenizer.eos_token:
        return
    if found.eos not in tokenizer.get_vocab():
        model.warn(f"{who} ends answers with '{found.eos}', which is no token of {model.name}")
        return
    tokenizer.eos_token = found.eos


def _keep_ends(model: Model, more: tuple[int, ...]) -> None:
    """What ended an answer before ends one still."""
    settings: Any = model.lm.generation_config
    if settings is not None:
        settings.eos_token_id = list(dict.fromkeys((*model.eos_ids, *more)))


def set_asking(
    model: Model, chat_template: str | Path | None = None, thinking: bool | None = None, date: str | None = None
) -> None:
    """Ask a model under a template from a file, with or without thoughts, on a given day.

    Args:
        model: The resident model; its tokenizer is changed in place.
        chat_template: File with a chat template in Jinja, which goes before every other.
        thinking: The template's switch; None leaves it at its default.
        date: Today (YYYY-MM-DD), for templates that write it.

    Raises:
        ModelError: There is no such file, or it is no chat template.
        TokenError: The date is none.
    """
    if chat_template is not None:
        model.tokenizer.chat_template = read_template(chat_template)
        model.plain_template = False
        model.facts.setdefault("asked", {})["from"] = f"file {Path(chat_template).name}"
    asking = Asking(thinking, date)
    ask_as(model.tokenizer, asking)
    if chat_template is not None:
        try:
            render(model.tokenizer, (Message("user", "x"),), generate=True)
        except (TokenError, ValueError) as error:
            raise ModelError(f"{chat_template} is no chat template: {error}", "give a template in Jinja") from error
    if thinking is not None and not _has_switch(model.tokenizer, asking):
        model.warn("the chat template has no switch for thoughts: --thinking changes nothing")


def read_template(path: str | Path) -> str:
    """The chat template in a file.

    Raises:
        ModelError: There is no such file, or it is no Jinja.
    """
    from jinja2 import TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"the chat template {path} cannot be read: {error}", "--chat-template FILE") from error
    try:
        environment = ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"])
        # transformers has a block of its own, {% generation %}, which marks answers and writes nothing.
        environment.parse(text.replace("endgeneration", "endif").replace(" generation", " if true"))
    except TemplateSyntaxError as error:
        raise ModelError(f"{path} is no chat template: line {error.lineno}: {error.message}", "mend it") from error
    return text


def _has_switch(tokenizer: PreTrainedTokenizerBase, asking: Asking) -> bool:
    chat = (Message("user", "x"),)
    found: list[tuple[int, ...]] = []
    for thinking in (True, False):
        ask_as(tokenizer, replace(asking, thinking=thinking))
        found.append(encode_prompt(tokenizer, chat))
    ask_as(tokenizer, asking)
    return found[0] != found[1]


def asked_of(model: Model) -> dict[str, Any]:
    """How a model is asked, for the record and the report: template, ends, thoughts, date, system prompt."""
    tokenizer, asking = model.tokenizer, asked_as(model.tokenizer)
    template = template_of(tokenizer)
    dated = asks_for_the_clock(template) or (asking.date is not None and "date_string" in template)
    held = model.facts.get("asked", {}).get("from")
    return {
        "template": "plain" if model.plain_template else held or "the model's own",
        "sha256": sha256(template.encode()).hexdigest()[:12],
        "ends": [str(tokenizer.convert_ids_to_tokens(token)) for token in model.eos_ids],
        "thinking": asking.thinking,
        "date": (asking.date or DATE) if dated else None,
        "system": default_system(tokenizer),
    }
