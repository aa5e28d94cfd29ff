"""The index: what is remembered of each id, in LMDB, derived from one ledger.

Entries are held in memory and committed together with the checkpoint up to which they are complete,
in LMDB's default, synchronous mode: after a power loss the file is a whole number of commits old,
and what the memory held is replayed from the ledger. No answer waits for such a commit.

Keys are ``tenant NUL family NUL pcs_id`` (the last as 32 bytes); values a msgpack array of decision
number, segment, offset, received_ns, content digest and the conflicts, behind a CRC-32C of key and
array: LMDB has no checksums, and a flipped bit must not turn a repeat into a conflict.
"""

import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import lmdb
import msgspec
from crc32c import crc32c

from fractal_lba.protocol.errors import CorruptionError, DurabilityError
from fractal_lba.server.core.known import Known, KnownConflict, Place, RecordKey

FORMAT_VERSION = 1

_KEY_TENANT_END = b"\x00"
_META_STATE = b"state"
_SEAL_BYTES = 4

_CHUNK_ENTRIES = 1_000
"""Read in one transaction of about a millisecond."""
_CHUNK_TRIES = 100
"""Each fails only if two commits, and their fsyncs, are done within that millisecond."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The last ledger entry that the index holds: number, segment, checksum of its payload.

    A replay begins at the first entry of that segment, ``segment_first_seq``.
    """

    seq: int
    segment: int
    segment_first_seq: int
    payload_crc32c: int


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is committed together with the entries.

    ``losses`` see ``ports.Shard``; up to the number ``accepted_seq`` the operator accepted them.
    """

    format_version: int = FORMAT_VERSION
    data_id: str | None = None
    checkpoint: Checkpoint | None = None
    losses: tuple[tuple[int, int], ...] = ()
    accepted_seq: int = 0


class _ConflictValue(msgspec.Struct, frozen=True, array_like=True):
    content_digest: bytes
    received_ns: int
    seq: int
    segment: int
    offset: int


class _Value(msgspec.Struct, frozen=True, array_like=True):
    seq: int
    segment: int
    offset: int
    received_ns: int
    content_digest: bytes
    conflicts: tuple[_ConflictValue, ...]


_UNREADABLE = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.VersionMismatchError,
    lmdb.BadTxnError,
)
"""What LMDB says of a file that is not sound, as opposed to a disk or a permission that is not."""

_VALUES = msgspec.msgpack.Decoder(_Value)
_STATES = msgspec.msgpack.Decoder(State)
_ENCODER = msgspec.msgpack.Encoder()


class LmdbIndex:
    """One shard's index.

    ``put`` and ``flush`` belong to the ledger's thread, ``lookup`` may run on any.

    Args:
        folder: Created if it is missing; one that LMDB or this version cannot read is discarded,
            since all of it can be rebuilt.
        map_bytes: Address space; doubled when it is full.
        data_id: Whose ledger it is derived from; one of another data folder is discarded. ``None``
            asks for none.
        is_read_only: Look only, and discard nothing; another process may be writing it.

    Raises:
        DurabilityError: The disk failed; or, read-only, the folder cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        *,
        map_bytes: int,
        data_id: str | None = None,
        is_read_only: bool = False,
    ) -> None:
        self._folder = folder
        self._data_id = data_id
        self._map_bytes = map_bytes
        self._is_read_only = is_read_only
        self._fresh: dict[RecordKey, Known] = {}
        self.is_damaged = False
        """Whether something was met that is not sound: what else is wrong nobody can tell."""
        self._checkpoint: Checkpoint | None = None
        self._losses: tuple[tuple[int, int], ...] = ()
        self._accepted_seq = 0
        self._env, self._records, self._meta = self._open()
        state = self._read_state()
        if state is not None:
            self._checkpoint, self._losses = state.checkpoint, state.losses
            self._accepted_seq = state.accepted_seq
        elif is_read_only:
            raise DurabilityError(
                f"index: expected a state of version {FORMAT_VERSION} and of this data folder,"
                " got another"
            )
        else:
            self.discard()

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The last entry put, committed or not; ``None`` where the index is empty."""
        return self._checkpoint

    @property
    def losses(self) -> tuple[tuple[int, int], ...]:
        """Ranges of decision numbers whose ids are unknown (see ``ports.Shard.losses``)."""
        return self._losses

    @property
    def unflushed(self) -> int:
        """How many entries are in memory only."""
        return len(self._fresh)

    def lookup(self, key: RecordKey) -> Known | None:
        """Return what is remembered under a key.

        Raises:
            CorruptionError: The value does not verify; the index ``is_damaged`` from now on.
            DurabilityError: LMDB failed.
        """
        fresh = self._fresh.get(key)
        if fresh is not None:
            return fresh
        try:
            with self._env.begin(db=self._records) as transaction:
                value = transaction.get(_key(key))
            return None if value is None else _known(_key(key), value)
        except CorruptionError:
            self.is_damaged = True
            raise
        except lmdb.Error as error:
            self.is_damaged = self.is_damaged or isinstance(error, _UNREADABLE)
            raise DurabilityError(
                f"index: expected an entry or none, got {type(error).__name__}"
            ) from error

    def put(self, key: RecordKey, known: Known, checkpoint: Checkpoint) -> None:
        """Remember an entry that is on disk in the ledger, and that everything up to it is."""
        self._fresh[key] = known
        self._checkpoint = checkpoint

    def lose(self, first_seq: int, last_seq: int) -> None:
        """Note that the ids of these numbers are not known; committed with the next ``flush``."""
        lost = (first_seq, last_seq)
        if last_seq > self._accepted_seq and lost not in self._losses:
            self._losses = (*self._losses, lost)

    def accept_losses(self) -> None:
        """Forget what is lost: the operator's word that those ids may be decided again."""
        self._accepted_seq = max([self._accepted_seq, *(last for _, last in self._losses)])
        self._losses = ()

    def flush(self) -> None:
        """Commit what is in memory, with its checkpoint.

        Raises:
            DurabilityError: LMDB failed; what was in memory still is.
        """
        fresh = self._fresh
        state = State(
            data_id=self._data_id,
            checkpoint=self._checkpoint,
            losses=self._losses,
            accepted_seq=self._accepted_seq,
        )
        while True:
            try:
                with self._env.begin(write=True) as transaction:
                    for key, known in fresh.items():
                        transaction.put(_key(key), _value(_key(key), known), db=self._records)
                    transaction.put(
                        _META_STATE, _sealed(_META_STATE, _ENCODER.encode(state)), db=self._meta
                    )
                break
            except lmdb.MapFullError:
                self._grow()
            except lmdb.Error as error:
                self.is_damaged = self.is_damaged or isinstance(error, _UNREADABLE)
                raise DurabilityError(
                    f"index: expected a commit, got {type(error).__name__}"
                ) from error
        # A new dict, not clear(): a lookup on another thread may be between its two steps.
        self._fresh = {}

    def _grow(self) -> None:
        try:
            self._env.set_mapsize(2 * self._map_bytes)
        except lmdb.Error as error:
            raise DurabilityError(
                f"index: expected {2 * self._map_bytes} bytes of address space, got none"
            ) from error
        self._map_bytes *= 2

    def discard(self) -> None:
        """Delete everything, to be rebuilt from the ledger."""
        self._env.close()
        shutil.rmtree(self._folder)
        self._fresh = {}
        self._checkpoint, self._losses, self._accepted_seq = None, (), 0
        self.is_damaged = False
        self._env, self._records, self._meta = self._open()

    def items(self) -> Iterator[tuple[RecordKey, Known]]:
        """Yield every committed entry, in key order; what is committed meanwhile may be missing.

        Raises:
            CorruptionError: A value does not verify.
            DurabilityError: LMDB failed.
        """
        chunk = self._chunk(b"")
        while chunk:
            for key, value in chunk:
                yield _record_key(key), _known(key, value)
            chunk = self._chunk(chunk[-1][0] + b"\x00")

    def _chunk(self, first: bytes) -> list[tuple[bytes, bytes]]:
        # A reader that must leave no trace takes no place in LMDB's lock file, and the writer may
        # take back the pages it reads. It does so in the third commit after the snapshot's: what
        # was read within the first two is whole.
        failure: lmdb.Error | None = None
        for _ in range(_CHUNK_TRIES):
            before = self._env.info()["last_txnid"]
            chunk: list[tuple[bytes, bytes]] = []
            failure = None
            try:
                with self._env.begin(db=self._records) as at, at.cursor() as cursor:
                    if cursor.set_range(first):
                        chunk = list(islice(cursor, _CHUNK_ENTRIES))
            except lmdb.MapResizedError as error:
                failure = error
                self._env.set_mapsize(0)  # as large as its writer has made it
                continue
            except lmdb.Error as error:
                failure = error
            if self._env.info()["last_txnid"] <= before + 1:
                if failure is None:
                    return chunk
                break
        got = "a commit in the middle of each read" if failure is None else type(failure).__name__
        raise DurabilityError(f"index: expected an entry, got {got}") from failure

    def close(self) -> None:
        """Commit and close."""
        if not self._is_read_only:
            self.flush()
        self._env.close()

    def _open(self) -> tuple[lmdb.Environment, lmdb._Database, lmdb._Database]:
        try:
            try:
                return self._open_once()
            except _UNREADABLE:
                if self._is_read_only:
                    raise
                shutil.rmtree(self._folder)
                return self._open_once()
        except (lmdb.Error, OSError) as error:
            raise DurabilityError(
                f"index: expected to open {self._folder.name}, got {error}"
            ) from error

    def _open_once(self) -> tuple[lmdb.Environment, lmdb._Database, lmdb._Database]:
        if not self._is_read_only:
            for folder in (self._folder.parent, self._folder):
                folder.mkdir(mode=0o700, exist_ok=True)
        env = lmdb.open(
            str(self._folder),
            map_size=self._map_bytes,
            max_dbs=2,
            mode=0o600,
            readonly=self._is_read_only,
            lock=not self._is_read_only,
        )
        try:
            pages = env.info()["last_pgno"] + 1
            if (self._folder / "data.mdb").stat().st_size < pages * env.stat()["psize"]:
                # The pages are mapped: touching one beyond the file's end would kill the process.
                raise lmdb.CorruptedError("data.mdb: expected every page, got a shorter file")
            return env, env.open_db(b"records"), env.open_db(b"meta")
        except lmdb.Error:
            env.close()
            raise

    def _read_state(self) -> State | None:
        try:
            with self._env.begin(db=self._meta) as transaction:
                value = transaction.get(_META_STATE)
            if value is None:
                return State(data_id=self._data_id)
            state = _STATES.decode(_unsealed(_META_STATE, value))
        except (lmdb.Error, CorruptionError, msgspec.DecodeError):
            return None
        if state.format_version != FORMAT_VERSION:
            return None
        if self._data_id is None:
            self._data_id = state.data_id
        return state if state.data_id == self._data_id else None


def _key(key: RecordKey) -> bytes:
    return _KEY_TENANT_END.join(
        (key.tenant.encode(), key.family.encode(), bytes.fromhex(key.pcs_id))
    )


def _record_key(key: bytes) -> RecordKey:
    tenant, family, pcs_id = key.split(_KEY_TENANT_END, 2)
    return RecordKey(tenant.decode(), family.decode(), pcs_id.hex())


def _sealed(key: bytes, data: bytes) -> bytes:
    return crc32c(data, crc32c(key)).to_bytes(_SEAL_BYTES, "little") + data


def _unsealed(key: bytes, value: bytes) -> bytes:
    data = value[_SEAL_BYTES:]
    if _sealed(key, data) != value:
        raise CorruptionError("index: expected a value that verifies, got another")
    return data


def _value(key: bytes, known: Known) -> bytes:
    data = _ENCODER.encode(
        _Value(
            seq=known.place.seq,
            segment=known.place.segment,
            offset=known.place.offset,
            received_ns=known.received_ns,
            content_digest=bytes.fromhex(known.content_digest),
            conflicts=tuple(
                _ConflictValue(
                    bytes.fromhex(conflict.content_digest),
                    conflict.received_ns,
                    conflict.place.seq,
                    conflict.place.segment,
                    conflict.place.offset,
                )
                for conflict in known.conflicts
            ),
        )
    )
    return _sealed(key, data)


def _known(key: bytes, value: bytes) -> Known:
    decoded = _VALUES.decode(_unsealed(key, value))
    return Known(
        content_digest=decoded.content_digest.hex(),
        received_ns=decoded.received_ns,
        place=Place(seq=decoded.seq, segment=decoded.segment, offset=decoded.offset),
        conflicts=tuple(
            KnownConflict(
                content_digest=conflict.content_digest.hex(),
                received_ns=conflict.received_ns,
                place=Place(seq=conflict.seq, segment=conflict.segment, offset=conflict.offset),
            )
            for conflict in decoded.conflicts
        ),
    )
