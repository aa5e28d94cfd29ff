"""The data folder: made once with its shard set, held by one server at a time."""

import secrets
from collections.abc import Sequence
from pathlib import Path

import msgspec

from fractal_lba.keyfile import write_private
from fractal_lba.protocol.described import described
from fractal_lba.protocol.errors import ContractError
from fractal_lba.protocol.undecodable import UNDECODABLE
from fractal_lba.server.core import names
from fractal_lba.server.core.ring import RING_VERSION, SHARDS_MAX, ShardSpec, check_set, written
from fractal_lba.server.storage.ledgers import begin_ledger
from fractal_lba.wal import Disk
from fractal_lba.wal.folder import make_folder

FORMAT_VERSION = 1
READ_SINCE = "0.1"


@described
class ShardSet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``shards.json`` holds: which shards there are, under which version of the ring.

    ``data_id`` is this data folder's own, by which an index of another one is told. ``read_since``
    is the first release that reads this format.
    """

    format_version: int
    data_id: str
    ring_version: int
    read_since: str = READ_SINCE
    shards: tuple[ShardSpec, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The shards' names, in the order of the file."""
        return tuple(shard.name for shard in self.shards)


def create(disk: Disk, folder: Path, shards: Sequence[ShardSpec]) -> None:
    """Make a data folder with the ledgers of its shards, durable when this returns.

    The shard set comes last: what it names is there, or was.

    Raises:
        ContractError: There is one already; it is left as it is.
        DurabilityError: The disk failed.
        OSError: As above.
    """
    path = folder / names.SHARDS
    if disk.is_folder(folder) and names.SHARDS in disk.names(folder):
        raise ContractError(f"{path}: expected no data folder, got one")
    make_folder(disk, folder)
    for shard in shards:
        begin_ledger(disk, folder / shard.name)
    shard_set = ShardSet(
        format_version=FORMAT_VERSION,
        data_id=secrets.token_hex(16),
        ring_version=RING_VERSION,
        shards=tuple(shards),
    )
    write_private(path, msgspec.json.format(msgspec.json.encode(shard_set)) + b"\n", files=disk)


def check(folder: Path, shards: Sequence[ShardSpec]) -> ShardSet:
    """Return the set of a data folder, and check that it is this one; none asks for no certain one.

    Raises:
        ContractError: There is none, it is of another version, or its shard set is another one: a
            record would be looked for where it is not.
    """
    path = folder / names.SHARDS
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ContractError(f"{folder}: expected a data folder made by init, got none") from error
    try:
        document = msgspec.json.decode(data, type=dict[str, object])
        version = document.get("format_version")
        if version != FORMAT_VERSION:
            since = document.get("read_since")
            rest = f", which release {since} and later read" if isinstance(since, str) else ""
            raise ContractError(
                f"{path}: expected format version {FORMAT_VERSION}, got {version}{rest}"
            )
        shard_set = msgspec.json.decode(data, type=ShardSet)
    except UNDECODABLE as error:
        raise ContractError(f"{path}: expected a shard set, got {error}") from error
    if shard_set.ring_version != RING_VERSION:
        raise ContractError(
            f"{path}: expected ring version {RING_VERSION}, got {shard_set.ring_version}"
        )
    _check_shards(path, shard_set.shards)
    if shards and tuple(shards) != shard_set.shards:
        raise ContractError(
            f"{path}: expected the configured shards {_listed(shards)},"
            f" got {_listed(shard_set.shards)}"
        )
    return shard_set


def _check_shards(path: Path, shards: Sequence[ShardSpec]) -> None:
    for shard in shards:
        if not names.is_shard_name(shard.name):
            raise ContractError(f"{path}: expected names of [a-z0-9-], got {shard.name[:64]!r}")
    if len(shards) > SHARDS_MAX:
        raise ContractError(f"{path}: expected at most {SHARDS_MAX} shards, got {len(shards)}")
    try:
        check_set(shards)
    except ContractError as error:
        raise ContractError(f"{path}: {error}") from error


def _listed(shards: Sequence[ShardSpec]) -> str:
    return ", ".join(written(shard) for shard in shards)
