"""What an index is given, all of it different."""

from fractal_lba.server.core.known import Known, KnownConflict, Place, RecordKey
from fractal_lba.server.core.listing import Summary
from fractal_lba.server.storage.index_state import Checkpoint


def key(n: int, tenant: str = "acme", family: str = "1.x") -> RecordKey:
    return RecordKey(tenant, family, f"{n:064x}")


def known(n: int, conflicts: int = 0) -> Known:
    def place(seq: int) -> Place:
        return Place(seq=seq, segment=3, offset=216 + seq)

    return Known(
        content_digest=f"{n:064x}",
        received_ns=2**60 + n,
        place=place(n),
        status=(200, 202, 422)[n % 3],
        summary=Summary(version="1.0", shard_id=f"press-{n % 2}", epoch=n // 2, regime="mixed"),
        conflicts=tuple(
            KnownConflict(content_digest=f"{c:064x}", received_ns=c, place=place(n + c))
            for c in range(conflicts)
        ),
    )


def at(seq: int) -> Checkpoint:
    return Checkpoint(seq=seq, segment=1, segment_first_seq=1, payload_crc32c=seq)
