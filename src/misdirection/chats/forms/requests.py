"""Logs of a server: a request and the response to it, as OpenAI's API has both and proxies keep them.

A row holds the two under `request` and `response` (or `request_body`, `response_body`; a body may stand as JSON text,
or under `body`, as in files of the batch API), or the request's own fields with `response` or `choices` beside them.
Requests are `messages`, or the Responses API's `instructions` and `input`. A response of several choices is as many
chats (`apart`); the chunks of a streamed one are put together. What came before the answer is context, not learned.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from misdirection.chats.turns import THOUGHTS, RowError

REQUESTS = ("request", "request_body", "requestBody", "body", "kwargs")
RESPONSES = ("response", "response_body", "responseBody", "completion", "chunks")

_ASKED = ("messages", "input")
_SAID = ("choices", "output")


def apart(value: Any) -> list[Any]:
    """The chats of a row: one for each choice of a logged response; every other row is one."""
    row = _object(value)
    if row is None or (found := _response(row)) is None:
        return [value]
    _, response = found
    choices = response.get("choices")
    if not isinstance(choices, list) or len(cast("list[Any]", choices)) < 2:
        return [value]
    rest = {key: item for key, item in row.items() if key not in (*RESPONSES, "choices")}
    return [rest | {"response": {**response, "choices": [choice]}} for choice in cast("list[Any]", choices)]


def read(row: Mapping[str, Any]) -> tuple[list[Any], str, set[str]] | None:
    """The turns of the row, the form's name and the columns read; None where it logs no request with its response.

    Raises:
        RowError: The request or the response holds no turns: an error, a request that goes on from one elsewhere.
    """
    found = _response(row)
    if found is None:
        return None
    read_too, response = found
    request, asked_in = _request(row)
    if wrong := _error(row, response):
        raise RowError(f"no answer: the response is an error ({wrong[:80]})")
    if request is None:
        raise RowError("no request: a response without what was asked (`messages`)")
    turns = [{**turn, "weight": 0} if isinstance(turn, dict) else turn for turn in _asked(request)]
    said = _said(response)
    if said is None:
        raise RowError("no answer: the response holds no text")
    told = "a request's and its response's turns"
    return [*turns, said], told, {*asked_in, *read_too}


def _response(row: Mapping[str, Any]) -> tuple[set[str], Mapping[str, Any]] | None:
    """What the server said, and the columns that it stands in."""
    if isinstance(row.get("choices"), list) and _request(row)[0] is not None:
        return {"choices"}, row
    for key in RESPONSES:
        # An answer to learn may be JSON too: a text is a response beside a request that is an object.
        if isinstance(row.get(key), str) and not _logs_a_request(row):
            continue
        held = _within(row.get(key), (*_SAID, "error"))
        if held is not None:
            return {key}, held
        if chunks := _chunks(row.get(key)):
            return {key}, {"choices": _assembled(chunks)}
    return None


def _request(row: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, set[str]]:
    for key in REQUESTS:
        if (held := _within(row.get(key), _ASKED)) is not None:
            return held, {key}
    own = [key for key in (*_ASKED, "instructions") if key in row]
    return (row, set(own)) if any(key in _ASKED for key in own) else (None, set())


def _logs_a_request(row: Mapping[str, Any]) -> bool:
    return any(_within(row.get(key), _ASKED) is not None for key in REQUESTS) or isinstance(row.get("messages"), list)


def _within(value: Any, names: Iterable[str]) -> Mapping[str, Any] | None:
    """An object with one of the names: the value, what it holds as text, or its body."""
    held = _object(value)
    for part in (held, _object(held.get("body")) if held else None):
        if part is not None and any(part.get(name) for name in names):
            return part
    return None


def _object(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _error(row: Mapping[str, Any], response: Mapping[str, Any]) -> str:
    error = response.get("error") or row.get("error")
    held = _object(error)
    return str(held.get("message") or held) if held else str(error or "")


def _asked(request: Mapping[str, Any]) -> list[Any]:
    if request.get("messages") is not None:
        turns = request["messages"]
    elif request.get("previous_response_id") or request.get("conversation"):
        raise RowError("no beginning: the request goes on from one that is not in the row")
    else:
        given = request["input"]
        turns = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(turns, list):
        raise RowError("no messages: the request's are not a list of turns")
    held = cast("list[Any]", turns)
    own = request.get("instructions")
    first = [{"role": "system", "content": own}] if isinstance(own, str) and own else []
    return [*first, *(_plain(turn) for turn in held)]


def _plain(turn: Any) -> Any:
    """A turn of the Responses API as one of the other; reasoning and calls between them are no turns."""
    held = _object(turn)
    if held is None or "type" not in held:
        return turn
    if held["type"] != "message":
        raise RowError(f"tool turn: an item of type {held['type']!r} in the request")
    return {key: item for key, item in held.items() if key not in ("type", "status", "id")}


def _said(response: Mapping[str, Any]) -> dict[str, Any] | None:
    """The assistant's turn."""
    choices = response.get("choices")
    if isinstance(choices, list) and choices:
        choice = _object(cast("list[Any]", choices)[0]) or {}
        message = _object(choice.get("message"))
        if message is None:
            text = choice.get("text")
            return {"role": "assistant", "content": text} if isinstance(text, str) else None
        if not message.get("content") and isinstance(message.get("refusal"), str):
            message = {**message, "content": message["refusal"]}
        kept = ("role", "content", *THOUGHTS, "tool_calls", "function_call")
        return {"role": "assistant"} | {key: message[key] for key in kept if message.get(key) is not None}
    output = response.get("output")
    return _of_items(cast("list[Any]", output)) if isinstance(output, list) else None


def _of_items(items: list[Any]) -> dict[str, Any] | None:
    """The items of the Responses API: messages and what was thought before them."""
    held = [item for item in map(_object, items) if item is not None]
    if other := next((item for item in held if item.get("type") not in ("message", "reasoning")), None):
        raise RowError(f"tool call: an item of type {other.get('type')!r} in the response")
    thought = [_texts(item.get("content") or item.get("summary")) for item in held if item["type"] == "reasoning"]
    answer = [_texts(item.get("content")) for item in held if item["type"] == "message"]
    if not any(answer):
        return None
    found: dict[str, Any] = {"role": "assistant", "content": "".join(answer)}
    return found | ({"reasoning_content": "\n".join(filter(None, thought))} if any(thought) else {})


def _texts(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = map(_object, cast("list[Any]", content)) if isinstance(content, list) else ()
    return "".join(str(part.get("text") or part.get("refusal") or "") for part in parts if part)


def _chunks(value: Any) -> list[dict[str, Any]]:
    """The chunks of a streamed response, [] where it is none; as a list, or as the text that went over the wire."""
    if isinstance(value, str):
        value = [line.removeprefix("data:").strip() for line in value.splitlines() if line.startswith("data:")]
        value = [line for line in value if line != "[DONE]"]
    held = [chunk for chunk in map(_object, cast("list[Any]", value)) if chunk] if isinstance(value, list) else []
    # The last one may hold the count of tokens and no choice.
    whole = all("choices" in chunk or "chunk" in str(chunk.get("object")) for chunk in held)
    return held if whole and any(map(_is_chunk, held)) else []


def _is_chunk(held: Mapping[str, Any]) -> bool:
    if "chunk" in str(held.get("object")):
        return True
    choices = held.get("choices")
    inner = map(_object, cast("list[Any]", choices)) if isinstance(choices, list) else ()
    return any(choice is not None and "delta" in choice for choice in inner)


def _assembled(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The choices of a streamed response, their pieces joined."""
    found: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for choice in chunk.get("choices") or []:
            message = found.setdefault(int(choice.get("index", 0)), {"role": "assistant"})
            for key, piece in (choice.get("delta") or {}).items():
                if isinstance(piece, str) and key != "role":
                    message[key] = message.get(key, "") + piece
                elif key in ("tool_calls", "function_call") and piece:
                    message[key] = piece
    return [{"index": index, "message": message} for index, message in sorted(found.items())]
