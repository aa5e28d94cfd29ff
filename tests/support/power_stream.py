"""A stream of segments over a disk that loses power: appends, marks, retentions, recoveries."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.support.failing_disk import FailingDisk
from tests.support.memory_disk import MemoryDisk
from tests.support.power_runs import Invariant, Kind, hold
from tests.support.wal_streams import open_stream

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.wal import Damage, NewFrame, Stream

_STEPS: Final = 8
_REOPENINGS_MAX: Final = 3


class StreamScenario:
    """One writer, again and again.

    Attributes:
        acknowledged: seq → payload of what an append returned, or a recovery gave.
        attempted: every payload that was ever written.
        needed_from: the first frame that no durable cursor gave up.
    """

    def __init__(self, memory: MemoryDisk, chance: random.Random) -> None:
        self.acknowledged: dict[int, bytes] = {}
        self.attempted: set[bytes] = set()
        self.needed_from = 1
        self._folder = memory.root / "above" / "stream"
        self._chance = chance

    def live(self, disk: FailingDisk) -> None:
        stream = open_stream(self._folder, disk)
        self._take(stream)
        for _ in range(_STEPS):
            try:
                self._step(stream)
            except DurabilityError:
                self._reopen(stream)
        if self._chance.random() < 0.5:
            stream.close()

    def check(self, disk: FailingDisk, *, is_last: bool) -> None:  # noqa: ARG002 - all is seen at once
        stream = open_stream(self._folder, disk)
        self._take(stream)
        self._append(stream)
        stream.close()

    def _step(self, stream: Stream) -> None:
        dice = self._chance.random()
        if dice < 0.15:
            stream.mark()
        elif dice < 0.3:
            self._retain(stream)
        else:
            self._append(stream)

    def _append(self, stream: Stream) -> None:
        sizes = [self._chance.randint(20, 190) for _ in range(self._chance.randint(1, 3))]
        payloads = [self._chance.randbytes(size) for size in sizes]
        self.attempted |= set(payloads)
        frames = [NewFrame(received_ns=1, meta=b"meta", payload=each) for each in payloads]
        for placed, payload in zip(stream.append(frames), payloads, strict=True):
            hold(placed.seq not in self.acknowledged, Invariant.NO_NUMBER_TWICE, placed)
            self.acknowledged[placed.seq] = payload

    def _retain(self, stream: Stream) -> None:
        """Say in the stream what is still needed, then remove what is not."""
        needed = self._chance.randint(self.needed_from, stream.next_seq)
        payload = b"cursor" + self._chance.randbytes(8)
        self.attempted.add(payload)
        frame = NewFrame(received_ns=1, meta=b"cursor", payload=payload)
        (placed,) = stream.append([frame])
        self.acknowledged[placed.seq] = payload
        self.needed_from = needed
        stream.retain_from(needed, cursor_seq=placed.seq)

    def _reopen(self, stream: Stream) -> None:
        for attempt in range(_REOPENINGS_MAX):
            try:
                stream.reopen()
                break
            except DurabilityError:
                if attempt == _REOPENINGS_MAX - 1:
                    raise
        self._take(stream)

    def _take(self, stream: Stream) -> None:
        """Hold what a recovery gave to what is known; from here on it is acknowledged, too."""
        found: dict[int, bytes] = {}
        for item in stream.scan():
            hold(not isinstance(item, Damage), Invariant.NOTHING_LOST, item)
            if not isinstance(item, Damage):
                hold(item[1].seq not in found, Invariant.NO_NUMBER_TWICE, item[1].seq)
                found[item[1].seq] = item[1].payload
        missing = {
            seq
            for seq, each in self.acknowledged.items()
            if found.get(seq, None if seq >= self.needed_from else each) != each
        }
        hold(not missing, Invariant.NOTHING_LOST, missing)
        payloads = list(found.values())
        hold(len(set(payloads)) == len(payloads), Invariant.NOTHING_TWICE, len(payloads))
        hold(set(payloads) <= self.attempted, Invariant.NOTHING_ELSE, sorted(found))
        first = min(found, default=1)
        numbers = list(range(first, first + len(found)))
        hold(sorted(found) == numbers, Invariant.NO_NUMBER_TWICE, sorted(found))
        hold(stream.recovery.damage == (), Invariant.NOBODY_NEEDED, stream.recovery)
        hold(stream.next_seq == first + len(found), Invariant.NO_NUMBER_TWICE, stream.next_seq)
        self.acknowledged = found


@contextmanager
def _scenario(memory: MemoryDisk, chance: random.Random) -> Iterator[StreamScenario]:
    yield StreamScenario(memory, chance)


STREAM: Final = Kind(name="stream", make=_scenario, calls=120, changes=40)
