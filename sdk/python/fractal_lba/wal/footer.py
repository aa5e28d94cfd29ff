"""Seal a segment: what stands behind its last batch once nothing follows in it.

::

    0       4        8       12          20         28       36          44
    | magic | crc32c | whole | first seq | next seq | offset | sealed_ns |

``whole`` is the CRC-32C of every byte before the footer, ``offset`` how many these are. The frames
are those from ``first seq`` to before ``next seq``; both are masked like the numbers of frames.
``crc32c`` covers the segment's id and everything behind itself, so that no payload holds a footer
and none of another segment counts.

The footer says by itself what the file held: a copy of it can be checked alone, and one that was
cut short no longer ends in it. It is written when everything before it is durable.
"""

import struct
from typing import Final, NamedTuple

from crc32c import crc32c

from fractal_lba.wal.framing import HEADER_BYTES, SegmentKey

FOOTER_MAGIC: Final = b"\xf1LBf"
_FOOTER: Final = struct.Struct("<4sI")
_BODY: Final = struct.Struct("<IQQQQ")
FOOTER_BYTES: Final = _FOOTER.size + _BODY.size


class FooterAt(NamedTuple):
    """A footer and where it stands.

    ``whole`` is the CRC-32C of everything before ``offset``, ``sealed_ns`` in nanoseconds since
    1970. ``next_seq`` is of the frame that would have come next.
    """

    offset: int
    whole: int
    first_seq: int
    next_seq: int
    sealed_ns: int

    @property
    def end(self) -> int:
        """Return where the segment ends."""
        return self.offset + FOOTER_BYTES


def pack_footer(key: SegmentKey, footer: FooterAt) -> bytes:
    """Return the ``FOOTER_BYTES`` bytes that end a segment."""
    body = _BODY.pack(
        footer.whole,
        footer.first_seq ^ key.mask,
        footer.next_seq ^ key.mask,
        footer.offset,
        footer.sealed_ns,
    )
    return FOOTER_MAGIC + crc32c(body, key.crc).to_bytes(4, "little") + body


def footer_at(
    data: bytes, offset: int, end: int, key: SegmentKey, *, base: int = 0
) -> FooterAt | None:
    """Return the footer at ``offset`` when it stands whole below ``end`` and verifies.

    ``base`` is where in the segment ``data`` begins.
    """
    if offset < 0 or base + offset < HEADER_BYTES or end - offset < FOOTER_BYTES:
        return None
    magic, crc = _FOOTER.unpack_from(data, offset)
    body = data[offset + _FOOTER.size : offset + FOOTER_BYTES]
    if magic != FOOTER_MAGIC or crc32c(body, key.crc) != crc:
        return None
    whole, first_seq, next_seq, own_offset, sealed_ns = _BODY.unpack(body)
    first_seq, next_seq = first_seq ^ key.mask, next_seq ^ key.mask
    if own_offset != base + offset or first_seq > next_seq:
        return None
    return FooterAt(base + offset, whole, first_seq, next_seq, sealed_ns)
