"""Read everything on disk and say what is wrong with it; change nothing, take no lock.

Ledger against itself (every frame, footer, entry, id, digest, answer; one decision for each id;
signatures where that is asked for), index against ledger both ways, inboxes against their marks. A
server may be writing all of them. The index is opened first: what its checkpoint names was in the
ledger before, so the scan that follows must meet it, and what the index gets after that is not
looked at. A recovery moves the last entries while it is watched: a problem counts only if a second
look finds it too.

A shard and an inbox are checked each by itself, in pieces whose bytes are yielded: who reads slowly
waits between them.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from fractal_lba.protocol.errors import ContractError, CorruptionError, DurabilityError
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.server.core import names
from fractal_lba.server.core.problems import Kind, Report
from fractal_lba.server.core.ring import Ring
from fractal_lba.server.storage.check_inbox import check_inbox
from fractal_lba.server.storage.check_index import check_index, check_usage
from fractal_lba.server.storage.check_ledger import LedgerCheck
from fractal_lba.server.storage.data_folder import ShardSet
from fractal_lba.server.storage.index import LmdbIndex
from fractal_lba.server.storage.index_view import IndexView
from fractal_lba.server.storage.judging import read_note
from fractal_lba.server.storage.ledgers import has_ledger
from fractal_lba.wal import Disk
from fractal_lba.wal.folder import io_errors


def check_folder(  # noqa: PLR0913 - each says one thing of the check, named at the call
    disk: Disk,
    data: Path,
    *,
    shards: ShardSet,
    map_bytes: int,
    keyring: Keyring | None = None,
    pace: Callable[[int], None] = lambda _: None,
) -> Report:
    """Check a data folder, whether a server holds it or not.

    Args:
        disk: Where it is.
        data: Of the server.
        shards: Its shard set.
        map_bytes: Address space for an index.
        keyring: To verify signatures with; ``None``: they are not looked at.
        pace: Is told the bytes of each piece that was read, and waits for as long as it likes.

    Returns:
        The report. Memory: a segment, 8 bytes for each entry of a shard, and about 100 more for
        each that its index does not hold.

    Raises:
        ContractError: A segment is of a format that this release does not read.
        DurabilityError: The folder itself cannot be read.
    """

    def look() -> Report:
        report = Report()
        ring = Ring(shards.shards)
        for name in shards.names:
            if not has_ledger(disk, data / name):
                where = f"{name}/{names.LEDGER}"
                report.add(Kind.LEDGER_MISSING, where, "ledger: expected one, got none")
            else:
                _look_at_shard(
                    disk,
                    data / name,
                    report,
                    map_bytes=map_bytes,
                    data_id=shards.data_id,
                    ring=ring,
                    keyring=keyring,
                    pace=pace,
                )
        for name in inboxes(disk, data):
            for size in check_inbox_stream(disk, data / name, report):
                pace(size)
            _look_at_note(disk, data / names.judging(name), report)
        return report

    with io_errors(f"data folder {data}"):
        first = look()
        return first if first.is_sound else first.confirmed_by(look())


def inboxes(disk: Disk, data: Path) -> list[str]:
    """Return the inbox folders there are, also of workers that there are no more."""
    return [
        name for name in disk.names(data) if names.is_inbox(name) and disk.is_folder(data / name)
    ]


def check_shard(  # noqa: PLR0913 - each says one thing of the shard
    disk: Disk,
    folder: Path,
    report: Report,
    *,
    index: LmdbIndex | None,
    ring: Ring,
    keyring: Keyring | None = None,
) -> Iterator[int]:
    """Check a shard, and yield the bytes of each piece that was read.

    Args:
        disk: Where its ledger is.
        folder: Of the shard.
        report: Gets what is found.
        index: Of the shard, opened; ``None``: there is none that can be read.
        ring: Which shard each record belongs to.
        keyring: To verify signatures with; ``None``: they are not looked at.

    Raises:
        ContractError: A segment is of a format that this release does not read.
    """
    where = f"{folder.name}/{names.INDEX}"
    try:
        view = None if index is None else IndexView(index)
        counted = {} if view is None else view.usages()
    except DurabilityError as error:
        report.add(Kind.INDEX_UNREADABLE, where, str(error))
        view, counted = None, {}
    ledger = LedgerCheck(
        disk=disk, folder=folder, report=report, view=view, ring=ring, keyring=keyring
    )
    try:
        yield from ledger.read()
    except DurabilityError as error:
        report.add(Kind.UNREADABLE, ledger.stream, str(error))
        return
    if view is None:
        return
    try:
        yield from check_index(
            view,
            where,
            numbers=ledger.numbers,
            is_whole=ledger.is_whole,
            last_seq=ledger.last_seq,
            report=report,
        )
    except DurabilityError as error:
        report.add(Kind.INDEX_UNREADABLE, where, str(error))
    if ledger.is_whole:
        check_usage(where, least=ledger.least, counted=counted, most=ledger.most, report=report)


def check_inbox_stream(disk: Disk, folder: Path, report: Report) -> Iterator[int]:
    """Check an inbox, and yield the bytes of each piece that was read.

    Raises:
        ContractError: A segment is of a format that this release does not read.
    """
    try:
        yield from check_inbox(disk, folder, report)
    except DurabilityError as error:
        report.add(Kind.UNREADABLE, folder.name, str(error))


def has_index(folder: Path) -> bool:
    """Tell whether a shard has an index; where it has none, the next start builds it."""
    return (folder / names.INDEX / names.INDEX_DATA).exists()


def _look_at_note(disk: Disk, path: Path, report: Report) -> None:
    try:
        report.poison += [each.sha256 for each in read_note(disk, path).poison]
    except (ContractError, CorruptionError, OSError) as error:
        report.add(Kind.NOTE_UNREADABLE, path.name, str(error))


def _look_at_shard(  # noqa: PLR0913 - each says one thing of the shard
    disk: Disk,
    folder: Path,
    report: Report,
    *,
    map_bytes: int,
    data_id: str,
    ring: Ring,
    keyring: Keyring | None,
    pace: Callable[[int], None],
) -> None:
    index: LmdbIndex | None = None
    try:
        if has_index(folder):
            index = LmdbIndex(
                folder / names.INDEX, map_bytes=map_bytes, data_id=data_id, is_read_only=True
            )
    except DurabilityError as error:
        report.add(Kind.INDEX_UNREADABLE, f"{folder.name}/{names.INDEX}", str(error))
    try:
        for size in check_shard(disk, folder, report, index=index, ring=ring, keyring=keyring):
            pace(size)
    finally:
        if index is not None:
            index.close()
