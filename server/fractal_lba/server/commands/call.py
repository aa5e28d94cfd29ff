"""Call the running server, for commands that change something."""

import http.client
import json
import urllib.parse
from dataclasses import dataclass
from typing import Any

from fractal_lba.access import Access, client_context, words_of
from fractal_lba.protocol.errors import ContractError, UnavailableError

_TIMEOUT_S = 30.0
_ANSWER_BYTES_MAX = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What the server said."""

    status: int
    document: dict[str, Any]


def post(url: str, path: str, document: object, *, access: Access) -> Called:
    """Post a JSON document as the caller that ``access`` says.

    Raises:
        ContractError: The URL cannot be used; nothing was sent.
        UnavailableError: No answer came; what was asked for may or may not have been done.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"http", "https"} or parts.hostname is None:
        raise ContractError(f"--url: expected http://HOST:PORT or https://HOST, got {url}")
    try:
        port = parts.port
    except ValueError as error:
        raise ContractError(f"--url: expected a port of 1 to 65535, got {url}") from error
    connection = (
        http.client.HTTPConnection(parts.hostname, port, timeout=_TIMEOUT_S)
        if parts.scheme == "http"
        else http.client.HTTPSConnection(
            parts.hostname, port, timeout=_TIMEOUT_S, context=access.tls or client_context()
        )
    )
    try:
        connection.request(
            "POST",
            parts.path.rstrip("/") + path,
            json.dumps(document).encode(),
            {"Content-Type": "application/json", **access.headers()},
        )
        answer = connection.getresponse()
        said = json.loads(answer.read(_ANSWER_BYTES_MAX))
    except (OSError, http.client.HTTPException, ValueError) as error:
        is_hung_up = isinstance(error, (ConnectionResetError, BrokenPipeError))
        what = words_of(error, is_hung_up=is_hung_up, is_tls=parts.scheme == "https")
        raise UnavailableError(f"{url}: expected an answer of the server, got {what}") from error
    finally:
        connection.close()
    return Called(status=answer.status, document=said if isinstance(said, dict) else {})
