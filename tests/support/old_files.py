"""Files of a data folder as an earlier release wrote them, from the layouts of ``specs/``.

Nothing of the code under test is in here: segments, entries and marks are packed by hand, entries
in msgpack of this module's own. The ids, digests and answers of the records are given as text, as
they were once written.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from crc32c import crc32c

HEADER_BYTES: Final = 232
ENTRY_1: Final = struct.pack("<H", 1)
ENTRY_2: Final = struct.pack("<HBB", 2, 0, 1)


def packed(value: object) -> bytes:
    """Return a value in msgpack: what entries and bodies need of it."""
    match value:
        case None:
            return b"\xc0"
        case int():
            return b"\xcf" + struct.pack(">Q", value)
        case str():
            data = value.encode()
            return b"\xdb" + struct.pack(">I", len(data)) + data
        case bytes():
            return b"\xc6" + struct.pack(">I", len(value)) + value
        case dict():
            parts = [packed(each) for pair in value.items() for each in pair]
            return b"\xdf" + struct.pack(">I", len(value)) + b"".join(parts)
    raise AssertionError(type(value))


def entry(
    kind: str, members: Mapping[str, object], *, meta: bytes = ENTRY_1
) -> tuple[bytes, bytes]:
    """Return the meta block and the payload of an entry."""
    return meta, packed({"kind": kind, **members})


def segment(  # noqa: PLR0913 - each is a member of the header
    stream: str,
    frames: Sequence[tuple[bytes, bytes]],
    *,
    first_seq: int = 1,
    received_ns: int,
    ordinal: int = 1,
    previous: tuple[bytes, int] = (bytes(16), 0),
    format_version: int = 1,
    read_since: tuple[int, int] = (0, 1),
) -> tuple[str, bytes]:
    """Return a sealed segment, as its file's name and its bytes; one batch holds all frames."""
    own_id = bytes([ordinal]) * 16
    mask = int.from_bytes(own_id[:8], "little")
    seed = crc32c(own_id)
    preface = struct.pack("<8sHBB", b"\xf1FLBASEG", format_version, *read_since)
    preface += struct.pack("<I", crc32c(preface))
    rest = struct.pack(
        "<IQQ16s16sQQQQ128s",
        *(len(stream), ordinal, first_seq, own_id, *previous, received_ns, 1, first_seq),
        stream.encode(),
    )
    header = preface + struct.pack("<I", crc32c(rest, crc32c(preface))) + rest
    assert len(header) == HEADER_BYTES
    body = b""
    for seq, (meta, payload) in enumerate(frames, first_seq):
        length = struct.pack("<I", 18 + len(meta) + len(payload))
        inner = struct.pack("<QQH", seq ^ mask, received_ns + seq, len(meta)) + meta + payload
        body += length + struct.pack("<I", crc32c(inner, crc32c(length, seed))) + inner
    head = struct.pack("<IIQQ", len(body), len(frames), first_seq ^ mask, HEADER_BYTES)
    data = header + b"\xf1LBb" + struct.pack("<I", crc32c(head, seed)) + head + body
    footer = struct.pack(
        "<IQQQQ",
        *(crc32c(data), first_seq ^ mask, (first_seq + len(frames)) ^ mask, len(data), received_ns),
    )
    data += b"\xf1LBf" + struct.pack("<I", crc32c(footer, seed)) + footer
    return f"{ordinal:010d}-{own_id.hex()}.seg", data


def closed(
    stream: str, frames: Sequence[tuple[bytes, bytes]], *, received_ns: int
) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    """Return the segments of a stream that was closed: a sealed one, and an empty one behind it."""
    first = segment(stream, frames, received_ns=received_ns)
    second = segment(
        stream,
        [],
        received_ns=received_ns,
        ordinal=2,
        first_seq=1 + len(frames),
        previous=(bytes([1]) * 16, len(first[1])),
    )
    return first, (second[0], second[1][:HEADER_BYTES])


def write_stream(folder: Path, *segments: tuple[str, bytes]) -> None:
    """Put the segments of a stream into its folder."""
    folder.mkdir(parents=True, mode=0o700)
    for name, data in segments:
        (folder / name).write_bytes(data)


def write_shards(data: Path, *, format_version: int = 1, **members: object) -> None:
    """Write the shard set of one shard."""
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    document = {
        "format_version": format_version,
        "data_id": "ab" * 16,
        "ring_version": 1,
        "shards": [{"name": "shard-0", "weight": 1}],
        **members,
    }
    (data / "shards.json").write_text(json.dumps(document))
