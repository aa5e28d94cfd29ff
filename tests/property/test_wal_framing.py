"""Framing and walking hold for every content: round trips, and nothing damaged is believed."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fractal_lba.wal import Frame, NewFrame
from fractal_lba.wal.bounds import Bounds
from fractal_lba.wal.framing import (
    BATCH_BYTES,
    HEADER_BYTES,
    FrameAt,
    SegmentHeader,
    SegmentKey,
    batch_at,
    frame_at,
    frame_of,
    pack_batch,
    pack_frame,
    pack_header,
    unpack_header,
)
from fractal_lba.wal.walk import Gap, walk

ids = st.binary(min_size=16, max_size=16)
u64 = st.integers(0, 2**64 - 1)
seqs = st.integers(1, 2**63)
new_frames = st.builds(
    NewFrame,
    received_ns=u64,
    meta=st.binary(max_size=40),
    payload=st.one_of(
        st.binary(max_size=120),
        # What a search looks at: magics, zeros, small numbers.
        st.lists(st.sampled_from([b"\xf1LBb", bytes(6), b"\x01\0\0\0\0\0\0\0"]), max_size=12).map(
            b"".join
        ),
    ),
)
batches = st.lists(st.lists(new_frames, max_size=4), max_size=5)


def segment_of(
    key: SegmentKey, written: list[list[NewFrame]], first_seq: int
) -> tuple[bytes, list[Frame]]:
    data = bytes(HEADER_BYTES)
    frames: list[Frame] = []
    for batch in written:
        seq = first_seq + len(frames)
        packed, _ = pack_batch(key, batch, first_seq=seq, durable_offset=len(data))
        assert len(packed) == Bounds().check_frames("s", batch)
        data += packed
        frames += [
            Frame(seq + index, new.received_ns, new.meta, new.payload)
            for index, new in enumerate(batch)
        ]
    return data, frames


@given(
    st.builds(
        SegmentHeader,
        stream=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=32),
        ordinal=u64,
        segment_id=ids,
        first_seq=u64.map(lambda seq: seq | 1 << 63),
        previous_id=ids,
        previous_end=u64,
        created_ns=u64,
        kept_from=st.integers(0, 1 << 63),
        passed_from=st.integers(0, 1 << 63),
    )
)
def test_a_header_comes_back_as_it_was(header: SegmentHeader) -> None:
    assert unpack_header(pack_header(header) + b"what follows") == header


@given(ids, seqs, new_frames, st.binary(max_size=20), st.binary(max_size=20))
def test_a_frame_comes_back_as_it_was(
    segment_id: bytes, seq: int, new: NewFrame, before: bytes, behind: bytes
) -> None:
    key = SegmentKey(segment_id)
    data = before + pack_frame(key, seq, new) + behind
    found = frame_at(data, len(before), len(data), key)
    assert found is not None
    assert found.end == len(data) - len(behind)
    assert frame_of(data, found) == Frame(seq, new.received_ns, new.meta, new.payload)


@given(ids, seqs, new_frames, st.data())
def test_no_frame_verifies_with_a_bit_flipped_or_an_end_cut(
    segment_id: bytes, seq: int, new: NewFrame, data: st.DataObject
) -> None:
    key = SegmentKey(segment_id)
    frame = pack_frame(key, seq, new)
    place = data.draw(st.integers(0, len(frame) * 8 - 1))
    damaged = bytearray(frame)
    damaged[place // 8] ^= 1 << (place % 8)
    assert frame_at(bytes(damaged) + bytes(300), 0, len(frame) + 300, key) is None
    assert frame_at(frame[: place // 8], 0, place // 8, key) is None


@given(ids, ids, seqs, st.lists(new_frames, max_size=3))
def test_nothing_verifies_under_the_id_of_another_segment(
    one: bytes, other: bytes, seq: int, frames: list[NewFrame]
) -> None:
    packed, starts = pack_batch(SegmentKey(one), frames, first_seq=seq, durable_offset=HEADER_BYTES)
    data = bytes(HEADER_BYTES) + packed
    for key, is_own in ((SegmentKey(one), True), (SegmentKey(other), one == other)):
        assert (batch_at(data, HEADER_BYTES, len(data), key) is not None) == is_own
        for start in starts:
            assert (frame_at(data, HEADER_BYTES + start, len(data), key) is not None) == is_own


@given(ids, st.integers(1, 2**40), batches)
def test_a_walk_finds_what_was_written(
    segment_id: bytes, first_seq: int, written: list[list[NewFrame]]
) -> None:
    key = SegmentKey(segment_id)
    data, frames = segment_of(key, written, first_seq)
    items = list(
        walk(
            data,
            key,
            end=len(data),
            first_seq=first_seq,
            next_seq=first_seq + len(frames),
        )
    )
    assert [frame_of(data, item) for item in items if isinstance(item, FrameAt)] == frames
    assert [item for item in items if isinstance(item, Gap)] == []


@settings(max_examples=300)
@given(ids, st.integers(1, 2**40), batches, st.data())
def test_a_walk_past_damage_gives_every_frame_it_did_not_touch_and_names_the_others(
    segment_id: bytes, first_seq: int, written: list[list[NewFrame]], data: st.DataObject
) -> None:
    key = SegmentKey(segment_id)
    whole, frames = segment_of(key, written, first_seq)
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3)) if len(whole) > HEADER_BYTES else 0):
        start = data.draw(st.integers(HEADER_BYTES, len(whole) - 1))
        length = data.draw(st.integers(1, 80))
        noise = data.draw(st.binary(min_size=length, max_size=length))[: len(whole) - start]
        damaged[start : start + len(noise)] = noise
    touched = {index for index in range(len(whole)) if whole[index] != damaged[index]}
    items = list(
        walk(
            bytes(damaged),
            key,
            end=len(whole),
            first_seq=first_seq,
            next_seq=first_seq + len(frames),
        )
    )
    found = {frame_of(whole, item).seq: item for item in items if isinstance(item, FrameAt)}
    by_seq = {frame.seq: frame for frame in frames}
    assert all(frame_of(bytes(damaged), item) == by_seq[seq] for seq, item in found.items())
    lost = set(by_seq) - set(found)
    sound = {
        item.seq: item
        for item in walk(whole, key, end=len(whole), first_seq=first_seq)
        if isinstance(item, FrameAt)
    }
    assert lost == {
        seq for seq, item in sound.items() if touched & set(range(item.offset, item.end))
    }
    gaps = [item for item in items if isinstance(item, Gap)]
    assert bool(gaps) == bool(touched)
    covered = {index for gap in gaps for index in range(gap.offset, gap.offset + gap.length)}
    assert touched <= covered
    named: set[int] = set()
    for gap in gaps:
        if gap.first_seq is not None:
            assert gap.last_seq is not None
            named |= set(range(gap.first_seq, gap.last_seq + 1))
    assert named == lost


@given(ids, st.binary(max_size=600), st.one_of(st.none(), seqs))
def test_noise_is_one_gap(segment_id: bytes, noise: bytes, first_seq: int | None) -> None:
    data = bytes(HEADER_BYTES) + noise
    items = list(walk(data, SegmentKey(segment_id), end=len(data), first_seq=first_seq))
    assert [(item.offset, item.length) for item in items if isinstance(item, Gap)] == (
        [(HEADER_BYTES, len(noise))] if noise else []
    )
    assert all(isinstance(item, Gap) for item in items)


@given(ids, st.integers(1, 5), st.integers(0, 2 * BATCH_BYTES))
def test_what_is_missing_at_the_end_is_named(segment_id: bytes, count: int, missing: int) -> None:
    key = SegmentKey(segment_id)
    data, _ = segment_of(key, [[NewFrame(1, b"", b"x")] * count], 1)
    items = list(
        walk(data, key, end=len(data) + missing, first_seq=1, next_seq=count + 1 + (missing > 0))
    )
    gaps = [item for item in items if isinstance(item, Gap)]
    expected = [(len(data), missing, count + 1, count + 1)] if missing else []
    assert [(gap.offset, gap.length, gap.first_seq, gap.last_seq) for gap in gaps] == expected
