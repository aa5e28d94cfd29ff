"""What another worker has reserved here of its tenants' quotas, for as long as its connection.

A reservation that nobody settles is not forgotten: where the connection ends it is in doubt, and
counts until every shard has said what it holds. One that the other worker gave up waiting for is
taken back, whether it was granted by then or not.
"""

from fractal_lba.server.charging import ChargeEnd, Quotas, Settle
from fractal_lba.server.core.answer import Answer
from fractal_lba.server.peers import wire
from fractal_lba.server.peers.wire import Result


class Reservations:
    """Those of one connection.

    Args:
        quotas: Of this worker, which keeps those of the tenants that are asked for.
    """

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        # Not granted yet: how it is to end once it is, or ``None``.
        self._asked: dict[int, ChargeEnd | None] = {}
        self._granted: dict[int, Settle] = {}

    def expect(self, request: wire.Reserve) -> None:
        """Note a request before it is begun: what ends it may be in the same message."""
        self._asked[request.reservation] = None

    async def reserve(self, request: wire.Reserve) -> Result:
        """Return the end of a request that was expected.

        Raises:
            DurabilityError: See ``charging.Quotas.reserve``; nothing was reserved.
            UnavailableError: As above.
        """
        try:
            reserved = await self._quotas.reserve(
                request.tenant,
                request.charge,
                received_ns=request.received_ns,
                is_recovered=request.is_recovered,
            )
        finally:
            end = self._asked.pop(request.reservation)
        if isinstance(reserved, Answer):
            return wire.Answered(reserved)
        if end is None:
            self._granted[request.reservation] = reserved
        else:
            reserved(end)
        return wire.Reserved()

    def settle(self, request: wire.Settle) -> None:
        """End a reservation; one of an earlier connection is none of these."""
        if request.reservation in self._asked:
            self._asked[request.reservation] = request.end
        elif (settle := self._granted.pop(request.reservation, None)) is not None:
            settle(request.end)

    def close(self) -> None:
        """Note that the connection ended: nobody says any more what became of these."""
        for reservation in self._asked:
            self._asked[reservation] = ChargeEnd.NOT_WRITTEN  # its grant reaches nobody
        while self._granted:
            _, settle = self._granted.popitem()
            settle(ChargeEnd.IN_DOUBT)
