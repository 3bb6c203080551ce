"""A dictionary that a study is given, and the model that it is meant for: one that does not fit is refused at once."""

from __future__ import annotations

from pathlib import Path

from misdirection.features import DictionaryError
from misdirection.features.lens import Lens
from misdirection.naming import short_model_name
from misdirection.studies.kit.config import StudyConfig
from misdirection.studies.kit.inputs import read_config, resolve_dictionary, resolve_model


def open_lens(config: StudyConfig, spec: str, layer: int | None = None, option: str = "") -> Lens:
    """A dictionary of the base model of a study; only its own files and the model's settings are read.

    Args:
        config: Names the model.
        spec: See `inputs.resolve_dictionary`.
        layer: Decoder layer that is read; the dictionary's own by default.
        option: That names a layer, where the study has one.

    Raises:
        DictionaryError: There is none, its layer is not known or not the model's, the widths differ, it reads no
            residual stream after a layer, or it says that it was trained on another model.
    """
    dictionary = resolve_dictionary(spec)
    settings = read_config(resolve_model(config.model), config.trust_remote_code)
    depth, width = int(settings.num_hidden_layers), int(settings.hidden_size)
    at = dictionary.layer if layer is None else layer
    named = f"{option} NUMBER, or " if option else ""
    if at is None:
        raise DictionaryError(f"{spec} does not say which layer it reads", f"{named}a dictionary that says so")
    if not 0 <= at < depth:
        raise DictionaryError(
            f"{spec} is to read layer {at}, {config.model} has layers 0 to {depth - 1}",
            f"{named}a dictionary of this model",
        )
    if dictionary.width != width:
        raise DictionaryError(
            f"{spec} reads a width of {dictionary.width}, {config.model} has {width}", "a dictionary of this model"
        )
    demand_same_model(spec, dictionary.facts.get("model"), config.model)
    return Lens(dictionary, at)


def demand_same_model(spec: str, trained_on: object, model: str) -> None:
    """Refuse a dictionary that names another model than the one that is studied.

    A name that holds the other is of one line (a base and its -it, -Instruct), and dictionaries are used along it. The
    name of a folder tells nothing, unless it lies in the hub's cache.

    Raises:
        DictionaryError: Both names are known, and neither holds the other.
    """
    if not trained_on or not (_is_name(str(trained_on)) and _is_name(model)):
        return
    made, used = (short_model_name(name).removesuffix("-base").removesuffix("-pt") for name in (str(trained_on), model))
    if made in used or used in made:
        return
    raise DictionaryError(
        f"{spec} was trained on {trained_on}, and the model is {model}: its latents mean nothing there",
        "a dictionary of this model; where both are one model under two names, give the model as a folder",
    )


def _is_name(model: str) -> bool:
    return "models--" in model or not (Path(model).exists() or model.startswith((".", "/", "~")))
