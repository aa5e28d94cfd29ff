"""All the other workers, as one of them sees them."""

import asyncio
from contextlib import suppress
from pathlib import Path

from fractal_lba.server.core.workers import owner_of_shard
from fractal_lba.server.peers.client import Peer, PeerBounds
from fractal_lba.server.peers.folder import socket_path
from fractal_lba.server.peers.remote import RemoteShard
from fractal_lba.server.peers.serve import PeerServer
from fractal_lba.server.peers.wire import FORMAT, Hello
from fractal_lba.server.seat import Seat


class Crew:
    """The other workers over one data folder.

    Args:
        data: The data folder.
        data_id: Its own.
        seat: Which worker this is.
        shards: The names of all shards, in the folder's order.
        bounds: Of what is under way to each.
    """

    def __init__(
        self, data: Path, data_id: str, seat: Seat, shards: tuple[str, ...], *, bounds: PeerBounds
    ) -> None:
        owners = {name: owner_of_shard(at, seat.workers) for at, name in enumerate(shards)}
        self.hello = Hello(
            format=FORMAT,
            data_id=data_id,
            worker=seat.worker,
            workers=seat.workers,
            shards=tuple(name for name, owner in owners.items() if owner == seat.worker),
        )
        # Nobody else is asked anything: without a shard there is nothing to ask for.
        self.peers = {
            worker: Peer(socket_path(data, worker), worker, hello=self.hello, bounds=bounds)
            for worker in sorted(set(owners.values()) - {seat.worker})
        }
        self._owners = owners

    def shard(self, name: str) -> RemoteShard:
        """Return a shard that another worker decides for."""
        return RemoteShard(name, self.peers[self._owners[name]])

    def keeper(self, name: str) -> Peer | None:
        """Return the worker that decides for a shard, ``None`` for this one."""
        return self.peers.get(self._owners[name])

    async def opened(self, server: PeerServer, *, timeout_s: float) -> None:
        """Return once all of them answer and ask, or after so long.

        Whoever is told that this worker serves may then ask any of them.
        """
        waiting = [peer.opened() for peer in self.peers.values()]
        if self.hello.shards and self.hello.workers > 1:
            waiting.append(server.met())
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*waiting)
