"""A page and the server behind one address, as a reverse proxy gives them to a browser."""

import http.client
import mimetypes
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, Self

ANSWER_TIMEOUT_S: Final = 60.0
PASSED_ON: Final = ("content-type", "content-encoding", "authorization")
GIVEN_BACK: Final = ("content-type", "idempotent-replayed", "x-received-at", "retry-after")
OF_THE_SERVER: Final = ("/v1/", "/ready")


class _Listener(ThreadingHTTPServer):
    """The socket, and what its handlers share."""

    def __init__(self, files: Mapping[str, Path], address: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.address = address
        self.sent = 0
        self.counted = threading.Lock()

    def handle_error(self, *_: object) -> None:  # type: ignore[explicit-override]
        """Say nothing: a browser that is ended hangs up within a request."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _shared(self) -> _Listener:
        assert isinstance(self.server, _Listener)
        return self.server

    def do_GET(self) -> None:
        if self.path.startswith(OF_THE_SERVER):
            self._pass_on(None)
        elif (found := self._shared.files.get(self.path.lstrip("/") or "index.html")) is None:
            self._answer(404, {}, b"")
        else:
            kind = mimetypes.guess_type(found.name)[0] or "application/octet-stream"
            self._answer(200, {"content-type": kind}, found.read_bytes())

    def do_POST(self) -> None:
        with self._shared.counted:
            self._shared.sent += 1
        self._pass_on(self.rfile.read(int(self.headers["content-length"])))

    def log_message(self, *_: object) -> None:  # type: ignore[explicit-override]
        """Say nothing."""

    def _pass_on(self, body: bytes | None) -> None:
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        behind = http.client.HTTPConnection(*self._shared.address, timeout=ANSWER_TIMEOUT_S)
        try:
            behind.request(self.command, self.path, body=body, headers=headers)
            got = behind.getresponse()
            kept = {name: got.headers[name] for name in GIVEN_BACK if name in got.headers}
            self._answer(got.status, kept, got.read())
        except OSError:
            self._answer(502, {"content-type": "text/html"}, b"<h1>Bad Gateway</h1>")
        finally:
            behind.close()

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class PageServer:
    """Serves a folder's files, and asks a server for the rest; 502 where that is away.

    Args:
        folder: The page's.
        address: Of the server.
    """

    def __init__(self, folder: Path, address: tuple[str, int]) -> None:
        found = [path for path in folder.rglob("*") if path.is_file()]
        files = {path.relative_to(folder).as_posix(): path for path in found}
        self._listener = _Listener(files, address)
        self._thread = threading.Thread(target=self._listener.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._listener.server_port}"

    @property
    def sent(self) -> int:
        """How often a record was sent on, answered or not."""
        return self._listener.sent

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join(ANSWER_TIMEOUT_S)
