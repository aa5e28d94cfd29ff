import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, cast

import lmdb
import pytest
from tests.support.index_values import at, key, known

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.server.storage.index import LmdbIndex

MAP_BYTES = 1_048_576


def opened(folder: Path, data_id: str | None = "mine", map_bytes: int = MAP_BYTES) -> LmdbIndex:
    return LmdbIndex(folder, map_bytes=map_bytes, data_id=data_id)


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


class Watched:
    """What reads LMDB, with something to happen in the middle of a transaction."""

    def __init__(self, inner: Any, before_reading: Callable[[], None]) -> None:  # noqa: ANN401 - three types
        self._inner = inner
        self._before_reading = before_reading

    def __getattr__(self, name: str) -> object:
        found = getattr(self._inner, name)
        if name in {"begin", "cursor"}:
            return lambda *given, **named: Watched(found(*given, **named), self._before_reading)
        if name == "getmulti":
            self._before_reading()
        return found

    def __enter__(self) -> Self:
        self._inner = self._inner.__enter__()
        return self

    def __exit__(self, *ended: object) -> None:
        self._inner.__exit__(*ended)


def test_the_map_grows_under_no_lookup(tmp_path: Path) -> None:
    index = opened(tmp_path / "index")
    for n in range(2):
        index.put(key(n), known(n), at(n))
    index.flush()
    grown = threading.Event()

    def grow() -> None:
        index._grow()
        grown.set()

    grower = threading.Thread(target=grow)
    was_grown = []

    def begin_to_grow() -> None:
        grower.start()
        was_grown.append(grown.wait(0.2))

    env = index._env
    index._env = cast("Any", Watched(env, begin_to_grow))
    assert index.lookup_all([key(0), key(1)]) == [known(0), known(1)]
    index._env = env
    grower.join()
    assert was_grown == [False]
    assert index.lookup(key(1)) == known(1)
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


def test_an_index_whose_engine_takes_no_more_commits_is_opened_anew_as_last_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = opened(tmp_path / "index")
    index.put(key(1), known(1), at(1))
    index.flush()
    failed, commit = index.handles.env, LmdbIndex._commit

    def commit_unless_failed(self: LmdbIndex, *rest: Any) -> None:  # noqa: ANN401 - passed on
        if self.handles.env is failed:
            raise lmdb.PanicError("as after a failed write")
        commit(self, *rest)

    monkeypatch.setattr(LmdbIndex, "_commit", commit_unless_failed)
    index.put(key(2), known(2), at(2))
    for _ in range(2):
        with pytest.raises(DurabilityError, match="expected a commit, got PanicError"):
            index.flush()
    index.reopen()
    assert index.checkpoint == at(1)
    assert [index.lookup(key(n)) for n in (1, 2)] == [known(1), None]
    index.put(key(2), known(2), at(2))
    index.flush()
    env = index.handles.env
    index.reopen()
    assert index.handles.env is env  # nothing failed since
    index.close()
