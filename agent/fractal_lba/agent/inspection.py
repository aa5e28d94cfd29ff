"""Inspection: what waits in an outbox, window by window, read without its lock.

Reads only and leaves no trace, so it may look at an outbox that an agent is writing. The folder is
read twice: once to know what waits, once for the windows that are shown; one that is answered in
between is not shown. In memory is a place for each pending window, and what is shown.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fractal_lba.agent.contents import Contents
from fractal_lba.agent.folder import check_used
from fractal_lba.agent.frames import AgainMeta, CarriedMeta, WindowMeta, read_meta
from fractal_lba.agent.opening import FOLDER, STREAM
from fractal_lba.agent.pending import Place
from fractal_lba.protocol import format_timestamp
from fractal_lba.wal import Damage, Disk, Frame, Position, scan_folder

# What a terminal or a script takes at once.
SHOWN_DEFAULT = 50
SHOWN_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which pending windows are meant: those that fit everything that is said.

    Attributes:
        streams: ``shard_id``.
        older_than_s: Observed at least so long ago.
        shown_max: The oldest so many of them are shown.
    """

    streams: frozenset[str] = frozenset()
    older_than_s: float = 0.0
    shown_max: int = SHOWN_DEFAULT

    def fits(self, place: Place, now_ms: int) -> bool:
        """Return whether a window is meant."""
        is_old = not self.older_than_s or now_ms - place.received_ms >= self.older_than_s * 1000
        return is_old and (not self.streams or place.shard_id in self.streams)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One pending window.

    Attributes:
        seq: Its number in the outbox.
        shard_id: Its stream.
        epoch: Its number there.
        received_ms: When it was observed, ms since 1970.
        age_s: Seconds since then.
        size: Bytes of its frame.
    """

    seq: int
    shard_id: str
    epoch: int
    received_ms: int
    age_s: float
    size: int

    def members(self) -> dict[str, object]:
        """Return it as an object of ``--json``."""
        return {
            "outbox_seq": self.seq,
            "shard_id": self.shard_id,
            "epoch": self.epoch,
            "received_at": format_timestamp(self.received_ms),
            "age_s": self.age_s,
            "bytes": self.size,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was found.

    Attributes:
        pending: Windows that wait in all.
        pending_bytes: Bytes of their frames.
        fitting: Those of them that are meant.
        fitting_bytes: Bytes of their frames.
        windows: The oldest of these.
        is_damaged: Something that was written cannot be read any more.
    """

    pending: int
    pending_bytes: int
    fitting: int
    fitting_bytes: int
    windows: tuple[Waiting, ...]
    is_damaged: bool

    def members(self) -> dict[str, object]:
        """Return it as one object, for ``--json``."""
        return {
            "pending": self.pending,
            "pending_bytes": self.pending_bytes,
            "fitting": self.fitting,
            "fitting_bytes": self.fitting_bytes,
            "shown": len(self.windows),
            "windows": [window.members() for window in self.windows],
        }


def inspect(disk: Disk, data: Path, meant: Filter, *, now_ms: int) -> Inspection:
    """Return what waits in a data folder's outbox.

    Raises:
        ContractError: There is no outbox, or a newer program wrote it.
        CorruptionError: The folder holds something else.
        DurabilityError: The disk refused.
    """
    folder = data / FOLDER
    check_used(disk, data)
    contents = Contents.read(scan_folder(disk, folder, STREAM))
    pending = contents.pending
    fitting = fitting_bytes = 0
    chosen: dict[int, Place] = {}
    for seq in pending:
        place = pending[seq]
        if meant.fits(place, now_ms):
            fitting += 1
            fitting_bytes += place.size
            if fitting <= meant.shown_max:
                chosen[seq] = place
    epochs = dict(_epochs(scan_folder(disk, folder, STREAM), chosen)) if chosen else {}
    return Inspection(
        pending=len(pending),
        pending_bytes=pending.size,
        fitting=fitting,
        fitting_bytes=fitting_bytes,
        windows=tuple(
            Waiting(
                seq=seq,
                shard_id=place.shard_id,
                epoch=epochs[seq],
                received_ms=place.received_ms,
                age_s=max(0, now_ms - place.received_ms) / 1000,
                size=place.size,
            )
            for seq, place in chosen.items()
            if seq in epochs
        ),
        is_damaged=bool(contents.damage or contents.lost),
    )


def _epochs(
    stream: Iterable[tuple[Position, Frame] | Damage], chosen: dict[int, Place]
) -> Iterator[tuple[int, int]]:
    """Yield the number and the epoch of each of these windows that is still there."""
    for item in stream:
        if isinstance(item, Damage):
            continue
        meta = read_meta(item[1])
        seq = meta.seq if isinstance(meta, CarriedMeta) else item[1].seq
        if isinstance(meta, WindowMeta | AgainMeta | CarriedMeta) and seq in chosen:
            yield seq, meta.next_epoch - 1
