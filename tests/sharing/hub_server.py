"""The few endpoints of the hub that its own client speaks when it pushes and fetches, on loopback, kept in memory.

Written by what huggingface_hub 2.4 sends: make a repository, check the card's metadata, ask how each file is to be
sent, send large ones by the LFS protocol, commit, list, resolve.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_of_somebody"
OWNER = "me"
LICENSES = ("apache-2.0", "mit")


@dataclass
class Repo:
    private: bool
    commits: list[dict[str, bytes]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1] if self.commits else {}

    @property
    def sha(self) -> str:
        return hashlib.sha1(str(len(self.commits)).encode()).hexdigest()


@dataclass
class Hub:
    address: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    broken: str = ""
    """Part of a path that is answered by 500."""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self._get(body=False)

    def do_GET(self) -> None:
        self._get(body=True)

    def do_PUT(self) -> None:
        held = self._read()
        self.hub.objects[self.path.rsplit("/", 1)[-1]] = held
        self._answer(200, {})

    def do_POST(self) -> None:
        held, path = self._read(), urlsplit(self.path).path
        self.hub.asked.append(path)
        if self.hub.broken and self.hub.broken in path:
            return self._answer(500, {"error": "the disk is full"})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer(401, {"error": "Invalid credentials"})
        if path == "/api/repos/create":
            return self._create(json.loads(held))
        if path == "/api/validate-yaml":
            return self._validate(json.loads(held)["content"])
        if path.endswith(".git/info/lfs/objects/batch"):
            return self._batch(json.loads(held))
        _, _, _, owner, name, what, *_ = path.split("/")
        if what == "preupload":
            return self._modes(json.loads(held)["files"])
        return self._commit(f"{owner}/{name}", [json.loads(line) for line in held.splitlines()])

    def _create(self, asked: Any) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] != OWNER:
            return self._answer(403, {"error": "You don't have the rights"})
        if name in self.hub.repos:
            told = {"error": "You already created this model repo", "url": f"{self.hub.address}/{name}"}
            return self._answer(409, told)
        self.hub.repos[name] = Repo(private=asked.get("visibility") == "private" or bool(asked.get("private")))
        self._answer(200, {"url": f"{self.hub.address}/{name}", "name": name})

    def _validate(self, text: str) -> None:
        held = yaml.safe_load(text.split("---", 2)[1])
        wrong = [] if held.get("license") in (None, *LICENSES) else [{"message": '"license" must be one of [...]'}]
        self._answer(400 if wrong else 200, {"errors": wrong, "warnings": []})

    def _modes(self, files: list[Any]) -> None:
        modes = [
            {"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular",
             "shouldIgnore": False, "oid": None}
            for f in files
        ]  # fmt: skip
        self._answer(200, {"files": modes})

    def _batch(self, asked: Any) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.hub.address}/objects/{one['oid']}"}}}
            for one in asked["objects"]
        ]
        self._answer(200, {"transfer": "basic", "objects": objects})

    def _commit(self, name: str, lines: list[Any]) -> None:
        repo = self.hub.repos[name]
        files = dict(repo.files)
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                repo.messages.append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                held = self.hub.objects[value["oid"]]
                assert hashlib.sha256(held).hexdigest() == value["oid"]
                files[value["path"]] = held
        repo.commits.append(files)
        url = f"{self.hub.address}/{name}/commit/{repo.sha}"
        self._answer(200, {"commitUrl": url, "commitOid": repo.sha})

    def _get(self, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        if path == "/":
            return self._answer(200, {}, body)
        parts = path.strip("/").split("/")
        name = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        repo = self.hub.repos.get(name)
        if repo is None:
            return self._answer(404, {"error": "Repository not found"}, body, {"X-Error-Code": "RepoNotFound"})
        if parts[0] != "api":
            return self._file(repo, parts[-1], body)
        if len(parts) > 4 and parts[4] == "tree":
            tree = [{"type": "file", "path": n, "size": len(h), "oid": _oid(h)} for n, h in repo.files.items()]
            return self._answer(200, tree, body)
        siblings = [{"rfilename": n} for n in repo.files]
        self._answer(200, {"id": name, "sha": repo.sha, "siblings": siblings, "private": repo.private}, body)

    def _file(self, repo: Repo, name: str, body: bool) -> None:
        held = repo.files[name]
        self._answer(200, held, body, {"ETag": f'"{_oid(held)}"', "X-Repo-Commit": repo.sha})

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            parts: list[bytes] = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, value: Any, body: bool = True, headers: dict[str, str] | None = None) -> None:
        held = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(held)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        if body:
            self.wfile.write(held)


def _oid(held: bytes) -> str:
    return hashlib.sha1(held).hexdigest()


@contextmanager
def serve() -> Iterator[Hub]:
    """A hub of its own, with nothing in it."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    held = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.address = f"http://127.0.0.1:{held.server_port}"
    threading.Thread(target=held.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        held.shutdown()
        held.server_close()
