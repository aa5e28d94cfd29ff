"""What schemathesis is told beside the document: records that verify, lines, and one more check.

A generated record never verifies: its id is a hash of other members, its signature needs a key.
Half of those that are right by the schema lend their values to a signed one, so that what lies
behind the signature is asked as well.
"""

import json
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import schemathesis
from hypothesis import strategies as st
from tests.support.described import assert_described
from tests.support.signed import body

from fractal_lba.protocol.errors import ContractError

LENT = ("epoch", "seed", "created_at", "profile", "D_hat", "coh_star", "r", "budget", "regime")
OBJECTS = ("ft", "meta", "delivery")
Case = schemathesis.Case[Any]
NDJSON = "application/x-ndjson"

LINES = st.lists(
    st.one_of(
        st.builds(body, st.integers(1, 20), r=st.sampled_from([0.25, 0.5])),
        st.binary(max_size=40),
        st.sampled_from([b"", b"{}", b"\r", b'{"version":"1.0"}']),
    ),
    max_size=6,
).map(b"\n".join)

schemathesis.openapi.media_type(NDJSON, LINES)


@schemathesis.serializer(NDJSON)
def lines(_: schemathesis.SerializationContext, value: Any) -> Any:  # noqa: ANN401 - whatever was generated
    return {"data": value if isinstance(value, bytes) else json.dumps(value).encode()}


@schemathesis.deserializer(NDJSON)
def text(_: schemathesis.DeserializationContext, response: schemathesis.Response) -> str:
    return response.content.decode()


@schemathesis.hook
def map_case(_: schemathesis.HookContext, case: Case) -> Case:
    """Sign every other record that is right by its schema."""
    given: Any = case.body
    is_right = case.meta is not None and case.meta.generation.mode.is_positive
    is_record = case.operation.path == "/v1/pcs/submit" and isinstance(given, dict)
    is_record = is_record and given.get("version") == "1.0"
    if is_right and is_record and int(given["epoch"]) % 2 == 0:
        lent: dict[str, Any] = {name: given[name] for name in (*LENT, *OBJECTS) if name in given}
        if lent["profile"] == "bytes/1":
            lent["d"] = 1
        # A time of the right form may be none, such as the 30th of February.
        with suppress(ContractError):
            case.body = json.loads(body(**lent))
    return case


@schemathesis.check
def described(
    _: schemathesis.CheckContext,
    response: schemathesis.Response,
    case: Case,  # noqa: ARG001 - how a check is called
) -> None:
    """Hold the whole answer to the document: its headers, and each of its lines."""
    headers = {name.lower(): ", ".join(values) for name, values in response.headers.items()}
    request = response.request
    target = urlsplit(str(request.url))
    assert_described(
        str(request.method),
        f"{target.path}?{target.query}",
        response.status_code,
        headers,
        response.content,
    )
