"""Put into the index what was just appended to its ledger, all entries of a commit together."""

from collections.abc import Sequence

from crc32c import crc32c

from fractal_lba.server.core.entry import META, Decision
from fractal_lba.server.core.known import Known, Place, RecordKey
from fractal_lba.server.core.listing import summary_of
from fractal_lba.server.core.run import NewEntry
from fractal_lba.server.core.usage import Usage, day_of
from fractal_lba.server.storage.index_port import Index
from fractal_lba.server.storage.index_state import Checkpoint
from fractal_lba.server.storage.replay import put_entry
from fractal_lba.wal import Frame, PlacedFrames


def put_appended(
    index: Index, entries: Sequence[NewEntry], payloads: Sequence[bytes], placed: PlacedFrames
) -> list[Known]:
    """Put entries that are on disk, and return what is remembered of the id of each.

    A decision is the first of its id: whoever appended it looked that up, and kept the id occupied.

    Args:
        index: Of the ledger.
        entries: What was appended, in one batch.
        payloads: Their bytes.
        placed: Where each is.

    Raises:
        CorruptionError: A conflict or a resolution with no decision before it.
        DurabilityError: LMDB failed.
    """
    if not entries:
        return []
    last = index.checkpoint
    remembered: list[Known] = []
    decisions: list[tuple[RecordKey, Known]] = []
    charges: dict[tuple[str, int], list[int]] = {}
    for (key, entry, received_ns, _, summary), payload, (seq, position) in zip(
        entries, payloads, placed, strict=True
    ):
        if not isinstance(entry, Decision):
            frame = Frame(seq, received_ns, META, payload)
            remembered.append(put_entry(index, key, entry, frame, position))
            continue
        size = len(entry.record)
        known = Known(
            content_digest=entry.content_digest,
            received_ns=received_ns,
            place=Place(seq=seq, segment=position.segment, offset=position.offset),
            status=entry.status,
            summary=summary or summary_of(entry.record),
            size=size,
            kept=entry.kept,
        )
        decisions.append((key, known))
        remembered.append(known)
        charges.setdefault((key.tenant, day_of(received_ns)), []).append(size)
    for (tenant, day), sizes in charges.items():
        index.charge(tenant, day, Usage(records=len(sizes), bytes=sum(sizes)))
    seq, (segment, _) = placed[-1]
    is_same_segment = last is not None and last.segment == segment
    checkpoint = Checkpoint(
        seq=seq,
        segment=segment,
        segment_first_seq=last.segment_first_seq if last and is_same_segment else placed[0].seq,
        payload_crc32c=crc32c(payloads[-1]),
    )
    # Behind the others, whatever their order was: this checkpoint is of all of them.
    index.put_all(decisions, checkpoint)
    return remembered
