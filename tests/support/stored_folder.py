"""A data folder written without a server: entries of a ledger, its index, bodies and marks.

What stands in it is chosen entry by entry, so that a test can put there what no server would.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from tests.support.failing_disk import FailingDisk
from tests.support.legacy import OLD, OLD_LAB
from tests.support.legacy import signed as old_signed
from tests.support.signed import ACME, body

from fractal_lba.protocol import (
    IN_FORCE,
    Keyring,
    authenticate,
    decision_body,
    judge_any,
    stored_bytes_of,
)
from fractal_lba.server.core import entry as entries
from fractal_lba.server.core import inbox_frame, names
from fractal_lba.server.core.entry import Conflict, Decision, Entry, Resolution
from fractal_lba.server.core.inbox_frame import Received
from fractal_lba.server.core.known import family_of
from fractal_lba.server.core.problems import Report
from fractal_lba.server.core.ring import ShardSpec
from fractal_lba.server.storage import data_folder
from fractal_lba.server.storage.data_folder import ShardSet
from fractal_lba.server.storage.fsck import check_folder
from fractal_lba.server.storage.index import LmdbIndex
from fractal_lba.server.storage.replay import open_shard
from fractal_lba.wal import Disk, NewFrame, RealDisk, Stream

RING: Final = Keyring(keys={each.kid: each.key for each in (ACME, OLD, OLD_LAB)}, tokens={})
SHARD: Final = "shard-0"
SPEC: Final = ShardSpec(name=SHARD)
INBOX: Final = "inbox-0"
MAP_BYTES: Final = 1 << 22
_RECEIVED_NS: Final = 1_793_534_400_000_000_000


def decided(version: str = "1.0", epoch: int = 1, **changes: Any) -> Decision:  # noqa: ANN401 - members of a record
    """Return the decision a server would append, whatever its outcome."""
    if version == "1.0":
        sent = body(epoch, **changes)
    else:
        sent = json.dumps(old_signed(epoch, **changes)).encode()
    found = authenticate(sent, RING, legacy_tenant="default")
    outcome = judge_any(found.record, IN_FORCE)
    family = family_of(version)
    assert family is not None
    return Decision(
        tenant=found.tenant,
        family=family,
        pcs_id=found.record.pcs_id,
        record_digest=found.record_digest,
        content_digest=found.content_digest,
        kid=found.key.kid,
        params_version=outcome.params_version,
        region="local",
        status=outcome.status,
        answer=decision_body(
            pcs_id=found.record.pcs_id, record_digest=found.record_digest, outcome=outcome
        ),
        record=stored_bytes_of(found.record),
    )


def evidence(decision: Decision) -> Conflict:
    """Return a conflict that holds a decision's own record."""
    shared = ("tenant", "family", "pcs_id", "record_digest", "content_digest", "kid", "record")
    return Conflict(**{name: getattr(decision, name) for name in shared})


def conflicting(epoch: int = 1) -> Conflict:
    """Return the evidence of another content under the id of an epoch."""
    return evidence(decided(epoch=epoch, n=65))


def resolved(decision: Decision) -> Resolution:
    """Return a resolution of a decision."""
    return Resolution(
        tenant=decision.tenant,
        family=decision.family,
        pcs_id=decision.pcs_id,
        note="looked at",
        who="operator",
    )


def whole() -> list[Entry]:
    """Return a sound ledger of every kind of entry."""
    escalated = decided(epoch=3, regime="sticky")
    return [
        decided(epoch=1),
        decided(epoch=2, D_hat=3.0),
        escalated,
        conflicting(1),
        decided("0.1", epoch=4),
        resolved(escalated),
        decided(epoch=5, regime="sticky"),
    ]


@dataclass
class StoredFolder:
    """A data folder of one shard and one inbox.

    Attributes:
        disk: Passes no sync on: nothing here loses power.
        others: Shards that the set names beside its own.
    """

    data: Path
    disk: Disk = field(default_factory=lambda: FailingDisk(RealDisk()))
    others: tuple[ShardSpec, ...] = ()

    @property
    def shard(self) -> Path:
        return self.data / SHARD

    @property
    def ledger(self) -> Path:
        return self.shard / names.LEDGER

    @property
    def index(self) -> Path:
        return self.shard / names.INDEX

    @property
    def shards(self) -> ShardSet:
        made = data_folder.check(self.data, [SPEC])
        return msgspec.structs.replace(made, shards=(*made.shards, *self.others))

    def create(self, found: Sequence[Entry] | None = None) -> "StoredFolder":
        """Make it, with these entries (by default of every kind), a few bodies and their marks."""
        data_folder.create(self.disk, self.data, [SPEC])
        self.append(whole() if found is None else found)
        self.replay()
        self.receive()
        return self

    def append(self, found: Sequence[Entry], *, skip_to: int | None = None) -> None:
        """Append entries to the ledger alone, in a segment of their own."""
        with_meta = [(entries.META, entries.encode_entry(each)) for each in found]
        self.append_raw(with_meta, skip_to=skip_to)

    def append_raw(
        self, frames: Sequence[tuple[bytes, bytes]], *, skip_to: int | None = None
    ) -> None:
        """Append frames, each a meta block and a payload, to the ledger."""
        stream = self._open(self.ledger, f"{SHARD}/{names.LEDGER}")
        if skip_to is not None:
            stream.skip_to(skip_to)
        for number, (meta, payload) in enumerate(frames, stream.next_seq):
            stream.append([NewFrame(received_ns=_RECEIVED_NS + number, meta=meta, payload=payload)])
        stream.close()

    def replay(self) -> None:
        """Bring the index up to the ledger as a start does."""
        files = open_shard(
            self.disk,
            self.shard,
            segment_bytes_max=1 << 20,
            map_bytes=MAP_BYTES,
            data_id=self.shards.data_id,
        )
        files.index.close()
        files.stream.close()

    def receive(self) -> None:
        """Append two bodies to the inbox, a mark for one, and a mark for the other."""
        for seq in (1, 2):
            self.append_inbox(inbox_frame.encode_received(Received()), body(seq))
        self.append_inbox(*inbox_frame.encode_finished([1]))
        self.append_inbox(*inbox_frame.encode_finished([2], is_refused=True))

    def append_inbox(self, meta: bytes, payload: bytes) -> None:
        """Append one frame to the inbox."""
        stream = self._open(self.data / INBOX, INBOX)
        stream.append([NewFrame(received_ns=_RECEIVED_NS, meta=meta, payload=payload)])
        stream.close()

    def opened(self) -> LmdbIndex:
        """Open the index to change it; the caller closes it."""
        return LmdbIndex(self.index, map_bytes=MAP_BYTES, data_id=self.shards.data_id)

    def segments(self, stream: str = f"{SHARD}/{names.LEDGER}") -> list[Path]:
        """Return the segment files of a stream, oldest first."""
        return sorted((self.data / stream).glob("*.seg"))

    def check(self, keyring: Keyring | None = None) -> Report:
        """Check it as ``fsck`` does."""
        return check_folder(
            self.disk, self.data, shards=self.shards, map_bytes=MAP_BYTES, keyring=keyring
        )

    def _open(self, folder: Path, name: str) -> Stream:
        return Stream.open(
            self.disk,
            folder,
            name,
            segment_bytes_max=names.INBOX_SEGMENT_BYTES_MIN,
            frame_bytes_max=names.FRAME_BYTES_MAX,
        )
