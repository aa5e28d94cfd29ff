"""What a simulated server is given in place of its own: the same, and it tells the truth of it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.support.failing_disk import Call, Crash
from tests.support.memory_disk import MemoryDisk
from tests.support.power_runs import Strike, UnluckyDisk
from tests.support.sim_truth import Truth
from typing_extensions import override

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.server.core.inbox_frame import BATCH, Received
from fractal_lba.server.core.known import Known, RecordKey
from fractal_lba.server.core.ndjson import lines_of
from fractal_lba.server.ports import InboxFrame
from fractal_lba.server.storage.inbox import InboxLog
from fractal_lba.server.storage.shard import ShardStore
from fractal_lba.wal import Lock

if TYPE_CHECKING:
    from tests.support.sim_process import Process


_MAKE_DURABLE: Final = frozenset({"datasync", "sync_dir"})
"""What changes the platter, made or failed."""


class ProcessDisk(UnluckyDisk):
    """A disk as one process sees it: at its machine's time, and failing when the process ends."""

    def __init__(
        self,
        inner: MemoryDisk,
        strikes: Sequence[Strike],
        now_ns: Callable[[], int],
        *,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(inner, strikes)
        self.process: Process | None = None
        self._now_ns = now_ns
        self._changed = changed

    @override
    def do(self, call: Call, act: Callable[[], Any], **how: Any) -> Any:
        if self.process is not None and self.process.has_ended:
            raise Crash("the process ended")
        if call.name not in _MAKE_DURABLE:
            return super().do(call, act, **how)
        try:
            return super().do(call, act, **how)
        finally:
            self._changed()

    @override
    def lock(self, path: Path, note: bytes) -> Lock:
        # The number of the process that runs the world is not the seed's.
        del note
        return super().lock(path, b"pid 1" if self.process is None else self.process.name.encode())

    @override
    def stamp(self) -> tuple[int, bytes]:
        return self._now_ns(), self.memory.stamp()[1]


class WatchedInbox(InboxLog):
    """Tells what it is given and what it says is logged."""

    def __init__(self, *args: Any, name: str, by: "Process", truth: Truth, **named: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(*args, **named)
        self._name = name
        self._by = by
        self._truth = truth
        truth.took(name, by)

    @property
    def has_open(self) -> bool:
        """Whether a body is not finished, handled by somebody or by nobody."""
        return bool(self._open)

    @override
    def give(
        self,
        body: bytes,
        received: Received,
        *,
        received_ns: int,
        told: Callable[[InboxFrame | Exception], None],
    ) -> None:
        bodies = _bodies(body, received)

        def logged(end: InboxFrame | Exception) -> None:
            if isinstance(end, InboxFrame):
                self._truth.logged(bodies, body, received_ns, inbox=self._name, by=self._by)
            told(end)

        self._truth.arriving(bodies, received_ns)
        super().give(body, received, received_ns=received_ns, told=logged)

    @override
    async def take(self, seq: int) -> InboxFrame:
        frame = await super().take(seq)
        bodies = _bodies(frame.body, frame.received)
        self._truth.logged(bodies, frame.body, frame.received_ns, inbox=self._name, by=None)
        return frame


class WatchedShard(ShardStore):
    """Tells what is looked up."""

    def __init__(self, *args: Any, truth: Truth, **named: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(*args, **named)
        self._truth = truth

    @override
    def lookup(self, keys: Sequence[RecordKey]) -> list[Known | DurabilityError | None]:
        for key in keys:
            self._truth.looked_up(key)
        return super().lookup(keys)


def _bodies(body: bytes, received: Received) -> list[bytes]:
    return list(lines_of(body)) if received.route == BATCH else [body]
