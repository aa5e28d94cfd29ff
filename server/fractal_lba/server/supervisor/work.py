"""A worker: one server process of several, told by the supervisor and ended with it."""

import asyncio
import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from fractal_lba.protocol.errors import ContractError, FractalError, LockedError
from fractal_lba.server import app
from fractal_lba.server.seat import Health, Seat
from fractal_lba.server.supervisor.messages import (
    Beat,
    Channel,
    Drained,
    End,
    Failed,
    Leave,
    News,
    Orders,
    Ready,
    Told,
    WorkerState,
    open_orders,
    shown,
)
from fractal_lba.server.telemetry.logs import configure

_BEATS: Final = 10
"""Signs of life in the time after which their absence is taken for a death."""
_BEAT_MAX_S: Final = 1.0

_EXIT_PROBLEMS: Final = 1
_EXIT_UNUSABLE: Final = 2

_PR_SET_PDEATHSIG: Final = 1

_log = logging.getLogger(__name__)


def work(orders: bytes) -> int:
    """Serve as the orders say; return the exit code."""
    given = msgspec.json.decode(orders, type=Orders)
    # The terminal's interrupt reaches every process of it: the supervisor alone says what follows.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A reload asked for before there is a ring to reload must not end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _end_with(given.supervisor)
    configure(given.settings.log_level, worker=given.worker)
    return uvloop.run(_Worker(given).run())


def _end_with(supervisor: int) -> None:
    """Let the kernel kill this process when the supervisor ends, also where it is stopped or hangs.

    Elsewhere than on Linux the end of the channel tells.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != supervisor:
            os._exit(_EXIT_PROBLEMS)  # it ended before that was said


class _Worker:
    """The worker of this process."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._channel: Channel | None = None
        self._states: tuple[WorkerState, ...] = ()
        self._end = asyncio.Event()
        listener = socket.socket(fileno=orders.listener)
        self._server = app.Server(
            orders.settings,
            Path(orders.base),
            seat=Seat(
                worker=orders.worker,
                workers=orders.workers,
                listener=listener,
                others=self._others_troubles,
                health=self._health,
                drained=self._drained,
            ),
        )

    async def run(self) -> int:
        orders, server = self._orders, self._server
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, server.stop)
        loop.add_signal_handler(signal.SIGHUP, server.reload)
        end = socket.socket(fileno=orders.channel)
        channel = self._channel = await open_orders(end, self._told, lost=_alone)
        beating = loop.create_task(self._beat(channel))
        try:
            await server.run(
                lambda url: self._announce(channel, url), accept_loss=orders.accept_loss
            )
        except (FractalError, OSError) as error:
            is_unusable = isinstance(error, ContractError | LockedError)
            code = _EXIT_UNUSABLE if is_unusable else _EXIT_PROBLEMS
            channel.send(Failed(message=str(error), code=code))
            return code
        finally:
            beating.cancel()
        return 0

    def _announce(self, channel: Channel, url: str) -> None:
        # First what is wrong with it: whoever waits until it serves may ask for more than that.
        channel.send(Beat(reasons=shown(self._server.troubles())))
        channel.send(Ready(url=url))

    async def _beat(self, channel: Channel) -> None:
        interval_s = min(_BEAT_MAX_S, self._orders.settings.worker_timeout_s / _BEATS)
        while True:
            channel.send(Beat(reasons=shown(self._server.troubles())))
            await asyncio.sleep(interval_s)

    def _told(self, message: Told) -> None:
        match message:
            case News():
                self._states = message.workers
            case Leave():
                self._server.leave()
            case End():
                self._end.set()
                self._server.stop()

    def _others_troubles(self) -> Sequence[str]:
        reasons = []
        for other in self._states:
            if other.worker == self._orders.worker:
                continue
            if not other.is_up:
                reasons.append(f"worker {other.worker}: expected it to serve, got none that does")
            reasons += other.reasons
        return reasons

    def _health(self) -> Sequence[Health]:
        return [
            Health(worker=each.worker, is_up=each.is_up, restarts=each.restarts)
            for each in self._states
        ]

    async def _drained(self) -> None:
        """Keep this worker's shards for the others until the supervisor says that all are done."""
        assert self._channel is not None  # noqa: S101 - it is open as long as the server runs
        self._channel.send(Drained())
        await self._end.wait()


def _alone() -> None:
    """End at once: without a supervisor nobody replaces this process, or may."""
    _log.error("the supervisor is gone")
    os._exit(_EXIT_PROBLEMS)


if __name__ == "__main__":
    sys.exit(work(sys.stdin.buffer.read()))
