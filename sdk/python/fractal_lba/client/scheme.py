"""A URL with the other scheme than its server's: ``https://`` to one without TLS, or ``http://``.

The first shows in the handshake. The second does not: most servers with TLS close a connection that
speaks HTTP without a word, as one does that ends, and others answer 400. So such a server is asked
for a handshake, and nothing is sent over it.
"""

import asyncio
import ssl
from typing import Final

from yarl import URL

from fractal_lba.access import is_alert, is_no_tls, trouble_of
from fractal_lba.client.answer import Answer
from fractal_lba.protocol import UnavailableError

_ASK_S: Final = 2.0
"""For a handshake: it is asked for beside a request, whose caller may not have much more time."""

_BAD_REQUEST: Final = 400


class SchemeError(UnavailableError):
    """The URL's scheme is not what the server speaks; the next attempt would meet the same.

    Over ``http://`` the record, and the token if there is one, went to it unencrypted.
    ``RetryPolicy.until_final`` raises it at once. It is an ``UnavailableError`` still: an agent
    keeps its windows until its URL, or the server, is mended.
    """


class SchemeCheck:
    """Finds out whether one server speaks what its URL says.

    Once it does, it is not asked any more: what fails then fails for another reason.
    """

    def __init__(self) -> None:
        self._is_right = False

    async def failed(self, where: str, url: URL, error: Exception, *, is_no_http: bool) -> None:
        """Look at what a request failed with.

        Args:
            where: The request, for people.
            url: The server's.
            error: What was raised.
            is_no_http: The connection was closed, or brought something else, before an answer.

        Raises:
            SchemeError: That is why.
        """
        if self._is_right:
            return
        if url.scheme == "https" and is_no_tls(error):
            said = f"{where}: expected an answer, got {trouble_of(error)}"
            raise SchemeError(said) from error
        if url.scheme == "http" and is_no_http:
            await self._ask(where, url)

    async def answered(self, where: str, url: URL, answer: Answer) -> None:
        """Look at an answer: a server with TLS may refuse plain HTTP with a page of its own.

        Raises:
            SchemeError: It did.
        """
        is_page = answer.status == _BAD_REQUEST and answer.code is None
        if is_page and url.scheme == "http" and not self._is_right:
            await self._ask(where, url)
        self._is_right = True

    async def _ask(self, where: str, url: URL) -> None:
        if await _speaks_tls(url):
            raise SchemeError(
                f"{where}: expected an answer, got the server speaks TLS there: is it https://"
                " instead of http://?"
            )
        # It is not asked at each failure: whoever is down is asked often enough.
        self._is_right = True


async def _speaks_tls(url: URL) -> bool:
    """Return whether the server of an ``http`` URL answers a handshake in time."""
    # Whoever it is: nothing is sent.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(_ASK_S):
            _, writer = await asyncio.open_connection(url.host, url.port, ssl=context)
    except ssl.SSLError as error:
        return is_alert(error)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True
