"""Names of things on disk below the data folder.

::

    data/
    ├── .lock                     one server at a time (each stream's folder has one too)
    ├── shards.json               the shard set, written at init
    ├── run/                      sockets and counts of the workers, while there are several
    ├── inbox-0/                  one inbox for each worker: segments
    ├── inbox-0-judging.json      what is being judged from it, and what is poison
    └── shard-0/                  one folder for each shard, by its name
        ├── ledger/               segments
        └── index/                LMDB, derived from the ledger
"""

import re

SHARDS = "shards.json"
LEDGER = "ledger"
INDEX = "index"
INDEX_DATA = "data.mdb"

FRAME_BYTES_MAX = 262_144
"""One ledger entry: a record of 64 KiB, its answer and its digests, with room."""

INBOX_FRAME_BYTES_MAX = 17 << 20
"""One batch of 16 MiB as it came over the wire, with room for what stands beside it."""

INBOX_SEGMENT_BYTES_MIN = 18 << 20
"""What a segment needs to hold one such frame; an inbox's are not closed at less."""

RUN = "run"

_INBOX_NAME = re.compile(r"inbox-(0|[1-9][0-9]{0,5})")
_JUDGING_NAME = re.compile(rf"{_INBOX_NAME.pattern}-judging\.json")
_SHARD_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def inbox(worker: int) -> str:
    """Name the inbox folder of a worker (0, 1, …)."""
    return f"inbox-{worker}"


def is_inbox(name: str) -> bool:
    """Tell whether ``name`` is the inbox folder of some worker."""
    return _INBOX_NAME.fullmatch(name) is not None


def judging(inbox: str) -> str:
    """Name the note of what is being judged from an inbox."""
    return f"{inbox}-judging.json"


def is_judging(name: str) -> bool:
    """Tell whether ``name`` is the note of some inbox."""
    return _JUDGING_NAME.fullmatch(name) is not None


def inbox_number(name: str) -> int | None:
    """Return the worker whose inbox folder has this name, ``None`` for another name."""
    found = _INBOX_NAME.fullmatch(name)
    return None if found is None else int(found[1])


def is_shard_name(name: str) -> bool:
    """Tell whether ``name`` can be a shard: a folder that is not taken for another one."""
    return _SHARD_NAME.fullmatch(name) is not None and not name.startswith("inbox-") and name != RUN
