"""Both engines of an index, for what is asked of each: LMDB, and the one in memory."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from tests.support.memory_index import IndexFile, MemoryIndex

from fractal_lba.server.storage.index import LmdbIndex
from fractal_lba.server.storage.index_port import Index

MAP_BYTES: Final = 1_048_576


class Kept(Protocol):
    """An index's file: it outlives the processes that open it."""

    def open(self, data_id: str | None = "mine") -> Index:
        """Be the next process."""
        ...

    def kill(self, index: Index) -> None:
        """End the process that has it open: nothing is committed."""
        ...

    def note(self) -> None:
        """Remember what the last commit left."""
        ...

    def cut_power(self, noted: int) -> None:
        """Leave what was there at the so-manieth ``note``."""
        ...


class KeptByLmdb:
    """LMDB's file: in one piece after each commit, so a copy is what a power loss may leave."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._noted: list[bytes] = []

    def open(self, data_id: str | None = "mine") -> Index:
        return LmdbIndex(self._folder, map_bytes=MAP_BYTES, data_id=data_id)

    def kill(self, index: Index) -> None:
        assert isinstance(index, LmdbIndex)
        index._env.close()

    def note(self) -> None:
        self._noted.append((self._folder / "data.mdb").read_bytes())

    def cut_power(self, noted: int) -> None:
        shutil.rmtree(self._folder)
        self._folder.mkdir()
        (self._folder / "data.mdb").write_bytes(self._noted[noted])


class KeptInMemory:
    """The file of an index in memory."""

    def __init__(self, folder: Path) -> None:
        self._shard = folder.parent.name
        self._file = IndexFile()
        self._noted: list[int] = []

    def open(self, data_id: str | None = "mine") -> Index:
        return MemoryIndex(self._file, shard=self._shard, data_id=data_id)

    def kill(self, index: Index) -> None:
        """See ``Kept.kill``: memory is all it has."""

    def note(self) -> None:
        self._noted.append(len(self._file.commits))

    def cut_power(self, noted: int) -> None:
        del self._file.commits[self._noted[noted] :]


KEPT: Final[dict[str, Callable[[Path], Kept]]] = {"lmdb": KeptByLmdb, "memory": KeptInMemory}
