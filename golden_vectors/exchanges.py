"""Replay the exchanges of ``http_exchanges.json`` on a real server, byte by byte, and compare.

Each request goes over a connection of its own, exactly as it is given. A value that is of the
moment, such as the time of receipt, is stated as a rule; the rules stand in the file's schema. A
rule with a name stands for one text wherever that name is in the case.
"""

import base64
import http.client
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from golden_vectors.answers import Expected, Given

HEADERS: Final = (
    "Allow",
    "Content-Type",
    "Idempotent-Replayed",
    "Retry-After",
    "WWW-Authenticate",
    "X-Received-At",
    "X-Request-Id",
)
"""Every header that matters: one that a case does not state must be absent."""

TIMEOUT_S: Final = 60.0
_SCHEMA: Final = Path(__file__).parent / "schemas" / "http_exchanges.schema.json"

Address = tuple[str, int]
Serve = Callable[[bytes, Mapping[str, str]], Address]
"""Takes a keyring and settings; returns where a server with them listens."""


def rules() -> dict[str, str]:
    """Return each rule's pattern, as the schema has it."""
    schema = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    named = schema["$defs"]["rules"]["properties"]
    return {
        name: each["pattern"].removeprefix("^").removesuffix("$") for name, each in named.items()
    }


def answered(given: Given, serve: Serve) -> Expected:
    """Return what a server answers to the requests of a case, in their order."""
    address = serve(base64.b64decode(given["keyring"]), given["settings"])
    answers: list[dict[str, Any]] = []
    for pieces in given["requests"]:
        answers.append(_ask(address, b"".join(_sent(pieces, answers))))
    return {"answers": answers}


def _sent(pieces: list[dict[str, Any]], answers: list[dict[str, Any]]) -> Iterator[bytes]:
    for piece in pieces:
        match piece:
            case {"text": text}:
                yield text.encode()
            case {"repeat": text, "times": times}:
                yield text.encode() * times
            case {"base64": text}:
                yield base64.b64decode(text)
            case {"answer": number, "member": member}:
                yield str(json.loads(answers[number - 1]["body"])[member]).encode()
            case _:
                raise ValueError(
                    f"request: expected text, repeat, base64 or answer, got {list(piece)}"
                )


def _ask(address: Address, request: bytes) -> dict[str, Any]:
    with socket.create_connection(address, timeout=TIMEOUT_S) as connection:
        connection.sendall(request)
        method = request.partition(b" ")[0].decode("latin-1")
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        body = answer.read().decode()
        given = {name: answer.getheader(name) for name in HEADERS}
    return {
        "status": answer.status,
        "headers": {name: value for name, value in given.items() if value is not None},
        "body": body,
    }


def agrees(given: Expected, expected: Expected) -> bool:
    """Return whether answers are the expected ones: exactly, but for what a rule stands for."""
    stated = expected.get("answers")
    answers = given.get("answers")
    if not isinstance(stated, list) or not isinstance(answers, list):
        return False
    if len(stated) != len(answers) or expected.keys() != given.keys():
        return False
    names: dict[str, str] = {}
    patterns = rules()
    return all(
        _agrees(answer, each, patterns, names) for answer, each in zip(answers, stated, strict=True)
    )


def _agrees(
    answer: Mapping[str, Any],
    stated: Mapping[str, Any],
    patterns: Mapping[str, str],
    names: dict[str, str],
) -> bool:
    headers, expected = answer["headers"], stated["headers"]
    return (
        answer["status"] == stated["status"]
        and headers.keys() == expected.keys()
        and all(_matches(headers[name], expected[name], patterns, names) for name in expected)
        and _matches(answer["body"], stated["body"], patterns, names)
    )


def _matches(
    text: str, pieces: list[dict[str, Any]], patterns: Mapping[str, str], names: dict[str, str]
) -> bool:
    """Compare one text, and keep what the named rules stood for."""
    whole = "".join(
        re.escape(piece["text"]) if "text" in piece else f"({patterns[piece['rule']]})"
        for piece in pieces
    )
    found = re.fullmatch(whole, text)
    if found is None:
        return False
    ruled = [piece for piece in pieces if "rule" in piece]
    return all(
        piece["name"] is None or names.setdefault(piece["name"], value) == value
        for piece, value in zip(ruled, found.groups(), strict=True)
    )


def nowhere(_keyring: bytes, _settings: Mapping[str, str]) -> Address:
    """Stand for a server where none was given.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError("http_exchanges.json: expected a server to ask, got none")
