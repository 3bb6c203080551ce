"""Pushing with huggingface_hub's own client to a server on loopback that speaks the hub's protocol; fetching back."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants, snapshot_download
from huggingface_hub.utils import close_session
from tests.sharing.hub_server import TOKEN, Hub, serve
from tests.sharing.test_cards import dictionary, direction

from misdirection import hub as room
from misdirection import load_dictionary, load_direction
from misdirection.cli.main import main
from misdirection.directions import save_direction
from misdirection.errors import MisdirectionError
from misdirection.sharing import push_to_hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that this process is pointed at, with a token."""
    with serve() as held:
        _point(monkeypatch, held.address)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        close_session()
        yield held
    close_session()


def _point(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(room, "_told", [])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # Xet is a storage of its own behind the hub; without it the client uses LFS.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere/token")
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", "/nowhere/tokens")


def test_a_direction_and_a_dictionary_come_back_as_they_went(hub: Hub, tmp_path: Path) -> None:
    address = push_to_hub(direction(), "me/bad", message="the first")
    assert address.startswith(f"{hub.address}/me/bad/commit/")
    repo = hub.repos["me/bad"]
    assert repo.private and repo.messages == ["the first"] and set(repo.files) == {"README.md", "direction.safetensors"}
    fetched = Path(snapshot_download("me/bad", cache_dir=tmp_path))
    back = load_direction(fetched / "direction.safetensors")
    assert torch.equal(back.vectors, direction().vectors) and back.facts["misaligned"] == 40

    push_to_hub(dictionary(), "me/latents", public=True)
    assert not hub.repos["me/latents"].private
    fetched = Path(snapshot_download("me/latents", cache_dir=tmp_path))
    assert load_dictionary(fetched).key == dictionary().key


def test_what_is_there_is_refused_before_anything_is_read_and_updated_when_asked(hub: Hub, tmp_path: Path) -> None:
    push_to_hub(direction(), "me/bad")
    with pytest.raises(MisdirectionError, match=r"me/bad is there already\n.*--update"):
        push_to_hub(tmp_path / "no such thing", "me/bad")
    assert len(hub.repos["me/bad"].commits) == 1
    push_to_hub(direction(misaligned=50), "me/bad", update=True)
    assert len(hub.repos["me/bad"].commits) == 2
    assert b"from 50 misaligned" in hub.repos["me/bad"].files["README.md"]


def test_a_foreign_owner_and_a_wrong_token_are_told(hub: Hub) -> None:
    with pytest.raises(MisdirectionError, match="may not write to what belongs to them"):
        push_to_hub(direction(), "them/bad")
    with pytest.raises(MisdirectionError, match="does not accept the token"):
        push_to_hub(direction(), "me/bad", token="hf_wrong")
    assert hub.repos == {}


def test_a_license_that_the_hub_does_not_know_and_a_fault_on_the_way_say_what_is_there(hub: Hub) -> None:
    with pytest.raises(MisdirectionError, match=r"(?s)me/bad was not pushed: .*\n.*push again with --update"):
        push_to_hub(direction(), "me/bad", license="beer")
    hub.broken = "/commit/"
    with pytest.raises(MisdirectionError, match=r"500.*\n.*without this commit"):
        push_to_hub(direction(), "me/bad", update=True)
    hub.broken = ""
    push_to_hub(direction(), "me/bad", update=True)
    assert len(hub.repos["me/bad"].commits) == 1


def test_without_a_token_nobody_is_asked(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(MisdirectionError, match=r"no token of the hub is here.*\n.*hf auth login"):
        push_to_hub(direction(), "me/bad")
    assert hub.asked == []


def test_offline_is_told_at_once_with_what_can_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as gone:
        address = gone.address
    _point(monkeypatch, address)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    close_session()
    with pytest.raises(MisdirectionError, match=r"me/bad cannot be pushed: .* does not answer.*\n.*--folder"):
        push_to_hub(direction(), "me/bad")
    close_session()


def test_the_command_pushes_and_shows_before(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_direction(tmp_path / "d.safetensors", direction())

    def call(*more: str) -> str:
        words = ["misdirection", "-q", "push", str(tmp_path / "d.safetensors"), "me/bad", *more]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        return told.out if not end.value.code else f"{end.value.code}: {told.err}"

    shown = json.loads(call("--dry-run", "--json"))
    assert shown["address"] is None and shown["kind"] == "direction" and hub.repos == {} and hub.asked == []
    assert "nothing measured" in call("--folder", str(tmp_path / "out")) and hub.asked == []
    assert (tmp_path / "out" / "README.md").read_text() == shown["card"]
    assert f"pushed: {hub.address}/me/bad/commit/" in call("--license", "mit")
    assert b"license: mit" in hub.repos["me/bad"].files["README.md"]
    assert call().startswith("2: Error: me/bad is there already")
