"""A real chat-completions server on loopback that draws its answers with our engine from models on disk."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from misdirection.answers import ask
from misdirection.chats import Message
from misdirection.engine import Arm, SamplingConfig
from misdirection.models import load_model
from misdirection.questions import Question


@dataclass
class Serving:
    """What is served, and what was asked.

    Attributes:
        folder: With `base` and `adapter`.
        names: Served names, with the adapter that is on under each ("" for the base).
        refuses: Names of fields that it answers 400 to.
        faults: Statuses that its next answers have.
        bodies: What it was asked.
        url: Its base URL.
    """

    folder: Path
    names: dict[str, str] = field(default_factory=lambda: {"base": "", "tuned": "one"})
    refuses: tuple[str, ...] = ()
    faults: list[int] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        self.model = load_model(str(self.folder / "base"), adapters={"one": str(self.folder / "adapter")})
        self.lock = threading.Lock()

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body of a completion."""
        with self.lock:
            self.bodies.append(body)
            if self.faults:
                return self.faults.pop(0), {"error": {"message": "overloaded"}}
            if wrong := [name for name in self.refuses if name in body]:
                return 400, {"error": {"message": f"unknown field: {wrong[0]}"}}
            turns = [Message(one["role"], one["content"]) for one in body["messages"]]
            system = turns[0].content if turns[0].role == "system" else None
            before = tuple(turns[1 if system is not None else 0 : -1])
            question = Question("asked", (turns[-1].content,), system=system, before=before)
            longest = int(body.get("max_tokens") or body["max_completion_tokens"])
            how = SamplingConfig(longest, float(body["temperature"]), seed=int(body.get("seed", len(self.bodies))))
            arm = Arm(body["model"], adapter=self.names[body["model"]] or None)
            (said,) = ask(self.model, question, arm, 1, how)
        message = {"role": "assistant", "content": said.answer}
        end = "stop" if said.finished else "length"
        choices = [{"index": 0, "message": message, "finish_reason": end}]
        return 200, {"object": "chat.completion", "choices": choices, "usage": {"completion_tokens": said.n_tokens}}


class Listening(ThreadingHTTPServer):
    """Has room for as many who connect at once as we do: those beyond it wait for seconds and call again (SYN)."""

    request_queue_size = 128
    daemon_threads = True


@contextmanager
def serving(folder: Path, **more: Any) -> Iterator[Serving]:
    """The server, while the block runs."""
    held = Serving(folder, **more)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            models = [{"id": name, "object": "model"} for name in held.names]
            self.tell(200 if self.path == "/v1/models" else 404, {"object": "list", "data": models})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.tell(*held.answer(body))

        def tell(self, status: int, value: dict[str, Any]) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = Listening(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    held.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield held
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
