"""What every engine of an index must do: LMDB, and the one in memory that stands for it."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.support.index_values import at, key, known
from tests.support.indexes import KEPT, Kept
from typing_extensions import override

from fractal_lba.server.core.usage import NO_USAGE, Usage

if TYPE_CHECKING:
    from fractal_lba.server.core.known import Known, RecordKey


@pytest.fixture(params=KEPT)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    return KEPT[request.param](tmp_path / "index")


def test_what_was_committed_is_there_after_a_reopening_and_nothing_else(kept: Kept) -> None:
    index = kept.open()
    index.put(key(1), known(1, conflicts=8), at(1))
    index.flush()
    index.put(key(2), known(2), at(2))
    assert index.unflushed == 1
    assert index.lookup(key(2)) == known(2)
    kept.kill(index)
    index = kept.open()
    assert index.lookup(key(1)) == known(1, conflicts=8)
    assert index.lookup(key(2)) is None
    assert index.checkpoint == at(1)
    index.close()


def test_keys_of_tenants_families_and_ids_never_meet(kept: Kept) -> None:
    index = kept.open()
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


def test_usage_is_committed_with_the_entries_it_counts(kept: Kept) -> None:
    index = kept.open()
    index.charge("acme", 7, Usage(records=1, bytes=10))
    index.put(key(1), known(1), at(1))
    index.flush()
    index.charge("acme", 7, Usage(records=1, bytes=5))
    index.put(key(2), known(2), at(2))
    assert index.usage("acme", 7) == Usage(records=2, bytes=15)
    kept.kill(index)
    index = kept.open()
    assert index.lookup(key(2)) is None
    assert index.usage("acme", 7) == Usage(records=1, bytes=10)
    assert index.usage("acm", 7) == index.usage("acme", 8) == NO_USAGE
    assert list(index.usages()) == [("acme", 7, Usage(records=1, bytes=10))]
    index.close()


def test_losses_are_kept_until_they_are_accepted(kept: Kept) -> None:
    index = kept.open()
    index.lose(3, 5)
    index.lose(9, 9)
    index.lose(3, 5)
    index.close()
    index = kept.open()
    assert index.losses == ((3, 5), (9, 9))
    index.accept_losses()
    index.close()
    index = kept.open()
    assert index.losses == ()
    index.close()


def test_after_a_power_loss_it_is_a_whole_number_of_commits_old(kept: Kept) -> None:
    index = kept.open()
    index.flush()
    kept.note()
    for n in range(1, 4):
        for each in (2 * n, 2 * n + 1):
            index.charge("acme", 7, Usage(records=1, bytes=each))
            index.put(key(each), known(each), at(each))
        index.flush()
        kept.note()
    index.close()
    for age in (3, 2, 1, 0):
        kept.cut_power(age)
        index = kept.open()
        held = [n for n in range(9) if index.lookup(key(n)) is not None]
        assert held == list(range(2, 2 * age + 2))
        assert index.checkpoint == (at(2 * age + 1) if age else None)
        assert index.usage("acme", 7) == Usage(records=2 * age, bytes=sum(held))
        kept.kill(index)


def test_an_index_of_another_folder_is_empty(kept: Kept) -> None:
    index = kept.open("its")
    index.put(key(1), known(1), at(1))
    index.close()
    index = kept.open("mine")
    assert index.lookup(key(1)) is None
    assert index.checkpoint is None
    index.close()


def test_what_it_holds_comes_in_the_order_of_its_keys(kept: Kept) -> None:
    index = kept.open()
    keys = [key(2), key(1), key(1, tenant="b"), key(1, tenant="acm"), key(1, family="0.1")]
    for n, each in enumerate(keys, 1):
        index.charge(each.tenant, n, Usage(records=1, bytes=n))
        index.put(each, known(n), at(n))
    index.flush()
    assert [each for each, _ in index.items()] == sorted(keys)
    assert [(tenant, day) for tenant, day, _ in index.usages()] == sorted(
        (each.tenant, n) for n, each in enumerate(keys, 1)
    )
    index.close()


class IndexBesideADict(RuleBasedStateMachine):
    """Put, flush, kill, reopen and discard in any order: it holds what a dict would."""

    root: Path
    make: Callable[[Path], Kept]

    def __init__(self) -> None:
        super().__init__()
        self._kept = type(self).make(Path(tempfile.mkdtemp(dir=self.root)) / "index")
        self.index = self._kept.open()
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
            self._kept.kill(self.index)
        else:
            self.flush()
            self.index.close()
        self.fresh, self.seq = {}, self.committed_seq
        self.index = self._kept.open()

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


@pytest.mark.parametrize("engine", KEPT)
def test_the_index_holds_what_a_dict_would(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(IndexBesideADict, "root", tmp_path, raising=False)
    monkeypatch.setattr(IndexBesideADict, "make", KEPT[engine], raising=False)
    machine = IndexBesideADict.TestCase
    machine.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
    machine().runTest()
