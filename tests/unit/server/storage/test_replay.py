"""The index is what the ledger says, whatever the index held before."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from fractal_lba.protocol.errors import CorruptionError, LockedError
from fractal_lba.server.core import entry as entries
from fractal_lba.server.core.entry import Conflict, Decision, Entry
from fractal_lba.server.core.known import RecordKey
from fractal_lba.server.core.usage import Usage
from fractal_lba.server.storage.index import LmdbIndex
from fractal_lba.server.storage.index_port import Index
from fractal_lba.server.storage.replay import open_shard, put_entry, replay
from fractal_lba.wal import Damage, NewFrame, RealDisk, Stream

SEGMENT_BYTES = 1_048_576
MAP_BYTES = 1_048_576
NAME = "shard-0/ledger"
RECORD = b'{"D_hat":1,"coh_star":0.5,"epoch":1,"regime":"mixed","shard_id":"p","version":"1.0"}'


def decision(n: int, content: int = 0) -> Decision:
    return Decision(
        tenant="acme",
        family="1.x",
        pcs_id=f"{n:064x}",
        record_digest="1" * 64,
        content_digest=f"{content:064x}",
        kid="acme-1",
        params_version="1",
        region="local",
        status=200,
        answer=b"{}",
        record=RECORD,
    )


def conflict(n: int, content: int) -> Conflict:
    return Conflict(
        tenant="acme",
        family="1.x",
        pcs_id=f"{n:064x}",
        record_digest="2" * 64,
        content_digest=f"{content:064x}",
        kid="acme-1",
        record=RECORD,
    )


def key(n: int) -> RecordKey:
    return RecordKey("acme", "1.x", f"{n:064x}")


def written(shard: Path, found: list[Entry], *, skip_to: int | None = None) -> None:
    """Append entries to a shard's ledger, before them a gap in its numbers."""
    stream = Stream.open(
        RealDisk(), shard / "ledger", NAME, segment_bytes_max=SEGMENT_BYTES, frame_bytes_max=65_536
    )
    if skip_to is not None:
        stream.skip_to(skip_to)
    for number, each in enumerate(found, stream.next_seq):
        stream.append(
            [NewFrame(received_ns=number, meta=entries.META, payload=entries.encode_entry(each))]
        )
    stream.close()


@contextmanager
def shard_index(shard: Path) -> Iterator[Index]:
    files = open_shard(
        RealDisk(), shard, segment_bytes_max=SEGMENT_BYTES, map_bytes=MAP_BYTES, data_id="mine"
    )
    try:
        yield files.index
    finally:
        files.stream.close()
        files.index.close()


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    return tmp_path / "shard-0"


def test_an_index_from_nothing_holds_every_decision_and_its_conflicts(shard: Path) -> None:
    written(shard, [decision(1), decision(2), conflict(1, 7), conflict(1, 8), decision(3)])
    with shard_index(shard) as index:
        one = index.lookup(key(1))
        assert one is not None
        assert (one.place.seq, one.received_ns, one.content_digest) == (1, 1, "0" * 64)
        assert [(each.place.seq, each.content_digest[-1]) for each in one.conflicts] == [
            (3, "7"),
            (4, "8"),
        ]
        assert index.checkpoint is not None
        assert index.checkpoint.seq == 5
        assert index.losses == ()


def test_what_came_after_the_checkpoint_is_put_and_nothing_twice(shard: Path) -> None:
    written(shard, [decision(1), conflict(1, 7)])
    with shard_index(shard):
        pass
    written(shard, [decision(2), conflict(1, 8)])
    with shard_index(shard) as index:
        one, two = index.lookup(key(1)), index.lookup(key(2))
        assert one is not None
        assert two is not None
        assert [each.place.seq for each in one.conflicts] == [2, 4]
        assert two.place.seq == 3
    with shard_index(shard) as index:
        assert index.lookup(key(1)) == one


def test_the_first_of_two_decisions_stays(shard: Path) -> None:
    written(shard, [decision(1, content=5), decision(1, content=6)])
    with shard_index(shard) as index:
        one = index.lookup(key(1))
        assert one is not None
        assert (one.place.seq, one.content_digest[-1]) == (1, "5")


def test_what_was_sent_is_counted_once_and_again_the_same_from_nothing(shard: Path) -> None:
    # The second decision of an id and a conflict are no new records.
    written(shard, [decision(1), decision(2), decision(1, content=6), conflict(2, 7)])
    with shard_index(shard) as index:
        assert index.usage("acme", 0) == Usage(records=2, bytes=2 * len(RECORD))
    for _ in range(2):
        with shard_index(shard) as index:
            assert index.usage("acme", 0) == Usage(records=2, bytes=2 * len(RECORD))
    shutil.rmtree(shard / "index")
    with shard_index(shard) as index:
        assert list(index.usages()) == [("acme", 0, Usage(records=2, bytes=2 * len(RECORD)))]


def test_what_a_recovery_copied_is_counted_once(shard: Path) -> None:
    written(shard, [decision(1)])
    files = open_shard(
        RealDisk(), shard, segment_bytes_max=SEGMENT_BYTES, map_bytes=MAP_BYTES, data_id="mine"
    )
    # The whole ledger is put once more, as it is where frames stand in a younger segment.
    ((position, frame),) = (item for item in files.stream.scan() if not isinstance(item, Damage))
    put_entry(files.index, key(1), decision(1), frame, position)
    assert files.index.usage("acme", 0) == Usage(records=1, bytes=len(RECORD))
    files.stream.close()
    files.index.close()


@pytest.mark.parametrize("is_indexed", [True, False])
def test_missing_numbers_are_lost_and_stay_so(shard: Path, *, is_indexed: bool) -> None:
    written(shard, [decision(1)])
    if is_indexed:
        with shard_index(shard):
            pass
    written(shard, [decision(9), conflict(5, 3)], skip_to=6)
    with shard_index(shard) as index:
        assert index.losses == ((2, 5),)
        assert index.lookup(key(9)) is not None
        # The decision it conflicts with is among the lost ones.
        assert index.lookup(key(5)) is None
    with shard_index(shard) as index:
        assert index.losses == ((2, 5),)


def test_a_conflict_of_nothing_is_no_ledger(shard: Path) -> None:
    written(shard, [conflict(1, 7)])
    with pytest.raises(CorruptionError, match="expected a decision of"):
        open_shard(RealDisk(), shard, segment_bytes_max=SEGMENT_BYTES, map_bytes=MAP_BYTES)


def test_a_ledger_that_lost_its_end_gives_no_number_again(shard: Path) -> None:
    written(shard, [decision(n) for n in range(1, 6)])
    with shard_index(shard):
        pass
    for segment in (shard / "ledger").glob("*.seg"):
        segment.unlink()
    files = open_shard(
        RealDisk(), shard, segment_bytes_max=SEGMENT_BYTES, map_bytes=MAP_BYTES, data_id="mine"
    )
    assert files.stream.next_seq == 6
    # Every id keeps its entry: none of them is decided again.
    assert all(files.index.lookup(key(n)) is not None for n in range(1, 6))
    assert files.index.losses == ()
    files.stream.close()
    files.index.close()


def test_an_index_that_holds_another_entry_under_its_last_number_is_rebuilt(
    tmp_path: Path,
) -> None:
    mine, other = tmp_path / "shard-0", tmp_path / "other" / "shard-0"
    written(mine, [decision(1), decision(2)])
    written(other, [decision(7), decision(8)])
    with shard_index(other):
        pass
    (other / "index").rename(mine / "index")
    with shard_index(mine) as index:
        assert [index.lookup(key(n)) is not None for n in (1, 2, 7, 8)] == [
            True,
            True,
            False,
            False,
        ]


def test_a_replay_tells_how_much_it_put(tmp_path: Path) -> None:
    written(tmp_path, [decision(1), decision(2), conflict(2, 4)])
    index = LmdbIndex(tmp_path / "index", map_bytes=MAP_BYTES)
    stream = Stream.open(
        RealDisk(),
        tmp_path / "ledger",
        NAME,
        segment_bytes_max=SEGMENT_BYTES,
        frame_bytes_max=65_536,
    )
    assert [replay(stream, index).count, replay(stream, index).count] == [3, 0]
    assert index.unflushed == 0
    stream.close()
    index.close()


def test_an_index_is_opened_only_under_its_ledgers_lock(tmp_path: Path) -> None:
    opened: list[Path] = []

    def open_index(folder: Path, *, map_bytes: int, data_id: str | None) -> Index:
        opened.append(folder)
        return LmdbIndex(folder, map_bytes=map_bytes, data_id=data_id)

    shard = tmp_path / "shard-0"
    opening = partial(
        open_shard,
        RealDisk(),
        shard,
        segment_bytes_max=SEGMENT_BYTES,
        map_bytes=MAP_BYTES,
        open_index=open_index,
    )
    first = opening()
    with pytest.raises(LockedError):
        opening()
    assert opened == [shard / "index"]
    first.index.close()
    first.stream.close()
