"""``doctor`` before a server: it answers, is ready, knows the caller, and its clock is right.

The same rule as in ``checks``: nothing raises, and nothing is changed.
"""

import http.client
import json
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from fractal_lba.access import OPTIONS, Access, client_context, trouble_of, words_of
from fractal_lba.cli.checks import Finding, Status, graded

# Date has whole seconds; a well-kept clock is far within two. A minute off, keys begin and end at
# visibly wrong times.
_SKEW_WARN_S, _SKEW_FAIL_S = 2.0, 60.0

_SECONDS_MAX: Final = 10.0
_BYTES_MAX: Final = 65_536


def access_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of ``access``."""
    for flag, meaning in reversed(OPTIONS.items()):
        option = click.option(flag, type=click.Path(path_type=Path), metavar="FILE", help=meaning)
        command = option(command)
    return command


def endpoint(url: str, access: Access) -> list[Finding]:
    """Ask a server whether it lives, is ready and knows the caller, and compare the clocks.

    Args:
        url: ``http://`` or ``https://``, a host, perhaps a port and a path prefix; checked.
        access: Who asks, and whom to trust.
    """
    findings = []
    answers: dict[str, tuple[int, bytes]] = {}
    skew: Finding | None = None
    for path in ("/health", "/ready"):
        try:
            status, body, date = _get(url, path, access)
        except (OSError, http.client.HTTPException, ValueError) as error:
            findings.append(
                Finding(
                    check=f"endpoint {path}",
                    status=Status.FAIL,
                    found=f"no answer: {_reason(url, error)}",
                    advice=_advice(url, error),
                )
            )
            continue
        answers[path] = status, body
        skew = skew or _skew(date)
        if status == http.HTTPStatus.OK:
            findings.append(Finding(check=f"endpoint {path}", status=Status.OK, found="200"))
        else:
            findings.append(
                Finding(
                    check=f"endpoint {path}",
                    status=Status.FAIL,
                    found=f"{status}{_reasons(body)}",
                    advice="see the server's log and its runbooks; agents keep what they have"
                    if path == "/ready"
                    else "something else answers there: is the address right?",
                )
            )
    if answers and access.is_somebody:
        findings.append(_identity(url, access))
    return findings if skew is None else [*findings, skew]


def _identity(url: str, access: Access) -> Finding:
    check = "identity"
    try:
        status, body, _ = _get(url, "/v1/pcs?limit=1", access)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Finding(
            check=check,
            status=Status.FAIL,
            found=f"no answer: {_reason(url, error)}",
            advice=_advice(url, error),
        )
    match status:
        case http.HTTPStatus.OK:
            return Finding(check=check, status=Status.OK, found="known, and may read")
        case http.HTTPStatus.FORBIDDEN:
            return Finding(check=check, status=Status.OK, found="known, and may not read")
        case http.HTTPStatus.UNAUTHORIZED:
            return Finding(
                check=check,
                status=Status.FAIL,
                found="the server does not know this token or certificate",
                advice="put its SHA-256 into tokens or certificates of the server's keyring",
            )
        case _:
            return Finding(
                check=check,
                status=Status.WARN,
                found=f"{status}{_reasons(body)}",
                advice="ask again when the server is ready",
            )


def _get(url: str, path: str, access: Access) -> tuple[int, bytes, str | None]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection = (
        http.client.HTTPSConnection(
            host, parts.port, timeout=_SECONDS_MAX, context=access.tls or client_context()
        )
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, parts.port, timeout=_SECONDS_MAX)
    )
    try:
        connection.request("GET", parts.path.rstrip("/") + path, headers=access.headers())
        answer = connection.getresponse()
        return answer.status, answer.read(_BYTES_MAX), answer.headers.get("Date")
    finally:
        connection.close()


def _skew(date: str | None) -> Finding:
    check = "clock of the endpoint"
    try:
        # The answer was made within the second that Date names.
        skew_s = time.time() - (parsedate_to_datetime(date or "").timestamp() + 0.5)
    except ValueError:
        return Finding(
            check=check,
            status=Status.WARN,
            found="its answer has no Date that can be read",
            advice="compare the clocks by hand",
        )
    status = graded(-abs(skew_s), warn_below=-_SKEW_WARN_S, fail_below=-_SKEW_FAIL_S)
    if status is Status.OK:
        return Finding(check=check, status=status, found="agrees with this one within 2 s")
    return Finding(
        check=check,
        status=status,
        found=f"this one is {abs(skew_s):,.0f} s {'ahead' if skew_s > 0 else 'behind'}",
        advice="set both clocks and keep them set: keys begin and end by the server's",
    )


def _reasons(body: bytes) -> str:
    try:
        reasons = json.loads(body)["reasons"]
        return ": " + "; ".join(str(reason) for reason in reasons)
    except (ValueError, KeyError, TypeError):
        return ""


def _advice(url: str, error: Exception) -> str:
    if trouble_of(error, is_hung_up=_is_tls(url) and _is_hung_up(error)) is not None:
        return "what was found says what to do; openssl s_client -connect HOST:PORT shows more"
    if not _is_tls(url) and isinstance(error, (ConnectionError, http.client.HTTPException)):
        return "is the server running, the address right, the port open, and is it not https://?"
    return "is the server running, the address right, the port open?"


def _reason(url: str, error: Exception) -> str:
    return words_of(error, is_hung_up=_is_hung_up(error), is_tls=_is_tls(url))


def _is_hung_up(error: Exception) -> bool:
    return isinstance(error, (ConnectionResetError, BrokenPipeError))


def _is_tls(url: str) -> bool:
    return url.startswith("https:")
