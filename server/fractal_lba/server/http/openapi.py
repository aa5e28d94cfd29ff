"""The calls as OpenAPI 3.1, made from the codes and bounds that the calls themselves use.

``specs/openapi.json`` is this document, and ``GET /openapi.json`` serves it. Tests hold its paths,
parameters, headers and codes to the route table and to the code, and real answers to its schemas.

OpenAPI 3.1 has no word for bodies in lines: ``x-line-schema`` beside the schema of the text is that
of each line.
"""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

from aiohttp import web

from fractal_lba.protocol.canonical import SAFE_INTEGER_MAX, canonical
from fractal_lba.protocol.derive import Regime
from fractal_lba.server.core.answer import STATUS_OF, ServerCode
from fractal_lba.server.core.inflate import GZIP, ZSTD
from fractal_lba.server.core.listing import OUTCOMES
from fractal_lba.server.core.listing_request import PAGE_MAX, SHARD_ID_BYTES_MAX
from fractal_lba.server.http.calls import JSON, OPERATIONS, Code, Content, Operation, named_schema
from fractal_lba.server.http.record_schema import HASH, NAME, TIMESTAMP, Schema
from fractal_lba.server.http.schemas import schemas

_PROBLEM: Final = "application/problem+json"

_ANY_CALL: Final = (ServerCode.BAD_REQUEST, ServerCode.INTERNAL_ERROR)
_RETRIED: Final = frozenset({429, 503})

_MEANINGS: Final = {
    400: "never send these bytes again",
    401: "the key, the token or the ring is wrong",
    403: "the caller's tenant is not the signing key's, or the scope is missing",
    404: "nothing of this tenant's is there",
    405: "another method",
    408: "the body took too long: again",
    409: "another content holds this id; the evidence is kept",
    410: "too old for a new record",
    413: "too large",
    415: "another media type, or compressed otherwise",
    429: "too often, or too much in flight: later",
    500: "a bug; a body in the inbox is settled at the next start",
    503: "cannot be served now: the same bytes again, later",
}

_HEADERS: Final[dict[str, Schema]] = {
    "X-Request-Id": {
        "description": "what the request is called: the caller's, where it has this form and "
        "stands once, else one that was made",
        "schema": NAME,
    },
    "Retry-After": {
        "description": "seconds",
        "schema": {"type": "string", "pattern": "^[1-9][0-9]*$"},
    },
    "X-Received-At": {
        "description": "when the record was first received",
        "schema": TIMESTAMP,
    },
    "Idempotent-Replayed": {
        "description": "on a repeat: this is the first answer again",
        "schema": {"const": "true"},
    },
    "WWW-Authenticate": {
        "description": "where a token or a user is needed (code `unauthenticated`)",
        "schema": {"type": "string", "enum": ["Bearer", 'Basic realm="metrics"']},
    },
    "Allow": {
        "description": "the methods of this path",
        "schema": {"type": "string", "pattern": "^[A-Z]+(, [A-Z]+)*$"},
    },
}
_SOMETIMES: Final = frozenset({"Idempotent-Replayed", "WWW-Authenticate"})
"""What not every answer of a status carries that may carry it."""


def _parameter(
    name: str, where: str, description: str, schema: Schema, example: object, **more: object
) -> Schema:
    return {
        "name": name,
        "in": where,
        "description": description,
        "schema": schema,
        "example": example,
        **more,
    }


_EPOCH: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": SAFE_INTEGER_MAX}

_PARAMETERS: Final[dict[str, Schema]] = {
    "request_id": _parameter(
        "X-Request-Id",
        "header",
        "what to call this request in its answer and in the log",
        {"type": "string"},
        "press-7.41",
    ),
    "tenant": _parameter(
        "X-Tenant-Id",
        "header",
        "the tenant the caller means; must agree with the signing key's. Proves nothing. Not "
        "needed, but of version 0.1 it says whose keys are tried: `default` where it is absent.",
        {"type": "string"},
        "acme",
    ),
    "content_encoding": _parameter(
        "Content-Encoding",
        "header",
        "how the lines are compressed, in any letter case; empty says as little as none",
        {"enum": ["", "identity", GZIP, ZSTD]},
        "identity",
    ),
    "pcs_id": _parameter(
        "pcs_id", "path", "of another form: 404", HASH, "4f1a" * 16, required=True
    ),
    "version": _parameter(
        "version",
        "query",
        "of the record; one that is not known: 404",
        {"type": "string", "default": "1.0"},
        "1.0",
    ),
    "shard_id": _parameter(
        "shard_id",
        "query",
        "one stream",
        {"type": "string", "minLength": 1, "maxLength": SHARD_ID_BYTES_MAX},
        "press-7",
    ),
    "from_epoch": _parameter("from_epoch", "query", "inclusive", _EPOCH, 0),
    "to_epoch": _parameter("to_epoch", "query", "inclusive", _EPOCH, 99),
    "since": _parameter(
        "since", "query", "received then or later", TIMESTAMP, "2026-11-21T06:00:00.000Z"
    ),
    "outcome": _parameter(
        "outcome", "query", "of the decision", {"enum": sorted(OUTCOMES.values())}, "accepted"
    ),
    "regime": _parameter(
        "regime", "query", "of the record", {"enum": [each.value for each in Regime]}, "mixed"
    ),
    "cursor": _parameter(
        "cursor", "query", "the `next` of the page before", {"type": "string"}, "AAAA"
    ),
    "limit": _parameter(
        "limit",
        "query",
        "records of a page, 100 by default; none of an export",
        {"type": "integer", "minimum": 1, "maximum": PAGE_MAX},
        100,
    ),
}

_SECURITY: Final[dict[str, Schema]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "a token of the keyring: its tenant and its scopes (`read`, `submit`, "
        "`operate`)",
    },
    "certificate": {
        "type": "mutualTLS",
        "description": "a client certificate of the keyring, where the server speaks TLS and asks "
        "for one",
    },
    "metrics": {
        "type": "http",
        "scheme": "basic",
        "description": "`metrics_user` and `metrics_password`, where they are set",
    },
}


def document() -> Schema:
    """Return the whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for each in OPERATIONS:
        methods = paths.setdefault(each.path, {})
        methods[each.method] = _operation(each)
        if each.has_head:
            methods["head"] = _bodiless(methods[each.method])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Fractal LBA",
            "version": version("fractal-lba"),
            "summary": "Verifies signed records, remembers each exactly once.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "responses": _elsewhere(),
            "parameters": _PARAMETERS,
            "headers": _HEADERS,
            "securitySchemes": _SECURITY,
        },
    }


def _operation(operation: Operation) -> Schema:
    codes: dict[int, list[Code]] = {}
    for code in (*operation.codes, *_ANY_CALL):
        codes.setdefault(STATUS_OF[code], []).append(code)
    responses = {}
    for status in sorted({*operation.answers, *codes}):
        own = operation.answers.get(status)
        meaning, contents = (_MEANINGS[status], ()) if own is None else own
        responses[str(status)] = _response(
            status,
            meaning,
            contents,
            codes.get(status, ()),
            headers=operation.answer_headers if contents else (),
        )
    described: Schema = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [_ref("parameters", name) for name in (*operation.parameters, "request_id")],
        "security": list(operation.security),
        "responses": responses,
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _content(operation.body)}
    return described


def _bodiless(operation: Schema) -> Schema:
    """Return the HEAD of a GET."""
    responses = {
        status: {name: each for name, each in response.items() if name != "content"}
        for status, response in operation["responses"].items()
    }
    return {
        **operation,
        "operationId": f"{operation['operationId']}_head",
        "summary": f"{operation['summary']}; the head alone",
        "responses": responses,
    }


def _elsewhere() -> dict[str, Schema]:
    """Return the answers to requests that no operation describes."""
    return {
        "NoSuchPath": _response(404, "no call has this path", (), (ServerCode.NOT_FOUND,)),
        "NoSuchMethod": _response(
            405,
            "no call of this path has this method",
            (),
            (ServerCode.METHOD_NOT_ALLOWED,),
            headers=("Allow",),
        ),
        "NoHttp": _response(
            400, "what came is not HTTP as it should be", (), (ServerCode.BAD_REQUEST,)
        ),
        "TooManyConnections": {
            "description": "a connection too many: answered before a byte of it is read, and "
            "closed",
            "headers": {"Retry-After": {**_HEADERS["Retry-After"], "required": True}},
        },
    }


def _response(
    status: int,
    meaning: str,
    contents: Sequence[Content],
    codes: Sequence[Code],
    *,
    headers: tuple[str, ...] = (),
) -> Schema:
    """Return what one status says: a body of its own, one of these problems, or either."""
    always = [*headers]
    content: dict[str, Schema] = {}
    for each in contents:
        content |= _content(each)
    if codes:
        content[_PROBLEM] = {"schema": _problem_of(status, codes)}
        always += ["Retry-After"] if status in _RETRIED else []
        always += ["WWW-Authenticate"] if ServerCode.UNAUTHENTICATED in codes else []
    # Of a status with two kinds of body each header is one kind's.
    sometimes = set(always) if contents and codes else _SOMETIMES
    return {
        "description": meaning,
        "headers": {
            name: _ref("headers", name)
            if name in sometimes
            else {**_HEADERS[name], "required": True}
            for name in ("X-Request-Id", *always)
        },
        "content": content,
    }


def _problem_of(status: int, codes: Sequence[Code]) -> Schema:
    names = sorted({code.value for code in codes})
    return {
        "allOf": [
            named_schema("Problem"),
            {"properties": {"code": {"enum": names}, "status": {"const": status}}},
        ]
    }


def _content(content: Content) -> dict[str, Schema]:
    line = {} if content.line is None else {"x-line-schema": content.line}
    return {content.media: {"schema": content.schema, **line}}


def _ref(kind: str, name: str) -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


class Description:
    """The call that describes all calls."""

    def __init__(self) -> None:
        self._body = canonical(document())

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this module."""
        return [web.get("/openapi.json", self.openapi)]

    async def openapi(self, _request: web.Request) -> web.Response:
        """Give the document."""
        return web.Response(body=self._body, content_type=JSON)
