import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from typing_extensions import override

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.server.core.known import Known, KnownConflict, Place, RecordKey
from fractal_lba.server.core.listing import Summary
from fractal_lba.server.core.usage import NO_USAGE, Usage
from fractal_lba.server.storage.index import Checkpoint, LmdbIndex

MAP_BYTES = 1_048_576


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


def opened(folder: Path, data_id: str | None = "mine", map_bytes: int = MAP_BYTES) -> LmdbIndex:
    return LmdbIndex(folder, map_bytes=map_bytes, data_id=data_id)


def test_what_was_committed_is_there_after_a_reopening_and_nothing_else(tmp_path: Path) -> None:
    index = opened(tmp_path / "index")
    index.put(key(1), known(1, conflicts=8), at(1))
    index.flush()
    index.put(key(2), known(2), at(2))
    assert index.unflushed == 1
    assert index.lookup(key(2)) == known(2)
    index._env.close()  # a kill: what is in memory is gone
    index = opened(tmp_path / "index")
    assert index.lookup(key(1)) == known(1, conflicts=8)
    assert index.lookup(key(2)) is None
    assert index.checkpoint == at(1)
    index.close()


def test_keys_of_tenants_families_and_ids_never_meet(tmp_path: Path) -> None:
    index = opened(tmp_path / "index")
    keys = [
        key(1),
        key(2),
        key(1, tenant="acm"),
        key(1, tenant="acmee"),
        key(1, tenant="acme1.x"),
        key(1, family="0.1"),
    ]
    for n, each in enumerate(keys):
        index.put(each, known(n), at(n))
    index.flush()
    assert [index.lookup(each) for each in keys] == [known(n) for n in range(len(keys))]
    assert dict(index.items()) == {each: known(n) for n, each in enumerate(keys)}
    assert index.lookup(key(1, tenant="ac")) is None
    index.close()


def test_usage_is_committed_with_the_entries_it_counts(tmp_path: Path) -> None:
    index = opened(tmp_path / "index")
    index.charge("acme", 7, Usage(records=1, bytes=10))
    index.put(key(1), known(1), at(1))
    index.flush()
    index.charge("acme", 7, Usage(records=1, bytes=5))
    index.put(key(2), known(2), at(2))
    assert index.usage("acme", 7) == Usage(records=2, bytes=15)
    index._env.close()  # a kill: what is in memory is gone, entry and count
    index = opened(tmp_path / "index")
    assert index.lookup(key(2)) is None
    assert index.usage("acme", 7) == Usage(records=1, bytes=10)
    assert index.usage("acm", 7) == index.usage("acme", 8) == NO_USAGE
    assert list(index.usages()) == [("acme", 7, Usage(records=1, bytes=10))]
    index.close()


def test_losses_are_kept_until_they_are_accepted(tmp_path: Path) -> None:
    index = opened(tmp_path / "index")
    index.lose(3, 5)
    index.lose(9, 9)
    index.lose(3, 5)
    index.close()
    index = opened(tmp_path / "index")
    assert index.losses == ((3, 5), (9, 9))
    index.accept_losses()
    index.close()
    index = opened(tmp_path / "index")
    assert index.losses == ()
    index.close()


def test_a_full_map_is_doubled_until_a_commit_fits(tmp_path: Path) -> None:
    index = opened(tmp_path / "index", map_bytes=65_536)
    for n in range(2_000):
        index.put(key(n), known(n, conflicts=2), at(n))
    index.flush()
    assert index.unflushed == 0
    assert index.lookup(key(1_999)) == known(1_999, conflicts=2)
    index.close()
    # The next start asks for the small map again, and finds everything.
    index = opened(tmp_path / "index", map_bytes=65_536)
    assert index.lookup(key(0)) == known(0, conflicts=2)
    index.close()


@pytest.mark.parametrize("damage", ["garbage", "empty", "truncated", "another's"])
def test_an_index_that_is_no_use_is_empty_and_looked_at_only_refused(
    tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "index"
    index = opened(folder, data_id="its" if damage == "another's" else "mine")
    for n in range(500):
        index.put(key(n), known(n), at(n))
    index.lose(1, 2)
    index.close()
    data = folder / "data.mdb"
    match damage:
        case "garbage":
            data.write_bytes(os.urandom(65_536))
        case "empty":
            data.write_bytes(b"")
        case "truncated":
            os.truncate(data, data.stat().st_size // 2)
        case _:
            pass
    before = data.read_bytes()
    with pytest.raises(DurabilityError, match="index: expected"):
        LmdbIndex(folder, map_bytes=MAP_BYTES, data_id="mine", is_read_only=True)
    assert data.read_bytes() == before
    index = opened(folder)
    assert index.checkpoint is None
    assert index.losses == ()
    assert index.lookup(key(1)) is None
    index.put(key(1), known(1), at(1))
    index.close()
    index = opened(folder)
    assert index.lookup(key(1)) == known(1)
    index.close()


class IndexBesideADict(RuleBasedStateMachine):
    """Put, flush, kill, reopen and discard in any order: it holds what a dict would."""

    root: Path

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(dir=self.root)) / "index"
        self.index = opened(self._folder)
        self.fresh: dict[RecordKey, Known] = {}
        self.committed: dict[RecordKey, Known] = {}
        self.seq = 0
        self.committed_seq = 0

    @rule(n=st.integers(0, 5), tenant=st.sampled_from(["a", "b"]), conflicts=st.integers(0, 8))
    def put(self, n: int, tenant: str, conflicts: int) -> None:
        self.seq += 1
        value = known(self.seq, conflicts)
        self.index.put(key(n, tenant), value, at(self.seq))
        self.fresh[key(n, tenant)] = value

    @rule()
    def flush(self) -> None:
        self.index.flush()
        self.committed |= self.fresh
        self.fresh, self.committed_seq = {}, self.seq

    @rule(is_killed=st.booleans())
    def restart(self, is_killed: bool) -> None:  # noqa: FBT001 - drawn
        if is_killed:
            self.index._env.close()
        else:
            self.flush()
            self.index.close()
        self.fresh, self.seq = {}, self.committed_seq
        self.index = opened(self._folder)

    @precondition(lambda self: self.committed)
    @rule()
    def discard(self) -> None:
        self.index.discard()
        self.fresh, self.committed, self.seq, self.committed_seq = {}, {}, 0, 0

    @invariant()
    def it_holds_what_the_dict_does(self) -> None:
        expected = self.committed | self.fresh
        for n in range(6):
            for tenant in ("a", "b"):
                assert self.index.lookup(key(n, tenant)) == expected.get(key(n, tenant))
        assert dict(self.index.items()) == self.committed
        checkpoint = self.index.checkpoint
        assert (checkpoint.seq if checkpoint else 0) == self.seq

    @override
    def teardown(self) -> None:
        self.index.close()


def test_the_index_holds_what_a_dict_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IndexBesideADict, "root", tmp_path, raising=False)
    machine = IndexBesideADict.TestCase
    machine.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
    machine().runTest()
