"""A server's folder with a few decisions, made by a real server that was killed or stopped."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.faulty_server import FaultyServer
from tests.support.load import Load, id_of, record_of
from tests.support.server_disk import LEDGER, Batch, batches
from tests.support.server_process import Folder, until

INBOX: Final = "inbox-0"
EPOCHS: Final = [1, 2, 3, 4, 5]


@dataclass(frozen=True)
class Made:
    """A folder of a server that ended, and where its decisions are."""

    folder: Folder
    load: Load
    ledger: list[Batch]

    def batch(self, epoch: int) -> Batch:
        (found,) = (batch for batch in self.ledger if batch.pcs_id == id_of(epoch))
        return found


def make(path: Path, *, is_killed: bool) -> Made:
    folder = Folder(path)
    load = Load()
    with FaultyServer(folder) as server:
        for epoch in EPOCHS:
            load.settle("new", epoch, server.submit(record_of(epoch)))
        if is_killed:
            # The idle mark is a log's last call: what it covers is durable for good.
            until_marked(folder, LEDGER)
            until_marked(folder, INBOX)
        else:
            assert server.stop() == 0
    assert not load.wrong
    return Made(folder, load, batches(folder.data, LEDGER))


def until_marked(folder: Folder, stream: str) -> None:
    log = folder.data / stream
    until(
        lambda: (
            max(batch.end for batch in batches(folder.data, stream))
            < max(path.stat().st_size for path in log.glob("*.seg"))
        ),
        f"the idle mark of {stream}",
    )
