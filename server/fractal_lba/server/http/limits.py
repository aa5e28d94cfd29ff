"""What bounds a flood before a body is read: connections, their addresses, rates, sizes, time."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from aiohttp import StreamReader, web
from typing_extensions import override

from fractal_lba.server.core import admission
from fractal_lba.server.core.admission import Bucket, Rate
from fractal_lba.server.core.answer import Answer, ServerCode, body_too_large, problem

_REFUSED_CONNECTION = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Length: 0\r\n\r\n"
)


class Addresses:
    """The request rate of each address.

    Args:
        rate: Of one address.
        addresses_max: How many are remembered; the longest unseen is forgotten first.
    """

    def __init__(self, rate: Rate, *, addresses_max: int) -> None:
        self._rate = rate
        self._addresses_max = addresses_max
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def admit(self, address: str, now_ns: int) -> Answer | None:
        """Charge one request to an address; return the 429 where it has none left."""
        if self._rate.per_s <= 0:
            return None
        bucket = self._buckets.pop(address, None) or admission.full(self._rate, now_ns)
        bucket, wait_s = admission.take(bucket, self._rate, now_ns)
        self._buckets[address] = bucket
        if len(self._buckets) > self._addresses_max:
            self._buckets.popitem(last=False)
        if wait_s == 0:
            return None
        return problem(
            ServerCode.RATE_LIMITED,
            f"address: expected at most {self._rate.per_s:g} requests a second, got more",
            retry_after_s=wait_s,
        )


class Connections:
    """How many connections are open, in all and from each address, and which one makes room.

    Idle connections cost a caller nothing, and without more they would keep everybody else out. So
    where there is no room in all, the one goes that waited longest without a request, unless its
    caller was identified on it.

    Args:
        total_max: In all.
        per_address_max: From one address.
        made_room: Told of each one that goes.
    """

    def __init__(
        self, *, total_max: int, per_address_max: int, made_room: Callable[[], None]
    ) -> None:
        self._made_room = made_room
        self._total_max = total_max
        self._per_address_max = per_address_max
        self._idle: OrderedDict[Place, None] = OrderedDict()
        self.total = 0
        self.by_address: Counter[str] = Counter()
        self.is_ending = False
        self._none = asyncio.Event()

    async def end(self) -> None:
        """Let each connection end with its next answer; return when none is open."""
        self.is_ending = True
        while self.total:
            self._none.clear()
            await self._none.wait()

    def enter(self, address: str, cut: Callable[[], object]) -> "Place | None":
        """Count one more, idle at first; ``None`` where there is no room.

        Args:
            address: The caller's.
            cut: Ends the connection at once, where another one needs its place.
        """
        if self.by_address[address] >= self._per_address_max:
            return None
        if self.total >= self._total_max:
            if not self._idle:
                if not self.by_address[address]:
                    del self.by_address[address]
                return None
            longest, _ = self._idle.popitem(last=False)
            longest.leave()
            longest.cut()
            self._made_room()
        self.total += 1
        self.by_address[address] += 1
        place = Place(self, address, cut)
        place.rest()
        return place

    def leave(self, address: str) -> None:
        """Count one less."""
        self.total -= 1
        self.by_address[address] -= 1
        if not self.by_address[address]:
            del self.by_address[address]
        if not self.total:
            self._none.set()


@dataclass(slots=True, eq=False)
class Place:
    """The place of one connection.

    Attributes:
        cut: Ends the connection at once.
        is_known: Its caller was identified: it makes room for nobody.
    """

    _among: Connections
    _address: str
    cut: Callable[[], object]
    is_known: bool = False
    _is_left: bool = False

    @property
    def is_ending(self) -> bool:
        """Whether the connection ends with its next answer."""
        return self._among.is_ending

    def work(self) -> None:
        """A whole head is there: the connection is not idle."""
        self._among._idle.pop(self, None)  # noqa: SLF001 - one idea in two classes

    def rest(self) -> None:
        """Nothing is done for it: it waits for a request, or for its reader."""
        if not self.is_known and not self._is_left:
            idle = self._among._idle  # noqa: SLF001 - as above
            idle[self] = None
            idle.move_to_end(self)

    def leave(self) -> None:
        """Give the place back; may be said again."""
        self.work()
        if not self._is_left:
            self._is_left = True
            self._among.leave(self._address)


_READ_BYTES = 16_384

_read_into = memoryview(bytearray(_READ_BYTES))
"""Every connection is read through it, one after the other on the loop's thread."""


class Gate(asyncio.BufferedProtocol):
    """Stand before an HTTP protocol: answer 503 and close what is over the bounds.

    It also says how much is read at once, since that much is there when reading is paused: the
    loop's own measure is 256 KB for each connection.
    """

    def __init__(
        self, connections: Connections, behind: Callable[[Place], asyncio.Protocol]
    ) -> None:
        self._connections = connections
        self._behind = behind
        self._inner: asyncio.Protocol | None = None
        self._place: Place | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A server's transports are all of this kind, but uvloop's do not say so.
        writing = cast("asyncio.WriteTransport", transport)
        self._place = self._connections.enter(address_of(transport), writing.abort)
        if self._place is not None:
            self._inner = self._behind(self._place)
            self._inner.connection_made(transport)
        else:
            writing.write(_REFUSED_CONNECTION)
            writing.close()

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        return _read_into

    @override
    def buffer_updated(self, nbytes: int) -> None:
        if self._inner is not None:
            self._inner.data_received(bytes(_read_into[:nbytes]))

    @override
    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._place is not None:
            self._place.leave()
        if self._inner is not None:
            self._inner.connection_lost(exc)

    @override
    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    @override
    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()


def address_of(transport: asyncio.BaseTransport | None) -> str:
    """Return the address of the other end, empty where the connection is gone."""
    peer = transport.get_extra_info("peername") if transport is not None else None
    return str(peer[0]) if peer else ""


class ByteCount(Protocol):
    """What one request may hold of the bytes in flight."""

    def take(self, size: int) -> Answer | None:
        """Count so many bytes more; return the problem where there is no room for them."""
        ...


async def read_body(
    request: web.Request, *, bytes_max: int, timeout_s: float, share: ByteCount
) -> bytes | Answer:
    """Return the body as it came over the wire, or the problem of one that is large, slow or cut.

    At most ``bytes_max`` bytes and one chunk are held, and nothing that ``share`` has no room for:
    bytes are counted as they arrive, since a caller may announce more than it ever sends.
    """
    if request.content_length is not None and request.content_length > bytes_max:
        return body_too_large(bytes_max)
    try:
        if request.content.is_eof():
            # All of it came with its head, as most records do: there is nothing to wait for.
            body = request.content.read_nowait()
            over = body_too_large(bytes_max) if len(body) > bytes_max else share.take(len(body))
            return over or body
        async with asyncio.timeout(timeout_s):
            return await _read(request.content, bytes_max, share)
    except (ConnectionResetError, web.RequestPayloadError):
        return problem(
            ServerCode.BAD_REQUEST, "body: expected all of it, got its end or broken chunks"
        )
    except TimeoutError:
        return problem(
            ServerCode.TIMEOUT, f"body: expected all of it within {timeout_s:g} s, got a part"
        )


async def _read(content: StreamReader, bytes_max: int, share: ByteCount) -> bytes | Answer:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > bytes_max:
            return body_too_large(bytes_max)
        if (full := share.take(len(chunk))) is not None:
            return full
    return bytes(body)
