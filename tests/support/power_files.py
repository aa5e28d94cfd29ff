"""Files that are replaced whole, over a disk that loses power: a keyring, what ``init`` makes."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.support.failing_disk import FailingDisk
from tests.support.memory_disk import MemoryDisk
from tests.support.power_runs import Invariant, Kind, hold

from fractal_lba.keyfile import write_private
from fractal_lba.server.storage.provision import (
    AGENT_KEYRING,
    SERVER_KEYRING,
    SETTINGS,
    TOKEN,
    provision,
)

_REPLACEMENTS: Final = 3


class FilesScenario:
    """A keyring that is extended again and again, and a new folder for each life.

    Attributes:
        acknowledged: what the last replacement that returned wrote.
        attempted: everything that was ever written under the name since, and that.
        made: the folders for which ``init`` returned.
    """

    def __init__(self, memory: MemoryDisk, chance: random.Random) -> None:
        self._memory = memory
        self._chance = chance
        self.keyring = memory.root / "keyring.json"
        self.acknowledged: bytes | None = None
        self.attempted: set[bytes] = set()
        self.made: set[Path] = set()
        self.folders: list[Path] = []

    def live(self, disk: FailingDisk) -> None:
        for _ in range(_REPLACEMENTS):
            with suppress(OSError):
                self._replace(disk)
        self.folders.append(self._memory.root / "above" / f"server-{len(self.folders)}")
        with suppress(OSError):
            provision(disk, self.folders[-1])
            self.made.add(self.folders[-1])

    def check(self, disk: FailingDisk, *, is_last: bool) -> None:  # noqa: ARG002 - all is seen at once
        self._hold_keyring()
        for folder in self.folders:
            self._hold_folder(folder)
        self._replace(disk)

    def _replace(self, disk: FailingDisk) -> None:
        data = json.dumps({"keys": self._chance.randbytes(400).hex()}).encode()
        self.attempted.add(data)
        write_private(self.keyring, data, files=disk)
        self.acknowledged, self.attempted = data, {data}

    def _hold_keyring(self) -> None:
        """The file is the last one acknowledged, or a later one that was on its way."""
        names = self._memory.names(self._memory.root)
        if self.keyring.name not in names:
            hold(self.acknowledged is None, Invariant.NOTHING_LOST, names)
        else:
            found = self._memory.content(self.keyring)
            hold(found in self.attempted, Invariant.WHOLE_OR_OLD, found)
        beside = {name for name in names if not name.startswith(".")}
        hold(beside <= {"keyring.json", "above"}, Invariant.NOTHING_ELSE, beside)

    def _hold_folder(self, folder: Path) -> None:
        """A folder with its settings is a whole one, and one that ``init`` made has them."""
        has_settings = self._memory.is_folder(folder) and SETTINGS in self._memory.names(folder)
        hold(has_settings or folder not in self.made, Invariant.NOTHING_LOST, folder.name)
        if not has_settings:
            return
        for name in (SERVER_KEYRING, AGENT_KEYRING, "data/shards.json"):
            document = json.loads(self._memory.content(folder / name))
            hold(document, Invariant.WHOLE_OR_OLD, name)
        token = self._memory.content(folder / TOKEN)
        hold(token.endswith(b"\n"), Invariant.WHOLE_OR_OLD, TOKEN)


@contextmanager
def _scenario(memory: MemoryDisk, chance: random.Random) -> Iterator[FilesScenario]:
    yield FilesScenario(memory, chance)


FILES: Final = Kind(name="files", make=_scenario, calls=55, changes=45)
