"""A dictionary by release and id, or from a local folder of any known layout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from misdirection.features.dictionary import Dictionary, DictionaryError
from misdirection.features.formats import FORMATS, misdirection_own
from misdirection.features.formats.hooks import layer_of_path
from misdirection.features.releases import RELEASES, Release
from misdirection.hub import offline_hint, prepare_hub


def load_dictionary(spec: str | Path, layout: str | None = None) -> Dictionary:
    """The dictionary of a folder, or of a public set as "<release>:<id>".

    Args:
        spec: A local folder, or for instance "gemma-scope-2b-pt-res:layer_12/width_16k/average_l0_82".
        layout: Format of the folder, where it cannot be told from its files; see `formats.FORMATS`.

    Raises:
        DictionaryError: There is none, its layout is not known, or it cannot be fetched.
    """
    folder = Path(spec)
    if folder.is_dir():
        return _read(folder, layout)
    release, _, name = str(spec).partition(":")
    if release not in RELEASES:
        raise DictionaryError(
            f"{spec} is no folder, and no public set is called '{release}'",
            f"give a folder, or <release>:<id> of {', '.join(RELEASES)}",
        )
    if not name:
        raise DictionaryError(
            f"'{release}' holds many dictionaries", f"name one: {release}:{RELEASES[release].example}"
        )
    held = RELEASES[release]
    found = _read(fetch(held, name), held.format)
    layer = found.layer if found.layer is not None else layer_of_path(name)
    return replace(found, layer=layer, facts={**found.facts, "release": release, "id": name, "model": held.model})


def _read(folder: Path, layout: str | None) -> Dictionary:
    if layout is not None and layout not in FORMATS:
        raise DictionaryError(f"no layout is called '{layout}'", f"layouts: {', '.join(FORMATS)}")
    chosen = layout or next((name for name, held in FORMATS.items() if held.matches(folder)), None)
    if chosen is None:
        raise DictionaryError(f"{folder} holds no dictionary of a known layout", f"layouts: {', '.join(FORMATS)}")
    if not FORMATS[chosen].matches(folder):
        raise DictionaryError(f"{folder} is not laid out as '{chosen}'", "leave the layout out to have it found")
    return FORMATS[chosen].read(folder)


def fetch(release: Release, name: str) -> Path:
    """The files of one dictionary from the hub, or from its cache; gives their folder.

    Raises:
        DictionaryError: The hub cannot be reached, asks for a token, or holds no such id.
    """
    from huggingface_hub import hf_hub_download

    prepare_hub(release.repository)
    folder = release.folder.format(id=name)
    found: list[Path] = []
    for file in release.files:
        path = f"{folder}/{file}" if folder else file
        try:
            found.append(Path(hf_hub_download(release.repository, path)))
        except Exception as error:  # the hub's errors are many and of several libraries
            raise DictionaryError(
                f"{release.repository}/{path} cannot be fetched: {type(error).__name__}",
                offline_hint() or f"check the id (an example: {release.example}), the network and your token",
            ) from error
    return found[0].parent


def save_dictionary(folder: str | Path, dictionary: Dictionary) -> None:
    """Write a dictionary in our own layout: one safetensors file, without pickle."""
    misdirection_own.write(Path(folder), dictionary)
