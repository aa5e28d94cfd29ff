"""One connection, byte by byte: what a client library would tidy up on the way is sent as it is."""

import select
import socket
import struct
from collections.abc import Mapping
from typing import Self

from tests.support.described import assert_described
from tests.support.server_process import Reply

TIMEOUT_S = 30.0
JSON = {"Content-Type": "application/json"}


class Wire:
    """A connection that requests are written to and answers read from, in any order."""

    def __init__(
        self, address: tuple[str, int], *, source: str = "", receive_bytes: int | None = None
    ) -> None:
        self._socket = socket.socket()
        self._socket.settimeout(TIMEOUT_S)
        try:
            if receive_bytes is not None:
                # Before it is connected: a window that was announced is never taken back.
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            if source:
                self._socket.bind((source, 0))
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise
        self._answers = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def try_to_send(self, data: bytes) -> bool:
        """Send; false where the other end has closed."""
        try:
            self.send(data)
        except ConnectionError:
            return False
        return True

    def has_something(self) -> bool:
        """Wait until there is something to read, and leave it there; false where it takes long."""
        ready, _, _ = select.select([self._socket], [], [], TIMEOUT_S)
        return bool(ready)

    def reply(self) -> Reply:
        """Read one answer; ``ConnectionError`` where the other end closed instead."""
        line = self._answers.readline()
        if not line:
            raise ConnectionError("expected an answer, got the end")
        status = int(line.split()[1])
        headers: dict[str, str] = {}
        while (line := self._answers.readline()) not in {b"\r\n", b""}:
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        size = int(headers.get("content-length", "0"))
        body = self._answers.read(size)
        if len(body) < size:
            raise ConnectionError("expected a whole answer, got a part of it")
        return Reply(status, headers, body)

    def line(self) -> bytes:
        """Read one line of what the other end sends."""
        return self._answers.readline()

    def has_answer(self) -> bool:
        """Whether something can be read now."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str | bytes] | None = None,
    ) -> Reply:
        self.send(request(method, path, body, headers))
        reply = self.reply()
        assert_described(method, path, reply.status, reply.headers, reply.body)
        return reply

    def submit(self, body: bytes, headers: Mapping[str, str | bytes] | None = None) -> Reply:
        return self.ask("POST", "/v1/pcs/submit", body, {**JSON, **(headers or {})})

    @staticmethod
    def with_answers(*wires: "Wire") -> "list[Wire]":
        """Wait until something can be read; return the connections where it can."""
        ready, _, _ = select.select([wire._socket for wire in wires], [], [], TIMEOUT_S)
        return [wire for wire in wires if wire._socket in ready]

    def is_ended(self) -> bool:
        """Wait for the other end to close; false where it sends something instead."""
        try:
            return self._answers.read(1) == b""
        except ConnectionResetError:
            return True

    def is_cut(self) -> bool:
        """Read to the end; tell whether it came before the end of an answer was there."""
        try:
            self.reply()
        except ConnectionError:
            return True
        return False

    def close_half(self) -> None:
        """Say that nothing more is sent, and go on reading."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Hang up without a goodbye: the other end gets a reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


def request(
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str | bytes] | None = None,
) -> bytes:
    """Return the bytes of a request, its length being right unless ``headers`` says otherwise."""
    given: dict[str, str | bytes] = {"Host": "server"}
    if body is not None:
        given["Content-Length"] = str(len(body))
    given.update(headers or {})
    lines = [f"{method} {path} HTTP/1.1".encode()]
    for name, value in given.items():
        lines.append(name.encode() + b": " + (value.encode() if isinstance(value, str) else value))
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def submission(body: bytes, headers: Mapping[str, str | bytes] | None = None) -> bytes:
    """Return the bytes of a submit."""
    return request("POST", "/v1/pcs/submit", body, {**JSON, **(headers or {})})


def head_of_submission(content_length: int, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a submit's head alone; its body is for the caller to send, or not."""
    return submission(b"", {"Content-Length": str(content_length), **(headers or {})})
