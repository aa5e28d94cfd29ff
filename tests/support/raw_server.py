"""A server that is a function of the socket: for what no HTTP server would answer."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from tests.support.pki import Pair

_END_S: Final = 60.0


@contextmanager
def serving(take: Callable[[socket.socket], None]) -> Iterator[str]:
    """Let this take each connection, in a thread of its own, and hang up; yield host and port.

    Whoever is connected at the end is waited for, and must be gone.
    """
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):  # whoever asked may have heard enough
            take(connection)

    def accept() -> None:
        with suppress(OSError):  # no longer listening
            while True:
                connection, _ = listening.accept()
                threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        host, port = listening.getsockname()
        try:
            yield f"{host}:{port}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            for each in (accepting, *threads):
                each.join(_END_S)
        assert not any(each.is_alive() for each in (accepting, *threads))


@contextmanager
def witness(own: Pair, heard: list[bytes]) -> Iterator[str]:
    """Serve TLS with this certificate; note what each connection said under it; yield the URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)

    def listen(connection: socket.socket) -> None:
        said = b""
        with suppress(OSError):
            connection.settimeout(_END_S / 2)
            with context.wrap_socket(connection, server_side=True) as secured:
                said = secured.recv(65_536)
        heard.append(said)

    with serving(listen) as place:
        yield f"https://{place}"
