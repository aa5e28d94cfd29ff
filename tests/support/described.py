"""Answers held to the server's own description of them."""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import jsonschema_rs

from fractal_lba.server.http.openapi import document

Schema = dict[str, Any]
_JSON = re.compile(r"application/(?:problem\+)?json")
# What HTTP itself says of any message (RFC 9110, RFC 9112), and who answers.
_OF_ANY_MESSAGE = frozenset(
    {"content-type", "content-length", "transfer-encoding", "connection", "date", "server"}
)


@cache
def _document() -> Schema:
    return document()


def validator(schema: Schema) -> Any:  # noqa: ANN401 - the class depends on the draft
    """Return a validator of a schema that may refer to the document's components."""
    return jsonschema_rs.Draft202012Validator({**schema, "components": _document()["components"]})


@cache
def _validator(text: str) -> Any:  # noqa: ANN401
    return validator(json.loads(text))


def _validate(schema: Schema, value: object) -> None:
    _validator(json.dumps(schema)).validate(value)


def described_response(method: str, target: str, status: int) -> tuple[str, Schema]:
    """Return the response that the document has for an answer, and where it stands there."""
    components = _document()["components"]["responses"]
    path = _path_of(target.partition("?")[0])
    operation = None if path is None else _document()["paths"][path].get(method.lower())
    if operation is not None:
        where = f"{method} {path}: {status}"
        assert str(status) in operation["responses"], f"{where} is not described"
        return where, operation["responses"][str(status)]
    if status == 400:
        return "NoHttp", components["NoHttp"]
    name = "NoSuchPath" if path is None else "NoSuchMethod"
    return name, components[name]


def _path_of(given: str) -> str | None:
    """Return the path of the document that a path is: one without parameters before others."""
    paths = _document()["paths"]
    if given in paths:
        return given
    patterns = {path: re.sub(r"\{[a-z_]+\}", "[^/]+", path) for path in paths}
    return next((path for path in paths if re.fullmatch(patterns[path], given)), None)


def assert_described(
    method: str, target: str, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """Assert that an answer's status, headers, media type and body stand in the document.

    ``headers`` by their names in lower case.
    """
    where, response = described_response(method, target, status)
    described = {name.lower(): name for name in response["headers"]}
    unknown = headers.keys() - described.keys() - _OF_ANY_MESSAGE
    assert not unknown, f"{where}: headers {unknown} are not described"
    for lower, name in described.items():
        header = response["headers"][name]
        header = _document()["components"]["headers"][name] if "$ref" in header else header
        if lower in headers:
            _validate(header["schema"], headers[lower])
        else:
            assert not header.get("required"), f"{where} has no {name}"
    if method == "HEAD":
        assert not body, f"{where}: a body"
        return
    media = headers.get("content-type", "").partition(";")[0]
    assert media in response["content"], f"{where}: {media} is not described"
    content = response["content"][media]
    _validate(content["schema"], json.loads(body) if _JSON.fullmatch(media) else body.decode())
    if "x-line-schema" in content:
        for line in body.splitlines():
            _validate(content["x-line-schema"], json.loads(line))
