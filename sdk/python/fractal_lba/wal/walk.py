"""Walk through a segment's bytes and past damage, in time linear in their length.

Nothing is trusted before its checksum. Where bytes do not verify, the walk goes on at the next
batch header or frame that does: batch headers are found by their magic, frames by the sequence
numbers that are still missing, as they are stored (masked by the segment's id, so that no payload
can hold them). Everything that could not be read is yielded as a ``Gap``.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Final

from fractal_lba.wal.footer import FOOTER_BYTES, FooterAt, footer_at
from fractal_lba.wal.framing import (
    BATCH_BYTES,
    BATCH_MAGIC,
    FRAME_BYTES,
    FRAME_SEQ_AT,
    HEADER_BYTES,
    SEQ_MAX,
    BatchAt,
    FrameAt,
    SegmentKey,
    batch_at,
    claimed_size,
    frame_at,
)

_SEARCH_FACTOR: Final = 8
"""A search sums at most this many times the bytes it searches.

Only who knows the segment's id can place more than a few false starts, and with it could forge
whole frames; the bound keeps even that from stopping a recovery.
"""
_SEARCH_FLOOR_BYTES: Final = 1 << 16
_BLOCK_BITS: Final = 16
"""Sequence numbers that differ only in their lowest bits share the bytes that are searched for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Bytes that do not verify, and the frames lost in them.

    ``length`` is 0 where frames are missing and no bytes are. ``first_seq`` and ``last_seq`` are
    ``None`` where no frame is lost or nothing tells which.
    """

    offset: int
    length: int
    first_seq: int | None
    last_seq: int | None
    what: str


@dataclass(frozen=True, slots=True)
class _Region:
    """Bytes in which frames should stand.

    ``expected`` is the first seq it may hold (``None``: unknown, it cannot be searched), ``until``
    the first one beyond it, where that is known.
    """

    offset: int
    stop: int
    expected: int | None
    until: int | None


Walked = BatchAt | FooterAt | FrameAt | Gap


def walk(
    data: bytes, key: SegmentKey, *, end: int, first_seq: int | None, next_seq: int | None = None
) -> Iterator[Walked]:
    """Yield what a segment holds between its header and ``end``, in the order of offsets.

    Args:
        data: The segment from its first byte on.
        key: Of the segment.
        end: Where its batches end; more than ``data`` holds means that bytes are missing.
        first_seq: Of its first frame; ``None`` when the header is damaged and nothing else tells.
        next_seq: Of the first frame after ``end``, where that is known.
    """
    stop = min(end, len(data))
    # Nothing follows a footer: it stands at the end or nowhere.
    footer = footer_at(data, stop - FOOTER_BYTES, stop, key)
    batches = (
        _Region(HEADER_BYTES, stop, first_seq, next_seq)
        if footer is None
        else _Region(HEADER_BYTES, footer.offset, first_seq, footer.next_seq)
    )
    expected = yield from _walk_batches(data, key, batches)
    if footer is not None:
        if expected is not None and expected < footer.next_seq:
            yield _missing(footer.offset, 0, expected, footer.next_seq)
        yield footer
        expected = footer.next_seq
    is_short = next_seq is not None and (expected is None or expected < next_seq)
    if is_short or end > stop:
        yield _missing(stop, end - stop, expected, next_seq)


def _walk_batches(
    data: bytes, key: SegmentKey, region: _Region
) -> Generator[BatchAt | FrameAt | Gap, None, int | None]:
    """Yield the batches of a region with what is in them; return the seq that follows."""
    offset, stop, expected, next_seq = region.offset, region.stop, region.expected, region.until
    while offset < stop:
        batch = batch_at(data, offset, stop, key)
        if batch is None or (expected is not None and batch.first_seq < expected):
            batch = _find_batch(data, key, _Region(offset, stop, expected, next_seq))
            region_end, until = (
                (stop, next_seq) if batch is None else (batch.offset, batch.first_seq)
            )
            if expected is None and batch is not None:
                expected = max(1, batch.first_seq - _frames_max(region_end - offset))
            expected = yield from _salvage(data, key, _Region(offset, region_end, expected, until))
            offset = region_end
            continue
        if expected is not None and batch.first_seq > expected:
            yield _missing(offset, 0, expected, batch.first_seq)
        yield batch
        until = batch.first_seq + batch.frames
        expected = yield from _salvage(
            data,
            key,
            _Region(offset + BATCH_BYTES, min(batch.end, stop), batch.first_seq, until),
        )
        offset = batch.end
    return expected


def _salvage(
    data: bytes, key: SegmentKey, region: _Region
) -> Generator[FrameAt | Gap, None, int | None]:
    """Yield the sound frames in a region and the gaps between them; return the seq that follows."""
    until = region.until
    expected = region.expected
    offset = region.offset
    while offset < region.stop:
        found = _next_frame(data, key, replace(region, offset=offset, expected=expected))
        start = region.stop if found is None else found.offset
        following = until if found is None else found.seq
        if start > offset:
            yield Gap(
                offset=offset,
                length=start - offset,
                what="bytes do not verify",
                **_lost(expected, following),
            )
        elif expected is not None and following is not None and expected < following:
            yield _missing(offset, 0, expected, following)
        if found is None:
            return expected if until is None else until
        yield found
        expected = found.seq + 1
        offset = found.end
    if until is not None and expected is not None and expected < until:
        yield _missing(region.stop, 0, expected, until)
        return until
    return expected


def _find_batch(data: bytes, key: SegmentKey, region: _Region) -> BatchAt | None:
    """Return the first sound batch header after a region's first byte that can follow."""
    at = data.find(BATCH_MAGIC, region.offset + 1, region.stop)
    while at != -1:
        batch = batch_at(data, at, region.stop, key)
        if batch is not None and (
            region.expected is None
            or 0 <= batch.first_seq - region.expected <= _frames_max(at - region.offset)
        ):
            return batch
        at = data.find(BATCH_MAGIC, at + 1, region.stop)
    return None


def _next_frame(data: bytes, key: SegmentKey, region: _Region) -> FrameAt | None:
    """Return the first sound frame of a region."""
    offset, stop, expected = region.offset, region.stop, region.expected
    if expected is None:
        return None
    last = min(expected + _frames_max(stop - offset), SEQ_MAX)
    if region.until is not None:
        last = min(last, region.until - 1)
    found = frame_at(data, offset, stop, key)
    if found is not None and expected <= found.seq <= last:
        return found
    budget = _SEARCH_FACTOR * (stop - offset) + _SEARCH_FLOOR_BYTES
    # Later frames have higher numbers, so the first block with a hit has the first frame.
    for block in range(expected >> _BLOCK_BITS, (last >> _BLOCK_BITS) + 1):
        needle = key.stored(block << _BLOCK_BITS)[_BLOCK_BITS // 8 :]
        ahead = FRAME_SEQ_AT + _BLOCK_BITS // 8
        at = data.find(needle, offset + 1 + ahead, stop)
        while at != -1:
            start = at - ahead
            if stop - start >= FRAME_BYTES and (size := claimed_size(data, start)) <= stop - start:
                budget -= size
                if budget < 0:
                    return None
                found = frame_at(data, start, stop, key)
                if found is not None and expected <= found.seq <= last:
                    return found
            at = data.find(needle, at + 1, stop)
    return None


def _frames_max(length: int) -> int:
    """Return how many frames could stand in this many bytes."""
    return length // FRAME_BYTES


def _lost(expected: int | None, until: int | None) -> dict[str, int | None]:
    """Return the range of lost seqs as members of a gap."""
    if expected is not None and until is not None and expected >= until:
        return {"first_seq": None, "last_seq": None}
    return {"first_seq": expected, "last_seq": None if until is None else until - 1}


def _missing(offset: int, length: int, expected: int | None, until: int | None) -> Gap:
    return Gap(offset=offset, length=length, what="bytes are missing", **_lost(expected, until))
