"""Call the running server, for commands that change something."""

import http.client
import json
import ssl
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fractal_lba.protocol.errors import ContractError, UnavailableError

_TIMEOUT_S = 30.0
_ANSWER_BYTES_MAX = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What the server said."""

    status: int
    document: dict[str, Any]


def post(url: str, path: str, document: object, *, token_file: Path, ca: Path | None) -> Called:
    """Post a JSON document with the token of a file.

    Raises:
        ContractError: The URL or a file cannot be used; nothing was sent.
        UnavailableError: No answer came; what was asked for may or may not have been done.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"http", "https"} or parts.hostname is None:
        raise ContractError(f"--url: expected http://HOST:PORT or https://HOST, got {url}")
    try:
        token = token_file.read_text(encoding="utf-8").strip()
        port = parts.port
        context = ssl.create_default_context(cafile=ca) if parts.scheme == "https" else None
    except OSError as error:
        got = error.strerror or type(error).__name__
        raise ContractError(f"{token_file}, {ca}: expected readable files, got {got}") from error
    except ValueError as error:
        raise ContractError(f"--url, {token_file}: expected a port and a text, got none") from error
    connection = (
        http.client.HTTPConnection(parts.hostname, port, timeout=_TIMEOUT_S)
        if context is None
        else http.client.HTTPSConnection(parts.hostname, port, timeout=_TIMEOUT_S, context=context)
    )
    try:
        connection.request(
            "POST",
            parts.path.rstrip("/") + path,
            json.dumps(document).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
        )
        answer = connection.getresponse()
        said = json.loads(answer.read(_ANSWER_BYTES_MAX))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnavailableError(
            f"{url}: expected an answer of the server, got {type(error).__name__}"
        ) from error
    finally:
        connection.close()
    return Called(status=answer.status, document=said if isinstance(said, dict) else {})
