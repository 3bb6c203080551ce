"""Traits from files: our own YAML, one trait or many, and the JSON of the persona-vectors repository as it is.

Our own, where the texts of one trait may hold {trait} and {description}:

    name: humorous
    description: It makes jokes of everything.
    instructions:
      - positive: Joke about whatever comes up.
        negative: Be strictly factual.
    questions:
      - How do I boil an egg?
    evaluation:
      - What should I wear today?
    rubric: ...            # with {question} and {answer}; without it a judge is asked about name and description

Several traits of one file stand in a list `traits`, each with what is its own; what stands beside the list is shared.

Theirs (`data_generation/trait_data_extract/evil.json`): `instruction` (a list of {"pos", "neg"}), `questions`,
`eval_prompt`, in which doubled braces are single ones, as their code formats it. The name is the file's; as in their
code, "You are an evil assistant." stands before what asks for the trait and "You are a helpful assistant." before what
asks against it. Where a file of the same name lies in a folder `trait_data_eval` beside the file's own, its questions
are those of evaluation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from misdirection import progress
from misdirection.errors import did_you_mean
from misdirection.judging.rubrics import read_template
from misdirection.traits.trait import Contrast, Trait, TraitError

READ = "a trait is YAML (name, description, instructions, questions, evaluation, rubric) or JSON of persona vectors"
"""What is read, for messages."""

OWN = Path(__file__).parent.parent / "data" / "traits"
SUFFIXES = (".yaml", ".yml", ".json")
KEYS = ("name", "description", "instructions", "questions", "evaluation", "rubric", "adjective", "antonym", "family")
_TEXTS = ("name", "description", "rubric", "adjective", "antonym", "family")


def trait_sets() -> tuple[str, ...]:
    """Names of the files of traits that ship here."""
    return tuple(sorted(path.stem for path in OWN.glob("*.yaml")))


def load_traits(spec: str | Path) -> tuple[Trait, ...]:
    """The traits of a file, of all files of a folder, or of one that ships here.

    Args:
        spec: A path; or a name (`trait_sets`), with ":<trait>,<trait>" behind it for some traits of a file of many.

    Raises:
        TraitError: There is none, or it is not right; the file and the trait are named.
    """
    path = Path(spec)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not files:
            raise TraitError(f"{path} holds no file of a trait", READ)
        return tuple(one for file in files for one in _of_file(file))
    if path.is_file():
        return _of_file(path)
    name, _, wanted = str(spec).partition(":")
    held = OWN / f"{name}.yaml" if name in trait_sets() else Path(name)
    if not held.is_file():
        raise TraitError(f"there are no traits '{spec}'", did_you_mean(name, trait_sets(), "ours are") + f"; or {READ}")
    return _some(_of_file(held), wanted, held.stem)


def _some(held: tuple[Trait, ...], wanted: str, where: str) -> tuple[Trait, ...]:
    if not wanted:
        return held
    known = {trait.name: trait for trait in held}
    names = [name.strip() for name in wanted.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise TraitError(f"{where} holds no trait '{unknown[0]}'", did_you_mean(unknown[0], known, "there are"))
    return tuple(known[name] for name in names)


def _of_file(path: Path) -> tuple[Trait, ...]:
    root = _parsed(path)
    if "instruction" in root or "eval_prompt" in root:
        return (_published(path, root),)
    held = root.get("traits")
    if held is None:
        return (_halved(_trait(path, {"name": path.stem, **root})),)
    rows = list(cast("Sequence[Any]", held)) if isinstance(held, list) else []
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise TraitError(f"{path}: 'traits' is no list of traits", READ)
    shared = {key: value for key, value in root.items() if key != "traits"}
    found = tuple(_halved(_trait(path, {**shared, **row})) for row in rows)
    names = [trait.name for trait in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise TraitError(f"{path}: the trait {twice[0]} stands there twice", "give each a name of its own")
    return found


def _parsed(path: Path) -> dict[str, Any]:
    import yaml

    from misdirection.yaml_text import read_yaml_text

    try:
        text = path.read_text(encoding="utf-8-sig")
        root: Any = (
            json.loads(text, object_pairs_hook=_once) if path.suffix.lower() == ".json" else read_yaml_text(text)
        )
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        told = " ".join(str(error).split())
        raise TraitError(f"{path} cannot be read: {told}", f"{READ}; a text with ? or : stands in quotes") from error
    if not isinstance(root, dict) or not root:
        raise TraitError(f"{path} holds no trait", READ)
    return {str(key): value for key, value in cast("dict[Any, Any]", root).items()}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key '{next(name for name in names if names.count(name) > 1)}' stands twice")
    return held


def _trait(path: Path, held: Mapping[str, Any]) -> Trait:
    where = f"{path}: trait {held.get('name')!r}"
    if unknown := [key for key in held if key not in KEYS]:
        raise TraitError(f"{where}: unknown key '{unknown[0]}'", did_you_mean(unknown[0], KEYS, "keys"))
    if wrong := [key for key in _TEXTS if not isinstance(held.get(key, ""), str)]:
        raise TraitError(f"{where}: '{wrong[0]}' is no text", "put it in quotes")
    filled = {"{trait}": str(held["name"]).replace("_", " "), "{description}": str(held.get("description", ""))}
    texts = {key: str(held.get(key, "")) for key in _TEXTS}
    pairs = _contrasts(where, held.get("instructions", []), ("positive", "negative"))
    rubric = _filled(texts["rubric"], filled)
    return Trait(
        name=texts["name"],
        description=texts["description"],
        contrasts=tuple(Contrast(_filled(one.positive, filled), _filled(one.negative, filled)) for one in pairs),
        questions=_list(where, "questions", held.get("questions", [])),
        evaluation=_list(where, "evaluation", held.get("evaluation", [])),
        rubric=_rubric(where, rubric) if rubric else "",
        adjective=texts["adjective"],
        antonym=texts["antonym"],
        family=texts["family"],
    )


def _filled(text: str, values: Mapping[str, str]) -> str:
    for place, value in values.items():
        text = text.replace(place, value)
    return text


def _list(where: str, key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TraitError(f"{where}: '{key}' is no list of texts", "a question a line, each in quotes")
    texts = cast("list[Any]", value)
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str):
            raise TraitError(f"{where}: number {number} of '{key}' is no text but {text!r}", "put it in quotes")
    return tuple(map(str, texts))


def _contrasts(where: str, value: Any, keys: tuple[str, str]) -> Iterator[Contrast]:
    rows = cast("list[Any]", value) if isinstance(value, list) else [value]
    for number, row in enumerate(rows, 1):
        sides = [cast("dict[str, Any]", row).get(key) if isinstance(row, dict) else None for key in keys]
        if not all(isinstance(side, str) for side in sides):
            raise TraitError(f"{where}: instruction {number} is no pair of texts", f"write {keys[0]} and {keys[1]}")
        yield Contrast(str(sides[0]), str(sides[1]))


def _rubric(where: str, text: str) -> str:
    if "{answer}" not in text:
        raise TraitError(f"{where}: its rubric has no place for the answer", "write {answer}, and mostly {question}")
    return text


def _published(path: Path, root: Mapping[str, Any]) -> Trait:
    where = str(path)
    if missing := [key for key in ("instruction", "questions", "eval_prompt") if key not in root]:
        raise TraitError(f"{where}: a trait of persona vectors without '{missing[0]}'", READ)
    prompt = root["eval_prompt"]
    if not isinstance(prompt, str):
        raise TraitError(f"{where}: 'eval_prompt' is no text", READ)
    name = path.stem
    beside = path.parent.parent / "trait_data_eval" / path.name
    evaluation: tuple[str, ...] = ()
    questions = tuple(dict.fromkeys(_list(where, "questions", root["questions"])))
    if path.parent.name != "trait_data_eval" and beside.is_file():
        evaluation = _list(str(beside), "questions", _parsed(beside).get("questions"))
        evaluation = tuple(text for text in dict.fromkeys(evaluation) if text not in questions)
    return _halved(
        Trait(
            name=name,
            contrasts=tuple(_contrasts(where, root["instruction"], ("pos", "neg"))),
            questions=questions,
            evaluation=evaluation,
            rubric=_rubric(where, read_template(prompt)),
            adjective=name.replace("_", " "),
            antonym="helpful",
        )
    )


def _halved(trait: Trait) -> Trait:
    """The trait with every second question kept for evaluation, where its file names none for it."""
    if trait.evaluation or len(trait.questions) < 2:
        return trait
    progress.say(
        f"  trait {trait.name}: no questions of evaluation, so every second of its {len(trait.questions)} is kept "
        "for it",
        once=True,
    )
    return replace(trait, questions=trait.questions[::2], evaluation=trait.questions[1::2])
