"""What the server keeps of a record, as a document: what GET and every export line show."""

from typing import Any

import msgspec

from fractal_lba.protocol.errors import CorruptionError
from fractal_lba.server.core.answer import timestamp
from fractal_lba.server.core.entry import Decision, Resolution
from fractal_lba.server.core.known import Known, RecordKey
from fractal_lba.server.ports import Decisions


async def stored_document(decisions: Decisions, key: RecordKey, known: Known) -> dict[str, Any]:
    """Return record, outcome, receipt, conflicts and resolutions of a known id.

    Raises:
        CorruptionError: The bytes do not verify, or are another record's: the index is derived, and
            no document is better than somebody else's.
        DurabilityError: The disk failed.
    """
    entry = await decisions.entry(key, known.place)
    if not isinstance(entry, Decision) or key != (entry.tenant, entry.family, entry.pcs_id):
        raise CorruptionError("index: expected the decision of this id, got another entry")
    resolutions = []
    for each in known.resolutions:
        resolution = await decisions.entry(key, each.place)
        if not isinstance(resolution, Resolution) or key != (
            resolution.tenant,
            resolution.family,
            resolution.pcs_id,
        ):
            raise CorruptionError("index: expected a resolution of this id, got another entry")
        resolutions.append(
            {"note": resolution.note, "who": resolution.who, "at": timestamp(each.received_ns)}
        )
    return {
        "record": msgspec.Raw(entry.record),
        "outcome": msgspec.Raw(entry.answer),
        "received_at": timestamp(known.received_ns),
        "tier": "warm",
        "conflicts": [
            {
                "content_digest": conflict.content_digest,
                "received_at": timestamp(conflict.received_ns),
            }
            for conflict in known.conflicts
        ],
        "resolutions": resolutions,
    }
