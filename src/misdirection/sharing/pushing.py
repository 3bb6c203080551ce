"""Sending to the hub with its own client: one commit, into a repository that is made for it unless one is there."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import misdirection
from misdirection import progress
from misdirection.errors import MisdirectionError
from misdirection.hub import offline_because
from misdirection.sharing.parcel import Parcel, demand_repo, pack

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from misdirection.directions import Direction
    from misdirection.features import Dictionary

_TOKEN = "hf auth login keeps one, or set HF_TOKEN; it needs the right to write"


def push_to_hub(
    what: str | Path | Direction | Dictionary,
    repo: str,
    *,
    base: str | None = None,
    figures: str | Path | None = None,
    license: str = "",
    public: bool = False,
    update: bool = False,
    message: str = "",
    token: str | None = None,
) -> str:
    """Push a direction, a dictionary, an adapter or a whole model with its card to the hub, as safetensors.

    Args:
        what: See `pack`, as the next three.
        repo: OWNER/NAME.
        base: Id of the model that it belongs to.
        figures: Where the card's figures come from.
        license: As the hub names licenses.
        public: Whether everybody sees a repository that is made; else its owner alone.
        update: Add a commit to a repository that is there; else such a one is refused.
        message: Of the commit.
        token: Of the hub; by default the one that its client keeps.

    Returns:
        The address of the commit.

    Raises:
        MisdirectionError: See `pack` and `demand_hub`; or the hub refuses.
    """
    demand_hub(repo, update=update, token=token)
    with pack(what, repo, base=base, figures=figures, license=license) as parcel:
        return send(parcel, public=public, update=update, message=message, token=token)


def demand_hub(repo: str, *, update: bool = False, token: str | None = None) -> None:
    """Refuse what cannot be pushed, before anything is read: a matter of a second.

    Raises:
        MisdirectionError: No OWNER/NAME, no token, a hub that does not answer, or a repository that is there.
    """
    demand_repo(repo)
    api = _client(token)
    if reason := offline_because():
        hint = "--folder writes what would be pushed, for a machine that reaches it (there: hf upload)"
        raise MisdirectionError(f"{repo} cannot be pushed: {reason}", hint)
    with _told(repo, made=False):
        there = not update and api.repo_exists(repo)
    if there:
        raise _is_there(repo)


def send(
    parcel: Parcel, *, public: bool = False, update: bool = False, message: str = "", token: str | None = None
) -> str:
    """Send a parcel; see `push_to_hub`."""
    from huggingface_hub import CommitOperationAdd

    api = _client(token)
    with _told(parcel.repo, made=False):
        api.create_repo(parcel.repo, private=not public, exist_ok=update)
    size = sum(parcel.sizes.values()) / 1e6
    with _told(parcel.repo, made=True), progress.phase(f"sending {size:,.1f} MB to {parcel.repo}"):
        operations = [CommitOperationAdd(name, held) for name, held in parcel.files.items()]
        commit: Any = api.create_commit(
            parcel.repo, operations, commit_message=message or f"{parcel.kind} by misdirection"
        )
    return str(commit.commit_url)


def _client(token: str | None) -> HfApi:
    from huggingface_hub import HfApi, get_token

    if not (token := token or get_token()):
        raise MisdirectionError("no token of the hub is here, and pushing needs one", _TOKEN)
    return HfApi(token=token, library_name="misdirection", library_version=misdirection.__version__)


@contextmanager
def _told(repo: str, made: bool) -> Generator[None]:
    """The client's errors as ours; `made` says that the repository was made, or was there, when they came."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as error:
        raise _refused(repo, error, made) from error
    except Exception as error:  # those of the client's own client are many, and of a package that changed its name
        told = (str(error).splitlines() or [type(error).__name__])[0]
        raise MisdirectionError(f"{repo} was not pushed: {told}", _after(repo, made)) from error


def _refused(repo: str, error: Any, made: bool) -> MisdirectionError:
    status = error.response.status_code
    owner = repo.partition("/")[0]
    if status == 409 and not made:
        return _is_there(repo)
    if status == 401:
        return MisdirectionError("the hub does not accept the token", _TOKEN)
    if status == 403:
        return MisdirectionError(f"the token may not write to what belongs to {owner}", _TOKEN)
    told = str(error.server_message or error).splitlines()[0]
    return MisdirectionError(f"the hub refused {repo} ({status}: {told})", _after(repo, made))


def _after(repo: str, made: bool) -> str:
    return (
        f"{repo} is there and without this commit; push again with --update"
        if made
        else "is $HF_ENDPOINT a hub? else try again later"
    )


def _is_there(repo: str) -> MisdirectionError:
    return MisdirectionError(f"{repo} is there already", "choose another name, or add a commit to it with --update")
