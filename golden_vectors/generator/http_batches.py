"""Exchanges of batches: records in lines, an answer on each."""

import struct
import zlib

from golden_vectors.generator.bodies import text
from golden_vectors.generator.files import VectorFile
from golden_vectors.generator.http_records import (
    DEGRADED,
    RING,
    Records,
    bearer,
    everything,
    signed,
)
from golden_vectors.generator.http_talk import (
    JSON,
    NDJSON,
    STATUS,
    decision_of,
    problem,
    rule,
    talk,
)

from fractal_lba.protocol import content_digest, parse_record


def decided_line(body: bytes, received: int, *, is_replayed: bool = False) -> str:
    """Return the answer to a line that is decided."""
    _, status, decided = decision_of(body)
    replayed = ',"replayed":true' if is_replayed else ""
    receipt = rule("timestamp", f"received-{received}")
    return f'{{"status":{status},"body":{decided}{replayed},"received_at":"{receipt}"}}\n'


def refused_line(code: str, called: str, **members: str) -> str:
    """Return the answer to a line that is refused."""
    later = f',"retry_after":{rule("seconds")}' if STATUS[code] == 429 else ""  # noqa: PLR2004
    return f'{{"status":{STATUS[code]},"body":{problem(code, called, members)}{later}}}\n'


def stored_gzip(data: bytes) -> bytes:
    """Return a gzip member of one stored block: every deflate writes the same."""
    block = b"\x01" + struct.pack("<HH", len(data), len(data) ^ 0xFFFF) + data
    end = struct.pack("<II", zlib.crc32(data), len(data))
    return bytes.fromhex("1f8b08000000000000ff") + block + end


def raw_zstd(data: bytes) -> bytes:
    """Return a zstd frame of one raw block (RFC 8878, section 3.1.1)."""
    size = struct.pack("<I", len(data))
    block = struct.pack("<I", len(data) << 3 | 1)[:3]
    return bytes.fromhex("28b52ffd") + b"\xa0" + size + block + data


def add_batches(made: VectorFile, records: Records) -> None:
    """Add batches: mixed lines, compressed ones, and such as are refused as a whole."""
    with talk(made, "lines of every kind", "Batch", RING) as case:
        first, escalated, wrong = records(), records(ft=DEGRADED), records(D_hat=1.5)
        body, other = signed(first), signed({**first, "seed": 43})
        unknown = text({**records(), "kid": "nobody"})
        lines = [body, signed(escalated), b"", b"{}\r", b"{", body, other, unknown, signed(wrong)]
        called = case.called
        answered = [
            decided_line(body, 1),
            decided_line(signed(escalated), 1),
            refused_line("malformed_json", called, reason="blank_line"),
            refused_line("malformed_json", called, reason="carriage_return"),
            refused_line("malformed_json", called, reason="syntax"),
            decided_line(body, 1, is_replayed=True),
            refused_line(
                "pcs_id_conflict",
                called,
                pcs_id=parse_record(body).pcs_id,
                first_content_digest=content_digest(parse_record(body).members),
                content_digest=content_digest(parse_record(other).members),
                first_received_at=rule("timestamp", "received-1"),
            ),
            refused_line("unknown_key", called, reason="unknown_key", member="kid"),
            decided_line(signed(wrong), 1),
        ]
        case.told(case.batch(lines), 200, "".join(answered), NDJSON)
        case.decides(signed(escalated), 202, first=1)
    with talk(made, "one line, with its line feed", "Batch", RING) as case:
        body = signed(records())
        case.told(case.batch(body + b"\n"), 200, decided_line(body, 1), NDJSON)
    with talk(made, "a line of 65,537 bytes, and one behind it", "Batch", RING) as case:
        body = signed(records())
        told = refused_line("too_large", case.called) + decided_line(body, 1)
        case.told(case.batch([b" " * 65_537, body]), 200, told, NDJSON)
    with talk(made, "another tenant's token: on the lines", "Batch", RING) as case:
        mismatch = refused_line("tenant_mismatch", case.called, reason="tenant_mismatch")
        told = decided_line(signed(own := records("globex")), 1) + mismatch
        headers = {"Authorization": bearer(everything("globex"))}
        lines = [signed(own), signed(records())]
        case.told(case.batch(lines, **headers), 200, told, NDJSON)
    quota = {"tenant_records_per_day": "1"}
    with talk(made, "over the tenant's quota: on the line", "Batch", RING, **quota) as case:
        bodies = [signed(records()), signed(records())]
        told = decided_line(bodies[0], 1) + refused_line("quota_exceeded", case.called)
        case.told(case.batch([*bodies, bodies[0]]), 200, told + decided_again(bodies[0]), NDJSON)
    for encoding, packed in (("gzip", stored_gzip), ("zstd", raw_zstd)):
        with talk(made, encoding, "Batch", RING) as case:
            bodies = [signed(records()), signed(records(ft=DEGRADED))]
            asked = case.batch(packed(b"\n".join(bodies)), Content_Encoding=encoding)
            case.told(asked, 200, "".join(decided_line(each, 1) for each in bodies), NDJSON)
        frame = packed(signed(records()))
        for comment, sent, why in (
            ("cut", frame[:-5], "truncated_stream"),
            ("with a byte behind it", frame + b"\n", "trailing_bytes"),
            ("that is none", b"no stream", "broken_stream"),
        ):
            with talk(made, f"{encoding} {comment}", "Batch", RING) as case:
                asked = case.batch(sent, Content_Encoding=encoding)
                case.refuses(asked, "bad_encoding", {"reason": why})
    with talk(made, "no line", "Batch", RING) as case:
        case.refuses(case.batch(b""), "malformed_json", {"reason": "empty_batch"})
    with talk(made, "10,001 lines", "Batch", RING) as case:
        case.refuses(case.batch(b"\n" * 10_001), "too_large", {"reason": "too_many_records"})
    with talk(made, "16,777,217 bytes announced, none sent", "Batch", RING) as case:
        case.refuses(case.batch(b"", Content_Length="16777217"), "too_large")
    for comment, headers in (
        ("JSON as a batch", {"Content_Type": JSON}),
        ("brotli", {"Content_Encoding": "br"}),
        ("two encodings", {"Content_Encoding": "gzip, gzip"}),
    ):
        with talk(made, comment, "Batch", RING) as case:
            case.refuses(case.batch(b"{}", **headers), "unsupported_media_type")


def decided_again(body: bytes) -> str:
    """Return the answer to a line that repeats one of its own batch."""
    return decided_line(body, 1, is_replayed=True)
