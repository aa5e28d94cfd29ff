"""A stream is a list that survives: held to one through appends, closings, crashes and damage."""

import errno
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.support.failing_disk import Crash, Effect, FailingDisk
from tests.support.memory import memory_folder
from tests.support.wal_streams import (
    NAME,
    damage_of,
    new_frame,
    open_stream,
    segments_of,
    snapshot,
)

from fractal_lba.protocol.errors import DurabilityError, FullError
from fractal_lba.wal import Damage, Frame, NewFrame, Position, RealDisk, Stream, scan_folder

sizes = st.lists(st.integers(0, 320), min_size=1, max_size=5)


class StreamMachine(RuleBasedStateMachine):
    """Model: the frames known to be there, and those of a failed append that may be.

    ``maybe`` holds the batch whose append did not return: recovery keeps any first part of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="stream-", dir=memory_folder()))
        self.disk = FailingDisk(RealDisk())
        self.stream: Stream | None = None
        self.known: list[NewFrame] = []
        self.maybe: list[NewFrame] = []
        self.positions: dict[int, Position] = {}
        self.count = 0
        self.first = 1
        self.first_max = 1

    def teardown(self) -> None:  # type: ignore[explicit-override]  # override is of Python 3.12
        self.disk.abandon()
        shutil.rmtree(self.folder)

    def get(self) -> Stream:
        assert self.stream is not None
        return self.stream

    def new_frames(self, wanted: list[int]) -> list[NewFrame]:
        made = []
        for size in wanted:
            self.count += 1
            made.append(new_frame(f"frame {self.count}", size))
        # A batch has to fit into a segment; the smallest one used is of 1052 bytes.
        while sum(26 + len(new.meta) + len(new.payload) for new in made) > 600:
            made.pop()
        return made

    def open(self, segment_bytes_max: int) -> None:
        self.stream = open_stream(self.folder, self.disk, segment_bytes_max=segment_bytes_max)
        self.settle()

    def settle(self) -> None:
        """Learn what recovery kept of a failed append, and where everything stands."""
        stream = self.get()
        kept = stream.next_seq - 1 - len(self.known)
        assert 0 <= kept <= len(self.maybe)
        self.known += self.maybe[:kept]
        self.maybe = []
        assert self.first <= stream.first_seq <= self.first_max
        self.first = self.first_max = stream.first_seq
        self.positions = {
            item[1].seq: item[0] for item in stream.scan() if not isinstance(item, Damage)
        }
        assert stream.recovery.damage == ()

    @precondition(lambda self: self.stream is not None)
    @rule(wanted=sizes)
    def append(self, wanted: list[int]) -> None:
        frames = self.new_frames(wanted)
        placed = self.get().append(frames)
        for new, place in zip(frames, placed, strict=True):
            self.known.append(new)
            assert place.seq == len(self.known)
            self.positions[place.seq] = place.position

    @precondition(lambda self: self.stream is not None)
    @rule()
    def mark(self) -> None:
        self.get().mark()

    @precondition(lambda self: self.stream is not None)
    @rule()
    def close(self) -> None:
        self.get().close()
        self.get().close()
        self.stream = None

    @precondition(lambda self: self.stream is None)
    @rule(segment_bytes_max=st.sampled_from([1052, 1500, 4000]))
    def open_again(self, segment_bytes_max: int) -> None:
        self.open(segment_bytes_max)

    @precondition(lambda self: self.stream is not None)
    @rule()
    def crash(self) -> None:
        self.disk.abandon()
        self.stream = None

    @precondition(lambda self: self.stream is not None)
    @rule(wanted=sizes, call=st.integers(1, 12), effect=st.sampled_from(list(Effect)))
    def crash_in_an_append(self, wanted: list[int], call: int, effect: Effect) -> None:
        self.fail_from(call, None, effect)
        frames = self.new_frames(wanted)
        try:
            self.get().append(frames)
        except Crash:
            self.maybe = frames
        else:
            self.known += frames
        self.disk.abandon()
        self.disk.heal()
        self.stream = None

    @precondition(lambda self: self.stream is not None)
    @rule(
        wanted=sizes,
        call=st.integers(1, 12),
        error=st.sampled_from([errno.EIO, errno.ENOSPC]),
        effect=st.sampled_from(list(Effect)),
    )
    def fail_in_an_append_and_reopen(
        self, wanted: list[int], call: int, error: int, effect: Effect
    ) -> None:
        self.fail_from(call, error, effect)
        frames = self.new_frames(wanted)
        try:
            self.get().append(frames)
        except FullError:  # it takes the next one, as if nothing had been
            assert error == errno.ENOSPC
            assert not self.get().is_fenced
            self.disk.heal()
            return
        except DurabilityError:
            assert self.get().is_fenced
            self.maybe = frames
        else:
            self.known += frames
        self.disk.heal()
        self.get().reopen()
        self.settle()

    @precondition(lambda self: self.stream is not None and bool(self.known))
    @rule(data=st.data())
    def retain(self, data: st.DataObject) -> None:
        self.retain_from(data.draw(st.integers(1, len(self.known))))

    @precondition(lambda self: self.stream is not None and bool(self.known))
    @rule(data=st.data(), call=st.integers(1, 12), effect=st.sampled_from(list(Effect)))
    def crash_in_a_retention(self, data: st.DataObject, call: int, effect: Effect) -> None:
        seq = data.draw(st.integers(1, len(self.known)))
        self.fail_from(call, None, effect)
        with suppress(Crash):
            self.retain_from(seq)
        self.first_max = max(self.first_max, seq)
        self.disk.abandon()
        self.disk.heal()
        self.stream = None

    @precondition(lambda self: self.stream is not None and bool(self.known))
    @rule(data=st.data(), call=st.integers(1, 12), effect=st.sampled_from(list(Effect)))
    def fail_in_a_retention_and_reopen(
        self, data: st.DataObject, call: int, effect: Effect
    ) -> None:
        seq = data.draw(st.integers(1, len(self.known)))
        self.fail_from(call, errno.EIO, effect)
        with suppress(DurabilityError):
            self.retain_from(seq)
        self.first_max = max(self.first_max, seq)
        self.disk.heal()
        self.get().reopen()
        self.settle()

    def retain_from(self, seq: int) -> None:
        retained = self.get().retain_from(seq, cursor_seq=len(self.known))
        assert self.first <= retained.first_seq <= max(seq, self.first)
        self.first = self.first_max = retained.first_seq

    @precondition(lambda self: self.stream is None)
    @rule(call=st.integers(1, 40), effect=st.sampled_from(list(Effect)))
    def crash_in_a_recovery(self, call: int, effect: Effect) -> None:
        self.fail_from(call, None, effect)
        with suppress(Crash):
            open_stream(self.folder, self.disk)
        self.disk.abandon()
        self.disk.heal()

    @precondition(lambda self: self.stream is None and bool(segments_of(snapshot(self.folder))))
    @rule(tail=st.binary(min_size=1, max_size=100))
    def something_was_left_behind_the_end(self, tail: bytes) -> None:
        name = segments_of(snapshot(self.folder))[-1]
        with (self.folder / name).open("ab") as file:
            file.write(tail)

    def fail_from(self, call: int, error: int | None, effect: Effect) -> None:
        self.disk.fail_next(call, error=error, effect=effect)

    @precondition(lambda self: self.stream is not None)
    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        if self.first <= len(self.known):
            seq = data.draw(st.integers(self.first, len(self.known)))
            assert self.get().read(self.positions[seq]) == self.expected(seq)

    @precondition(lambda self: self.stream is not None)
    @rule(data=st.data())
    def scan_from(self, data: st.DataObject) -> None:
        from_seq = data.draw(st.integers(1, len(self.known) + 2))
        assert list(self.get().scan(from_seq=from_seq)) == [
            (self.positions[seq], self.expected(seq))
            for seq in range(max(from_seq, self.first), len(self.known) + 1)
        ]

    def expected(self, seq: int) -> Frame:
        new = self.known[seq - 1]
        return Frame(seq, new.received_ns, new.meta, new.payload)

    @invariant()
    def everything_known_is_there_once_and_in_order(self) -> None:
        if self.stream is not None:
            assert self.stream.next_seq == len(self.known) + 1
            items = list(self.stream.scan())
        else:
            items = list(scan_folder(RealDisk(), self.folder, NAME))
        assert not [item for item in damage_of(items) if item.is_loss]
        frames = [item[1] for item in items if not isinstance(item, Damage)]
        first = frames[0].seq if frames else self.first
        assert self.first <= first <= self.first_max
        sure = len(self.known) + 1 - first
        assert frames[:sure] == [self.expected(seq) for seq in range(first, first + sure)]
        assert len(frames) <= sure + len(self.maybe)


TestStreamMachine = StreamMachine.TestCase
TestStreamMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
