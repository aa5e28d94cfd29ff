"""A load of distinct records with repeats, conflicts and refusals among them.

Every answer is held to what was acknowledged before it. What a killed server left unanswered is
known by name, so that a test can tell what was in flight.
"""

import http.client
import itertools
import json
import socket
import threading
from collections import Counter, deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from tests.support.server_process import Reply, ServerProcess
from tests.support.signed import CREATED_AT, body, members

_DECIDED: Final = frozenset({200, 202, 422})
_BROKEN: Final = (http.client.HTTPException, OSError)
_TIMEOUT_S: Final = 60.0
ALONE_MAX: Final = 24
LINES_MAX: Final = 1_000


@lru_cache(maxsize=8_192)
def record_of(epoch: int, created_at: str = CREATED_AT) -> bytes:
    """Return the record of an epoch: most are accepted, some escalated, some not accepted."""
    match epoch % 10:
        case 3:
            return body(epoch, created_at=created_at, regime="sticky")
        case 7:
            return body(epoch, created_at=created_at, D_hat=3.0)
        case _:
            return body(epoch, created_at=created_at)


def conflict_of(epoch: int) -> bytes:
    """Return another content under the id of an epoch."""
    return body(epoch, n=65)


def forged_of(epoch: int) -> bytes:
    """Return a record whose signature is another content's."""
    return record_of(epoch).replace(b'"n":64', b'"n":63')


def id_of(epoch: int) -> str:
    return str(members(epoch)["pcs_id"])


@dataclass(frozen=True)
class Acknowledged:
    """The first answer an epoch's record got."""

    status: int
    body: bytes
    received_at: str

    @classmethod
    def of(cls, reply: Reply) -> "Acknowledged":
        return cls(reply.status, reply.body, reply.headers["x-received-at"])


class Connection:
    """One kept connection to a server."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._connection = http.client.HTTPConnection(*server.address, timeout=_TIMEOUT_S)
        self._connection.connect()
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        self._connection.request(
            "POST", "/v1/pcs/submit", body=data, headers={"Content-Type": "application/json"}
        )

    def answer(self) -> Reply:
        response = self._connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, headers, response.read())

    def submit(self, data: bytes) -> Reply:
        self.send(data)
        return self.answer()

    def get(self, pcs_id: str) -> Reply:
        token = self._server.folder.token("acme")
        self._connection.request(
            "GET", f"/v1/pcs/{pcs_id}", headers={"Authorization": f"Bearer {token}"}
        )
        return self.answer()

    def close(self) -> None:
        self._connection.close()


@dataclass
class Load:
    """What was sent and answered, over all runs of one server folder.

    ``acknowledged`` is by epoch; ``conflicts`` the epochs whose conflict was answered; ``forged``
    those sent with a signature that does not fit, and in no other way; ``wrong`` whatever
    contradicts an earlier answer; ``statuses`` counts every answer.
    """

    acknowledged: dict[int, Acknowledged] = field(default_factory=dict)
    conflicts: set[int] = field(default_factory=set)
    forged: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: list[tuple[str, int]] = field(default_factory=list)
    repeats_in_flight: int = 0
    count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _epochs: Iterable[int] = field(default_factory=lambda: itertools.count(1))
    _twins: deque[tuple[str, int, bytes]] = field(default_factory=deque)

    def start(self, server: ServerProcess, *, connections: int) -> "Run":
        """Begin to send over several connections, until the server is gone or ``Run.end``."""
        return Run(self, server, connections)

    def next_request(self) -> tuple[str, int, bytes]:
        """Return what to send next: its kind, its epoch, its bytes."""
        with self._lock:
            if self._twins:
                self.repeats_in_flight += 1
                return self._twins.popleft()
            self.count += 1
            count = self.count
            if count % 16 == 5 and self.acknowledged:
                epoch = self._known(count)
                return "repeat", epoch, record_of(epoch)
            if count % 16 == 11 and self.acknowledged:
                epoch = self._known(count)
                return "conflict", epoch, conflict_of(epoch)
            epoch = next(iter(self._epochs))
        if count % 16 == 14:
            with self._lock:
                self.forged.add(epoch)
            return "forged", epoch, forged_of(epoch)
        data = record_of(epoch)
        if count % 8 == 1:
            # The next thread sends it too, while this one waits for its answer.
            with self._lock:
                self._twins.append(("new", epoch, data))
        return "new", epoch, data

    def settle(self, kind: str, epoch: int, reply: Reply) -> None:
        """Hold an answer to what is known."""
        with self._lock:
            self.statuses[reply.status] += 1
            if reply.status == 503 and reply.json["code"] == "draining":
                return  # given before the inbox: nothing was taken
            match kind:
                case "new" | "repeat":
                    self._settle_record(epoch, reply)
                case "conflict":
                    self._expect(reply.status == 409, "a conflict", epoch, reply)
                    self.conflicts.add(epoch)
                case "forged":
                    self._expect(reply.status == 401, "a refusal", epoch, reply)

    def _settle_record(self, epoch: int, reply: Reply) -> None:
        self._expect(reply.status in _DECIDED, "a decision", epoch, reply)
        if reply.status in _DECIDED:
            first = self.acknowledged.setdefault(epoch, Acknowledged.of(reply))
            self._expect(Acknowledged.of(reply) == first, "the first answer", epoch, reply)

    def _expect(self, holds: bool, what: str, epoch: int, reply: Reply) -> None:  # noqa: FBT001 - a condition
        if not holds:
            self.wrong.append(
                f"epoch {epoch}: expected {what}, got {reply.status} {reply.body[:300]!r}"
            )

    def _known(self, count: int) -> int:
        known = list(itertools.islice(reversed(self.acknowledged), 64))
        return known[count * 7 % len(known)]


class Run:
    """The load on one run of the server."""

    def __init__(self, load: Load, server: ServerProcess, connections: int) -> None:
        self.load = load
        self._server = server
        self._is_over = False
        self._begin = len(load.acknowledged)
        self._changed = threading.Condition()
        self._sent: dict[int, tuple[str, int]] = {}
        self._errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._send, args=(number,), name=f"load-{number}")
            for number in range(connections)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def acknowledged(self) -> int:
        """How many epochs were acknowledged in this run."""
        return len(self.load.acknowledged) - self._begin

    def wait_for(self, acknowledged: int, *, in_flight: int = 1) -> None:
        """Return at a moment when so many were acknowledged and so many requests are in flight."""
        with self._changed:
            reached = self._changed.wait_for(
                lambda: (
                    self._errors
                    or (self.acknowledged >= acknowledged and len(self._sent) >= in_flight)
                ),
                timeout=_TIMEOUT_S,
            )
        assert reached, f"acknowledged {self.acknowledged} of {acknowledged}"
        assert not self._errors, self._errors

    def kill(self) -> int:
        """SIGKILL the server; return how many requests it had and never answered."""
        with self._changed:
            before = dict(self._sent)
            self._server.process.kill()
        self._join()
        self._server.kill()
        lost = [request for number, request in before.items() if number in self._sent]
        self.load.unanswered += lost
        return len(lost)

    def end(self) -> None:
        """Stop sending, once what was sent is answered."""
        self._is_over = True
        self._join()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join(_TIMEOUT_S)
            assert not thread.is_alive(), "a request hangs"
        assert not self._errors, self._errors

    def _send(self, number: int) -> None:
        try:
            connection = Connection(self._server)
        except _BROKEN:
            return
        try:
            while not self._is_over:
                kind, epoch, data = self.load.next_request()
                try:
                    connection.send(data)
                    self._note(number, (kind, epoch))
                    reply = connection.answer()
                except _BROKEN:
                    return  # the server is gone; what it had of this connection stays in _sent
                self.load.settle(kind, epoch, reply)
                self._note(number, None)
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits for this one
            self._errors.append(error)
        finally:
            connection.close()

    def _note(self, number: int, request: tuple[str, int] | None) -> None:
        with self._changed:
            if request is None:
                del self._sent[number]
            else:
                self._sent[number] = request
            self._changed.notify_all()


def check(server: ServerProcess, load: Load, epochs: Iterable[int], *, connections: int = 4) -> int:
    """Hold a server to what was acknowledged: each repeat the first answer, each id readable.

    Beyond ``ALONE_MAX`` of them, each is repeated on a line of one batch, and so many also alone.

    Returns:
        How many epochs were asked for.
    """
    asked = list(epochs)
    alone = asked[:: max(1, len(asked) // ALONE_MAX)]
    if len(alone) < len(asked):
        _check_lines(server, load, asked)
    with ThreadPoolExecutor(connections) as pool:
        shares = [alone[number::connections] for number in range(connections)]
        for done in [pool.submit(_check, server, load, share) for share in shares]:
            done.result(_TIMEOUT_S)
    return len(asked)


def _check_lines(server: ServerProcess, load: Load, epochs: list[int]) -> None:
    """Repeat everything in batches, as a caller who is known and waits in no lane."""
    token = server.folder.token("acme", "submit")
    for start in range(0, len(epochs), LINES_MAX):
        part = epochs[start : start + LINES_MAX]
        data = b"".join(record_of(epoch) + b"\n" for epoch in part)
        reply = server.batch(data, {"Authorization": f"Bearer {token}"})
        assert reply.status == 200, reply
        for epoch, line in zip(part, reply.lines, strict=True):
            first = load.acknowledged[epoch]
            assert line["replayed"], (epoch, line)
            assert (line["status"], line["received_at"]) == (first.status, first.received_at), epoch
            assert line["body"] == json.loads(first.body), epoch


def _check(server: ServerProcess, load: Load, epochs: list[int]) -> None:
    with closing(Connection(server)) as connection:
        for epoch in epochs:
            first = load.acknowledged[epoch]
            reply = connection.submit(record_of(epoch))
            assert reply.is_replayed, (epoch, reply)
            assert Acknowledged.of(reply) == first, epoch
            stored = connection.get(id_of(epoch))
            assert stored.status == 200, (epoch, stored)
            document = stored.json
            assert document["outcome"] == json.loads(first.body), epoch
            assert document["received_at"] == first.received_at, epoch
            assert bool(document["conflicts"]) >= (epoch in load.conflicts), epoch
