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
    charges: dict[tuple[str, int], tuple[int, int]] = {}
    for each, payload, (seq, position) in zip(entries, payloads, placed, strict=True):
        entry = each.entry
        if not isinstance(entry, Decision):
            frame = Frame(seq, each.received_ns, META, payload)
            remembered.append(put_entry(index, each.key, entry, frame, position))
            continue
        segment, offset = position
        known = Known(
            content_digest=entry.content_digest,
            received_ns=each.received_ns,
            place=Place(seq=seq, segment=segment, offset=offset),
            status=entry.status,
            summary=summary_of(entry.record),
            size=len(entry.record),
            kept=entry.kept,
        )
        decisions.append((each.key, known))
        remembered.append(known)
        day = (entry.tenant, day_of(each.received_ns))
        records, size = charges.get(day, (0, 0))
        charges[day] = records + 1, size + len(entry.record)
    for (tenant, number), (records, size) in charges.items():
        index.charge(tenant, number, Usage(records=records, bytes=size))
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
