from tests.support.wal_streams import flipped

from fractal_lba.wal import NewFrame
from fractal_lba.wal.framing import (
    BATCH_MAGIC,
    HEADER_BYTES,
    BatchAt,
    FrameAt,
    SegmentKey,
    pack_batch,
)
from fractal_lba.wal.tail import examine
from fractal_lba.wal.walk import Gap, Walked, walk

KEY = SegmentKey(bytes(range(16)))
NEW = NewFrame(1, b"", b"payload")
FRAME = 26 + 7


def segment(*counts: int, first_seq: int = 1) -> bytes:
    """Return a segment with a batch of so many frames each; a header is not needed to walk."""
    data = bytes(HEADER_BYTES)
    for count in counts:
        data += pack_batch(KEY, [NEW] * count, first_seq=first_seq, durable_offset=len(data))[0]
        first_seq += count
    return data


def seqs(items: list[Walked]) -> list[int]:
    return [item.seq for item in items if isinstance(item, FrameAt)]


def gaps(items: list[Walked]) -> list[tuple[int, int, int | None, int | None]]:
    return [
        (item.offset, item.length, item.first_seq, item.last_seq)
        for item in items
        if isinstance(item, Gap)
    ]


def walked(
    data: bytes, first_seq: int | None = 1, next_seq: int | None = None, end: int | None = None
) -> list[Walked]:
    end = len(data) if end is None else end
    return list(walk(data, KEY, end=end, first_seq=first_seq, next_seq=next_seq))


def test_items_come_in_the_order_of_their_offsets() -> None:
    items = walked(segment(2, 0, 1))
    assert [item.offset for item in items] == sorted(item.offset for item in items)
    assert [type(item) for item in items] == [BatchAt, FrameAt, FrameAt, BatchAt, BatchAt, FrameAt]


def test_nothing_follows_a_header() -> None:
    assert walked(segment()) == []
    assert walked(b"", end=0) == []


def test_what_ends_before_its_header_does_is_missing() -> None:
    assert gaps(walked(bytes(100), next_seq=4, end=300)) == [(100, 200, 1, 3)]


def test_without_a_first_seq_the_first_batch_tells() -> None:
    assert seqs(walked(segment(2, 1, first_seq=40), first_seq=None)) == [40, 41, 42]


def test_without_a_first_seq_frames_before_the_first_sound_batch_are_found() -> None:
    data = flipped(segment(2, 1, first_seq=40), HEADER_BYTES + 4)
    items = walked(data, first_seq=None)
    assert seqs(items) == [40, 41, 42]
    # How many numbers the damaged header held nobody knows: as many as fit are named.
    ((offset, length, first, last),) = gaps(items)
    assert (offset, length) == (HEADER_BYTES, 32)
    assert (first, last) == (39, 39)


def test_without_any_number_nothing_can_be_searched() -> None:
    data = flipped(segment(2, first_seq=40), HEADER_BYTES + 4)
    assert gaps(walked(data, first_seq=None)) == [
        (HEADER_BYTES, len(data) - HEADER_BYTES, None, None)
    ]


def test_frames_that_a_batch_skips_are_named() -> None:
    # Nobody writes this; a reader must not pass over it in silence all the same.
    first, second = segment(2), pack_batch(KEY, [NEW], first_seq=6, durable_offset=250)[0]
    items = walked(first + second)
    assert seqs(items) == [1, 2, 6]
    assert gaps(items) == [(len(first), 0, 3, 5)]


def test_frames_that_a_batch_lacks_are_named() -> None:
    # A sound header over frames whose bytes are not there, with another batch right behind.
    data = segment(1)
    whole = pack_batch(KEY, [NEW] * 3, first_seq=2, durable_offset=len(data))[0]
    lacking = pack_batch(KEY, [NEW] * 3, first_seq=2, durable_offset=len(data))[0]
    data += lacking[: 32 + FRAME] + whole[32 + 2 * FRAME :] + bytes(FRAME)
    items = walked(data)
    assert seqs(items) == [1, 2, 4]
    assert gaps(items)[0][2:] == (3, 3)


def test_numbers_may_cross_the_bounds_of_what_is_searched_for() -> None:
    first_seq = (1 << 16) - 2
    data = segment(5, first_seq=first_seq)
    broken = data
    for index in range(3):
        broken = flipped(broken, HEADER_BYTES + 32 + index * FRAME + 1)
    items = walked(broken, first_seq=first_seq, next_seq=first_seq + 5)
    assert seqs(items) == [first_seq + 3, first_seq + 4]
    assert gaps(items) == [(HEADER_BYTES + 32, 3 * FRAME, first_seq, first_seq + 2)]


def test_a_batch_header_that_cannot_follow_is_passed_over() -> None:
    # Sound, but with numbers no frame in between could account for.
    stray = pack_batch(KEY, [NEW], first_seq=10_000, durable_offset=HEADER_BYTES)[0]
    data = segment(1) + b"damage" + stray + BATCH_MAGIC
    items = walked(data)
    assert seqs(items) == [1]
    assert gaps(items) == [
        (HEADER_BYTES + 32 + FRAME, len(data) - HEADER_BYTES - 32 - FRAME, 2, None)
    ]


def test_a_batch_with_numbers_that_were_there_already_is_damage() -> None:
    # Sound, and of this very segment: a block that a disk wrote in the wrong place.
    data = segment(1)
    batch = data[HEADER_BYTES:]
    items = walked(data + batch, next_seq=3)
    assert seqs(items) == [1]
    assert gaps(items) == [(len(data), len(batch), 2, 2)]


def test_the_tail_divides_at_the_last_durable_offset() -> None:
    data = segment(2, 1)
    tail = examine(data, KEY, 1)
    assert tail.durable_end == HEADER_BYTES + 32 + 2 * FRAME
    assert [frame.seq for frame in tail.survivors] == [3]
    assert tail.torn_at == len(data)
    assert tail.next_seq == 4


def test_a_mark_makes_everything_before_it_durable() -> None:
    data = segment(2, 1, 0)
    tail = examine(data, KEY, 1)
    assert tail.durable_end == len(data) - 32
    assert tail.survivors == ()
    assert tail.torn_at == len(data)
    assert tail.next_seq == 4


def test_frames_missing_before_a_mark_are_corruption_not_a_tail() -> None:
    data = segment(2)
    data += pack_batch(KEY, [], first_seq=5, durable_offset=len(data))[0]
    tail = examine(data, KEY, 1)
    assert [(item.first_seq, item.last_seq) for item in tail.kept if isinstance(item, Gap)] == [
        (3, 4)
    ]
    assert tail.next_seq == 5


def test_an_older_durable_offset_does_not_move_the_division_back() -> None:
    data = segment(2, 1)
    data += pack_batch(KEY, [NEW], first_seq=4, durable_offset=HEADER_BYTES)[0]
    tail = examine(data, KEY, 1)
    assert tail.durable_end == HEADER_BYTES + 32 + 2 * FRAME
    assert [frame.seq for frame in tail.survivors] == [3, 4]
