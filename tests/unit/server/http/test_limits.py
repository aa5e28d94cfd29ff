import asyncio

from typing_extensions import override

from fractal_lba.server.core.admission import Rate
from fractal_lba.server.http.limits import Addresses, Connections, Gate, Place

S = 1_000_000_000


def test_each_address_has_a_rate_of_its_own() -> None:
    addresses = Addresses(Rate(per_s=1, burst=2), addresses_max=10)
    assert [addresses.admit("a", 0) is None for _ in range(3)] == [True, True, False]
    assert addresses.admit("b", 0) is None
    refused = addresses.admit("a", 0)
    assert refused is not None
    assert (refused.status, refused.code, refused.retry_after_s) == (429, "rate_limited", 1.0)
    assert addresses.admit("a", S) is None


def test_a_refused_request_costs_nothing() -> None:
    addresses = Addresses(Rate(per_s=1, burst=1), addresses_max=10)
    assert addresses.admit("a", 0) is None
    assert all(addresses.admit("a", 0) is not None for _ in range(50))
    assert addresses.admit("a", S) is None


def test_the_address_unseen_for_longest_is_forgotten() -> None:
    addresses = Addresses(Rate(per_s=1, burst=1), addresses_max=2)
    assert addresses.admit("a", 0) is None
    assert addresses.admit("b", 0) is None
    assert addresses.admit("a", 0) is not None  # seen now, and remembered longer than b
    assert addresses.admit("c", 0) is None
    assert addresses.admit("a", 0) is not None
    assert addresses.admit("b", 0) is None


def enter(connections: Connections, address: str) -> Place:
    place = connections.enter(address, lambda: None)
    assert place is not None
    return place


def test_connections_are_bounded_for_each_address() -> None:
    connections = Connections(total_max=9, per_address_max=2, made_room=lambda: None)
    first, second = enter(connections, "a"), enter(connections, "a")
    assert connections.enter("a", lambda: None) is None
    third = enter(connections, "b")
    first.leave()
    first.leave()  # once is enough
    fourth = enter(connections, "a")
    for place in (second, third, fourth):
        place.leave()
    assert connections.total == 0
    assert not connections.by_address  # nothing is kept of an address that is gone


def test_who_waits_longest_makes_room_and_who_works_or_is_known_does_not() -> None:
    told: list[None] = []
    connections = Connections(total_max=4, per_address_max=9, made_room=lambda: told.append(None))
    cut: list[str] = []
    places = {}
    for name in ("known", "works", "waited", "waits"):
        place = connections.enter(name, lambda name=name: cut.append(name))  # type: ignore[misc]
        assert place is not None
        places[name] = place
    places["known"].work()
    places["known"].is_known = True
    places["known"].rest()
    places["works"].work()
    places["waits"].work()
    places["waits"].rest()
    enter(connections, "x").work()
    assert cut == ["waited"]
    enter(connections, "y").work()
    assert cut == ["waited", "waits"]
    assert connections.enter("z", lambda: None) is None
    assert (connections.total, sorted(connections.by_address)) == (4, ["known", "works", "x", "y"])
    places["waited"].leave()  # its connection is lost a moment later
    assert connections.total == 4
    places["works"].rest()
    enter(connections, "z")
    assert cut == ["waited", "waits", "works"]
    assert len(told) == len(cut)


class Behind(asyncio.Protocol):
    """Note what comes through a gate."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.seen.append("made")

    @override
    def data_received(self, data: bytes) -> None:
        self.seen.append(data)

    @override
    def eof_received(self) -> bool | None:
        self.seen.append("eof")
        return True

    @override
    def pause_writing(self) -> None:
        self.seen.append("pause")

    @override
    def resume_writing(self) -> None:
        self.seen.append("resume")

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.seen.append("lost")


class Line(asyncio.Transport):
    """A transport from one address that keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 4711)})
        self.written = b""
        self.is_closed = False

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    @override
    def close(self) -> None:
        self.is_closed = True


def go_through(gate: Gate, line: Line) -> None:
    gate.connection_made(line)
    gate.get_buffer(-1)[:5] = b"GET /"
    gate.buffer_updated(5)
    gate.pause_writing()
    gate.resume_writing()
    assert gate.eof_received() in {True, None}


def test_a_gate_hands_on_what_is_within_the_bounds_and_answers_what_is_not() -> None:
    connections = Connections(total_max=9, per_address_max=1, made_room=lambda: None)
    behind, refused_behind = Behind(), Behind()
    first, line = Gate(connections, lambda _: behind), Line()
    go_through(first, line)
    assert behind.seen == ["made", b"GET /", "pause", "resume", "eof"]
    assert not line.is_closed
    second, refused = Gate(connections, lambda _: refused_behind), Line()
    go_through(second, refused)
    assert refused.written.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1\r\n" in refused.written
    assert refused.is_closed
    assert refused_behind.seen == []
    second.connection_lost(None)
    first.connection_lost(None)
    assert behind.seen[-1] == "lost"
    assert connections.total == 0
