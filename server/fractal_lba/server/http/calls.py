"""Every call there is, as ``specs/openapi.json`` tells it: parameters, answers, codes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fractal_lba.protocol.errors import RefusalCode
from fractal_lba.server.core.answer import ServerCode
from fractal_lba.server.core.listing_request import ESCALATION_PARAMETERS, LISTING_PARAMETERS
from fractal_lba.server.http.list import NDJSON
from fractal_lba.server.http.record_schema import Schema

Code = RefusalCode | ServerCode

JSON: Final = "application/json"
TEXT: Final = "text/plain"

_IDENTIFIED: Final = (
    ServerCode.UNAUTHENTICATED,
    ServerCode.FORBIDDEN,
    # A token and a client certificate of two tenants.
    RefusalCode.TENANT_MISMATCH,
)
_BODY: Final = (
    ServerCode.TIMEOUT,
    ServerCode.TOO_LARGE,
    ServerCode.RATE_LIMITED,
    ServerCode.OVERLOADED,
    ServerCode.DRAINING,
    ServerCode.STORAGE_UNAVAILABLE,
)
_LISTING: Final = (*_IDENTIFIED, ServerCode.RATE_LIMITED, ServerCode.STORAGE_UNAVAILABLE)

_Needs = tuple[dict[str, list[str]], ...]
_MAY_IDENTIFY: Final[_Needs] = ({}, {"bearer": []}, {"certificate": []})
_MUST_IDENTIFY: Final[_Needs] = ({"bearer": []}, {"certificate": []})


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A body of one media type.

    Attributes:
        line: What each line of an NDJSON body is; ``schema`` is then that of the text.
    """

    media: str
    schema: Schema
    line: Schema | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One call.

    Attributes:
        answers: status → meaning and contents of each answer that is no problem.
        codes: the problems of this call, beyond those of any call.
        answer_headers: of the answers that are no problems.
        has_head: whether HEAD gives the same without its body.
    """

    method: str
    path: str
    name: str
    summary: str
    answers: dict[int, tuple[str, tuple[Content, ...]]]
    codes: Sequence[Code] = ()
    parameters: Sequence[str] = ()
    body: Content | None = None
    security: _Needs = ({},)
    answer_headers: tuple[str, ...] = ()
    has_head: bool = False


def named_schema(name: str) -> Schema:
    """Return the reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def _json(name: str) -> tuple[Content, ...]:
    return (Content(media=JSON, schema=named_schema(name)),)


def _lines(name: str) -> Content:
    return Content(media=NDJSON, schema={"type": "string"}, line=named_schema(name))


# A record of either version.
_RECORD: Final[Schema] = {"anyOf": [named_schema("Record"), named_schema("LegacyRecord")]}

OPERATIONS: Final = (
    Operation(
        method="post",
        path="/v1/pcs/submit",
        name="submit",
        summary="Submit one record",
        parameters=("tenant",),
        body=Content(media=JSON, schema=_RECORD),
        security=_MAY_IDENTIFY,
        answers={
            200: ("accepted", _json("Decision")),
            202: ("accepted and escalated: `reasons` says why", _json("Decision")),
            422: (
                "decided and not accepted; remembered like any outcome, but of version 0.1",
                _json("Decision"),
            ),
        },
        answer_headers=("X-Received-At", "Idempotent-Replayed"),
        codes=(
            *RefusalCode,
            *_IDENTIFIED,
            *_BODY,
            ServerCode.PCS_ID_CONFLICT,
            ServerCode.UNSUPPORTED_MEDIA_TYPE,
            ServerCode.QUOTA_EXCEEDED,
        ),
    ),
    Operation(
        method="post",
        path="/v1/pcs/batch",
        name="batch",
        summary="Submit up to 10,000 records in lines; each line has an answer of its own",
        parameters=("tenant", "content_encoding"),
        body=Content(media=NDJSON, schema={"type": "string"}, line=_RECORD),
        security=_MAY_IDENTIFY,
        answers={200: ("a line for each line, in order", (_lines("BatchLine"),))},
        codes=(
            RefusalCode.MALFORMED_JSON,
            RefusalCode.BAD_ENCODING,
            *_IDENTIFIED,
            *_BODY,
            ServerCode.UNSUPPORTED_MEDIA_TYPE,
        ),
    ),
    Operation(
        method="get",
        path="/v1/pcs/{pcs_id}",
        name="get",
        summary="Read back one record of the caller's tenant",
        parameters=("pcs_id", "version"),
        security=_MUST_IDENTIFY,
        answers={200: ("the record and its outcome", _json("Remembered"))},
        answer_headers=("X-Received-At",),
        codes=(*_IDENTIFIED, ServerCode.NOT_FOUND, ServerCode.STORAGE_UNAVAILABLE),
    ),
    Operation(
        method="get",
        path="/v1/pcs",
        name="list",
        summary="List the caller's tenant's records in pages, or export them all",
        parameters=LISTING_PARAMETERS,
        security=_MUST_IDENTIFY,
        answers={
            200: ("a page; or a line for each record", (*_json("Page"), _lines("ExportLine")))
        },
        codes=_LISTING,
    ),
    Operation(
        method="get",
        path="/v1/escalations",
        name="escalations",
        summary="List what is escalated and has no resolution",
        parameters=ESCALATION_PARAMETERS,
        security=_MUST_IDENTIFY,
        answers={
            200: ("a page; or a line for each record", (*_json("Page"), _lines("ExportLine")))
        },
        codes=_LISTING,
    ),
    Operation(
        method="post",
        path="/v1/escalations/{pcs_id}/resolve",
        name="resolve",
        summary="Append a resolution to an escalated record",
        parameters=("pcs_id", "version"),
        body=Content(media=JSON, schema=named_schema("Note")),
        security=_MUST_IDENTIFY,
        answers={200: ("it is on disk", _json("Resolved"))},
        codes=(*_IDENTIFIED, *_BODY, ServerCode.NOT_FOUND),
    ),
    Operation(
        method="get",
        path="/health",
        name="health",
        summary="Whether the process answers",
        answers={200: ("it does", (Content(media=TEXT, schema={"const": "OK"}),))},
        has_head=True,
    ),
    Operation(
        method="get",
        path="/ready",
        name="ready",
        summary="Whether everything can be served",
        answers={
            200: ("everything", _json("Readiness")),
            503: ("not everything: `reasons` says what not", _json("Readiness")),
        },
        has_head=True,
    ),
    Operation(
        method="get",
        path="/metrics",
        name="metrics",
        summary="Metrics for Prometheus",
        security=({}, {"metrics": []}),
        answers={200: ("text format 0.0.4", (Content(media=TEXT, schema={"type": "string"}),))},
        codes=(ServerCode.UNAUTHENTICATED,),
        has_head=True,
    ),
    Operation(
        method="get",
        path="/openapi.json",
        name="openapi",
        summary="This document",
        answers={200: ("OpenAPI 3.1", (Content(media=JSON, schema={"type": "object"}),))},
        has_head=True,
    ),
)
"""Every call there is."""
