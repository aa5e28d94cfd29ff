"""An address that stays while the server behind it is killed and started again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

_PIECE = 65_536


class Relay:
    """Carries connections to whatever server stands behind it; without one it ends them.

    Attributes:
        url: Where it listens.
        target: The address of the server; None while there is none.
    """

    def __init__(self) -> None:
        self.url = ""
        self.target: tuple[str, int] | None = None

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            if self.target is None:
                return
            there, back = await asyncio.open_connection(*self.target)
            with contextlib.closing(back):
                ways = {
                    asyncio.create_task(_copy(reader, back)),
                    asyncio.create_task(_copy(there, writer)),
                }
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE):
        writer.write(piece)
        await writer.drain()


@contextlib.asynccontextmanager
async def relaying() -> AsyncIterator[Relay]:
    """Listen on a free port of loopback."""
    relay = Relay()
    listening = await asyncio.start_server(relay.carry, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()[:2]
    relay.url = f"http://{host}:{port}"
    try:
        yield relay
    finally:
        listening.close()
