"""The HTTP adapter: one session to one server.

It translates: HTTP in and out on one side, ``Answer`` and ``UnavailableError`` on the other. It
keeps four rules: a redirect is not followed, an answer's size is bounded, a compressed answer,
which nobody asked for, is not undone, and no error holds a body or the token.
"""

import asyncio
import errno
import gzip
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from fractal_lba.access import is_untrusted, words_of
from fractal_lba.client.answer import (
    PROBLEM_STATUS_MIN,
    Answer,
    parse_retry_after,
    problem_code,
)
from fractal_lba.client.batch import ANSWER_LINE_BYTES_MAX, BatchAnswer, joined, read_lines
from fractal_lba.client.scheme import SchemeCheck
from fractal_lba.client.trust import UntrustedError
from fractal_lba.protocol import ContractError, UnavailableError

# A read answer is the largest: a record of at most 64 KiB, its outcome and at most 8 conflicts of
# 64 KiB.
ANSWER_BYTES_MAX = 1024 * 1024

# More sockets than requests in flight are never used; the command line's bound is far below.
CONNECTIONS_MAX = 64

# Longer than a server takes for a group commit on a struggling disk; a lost answer is fetched by a
# repeat.
TIMEOUT_S = 30.0

_EXPECTED_URL = "server URL: expected http://HOST:PORT or https://HOST:PORT"

_JSON = "application/json"
_NDJSON = "application/x-ndjson"

# Signed records shrink to a quarter by the fastest level, and hardly further by a slower one.
_GZIP_LEVEL = 1

_OK = 200
_SUCCESS = 2


class Client:
    """Speaks to one server; used as ``async with Client(url) as client``."""

    def __init__(  # noqa: PLR0913 - each named at the call
        self,
        base_url: str,
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        timeout_s: float = TIMEOUT_S,
        connections_max: int = CONNECTIONS_MAX,
        is_compressing: bool = True,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Prepare a session; nothing is connected yet.

        Args:
            base_url: ``http://HOST:PORT`` or ``https://…``, with a path prefix if the server has
                one.
            token: Bearer token that names the caller; submitting works without one.
            tls: Whom to trust and who to be (see ``client_context``); by default whom the system
                trusts.
            timeout_s: Bound for one call, connecting and reading its answer included.
            connections_max: Sockets open at once.
            is_compressing: Whether batches are sent as gzip.
            now: Seconds since 1970; used only for a ``Retry-After`` date that came without
                ``Date``.

        Raises:
            ContractError: The URL is not one of a server, or holds a user or password.
        """
        self._base_url = _checked_url(base_url)
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._tls = tls
        self._timeout_s = timeout_s
        self._connections_max = connections_max
        self._is_compressing = is_compressing
        self._now = now
        self._scheme = SchemeCheck()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the session."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections_max, ssl=True if self._tls is None else self._tls
            ),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            headers={**self._headers, "Accept-Encoding": "identity"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the session and its sockets."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def submit(self, body: bytes) -> Answer:
        """Send one record and return the server's answer, whatever its status.

        Args:
            body: The record's bytes, as ``protocol.sent_bytes`` gives them.

        Raises:
            UnavailableError: No whole answer came (refused, cut, too slow, too large). Whether the
                server has the record is unknown; send the same bytes again.
            UntrustedError: One of these: the server is not trusted, or does not trust this client.
            SchemeError: Another: the server has TLS and the URL says ``http``, or none and it says
                ``https``.
        """
        return await self._call(
            "POST",
            self._base_url / "v1" / "pcs" / "submit",
            body=body,
            headers={"Content-Type": _JSON},
        )

    async def batch(self, bodies: Sequence[bytes]) -> BatchAnswer:
        """Send records in one request and return the server's answer to each.

        Args:
            bodies: 1 … 10,000 records' bytes, as ``protocol.sent_bytes`` gives them, 16 MiB
                together; ``split_batch`` makes such pieces of more.

        Raises:
            UnavailableError: No whole answer came, or not one line for each record. Whether the
                server has any of them is unknown; send the same bytes again.
            ContractError: They are no batch; nothing was sent.
        """
        sent = joined(bodies)
        headers = {"Content-Type": _NDJSON}
        if self._is_compressing:
            sent = await asyncio.to_thread(gzip.compress, sent, _GZIP_LEVEL, mtime=0)
            headers["Content-Encoding"] = "gzip"
        answer = await self._call(
            "POST",
            self._base_url / "v1" / "pcs" / "batch",
            body=sent,
            headers=headers,
            bytes_max=max(ANSWER_BYTES_MAX, len(bodies) * ANSWER_LINE_BYTES_MAX),
        )
        if answer.status == _OK:
            return BatchAnswer(lines=read_lines(answer.body, len(bodies)))
        if answer.status // 100 == _SUCCESS:
            raise UnavailableError(
                f"batch answer: expected 200 or a refusal, got {answer.status}",
                retry_after_s=answer.retry_after_s,
            )
        return BatchAnswer(refusal=answer)

    async def get(self, pcs_id: str, *, version: str = "1.0") -> Answer:
        """Read back one record and its outcome; this needs a token with the scope ``read``.

        Raises:
            UnavailableError: No whole answer came; try again later.
        """
        url = (self._base_url / "v1" / "pcs" / pcs_id).with_query(version=version)
        return await self._call("GET", url, body=None, headers={})

    async def listing(self, parameters: Mapping[str, str] | None = None) -> Answer:
        """Read one page of the tenant's records; this needs a token with the scope ``read``.

        Args:
            parameters: Those of ``GET /v1/pcs`` (`specs/http.md`), each as a text; a page's
                ``next`` is the next one's ``cursor``.

        Raises:
            UnavailableError: No whole answer came; try again later.
        """
        url = (self._base_url / "v1" / "pcs").with_query(dict(parameters or {}))
        return await self._call("GET", url, body=None, headers={})

    async def _call(
        self,
        method: str,
        url: URL,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        bytes_max: int = ANSWER_BYTES_MAX,
    ) -> Answer:
        assert self._session is not None, "the client is used inside `async with`"  # noqa: S101 - a bug
        where = f"{method} {url}"
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as response:
                data = await _read_bounded(response, bytes_max)
                answer = self._answer(response, data)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # What is no HTTP aiohttp says by an answer of its own making.
            is_no_http = _is_hung_up(error) or isinstance(error, aiohttp.ClientResponseError)
            await self._scheme.failed(where, self._base_url, error, is_no_http=is_no_http)
            what = words_of(error, is_hung_up=_is_hung_up(error), is_tls=url.scheme == "https")
            kind = UntrustedError if is_untrusted(error) else UnavailableError
            raise kind(f"{where}: expected an answer, got {what}") from error
        await self._scheme.answered(where, self._base_url, answer)
        return answer

    def _answer(self, response: aiohttp.ClientResponse, body: bytes) -> Answer:
        headers = response.headers
        return Answer(
            status=response.status,
            body=body,
            replayed=headers.get("Idempotent-Replayed", "").strip().lower() == "true",
            received_at=headers.get("X-Received-At"),
            retry_after_s=parse_retry_after(
                headers.get("Retry-After"), date=headers.get("Date"), now_s=self._now()
            ),
            code=problem_code(body) if response.status >= PROBLEM_STATUS_MIN else None,
        )


def _is_hung_up(error: BaseException) -> bool:
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError | BrokenPipeError):
        return True
    # aiohttp wraps what the socket says into a class of its own, which keeps only the number, and
    # of a connection that was closed before the request was written not even that.
    if isinstance(error, OSError) and error.errno in {errno.ECONNRESET, errno.EPIPE}:
        return True
    return error.__cause__ is not None and _is_hung_up(error.__cause__)


async def _read_bounded(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """Return the whole body, or raise when it is no answer of ours: longer, or compressed."""
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise UnavailableError(
            f"{response.method} {response.url}: expected an answer that is not compressed,"
            " got one that is"
        )
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > bytes_max:
            raise UnavailableError(
                f"{response.method} {response.url}: expected an answer of at most"
                f" {bytes_max} bytes, got more"
            )
        chunks.append(chunk)
    return b"".join(chunks)


def _checked_url(text: str) -> URL:
    try:
        url = URL(text)
    except ValueError as error:
        raise ContractError(f"{_EXPECTED_URL}, got something else") from error
    # Said without repeating the text: a URL with a user may hold a password.
    if url.user is not None or url.password is not None:
        raise ContractError("server URL: expected no user or password in it, got one")
    if url.scheme not in ("http", "https") or not url.host:
        raise ContractError(f"{_EXPECTED_URL}, got {text!r}")
    if url.query_string or url.fragment:
        raise ContractError("server URL: expected no query and no fragment, got one")
    return url
